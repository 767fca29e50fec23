"""Takes every journal into the ledger, exactly once.

Rows and the place in the journals are committed in one transaction: a stop at any moment neither
loses nor repeats a call. A segment is removed once the ledger has it. One keeper owns a home's
journals, by a lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import rmtree

from bursar.ledger.engines.duck import TROUBLE, Duck
from bursar.ledger.journal.aside import Sieve
from bursar.ledger.journal.inferring import Inference
from bursar.ledger.journal.reader import (
    Item,
    Journal,
    has_writer,
    journal_folders,
    remove,
)
from bursar.ledger.journal.segment import FOLDER
from bursar.ledger.recorder import Recorder, outlived
from bursar.ledger.rows import Tell
from bursar.model.entry import Entry, Skip
from bursar.model.errors import BursarError, LedgerError
from bursar.price.book import Book

FORM = "journal"
LOCK = "keeper.lock"
SOCKET = "ledger.sock"
OPEN_SESSIONS = 1_000
"""Sessions kept in memory between two turns; others are read from the ledger when they go on."""
LEDGER = "ledger"
"""The file beside the journals that names the ledger they belong to."""
MOST_ENTRIES = 2_000
"""Entries of one transaction, fewer of long prompts: each takes some 10 KB until then."""


REPORT = "the journals keep it; please report it"


class _Undo(Exception):
    """A trial has come to its end."""


PASSING = (BursarError, OSError, MemoryError, *TROUBLE, _Undo)
"""What no entry is to blame for."""


class Keeper:
    """Takes the journals of a home into a ledger."""

    def __init__(self, home: Path, duck: Duck, book: Book, tell: Tell | None = None) -> None:
        """`tell`: given what each transaction has added, once it is committed."""
        self.home = home
        self.duck = duck
        self.taken = 0
        """Entries that were committed."""
        self.behind = False
        """The last turn ended at its bound."""
        self.inference = Inference()
        self.inference.learn(duck)
        self._book = book
        self._tell = tell
        self._recorder = self._new_recorder()
        self._journals: dict[str, Journal] = {}
        self._offsets: dict[str, dict[int, int]] = {}
        self._finished: set[str] = set()
        for name, segment, offset in duck.rows(
            "SELECT journal, segment, offset_bytes FROM journals"
        ):
            if segment is None:
                self._finished.add(name)
            else:
                self._offsets.setdefault(name, {})[segment] = offset
        self._sweep()

    def turn(self) -> None:
        """Take in what has come, in one transaction."""
        items, read = self._read()
        moved = [one for one in read if self._offsets.get(one.name) != one.offsets]
        ended = [one for one in read if one.finished]
        if not items and not moved and not ended:
            return
        entries = sorted(
            (item for item in items if isinstance(item, Entry)),
            key=lambda entry: entry.call.at or datetime.max,
        )
        skips = [item for item in items if not isinstance(item, Entry)]
        places = {key: place for one in read for key, place in one.places.items()}
        inferred: list[Entry] = []
        for entry in entries:
            known, fault = outlived(partial(self.inference.infer, entry), PASSING)
            inferred.append(entry if known is None else known)
            if fault is not None:
                skips.append(_aside(entry, f"has no inferred session: {fault}", places))
        items.clear()
        entries.clear()  # what was inferred stands in copies of them
        note = partial(self._note, {*moved, *ended})
        fault = self._record(skips, inferred, note)
        if fault is not None:
            sieve = Sieve(partial(self._tried, skips))
            sieve.take(inferred)
            skips.extend(_aside(entry, why, places) for entry, why in sieve.aside)
            fault = self._record(skips, sieve.sound, note)
            if fault is not None:
                raise LedgerError(f"nothing can be recorded: {fault}", mend=REPORT)
        for journal in read:
            self._offsets[journal.name] = journal.offsets
            self._clear(journal)
        self.taken += len(inferred)
        self._pass_on()

    def drain(self) -> int:
        """Take in everything that is there."""
        before = self.taken
        self.turn()
        while self.behind:
            self.turn()
        return self.taken - before

    def take_book(self, book: Book) -> None:
        """Other prices, for what is taken in from now on."""
        self._book = book
        self._recorder = self._new_recorder()

    # -- inside

    def _new_recorder(self) -> Recorder:
        recorder = Recorder(self.duck, self._book, _now(), OPEN_SESSIONS)
        recorder.posted = None if self._tell is None else []
        return recorder

    def _pass_on(self) -> None:
        """Tell of what was added."""
        posted = self._recorder.posted
        if posted and self._tell is not None:
            self._recorder.posted = []
            self._tell(posted)

    def _record(
        self, skips: Sequence[Skip], entries: Sequence[Entry], along: Callable[[], None]
    ) -> str | None:
        """Record all of it in one transaction, or nothing. The fault that was in the way."""
        recorder = self._recorder

        def run() -> None:
            recorder.go_on(FORM, FORM, _now())
            for one in (*skips, *entries):
                recorder.take(one)
            recorder.commit(along)

        fault = outlived(run, PASSING)[1]
        if fault is not None:
            self._recorder = self._new_recorder()
        return fault

    def _tried(self, skips: Sequence[Skip], entries: Sequence[Entry]) -> str | None:
        """Whether it could be recorded; undone in any case."""
        try:
            return self._record(skips, entries, _undo)
        except _Undo:
            self._recorder = self._new_recorder()
            return None

    def _read(self) -> tuple[list[Item], list[Journal]]:
        """What every journal has that is new, up to the bound, and the journals that were read."""
        items: list[Item] = []
        read: list[Journal] = []
        folders = journal_folders(self.home)
        share = max(1, MOST_ENTRIES // max(1, len(folders)))
        self.behind = False
        for folder in folders:
            if len(items) >= MOST_ENTRIES:
                self.behind = True
                break
            journal = self._journals.get(folder.name)
            if journal is None:
                journal = Journal(folder, self._offsets.get(folder.name))
                self._journals[folder.name] = journal
            items.extend(journal.read(share))
            self.behind = self.behind or journal.behind
            read.append(journal)
        return items, read

    def _note(self, journals: set[Journal]) -> None:
        """Write how far each journal is read: part of the transaction."""
        gone = self._finished - {one.name for one in journals}
        self.duck.run(
            "DELETE FROM journals WHERE journal IN (SELECT unnest(?::VARCHAR[]))",
            [[*(one.name for one in journals), *gone]],
        )
        self._finished -= gone
        rows: list[tuple[str, int | None, int | None]] = []
        for journal in journals:
            if journal.finished:
                rows.append((journal.name, None, None))
            else:
                rows.extend((journal.name, *place) for place in journal.offsets.items())
        if rows:
            names, segments, offsets = zip(*rows, strict=True)
            self.duck.append(
                "journals",
                {"journal": names, "segment": segments, "offset_bytes": offsets},
            )

    def _clear(self, journal: Journal) -> None:
        """Remove what the ledger has."""
        consumed = journal.consumed()
        if journal.finished:
            remove(journal.path, consumed)
            self._finished.add(journal.name)
            del self._journals[journal.name], self._offsets[journal.name]
            return
        for trail in consumed:
            journal.drop(trail)

    def _sweep(self) -> None:
        """What an earlier keeper, or a writer at its start, could not finish removing."""
        folder = self.home / FOLDER
        for one in folder.iterdir() if folder.is_dir() else ():
            left = one.name in self._finished or (one.name[0] == "." and one.is_dir())
            if left and not has_writer(one):
                rmtree(one, ignore_errors=True)


def _undo() -> None:
    raise _Undo


def _aside(entry: Entry, why: str, places: Mapping[str, str]) -> Skip:
    """A line for what could not be taken in as it is."""
    key = entry.call.key
    place, _, offset = places.get(key, "").partition(", ")
    where = f" at {offset}" if offset else ""
    return Skip(file=place or FORM, reason=f"the call {key}{where} {why}")


@contextmanager
def journal_lock(home: Path, patience_s: float = 0.0) -> Generator[bool]:
    """Own the journals of a home while it lasts; False where somebody else does."""
    folder = home / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    until_s = time.monotonic() + patience_s
    try:
        while not (mine := _locked(fd)) and time.monotonic() < until_s:
            time.sleep(0.05)
        yield mine
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take_in(home: Path, duck: Duck, book: Book) -> int:
    """Take in what lies in the journals, unless a keeper does; how many entries that were."""
    with journal_lock(home) as mine:
        return Keeper(home, duck, book).drain() if mine else 0


def has_journals(home: Path) -> bool:
    """Whether a journal waits to be taken in."""
    return bool(journal_folders(home))


def ledger_of(home: Path) -> Path | None:
    """The ledger that a home's journals belong to; None where no keeper has named one."""
    try:
        return Path((home / FOLDER / LEDGER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
