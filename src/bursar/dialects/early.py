"""What a stream says of its prompt before it says anything else.

Messages streams begin with the count of their prompt; others count at their end only.
"""

from __future__ import annotations

import msgspec

BEGINS = b'"message_start"'
MOST_BYTES = 8_192
"""A beginning that is longer is not waited for."""


class _Counts(msgspec.Struct, frozen=True):
    input_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Message(msgspec.Struct, frozen=True):
    usage: _Counts


class _Event(msgspec.Struct, frozen=True):
    message: _Message


_decode = msgspec.json.Decoder(_Event).decode


def prompt_told(beginning: bytes) -> int | None:
    """Tokens of the prompt, by the first bytes of its stream. None: they do not say, or not yet."""
    if BEGINS not in beginning:
        return None
    for line in beginning.split(b"\n")[:-1]:
        name, _, said = line.partition(b":")
        if name == b"data" and BEGINS in said:
            try:
                counts = _decode(said).message.usage
            except msgspec.MsgspecError:
                return None
            wrote = counts.cache_creation_input_tokens or 0
            return counts.input_tokens + wrote + (counts.cache_read_input_tokens or 0)
    return None
