"""How the gateway stands beside the calls: is the ledger kept, and how much waits for it on disk.

The supervisor notes the ends of its children where every worker can see them: a count of restarts,
and a file while the keeper does not stay up. Workers go on meanwhile, since the journals keep all;
what the journals may take of the disk has a bound of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bursar.gateway.tally import Tally, found, leave
from bursar.ledger.journal.segment import FOLDER, SUFFIX

COUNTS = "supervisor.counts"
DEGRADED = "degraded"
"""The file that stands while the keeper does not stay up."""


class Standing:
    """What the supervisor notes. A new one begins with a keeper of which nothing is known."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        """`folder`: where workers leave their counts."""
        self._folder = folder
        self._say = say
        self._tally = Tally()
        self._tally.counts = found(folder / COUNTS)
        (folder / DEGRADED).unlink(missing_ok=True)

    def ended(self, kind: str) -> None:
        """A child that is to be started again."""
        self._tally.add("restarts", (kind,))
        leave(self._tally.counts, self._folder / COUNTS)

    def failing(self, name: str) -> None:
        """A child that can be done without does not stay up."""
        if not is_degraded(self._folder):
            (self._folder / DEGRADED).touch()
            self._say(f"bursar: {name} does not stay up; calls go on, their records wait on disk")

    def steady(self, name: str) -> None:
        """It stays up again."""
        if is_degraded(self._folder):
            (self._folder / DEGRADED).unlink(missing_ok=True)
            self._say(f"bursar: {name} stays up again")


def is_degraded(folder: Path) -> bool:
    """Whether records only wait. `folder`: as above."""
    return (folder / DEGRADED).exists()


def journal_bytes(home: Path) -> int:
    """What the journals of a home take on disk."""
    total = 0
    for segment in (home / FOLDER).glob(f"*/*{SUFFIX}"):
        try:
            total += segment.stat().st_size
        except FileNotFoundError:
            continue
    return total
