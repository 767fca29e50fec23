"""Sets aside what the ledger cannot take, so that one entry never stops all others.

A keeper that dies of an entry meets it again at its next start, and takes nothing in any more. So
when a transaction fails by a fault of ours, the entries are tried in halves, each trial undone,
until the ones to blame stand alone. Such an entry is kept without its prompt, since what it cost
comes first, or, where that fails too, is only listed. More than a few are no accident.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from bursar.model.entry import Entry
from bursar.model.errors import LedgerError

MOST_ASIDE = 50
"""Entries of one transaction."""
Trial = Callable[[Sequence[Entry]], str | None]
"""Records entries and undoes it. The fault; None: they can be recorded."""


def bare(entry: Entry) -> Entry:
    """What was paid and for whom, without the prompt, the answer and the tools."""
    call = replace(entry.call, blocks=None, kept=None)
    return Entry(call=call, attempts=entry.attempts, origin=entry.origin)


class Sieve:
    """Parts the entries that can be recorded from the others."""

    def __init__(self, trial: Trial) -> None:
        self.sound: list[Entry] = []
        self.aside: list[tuple[Entry, str]] = []
        """Entries that are not recorded as they are, and why."""
        self._trial = trial

    def take(self, entries: Sequence[Entry]) -> None:
        """Raises LedgerError where too many are at fault: then it is not the entries."""
        if not entries:
            return
        fault = self._trial((*self.sound, *entries))
        if fault is None:
            self.sound.extend(entries)
        elif len(entries) == 1:
            self._set_aside(entries[0], fault)
        else:
            half = len(entries) // 2
            self.take(entries[:half])
            self.take(entries[half:])

    def _set_aside(self, entry: Entry, fault: str) -> None:
        if len(self.aside) == MOST_ASIDE:
            raise LedgerError(
                f"more than {MOST_ASIDE} calls cannot be recorded: {fault}",
                mend="the journals keep them; please report it",
            )
        rest = bare(entry)
        if self._trial((*self.sound, rest)) is None:
            self.sound.append(rest)
            self.aside.append((entry, f"is kept without its prompt, by a fault in Bursar: {fault}"))
        else:
            self.aside.append((entry, f"is not recorded, by a fault in Bursar: {fault}"))
