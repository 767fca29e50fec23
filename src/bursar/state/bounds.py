"""How much a store in memory keeps, for how long, and what happens beyond.

Settled keys are known for a day: after that a settlement sent again is still `new=False`, but a
reservation sent again would be held until its lease ends, and suspect from then on. An account is
forgotten a day after nothing in it can count any more; one that never ends, never. So a ceiling
per session should roll over some days rather than never end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

DAY_MS = 86_400_000
ROUND = 2_000
"""So many accounts, rates and suspects one sweep looks at; the next one goes on from there."""


class Bounds(msgspec.Struct, frozen=True):
    """How much is kept at most. A reservation that would need more raises StoreLost."""

    accounts: int = 200_000
    """About 750 bytes each."""
    rates: int = 200_000
    open: int = 200_000
    """Reservations under way and suspect; about 1,200 bytes each, with four claims."""
    suspects: int = 50_000
    """Beyond it the oldest ones are posted at what they held."""
    done: int = 500_000
    """Keys that are settled or voided. Beyond it fewer than a day of them are known."""


class Turn:
    """Goes through the keys of a table, some at a time, and then begins anew."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: list[str] = []

    def keys(self, table: Callable[[], Iterable[str]]) -> list[str]:
        if not self._left:
            self._left = list(table())
        here = self._left[-ROUND:]
        del self._left[-ROUND:]
        return here


def is_past(until: int, at_ms: int) -> bool:
    """Whether that was a day ago or more; 0 never is."""
    return 0 < until <= at_ms - DAY_MS
