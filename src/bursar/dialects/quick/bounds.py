"""What the fields of a request may say beside its prompt, within bounds.

Limits decide how much money is set aside for a call, so a limit that two readers could take for
different numbers is refused rather than guessed: a text, a fraction, a truth value, a number beyond
all sense. null is the same as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bursar.dialects.kinds import ROLES
from bursar.dialects.requests import MAX_TOKENS, MODEL
from bursar.dialects.wire import Path, as_map, at, is_map, paths
from bursar.model.errors import BadInput


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The most that a request may ask for, and the most that is remembered of requests."""

    max_tokens: int = 1_000_000
    """Greatest limit on the answer's tokens."""
    answers: int = 128
    """Greatest number of answers to one prompt (`n`)."""
    messages: int = 100_000
    """Greatest number of messages, or of texts to embed."""
    pieces: int = 65_536
    """Pieces and blocks that are remembered, about 500 bytes each."""


ANSWERS = paths("n", "best_of", "generationConfig.candidateCount", "num_generations")
FORBIDDEN = frozenset(("api_base", "base_url", "api_key"))
"""Fields with which some proxies let a caller choose where the provider's key is sent."""
PREWARMING: dict[str, tuple[Path, ...]] = {
    "anthropic_messages": (("max_tokens",),),
    "bedrock_invoke": (("max_tokens",),),
}
"""Where 0 is a legal limit: the call only fills the prompt cache."""
NEEDED = {
    "openai_chat": frozenset(("messages", "prompt")),
    "anthropic_messages": frozenset(("messages", "prompt")),
}
"""One of these fields must be there."""
ASKED_IN = {
    "openai_responses": ("/input", "send a text or a list of items"),
    "openai_embeddings": ("/input", "send a text or a list of texts"),
    "bedrock_invoke": ("request body", "send what the model takes, such as `messages`"),
    "gemini_generate": ("/contents", "send a list of contents"),
}
"""Where a dialect has its prompt, and how to send it; all others have messages."""
MESSAGES_ASKED = ("/messages", "send a list of messages")
OBJECTS = frozenset(("messages", "contents"))
"""Lists whose items are objects. Elsewhere a list may hold texts or token ids."""
NEVER_EMPTY = frozenset(("messages", "contents"))
SWITCHES = paths("stream", "stream_options.include_usage")


def check_fields(fields: Mapping[str, Any], dialect: str, bounds: Bounds) -> int:
    """The number of answers that a request asks for, when all its fields are within bounds.

    Raises BadInput with the place and the mend.
    """
    for name in FORBIDDEN & fields.keys():
        raise BadInput(
            f"/{name} is not taken from a request",
            mend="leave the field out; providers and their addresses stand in the settings",
        )
    for path in MAX_TOKENS:
        if path[0] not in fields:
            continue
        least = 0 if path in PREWARMING.get(dialect, ()) else 1
        _check_number(fields, path, least, bounds.max_tokens)
    for path in MODEL:
        if not isinstance(at(fields, path), str | None):
            raise BadInput(f"{_spelled(path)} is not a text", mend="name the model")
    for path in SWITCHES:
        if not isinstance(at(fields, path), bool | None):
            raise BadInput(f"{_spelled(path)} is neither true nor false", mend="send true or false")
    asked = [_check_number(fields, path, 1, bounds.answers) for path in ANSWERS]
    return max([number for number in asked if number is not None], default=1)


def _check_number(fields: Mapping[str, Any], path: Path, least: int, most: int) -> int | None:
    found = at(fields, path)
    if found is None:
        return None
    if type(found) is not int or not least <= found <= most:
        shown = found if isinstance(found, int | float) else type(found).__name__
        raise BadInput(
            f"{_spelled(path)} is {str(shown)[:40]}",
            mend=f"send a whole number from {least} to {most}, or leave it out",
        )
    return found


def nothing_asked(dialect: str) -> BadInput:
    """A body without a prompt: the error to raise."""
    place, mend = ASKED_IN.get(dialect, MESSAGES_ASKED)
    lacks = "is not there" if place[0] == "/" else "is an empty object"
    return BadInput(f"{place} {lacks}", mend=mend)


def check_turn(item: object, place: str, field: str) -> None:
    """One item of a list of messages: in `messages` an object with a role, in `contents` an object
    or a text, and no unknown role. `field`: the list; "" where the item stands alone."""
    if field == "contents" and not is_map(item) and not isinstance(item, str):
        raise BadInput(f"{place} is no object", mend="send contents as objects with `parts`")
    fields = as_map(item)
    role = fields.get("role")
    if role is None:
        if field == "messages":
            mend = "send messages as objects with a role, such as `user`"
            raise BadInput(f"{place} has no role", mend=mend)
        return
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise BadInput(
            f"{place}/role is {ascii(role)[:40]}, no role that is known",
            mend=f"one of: {', '.join(ROLES)}",
        )


def check_count(count: int, name: str, bounds: Bounds) -> None:
    """A list of messages that is neither empty nor too long."""
    if not count and name in NEVER_EMPTY:
        raise BadInput(f"/{name} is empty", mend="send at least one message")
    if count > bounds.messages:
        raise BadInput(
            f"/{name} holds {count} items", mend=f"send at most {bounds.messages} in one request"
        )


def _spelled(path: Path) -> str:
    return "/" + "/".join(path)
