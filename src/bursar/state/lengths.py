"""How long answers turn out: the lengths of the last ones, those under way included.

What has already ended is a biased sample, for long answers end later, and are cut or run into their
limit; a budget that believed it would be overrun by those still under way. So an answer without an
end yet counts as "longer than so much" (Kaplan and Meier's estimate of a distribution from censored
observations). Lengths fall into buckets a sixteenth wide, so observing one is a few additions, and
the estimate is made anew only after some observations. When the last few hundred answers differ
from the rest by more than chance, they alone count.

There is no clock, nothing random: the same observations give the same answers.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from math import sqrt
from operator import neg

LARGEST_TOKENS = 1 << 24
"""Longer answers count as this long."""
WINDOW = 4_096
"""Calls that are remembered, the latest by their beginnings: ended ones alone would be short."""
RECENT = 512
"""The latest of them, which alone count after a drift."""
EVERY = 50
"""Changes after which the estimate is made anew."""
LEAST = 30
"""Whole answers below which nothing is claimed to be known."""
ENOUGH, HALF = 100, 0.6
"""So many of the recent answers must have ended, and no more than this share be longer than all
that have, before they are believed to differ."""
CHANCE = 3.0
"""Standard errors by which the recent answers must differ from all of them."""
NOBODY = 1e-9
"""A share as small as this is none."""
UNDER_WAY, WHOLE, PART, NOTHING = 0, 1, 2, 3
"""How an answer stands."""
_FINE = 5
"""Lengths below 2**5 have a bucket each; above, each power of two is cut into 16."""


def bucket_of(tokens: int) -> int:
    """The bucket of a length; they rise with it."""
    shift = tokens.bit_length() - _FINE
    return tokens if shift <= 0 else (tokens >> shift) + (shift << _FINE - 1)


def _edge(bucket: int) -> int:
    """The greatest length of a bucket."""
    half = 1 << _FINE - 1
    if bucket < 2 * half:
        return bucket
    shift = bucket // half - 1
    return ((bucket - shift * half + 1) << shift) - 1


_BUCKETS = bucket_of(LARGEST_TOKENS) + 1
_EDGES = [_edge(bucket) for bucket in range(_BUCKETS)]
_MIDDLES = [
    (_edge(bucket - 1) + 1 + _edge(bucket)) / 2 if bucket else 0.0 for bucket in range(_BUCKETS)
]


class Curve:
    """The share of answers that are longer than so much."""

    __slots__ = ("ended", "ends", "lengths", "shares")

    def __init__(self, ended: list[int], open_ended: list[int]) -> None:
        """Counts by bucket: of answers that ended there, and of those known to be longer."""
        at_risk = sum(ended) + sum(open_ended)
        self.ended = sum(ended)
        self.lengths: list[float] = []
        """At which answers ended, rising."""
        self.ends: list[int] = []
        """The greatest length of each one's bucket."""
        self.shares: list[float] = [1.0]
        """What is longer than nothing, then than each of `lengths`."""
        share = 1.0
        for bucket, count in enumerate(ended):
            if count:
                share *= (at_risk - count) / at_risk
                self.lengths.append(_MIDDLES[bucket])
                self.ends.append(_EDGES[bucket])
                self.shares.append(share)
            at_risk -= count + open_ended[bucket]
            if not at_risk:
                break

    def continued(self, other: Curve) -> None:
        """Beyond the longest answer go on as `other` does, stretched to meet this curve there.

        Where all began lately, no answer can have ended late.
        """
        share = self.shares[-1]
        if not self.lengths or share <= NOBODY:
            return
        place = bisect_left(other.shares, -share, key=neg)
        if not 0 < place < len(other.shares):
            return
        reach = self.lengths[-1] / max(1.0, other.lengths[place - 1])
        for length, left in zip(other.lengths[place:], other.shares[place + 1 :], strict=True):
            self.lengths.append(length * reach)
            self.ends.append(int(length * reach) + 1)
            self.shares.append(min(share, left))

    def quantile(self, share: float, most: int) -> int:
        """The length that so many answers stay within; `most` where nobody has seen it."""
        left = 1.0 - share
        for end, longer in zip(self.ends, self.shares[1:], strict=True):
            if longer <= left + NOBODY:
                return min(end, most)
        return most

    def moments(self, most: int) -> tuple[float, float]:
        """Mean and variance of a length that is cut at `most`."""
        mean = square = last = 0.0
        for length, share in zip([*self.lengths, float(most)], self.shares, strict=True):
            reached = min(length, most)
            mean += (reached - last) * share
            square += (reached * reached - last * last) * share
            last = reached
        return mean, max(0.0, square - mean * mean)


class Lengths:
    """The answers of one kind of call. One per worker and kind: not for use by several threads."""

    __slots__ = (
        "_age",
        "_curve",
        "_ended",
        "_known",
        "_last",
        "_late",
        "_longer",
        "_started",
        "_tables",
    )

    def __init__(self) -> None:
        self._last = array("i", [NOTHING]) * WINDOW
        """A ring of the last calls by their beginnings: the bucket, and how its answer stands."""
        self._started = 0
        self._known = 0
        self._age = EVERY
        self._ended = [0] * _BUCKETS
        self._longer = [0] * _BUCKETS
        self._late = ([0] * _BUCKETS, [0] * _BUCKETS)
        """The same two counts of the latest calls."""
        self._curve = Curve(self._ended, self._longer)
        self._tables: dict[int, _Table] = {}

    @property
    def known(self) -> bool:
        """Whether enough answers have been seen whole."""
        return self._known >= LEAST

    def begin(self) -> int:
        """A call is under way. Its ticket, for what follows."""
        ticket = self._started
        self._started += 1
        last = self._last
        place = ticket % WINDOW
        self._count(last[place], -1)
        last[place] = UNDER_WAY
        self._longer[0] += 1
        self._count_late(last[(ticket - RECENT) % WINDOW], -1)
        self._late[1][0] += 1
        return ticket

    def advance(self, ticket: int, tokens: int) -> None:
        """A call under way has said so many tokens."""
        self._move(ticket, bucket_of(min(tokens, LARGEST_TOKENS)) << 2 | UNDER_WAY)

    def observe(self, ticket: int, tokens: int, *, whole: bool = True) -> None:
        """An answer has ended. `whole=False`: it was cut, or stopped by its limit."""
        self._move(ticket, bucket_of(min(tokens, LARGEST_TOKENS)) << 2 | (WHOLE if whole else PART))

    def drop(self, ticket: int) -> None:
        """A call came to no answer."""
        self._move(ticket, NOTHING)

    def load(self, answers: Iterable[int]) -> None:
        """Whole answers from before a start, oldest first, as a ledger tells them."""
        for tokens in answers:
            self.observe(self.begin(), tokens)

    def quantile(self, share: float, most: int) -> int:
        """The length that so many answers stay within, at most `most`; `most` while unknown."""
        return self._now().quantile(share, most) if self.known else most

    def expected(self, tokens: int, most: int) -> int:
        """How long an answer will be in the mean that has `tokens` already; `most` while unknown.

        Where none was ever as long: twice as long as it is.
        """
        return self._table(most).expected(tokens) if self.known else most

    def spread(self, most: int) -> int:
        """Standard deviation of a length, in tokens; 0 while unknown, for then all is held."""
        return self._table(most).spread if self.known else 0

    def _move(self, ticket: int, code: int) -> None:
        back = self._started - ticket
        if back > WINDOW:
            return
        place = ticket % WINDOW
        before = self._last[place]
        if before == code:
            return
        self._last[place] = code
        self._count(before, -1)
        self._count(code, 1)
        if back <= RECENT:
            self._count_late(before, -1)
            self._count_late(code, 1)
        self._age += 1

    def _count(self, code: int, step: int) -> None:
        if code & 3 == WHOLE:
            self._ended[code >> 2] += step
            self._known += step
        elif code != NOTHING:
            self._longer[code >> 2] += step

    def _count_late(self, code: int, step: int) -> None:
        if code != NOTHING:
            self._late[code & 3 != WHOLE][code >> 2] += step

    def _now(self) -> Curve:
        if self._age < EVERY:
            return self._curve
        self._age = 0
        self._tables.clear()
        self._curve = curve = Curve(self._ended, self._longer)
        if self._started > RECENT:
            recent = Curve(*self._late)
            if _differ(recent, curve):
                recent.continued(curve)
                self._curve = recent
        return self._curve

    def _table(self, most: int) -> _Table:
        curve = self._now()
        found = self._tables.get(most)
        if found is None:
            if len(self._tables) >= 16:
                self._tables.clear()
            found = self._tables[most] = _Table(curve, most)
        return found


class _Table:
    """What is left of an answer, by what it has already, for one limit.

    What is longer than any that has ended is taken to be twice as long as those, once most have.
    """

    __slots__ = ("_areas", "_lengths", "_most", "_shares", "spread")

    def __init__(self, curve: Curve, most: int) -> None:
        self._most = most
        last = curve.lengths[-1] if curve.lengths else 0.0
        if curve.shares[-1] <= HALF:
            most = min(most, int(2 * last) + 1)
        self._lengths = lengths = [length for length in curve.lengths if length < most]
        self._shares = shares = curve.shares[: len(lengths) + 1]
        self.spread = int(sqrt(curve.moments(most)[1])) + 1
        areas = [0.0]
        points = [*lengths, float(most)]
        for place in range(len(lengths), 0, -1):
            areas.append(areas[-1] + (points[place] - points[place - 1]) * shares[place])
        areas.reverse()
        self._areas = areas
        """Under the shares, right of each length."""

    def expected(self, tokens: int) -> int:
        most = self._most
        if tokens >= most:
            return most
        place = bisect_right(self._lengths, tokens)
        share = self._shares[place]
        if share <= NOBODY:
            return min(most, 2 * tokens)
        if place == len(self._lengths):
            return min(most, 2 * tokens) if tokens else most
        area = (self._lengths[place] - tokens) * share + self._areas[place]
        return min(most, int(tokens + area / share) + 1)


def _differ(recent: Curve, all_of_them: Curve) -> bool:
    """Whether the recent answers are longer or shorter than chance would have it.

    Compared up to the longest recent one, for of what is longer they say nothing.
    """
    if recent.ended < ENOUGH or recent.shares[-1] > HALF:
        return False
    mean, variance = recent.moments(recent.ends[-1])
    other_mean, _ = all_of_them.moments(recent.ends[-1])
    return abs(mean - other_mean) > CHANCE * sqrt(variance / recent.ended)
