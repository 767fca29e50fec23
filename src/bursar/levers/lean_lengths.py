"""How many more calls a session will make, from how long others of its route were.

A session has ended when it was silent for an hour; its length is the turns of its longest prompt,
so that a worker which sees only some of its calls still learns it. What was learned is published
each time the number of sessions has grown by half: between two such moments the same question has
the same answer, and a shape that was forgotten is found again. Before anything is known, a session
is taken to last as long again as it has lasted. There is no clock: each call brings its time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

import msgspec

OVER_MS = 3_600_000
MOST_OPEN = 20_000
MOST_ROUTES = 1_000
LONGEST = 400
"""Turns; longer sessions count as this long."""
GROWTH = 1.5
HALF = 512.0
"""Sessions after which old ones begin to fade."""
TRUST = 2.0
"""How many sessions the first guess counts for."""
LEAST_TURNS = 4
"""A guess about a session that has only begun is made as if it had come this far."""


class Open(msgspec.Struct, gc=False):
    """A session that may go on."""

    route: Hashable
    turns: int
    at_ms: int


class Seen(msgspec.Struct):
    """Lengths of the sessions of one route."""

    counts: list[float]
    """By turns."""
    total: float = 0.0
    due: float = 1.0
    more: tuple[float, ...] = ()
    """Published: by turns so far, the turns that are still to come."""

    def add(self, turns: int) -> None:
        self.counts[min(turns, LONGEST)] += 1.0
        self.total += 1.0
        if self.total < self.due:
            return
        self.more = _to_come(self.counts)
        if self.total >= HALF:
            self.counts = [one / 2 for one in self.counts]
            self.total /= 2
        self.due = self.total * GROWTH


def _to_come(counts: list[float]) -> tuple[float, ...]:
    found: list[float] = []
    longer = turns_left = 0.0
    for turns in range(LONGEST, -1, -1):
        turns_left += longer
        guess = float(max(turns, LEAST_TURNS))
        found.append((turns_left + TRUST * guess) / (longer + counts[turns] + TRUST))
        longer += counts[turns]
    return tuple(reversed(found))


class Lengths:
    """Remembers sessions and how long they were. Bounded; the oldest are forgotten untold."""

    __slots__ = ("_open", "_routes", "most")

    def __init__(self, most: int = MOST_OPEN) -> None:
        self.most = most
        self._open: OrderedDict[Hashable, Open] = OrderedDict()
        """The longest silent first."""
        self._routes: OrderedDict[Hashable, Seen] = OrderedDict()

    def came(self, session: Hashable, route: Hashable, turns: int, at_ms: int) -> None:
        """A call of a session, with a prompt of so many turns."""
        found = self._open.get(session)
        if found is None:
            self._open[session] = Open(route, turns, at_ms)
        else:
            found.turns, found.at_ms = max(found.turns, turns), at_ms
            self._open.move_to_end(session)
        self._give_up(at_ms)

    def more(self, route: Hashable, turns: int) -> float:
        """Calls that are still to come, of a session of so many turns."""
        seen = self._routes.get(route)
        if seen is None or not seen.more:
            return float(max(turns, LEAST_TURNS))
        return seen.more[min(turns, LONGEST)]

    def _give_up(self, at_ms: int) -> None:
        while self._open:
            session, found = next(iter(self._open.items()))
            is_over = at_ms - found.at_ms > OVER_MS
            if not is_over and len(self._open) <= self.most:
                break
            del self._open[session]
            if is_over:
                self._of(found.route).add(found.turns)

    def _of(self, route: Hashable) -> Seen:
        found = self._routes.get(route)
        if found is None:
            found = self._routes[route] = Seen([0.0] * (LONGEST + 1))
            if len(self._routes) > MOST_ROUTES:
                self._routes.popitem(last=False)
        return found
