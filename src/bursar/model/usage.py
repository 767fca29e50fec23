"""What an attempt used, in *disjoint* counts: every token stands in exactly one field.

Providers disagree on whether "input" contains cached tokens and whether "output" contains
reasoning; `dialects` removes that disagreement once, so that everything above can just add.
Totals are therefore sums, in Python and in SQL.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from bursar.model.errors import BadUsage

LARGEST_COUNT = 2**53
"""Counts above this are not token counts (and do not survive JSON in every language)."""


class Basis(StrEnum):
    """Where a number comes from. Every number that a person sees carries one."""

    MEASURED = "measured"
    """Reported by the provider, or computed exactly from what it reported."""
    MODELLED = "modelled"
    """Computed from an estimate, such as a token count of a text."""
    ASSUMED = "assumed"
    """Rests on something that nobody measured."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Billable units of one attempt. Token counts, except `other`.

    A Usage exists only where somebody counted; an attempt that nobody counted has `usage=None`.
    Within a Usage, 0 means that the provider reports no such units for this attempt.
    """

    input: int = 0
    """Prompt tokens billed at the plain input rate: without cache reads and cache writes."""
    cache_read: int = 0
    """Prompt tokens served from the provider's prompt cache."""
    cache_write_5m: int = 0
    """Prompt tokens written to the cache for 5 minutes (or the provider's only lifetime)."""
    cache_write_1h: int = 0
    """Prompt tokens written to the cache for 1 hour."""
    output: int = 0
    """Answer tokens without reasoning."""
    reasoning: int = 0
    """Hidden reasoning ("thinking") tokens, billed as output."""
    other: dict[str, int] = {}
    """Further units by name: `web_searches`, `input_audio_tokens`, `input_images`, `seconds`..."""

    @property
    def prompt(self) -> int:
        """All text tokens of the prompt, whatever each was billed as."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def answer(self) -> int:
        """All text tokens that the model produced."""
        return self.output + self.reasoning

    def __add__(self, more: Usage) -> Usage:
        other = dict(self.other)
        for unit, count in more.other.items():
            other[unit] = other.get(unit, 0) + count
        return Usage(
            input=self.input + more.input,
            cache_read=self.cache_read + more.cache_read,
            cache_write_5m=self.cache_write_5m + more.cache_write_5m,
            cache_write_1h=self.cache_write_1h + more.cache_write_1h,
            output=self.output + more.output,
            reasoning=self.reasoning + more.reasoning,
            other=other,
        )


def count(value: object, name: str) -> int:
    """A reported count as an int. Raises BadUsage when it cannot be a count.

    Accepts ints, floats and decimal strings that are whole numbers in 0..2**53.
    """
    if type(value) is int:
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and value.strip().isdecimal():
        number = int(value)
    else:
        raise BadUsage(f"{name} is {value!r}, not a token count")
    if number < 0:
        raise BadUsage(f"{name} is negative ({number})")
    if number > LARGEST_COUNT:
        raise BadUsage(f"{name} is {number}, beyond any real token count")
    return number
