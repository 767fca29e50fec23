"""What `caps_beside.py` counts, and how: from the provider's invoice, never from a tool's counters.

The same definitions as `budget_holds.py`. A call *fits* if somebody who knows every cost beforehand
and admits in the order of arrival whatever still fits into the budget would admit it. Fitting calls
that a tool did not let through to the provider are *false refusals*, whatever the reason it gave.
*Over* is what was billed beyond the budget. An answer is *cut* if fewer tokens were billed than the
model wanted to say: its stream was broken off, or its `max_tokens` was made smaller on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

NANO = 1_000_000_000


class Paid(NamedTuple):
    """One line of the invoice that is billed."""

    number: int | None
    """Of the call, as the client gave it; None: the tool did not pass it on."""
    cost_nano: int
    output_tokens: int
    at_ms: int = 0


class Wanted(NamedTuple):
    """One call as it would go if nobody stood in its way."""

    cost_nano: int
    output_tokens: int


class Sums(NamedTuple):
    """One cell of the comparison."""

    spent_nano: int
    over_nano: int
    admitted: int
    """Calls with a billed line."""
    fitting: int
    false: int
    cut: int

    @property
    def false_share(self) -> float:
        return self.false / self.fitting if self.fitting else 0.0

    @property
    def cut_share(self) -> float:
        return self.cut / self.admitted if self.admitted else 0.0


def spent_nano(paid: Iterable[Paid]) -> int:
    return sum(one.cost_nano for one in paid)


def over_nano(paid: Iterable[Paid], budget_nano: int) -> int:
    """What was billed beyond the budget; 0 if nothing."""
    return max(0, spent_nano(paid) - budget_nano)


def fitting(costs_nano: Sequence[int], budget_nano: int) -> set[int]:
    """The calls that fit, by their place in the order of arrival."""
    found: set[int] = set()
    for number, cost in enumerate(costs_nano):
        if cost <= budget_nano:
            budget_nano -= cost
            found.add(number)
    return found


def summed(wanted: Sequence[Wanted], paid: Sequence[Paid], budget_nano: int) -> Sums:
    """What became of the calls. Each billed line must have its call's number."""
    strays = [one for one in paid if one.number is None or not 0 <= one.number < len(wanted)]
    if strays:
        raise ValueError(f"{len(strays)} billed lines belong to no call: {strays[:3]}")
    said: dict[int, int] = {}
    for one in paid:
        assert one.number is not None
        said[one.number] = max(said.get(one.number, 0), one.output_tokens)
    fits = fitting([one.cost_nano for one in wanted], budget_nano)
    return Sums(
        spent_nano=spent_nano(paid),
        over_nano=over_nano(paid, budget_nano),
        admitted=len(said),
        fitting=len(fits),
        false=len(fits - said.keys()),
        cut=sum(tokens < wanted[number].output_tokens for number, tokens in said.items()),
    )


def at_once(begun_ms: Iterable[int], lasting_ms: int) -> int:
    """The most that were under way at one moment, if each lasted so long."""
    marks = sorted(
        (moment, step) for at in begun_ms for moment, step in ((at, 1), (at + lasting_ms, -1))
    )
    most = now = 0
    for _, step in marks:
        now += step
        most = max(most, now)
    return most


def refused(statuses: Mapping[int, int]) -> int:
    """Calls that were told no: 400 to 499."""
    return sum(count for status, count in statuses.items() if 400 <= status < 500)


def broken(statuses: Mapping[int, int]) -> int:
    """Calls that came to no proper end: 5xx, or (0) no answer."""
    return sum(count for status, count in statuses.items() if status >= 500 or status == 0)


def of_a_burst(
    paid: Sequence[Paid], each_nano: int, budget_nano: int, lasting_ms: int
) -> dict[str, int | float]:
    """What a burst of calls came to that cost `each_nano` and last so long. `odd`: cost else."""
    spent = spent_nano(paid)
    return {
        "provider": at_once((one.at_ms for one in paid), lasting_ms),
        "billed": len(paid),
        "odd": sum(one.cost_nano != each_nano for one in paid),
        "spent_nano": spent,
        "times": spent / budget_nano,
        "over_nano": over_nano(paid, budget_nano),
    }
