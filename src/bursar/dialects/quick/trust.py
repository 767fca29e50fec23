"""Whether what a provider says of its own usage can be true.

Usage decides money, and it comes over the network from somebody else. Counts that are no counts
(negative, fractions, words) are refused by the readers; counts that no model can reach are refused
here. A refused usage is None with a reason, never 0 and never a guess: the call is then booked as
unpriced or modelled, and the reason is shown.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bursar.dialects.lens import Reading
from bursar.dialects.quick.answers import read_answer_quickly
from bursar.dialects.usages import SUSPECT
from bursar.model.errors import BadUsage, BursarError
from bursar.model.usage import Usage

MOST_TOKENS = 20_000_000
"""More than any model reads or writes in one call."""
COUNTS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as far as it could be read."""

    reading: Reading | None
    """None: nothing of it could be read."""
    usage: Usage | None
    reason: str | None
    """Why there is no usage: `unreadable`, `invalid`, `implausible`, `cut` or `missing`."""
    why: str = ""
    """The same in words."""
    suspects: tuple[str, ...] = ()
    """What is odd about a usage that is believed all the same."""


def believed(
    usage: Usage | None, *, most_tokens: int = MOST_TOKENS
) -> tuple[Usage | None, str | None]:
    """The usage when it can be true; else None and the reason in words."""
    if usage is None:
        return None, "the provider sent no usage"
    counts = [(name, int(getattr(usage, name))) for name in COUNTS]
    for name, number in (*counts, *usage.other.items()):
        if not 0 <= number <= most_tokens:
            return None, f"{name} is {number}, which no call can use"
    if not usage.prompt and not any(usage.other.values()):
        return None, "no token of the prompt was counted, and no call has an empty one"
    return usage, None


def settled(
    dialect: str,
    raw: bytes,
    headers: Mapping[str, str],
    model: str | None,
    *,
    salt: bytes = b"",
    most_tokens: int = MOST_TOKENS,
) -> Settled:
    """Read an answer from an untrusted provider. Raises nothing that Bursar raises on purpose."""
    reason = None
    why = ""
    try:
        reading = read_answer_quickly(dialect, raw, headers, model, salt)
    except BadUsage as bad:
        reason, why = "invalid", bad.message
        try:
            reading = read_answer_quickly(dialect, raw, headers, model, salt, strict=False)
        except BursarError:
            reading = None
    except BursarError as bad:
        return Settled(reading=None, usage=None, reason="unreadable", why=bad.message)
    usage = None if reading is None else reading.usage
    if reason is None and reading is not None and usage is None:
        return Settled(
            reading=reading,
            usage=None,
            reason="cut" if reading.truncated else "missing",
            why="; ".join(reading.notes),
        )
    usage, doubt = believed(usage, most_tokens=most_tokens) if reason is None else (None, why)
    if doubt is not None:
        return Settled(reading=reading, usage=None, reason=reason or "implausible", why=doubt)
    notes = () if reading is None else reading.notes
    suspects = tuple(note for note in notes if note.startswith(SUSPECT))
    return Settled(reading=reading, usage=usage, reason=None, suspects=suspects)
