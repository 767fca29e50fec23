"""Rates: how quickly requests or tokens may follow one another, by GCRA.

One whole number is kept for each key: the microsecond by which everything admitted so far will
have been paid for at the allowed speed. It may lie one period ahead of now at most, which is the
burst. Each ask is rounded up to a whole microsecond, so a rate errs on the strict side by that.
What is lost with a store is these numbers: every key then has its whole burst again, once. Who
counts in the store's place meanwhile grants none (`empty_ms`), so that it stays at that one.
"""

from __future__ import annotations

from collections.abc import Sequence

from bursar.state.terms import Denial, Rate


class Rates:
    """The numbers of all keys."""

    __slots__ = ("_empty_us", "_until_us")

    def __init__(self, empty_ms: int | None = None) -> None:
        """`empty_ms`: when a key that is not known yet had nothing left, and began to fill; None:
        it has its whole burst."""
        self._until_us: dict[str, int] = {}
        self._empty_us = None if empty_ms is None else empty_ms * 1000

    def __len__(self) -> int:
        return len(self._until_us)

    def judge(self, rates: Sequence[Rate], at_ms: int) -> dict[str, int] | Denial:
        """What to `keep` when all of them fit; changes nothing."""
        now_us = at_ms * 1000
        kept: dict[str, int] = {}
        for index, rate in enumerate(rates):
            most_us = now_us + rate.period_us
            stored_us = self._until_us.get(rate.key)
            if stored_us is None:
                stored_us = 0 if self._empty_us is None else self._empty_us + rate.period_us
            used_us = min(max(stored_us, now_us), most_us)
            next_us = used_us - (-rate.cost * rate.period_us // max(rate.burst, 1))
            never = rate.cost > rate.burst
            if never or next_us > most_us:
                return Denial("rate", index, retry_ms=None if never else _up(next_us - most_us))
            kept[rate.key] = next_us
        return kept

    def new(self, kept: dict[str, int]) -> int:
        """How many of these keys were not known yet."""
        return sum(key not in self._until_us for key in kept)

    def keep(self, kept: dict[str, int]) -> None:
        self._until_us.update(kept)

    def keys(self) -> list[str]:
        return list(self._until_us)

    def forget(self, keys: Sequence[str], before_ms: int) -> None:
        """Those that had room for a whole burst at that time, which is as if they were new."""
        for key in keys:
            if self._until_us.get(key, before_ms * 1000 + 1) <= before_ms * 1000:
                del self._until_us[key]


def _up(wait_us: int) -> int:
    """Whole milliseconds, rounded up."""
    return -(-wait_us // 1000)
