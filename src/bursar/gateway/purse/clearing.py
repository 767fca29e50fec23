"""What became of calls whose worker is gone: the ledger says, and the store is told.

A worker can be killed at any point of a call. What it held is suspect then, and counts; the journal
knows how far the call came. It ended: its cost is settled. It began and did not end: nobody knows
its cost, so what it held is settled. It never began: nothing was sent, and it is voided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bursar.gateway.purse.books import Books
from bursar.ledger.counting import attempts_sql
from bursar.model.errors import LedgerError
from bursar.state.claims import Mark
from bursar.state.terms import Store, Suspect

MOST = 500
"""Suspects of one look."""
PATIENCE_MS = 30_000
"""Before one of whom nothing was found out is asked for again."""
LETTERS = {"usd": "u", "tokens": "t", "calls": "c", "at_once": "a", "wall": "w"}
Known = tuple[int | None, int | None]
"""Nanodollars and tokens of an attempt; None: nobody knows."""


def note_of(marks: Sequence[Mark], owner: str) -> str:
    """What an Ask notes: the unit of each claim, and who holds it."""
    letters = "".join([LETTERS[mark.limit.unit] for mark in marks])
    return f"{letters} {owner}"


def amounts_of(suspect: Suspect, known: Known) -> tuple[int, ...]:
    """What each of its claims comes to."""
    nano, tokens = known
    units = suspect.note.partition(" ")[0]
    told = {"u": nano, "t": tokens, "c": 1, "a": 0, "w": 0}
    return tuple(
        held if (amount := told.get(unit)) is None else amount
        for unit, held in zip(units, suspect.amounts, strict=True)
    )


class Clearing:
    """Looks after the suspects of one machine."""

    def __init__(self, books: Books, is_gone: Callable[[str], bool]) -> None:
        """`is_gone`: whether a worker of this machine has ended for sure."""
        self._books = books
        self._is_gone = is_gone
        self._asked_ms: dict[str, int] = {}

    async def look(self, store: Store, mine: Callable[[str], bool], at_ms: int) -> None:
        """Clear what can be. `mine`: keys that this worker still speaks for. Raises StoreLost."""
        found = await store.suspects(MOST)
        late = [
            one for one in found if self._asked_ms.get(one.key, 0) <= at_ms and not mine(one.key)
        ]
        if not found:
            self._asked_ms.clear()
        if not late:
            return
        try:
            known = await self._known(late)
        except LedgerError:
            return
        for one in late:
            if one.key in known:
                await store.settle(one.key, amounts_of(one, known[one.key]), at_ms)
            elif self._is_gone(one.note.partition(" ")[2]):
                await store.void(one.key, at_ms)
            else:
                self._asked_ms[one.key] = at_ms + PATIENCE_MS

    async def _known(self, suspects: Sequence[Suspect]) -> dict[str, Known]:
        ids = [int(head) for one in suspects if (head := one.key.partition(".")[0]).isdecimal()]
        (rows,) = await self._books.ask(attempts_sql(ids))
        return {f"{call_id}.{n}": (nano, tokens) for call_id, n, nano, tokens in rows}
