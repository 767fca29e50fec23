"""Which refusals were false: the call would have fitted, as it turned out.

A refused call was never made, so what it would have cost is not known; what it had to hold at least
is. It is judged when all calls of this worker that were under way on its account at that moment
have ended. It was false if then, in the window that it was refused in, there is room for that hold
beside everything that was admitted since, everything still held, and all others that were found
false before it. So it is only called false where it is certain; of several that would have fitted
one by one, as many are as would have fitted together. A call whose real cost would have been below
its hold may still have fitted: that is not counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from bursar.state.terms import Claim, Standing

MOST_WAITING = 1_000
"""Refusals of one account that wait to be judged; of further ones it is never known."""
MOST_SLOTS = 64


class Ripe(NamedTuple):
    """Refusals that can be judged, of one window."""

    claim: Claim
    """That of the earliest: later ones look at no less of what was spent."""
    needs: list[int]
    """What each had to hold, in their order."""


class Judge:
    """The refusals of one account."""

    __slots__ = ("_granted", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Claim]] = deque()
        self._granted: dict[int, int] = {}
        """Slot -> what those would hold that were found false in it."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def refused(self, claim: Claim, at_ms: int) -> None:
        """A call was refused that claimed so much."""
        if claim.amount > 0 and claim.limit is not None and len(self._waiting) < MOST_WAITING:
            self._waiting.append((at_ms, claim))

    def ripe(self, oldest_ms: int | None) -> Iterator[Ripe]:
        """Those before the oldest call that is still under way. None: there is none."""
        waiting = self._waiting
        while waiting and (oldest_ms is None or waiting[0][0] < oldest_ms):
            first = waiting.popleft()[1]
            found = Ripe(first, [first.amount])
            while waiting and (oldest_ms is None or waiting[0][0] < oldest_ms):
                claim = waiting[0][1]
                if claim.limit != first.limit or (claim.slot != first.slot and not first.step):
                    break
                waiting.popleft()
                found.needs.append(claim.amount)
            yield found

    def false(self, ripe: Ripe, standing: Standing) -> int:
        """How many of them were false, by the account as it now stands in their window."""
        claim = ripe.claim
        taken = sum(amount for slot, amount in self._granted.items() if slot >= claim.since)
        room = (claim.limit or 0) - standing.posted - standing.held - standing.suspect - taken
        count = 0
        for need in ripe.needs:
            if need <= room:
                count, room = count + 1, room - need
                self._granted[claim.slot] = self._granted.get(claim.slot, 0) + need
        while len(self._granted) > MOST_SLOTS:
            del self._granted[min(self._granted)]
        return count
