"""The ledger's own process: takes every journal in, exactly once, and answers questions meanwhile.

Rows and the place in the journals are committed in one transaction: a stop at any moment neither
loses nor repeats a call. A segment is removed once the ledger has it. The keeper yields to workers:
it runs at low priority, with bounded memory. One keeper owns a home's journals, by a lock.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shutil import rmtree
from threading import Event
from types import FrameType

import msgspec

from bursar.ledger.engines.duck import TROUBLE, Duck
from bursar.ledger.journal.aside import Sieve
from bursar.ledger.journal.asking import Door
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
from bursar.model.entry import Entry, Skip
from bursar.model.errors import BursarError, LedgerError
from bursar.price.book import Book, load_book

FORM = "journal"
LOCK = "keeper.lock"
SOCKET = "ledger.sock"
LEDGER = "ledger"
"""The file beside the journals that names the ledger they belong to."""
TICK_S = 0.2
"""How soon a keeper that has nothing to do hears that it is to end."""
MOST_ENTRIES = 1_500
"""Entries of one transaction."""
HELD = "let the keeper that runs end first, or set another BURSAR_HOME"


REPORT = "the journals keep it; please report it"


class _Undo(Exception):
    """A trial has come to its end."""


PASSING = (BursarError, OSError, MemoryError, *TROUBLE, _Undo)
"""What no entry is to blame for."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a keeper runs."""

    interval_s: float = 2.0
    """Time between two looks at the journals when there is little to do. A look costs a
    transaction; whoever asks the ledger has one made at once."""
    niceness: int = 10
    memory_mb: int = 384
    threads: int = 2
    patience_s: float = 30.0
    """How long an earlier keeper may take to end."""


class Keeper:
    """Takes the journals of a home into a ledger."""

    def __init__(self, home: Path, duck: Duck, book: Book) -> None:
        self.home = home
        self.duck = duck
        self.taken = 0
        """Entries that were committed."""
        self.behind = False
        """The last turn ended at its bound."""
        self.inference = Inference()
        self.inference.learn(duck)
        self._book = book
        self._recorder = Recorder(duck, book, _now())
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
        self.taken += len(entries)

    def drain(self) -> int:
        """Take in everything that is there."""
        before = self.taken
        self.turn()
        while self.behind:
            self.turn()
        return self.taken - before

    # -- inside

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
            self._recorder = Recorder(self.duck, self._book, _now())
        return fault

    def _tried(self, skips: Sequence[Skip], entries: Sequence[Entry]) -> str | None:
        """Whether it could be recorded; undone in any case."""
        try:
            return self._record(skips, entries, _undo)
        except _Undo:
            self._recorder = Recorder(self.duck, self._book, _now())
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


def run_keeper(
    home: Path, ledger: Path, overlays: Sequence[Path] = (), pace: Pace | None = None
) -> None:
    """Keep a ledger until SIGTERM or SIGINT; then take in what is there, and return.

    Waits for an earlier keeper of the home to end, and for whoever else holds the ledger. Raises
    LedgerError where the earlier keeper does not end in time.
    """
    pace = pace or Pace()
    stop = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with journal_lock(home, pace.patience_s) as mine:
        if not mine:
            raise LedgerError(f"another keeper owns the journals of {home}", mend=HELD)
        duck = _opened(ledger, stop)
        if duck is None:
            return
        try:
            os.nice(pace.niceness)
            (home / FOLDER / LEDGER).write_text(str(ledger.absolute()), encoding="utf-8")
            _keep(home, duck, load_book(overlays, home=home, now=_now()), pace, stop)
        finally:
            duck.close()


def _keep(home: Path, duck: Duck, book: Book, pace: Pace, stop: Event) -> None:
    _bound(duck, pace)
    keeper = Keeper(home, duck, book)
    door = Door(home / SOCKET, duck)
    try:
        while not stop.is_set():
            wanted = door.wanted()
            keeper.turn()
            if keeper.behind:
                continue
            door.give(wanted)
            _pause(door, stop, pace.interval_s)
        keeper.drain()
    finally:
        door.close()


def _pause(door: Door, stop: Event, pause_s: float) -> None:
    """Until the time is over, somebody asks, or we are told to end."""
    left_s = pause_s
    while left_s > 0 and not stop.is_set() and not door.wait(min(left_s, TICK_S)):
        left_s -= TICK_S


def _bound(duck: Duck, pace: Pace) -> None:
    """Nobody who asks can read files, change settings, or take all memory."""
    for setting in (
        f"memory_limit = '{pace.memory_mb}MB'",
        f"threads = {pace.threads}",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        duck.run(f"SET {setting}")


def _opened(ledger: Path, stop: Event) -> Duck | None:
    """The ledger, when whoever else holds it lets go of it. None: we were told to end."""
    told = False
    while True:
        try:
            return Duck(ledger)
        except LedgerError as bad:
            if "lock" not in bad.message:
                raise
            if not told:
                sys.stderr.write(f"keeper: {bad.message}; waiting\n")
                told = True
        if stop.wait(0.1):
            return None


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
