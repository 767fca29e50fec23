"""What providers counted of earlier prompts: one that goes on from them is bounded better by it.

Bytes bound a prompt four to five times too high. But if a body is that of a call whose prompt the
provider has counted, byte for byte, and only has more messages behind, then what was there is as
many tokens as before, and only what is new is bounded by its bytes. That holds for the next step of
a session, which sends all of the last one again. And of two calls that share their beginning, such
as tools and system prompt, that beginning is less than the whole of either.

Only cache marks and fields that are no part of a prompt may differ. A prompt with pictures, or one
that the provider keeps or shortens itself, is bounded by its bytes as before.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable

import msgspec

from bursar.state.sizes import Size

MOST_KEPT = 30_000
"""Beginnings that are remembered, about 200 bytes each; the one used longest ago goes first."""
MOST_MESSAGES = 10_000
"""A prompt of more is not followed."""
SHARED = (0, 1)
"""So many messages, beside all of them, are remembered of each prompt."""
SLACK_TOKENS = 32
"""For what a provider writes between messages, where that depends on which is the last."""
LEAST_PERCENT = 50
"""Of our estimate: a count below it is not believed. Some leave out what came from their cache."""
LISTS = ("messages", "input", "contents")
ASIDE = frozenset(
    (
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "stream", "stream_options"),
        *("metadata", "requestMetadata", "user", "safety_identifier", "prompt_cache_key", "n"),
        *("seed", "service_tier", "store", "temperature", "top_p"),
    )
)
"""Fields of a body that add nothing to its prompt."""
MARK = re.compile(
    rb'(?:,\s*)?(?:\{\s*"cachePoint"\s*:\s*\{\s*"type"\s*:\s*"default"\s*\}\s*\}'
    rb'|"cache_control"\s*:\s*\{\s*"type"\s*:\s*"ephemeral"\s*'
    rb'(?:,\s*"ttl"\s*:\s*"\w{1,4}"\s*)?\})'
)
"""Where a cache ends: no words, and in every call somewhere else."""
UNBOUND = frozenset({"elsewhere_tokens", "use_tokens", "attachment_times"})
"""Assumptions that speak of what no body holds."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_messages = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A prompt, as far as it is remembered once it is counted."""

    keys: tuple[int, ...]
    """Of its beginnings: without a message, with one, with all."""
    estimate: int
    most_tokens: int
    """Its bound."""

    def believes(self, tokens: int) -> bool:
        """Whether that can be its count."""
        return tokens * 100 >= self.estimate * LEAST_PERCENT and tokens > 0


class Prompts:
    """Of one worker. Not for use by several threads."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[int, int] = OrderedDict()
        """Beginning -> the least that a prompt with it was counted as."""

    def __len__(self) -> int:
        return len(self._known)

    def bounded(
        self, kind: Hashable, body: bytes, size: Size, estimate: int
    ) -> tuple[Size, Asked | None]:
        """The size with the least bound of its prompt that is known, and what to learn by.

        `kind`: provider, model and whatever else tells prompts apart that no body says.
        `estimate`: tokens of the prompt, as we guess them.
        """
        if size.mixed or size.is_edited or not UNBOUND.isdisjoint(size.assumed):
            return size, None
        found = _read(kind, body)
        if found is None:
            return size, None
        keys, sizes, rest_bytes = found
        least = size.prompt_tokens
        fresh = rest_bytes + SLACK_TOKENS
        for place in range(len(keys) - 1, -1, -1):
            told = self._known.get(keys[place])
            if told is not None:
                self._known.move_to_end(keys[place])
                least = min(least, told + fresh)
            fresh += sizes[place]
        kept = dict.fromkeys((*(keys[place] for place in SHARED), keys[-1]))
        asked = Asked(tuple(kept), estimate, least)
        if least == size.prompt_tokens:
            return size, asked
        return msgspec.structs.replace(size, prompt_tokens=least), asked

    def learn(self, asked: Asked, tokens: int) -> None:
        """A provider has counted this prompt.

        A count above its bound is of another tokenizer: a model's name means another model now,
        and all that was known of prompts may be wrong.
        """
        if not asked.believes(tokens):
            return
        known = self._known
        if tokens > asked.most_tokens:
            known.clear()
        for key in asked.keys:
            known[key] = min(tokens, known.get(key, tokens))
            known.move_to_end(key)
        while len(known) > MOST_KEPT:
            known.popitem(last=False)


def _read(kind: Hashable, body: bytes) -> tuple[list[int], list[int], int] | None:
    """Key of each beginning, bytes that each adds to the one before, and bytes of no field."""
    plain = MARK.sub(b"", body) if b"cache" in body else body
    try:
        fields = _fields(plain)
        name = next((one for one in LISTS if one in fields), None)
        messages = [] if name is None else _messages(fields[name])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if not 0 < len(messages) <= MOST_MESSAGES:
        return None
    seen = [(one, bytes(raw)) for one, raw in fields.items() if one != name]
    rest_bytes = len(plain) - sum(len(one) + len(raw) for one, raw in seen) - len(fields) * 4
    key = hash((kind, name, frozenset(one for one in seen if one[0] not in ASIDE)))
    keys, sizes = [key], [0]
    for message in messages:
        raw = bytes(message)
        key = hash((key, raw))
        keys.append(key)
        sizes.append(len(raw) + 1)
    rest_bytes -= len(str(name)) + sum(sizes)
    if rest_bytes * 10 > len(plain):  # a field that stands there twice, or many blanks
        return None
    return keys, sizes, max(0, rest_bytes)
