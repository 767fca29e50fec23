"""The ledger's own process: keeps it until it is told to end, and answers questions meanwhile.

It yields to the workers: it runs at low priority, with bounded memory, and looks seldom when there
is little to do.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import FrameType

import msgspec

from bursar.ledger.engines.duck import TROUBLE, Duck
from bursar.ledger.journal.asking import Door
from bursar.ledger.journal.keeper import LEDGER, SOCKET, Keeper, journal_lock
from bursar.ledger.journal.segment import FOLDER
from bursar.ledger.rows import Tell
from bursar.model.errors import LedgerError
from bursar.price.book import Book, load_book

TICK_S = 0.2
"""How soon a keeper that has nothing to do hears that it is to end."""
ENTRIES_A_COLLECTION = 50_000
"""What entries are made of is freed without the collector, which took a third of the time to look
for cycles among the sessions; the few that faults leave are looked for once in so many entries."""
HELD = "let the keeper that runs end first, or set another BURSAR_HOME"


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How a keeper runs."""

    interval_s: float = 2.0
    """Time between two looks at the journals when there is little to do. A look costs a
    transaction; whoever asks the ledger has one made at once."""
    niceness: int = 10
    memory_mb: int = 32
    """What the engine may take while nobody asks: enough for the rows of a turn."""
    asked_memory_mb: int = 384
    """The same while somebody asks."""
    threads: int = 2
    """While somebody asks; otherwise one is enough, and needs less memory."""
    checkpoint_mb: int = 8
    """What is committed stays in memory until so much of it has come."""
    patience_s: float = 30.0
    """How long an earlier keeper may take to end."""
    tell: Tell | None = None
    after: Callable[[Keeper], None] | None = None
    """Called after each turn."""


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
    keeper = Keeper(home, duck, book, pace.tell)
    door = Door(home / SOCKET, duck, lambda asked: _give_memory(duck, pace, asked=asked))
    _give_memory(duck, pace, asked=False)
    collected = 0
    gc.disable()
    gc.freeze()
    try:
        while not stop.is_set():
            wanted = door.wanted()
            keeper.turn()
            if pace.after is not None:
                pace.after(keeper)
            if keeper.taken - collected >= ENTRIES_A_COLLECTION:
                collected = keeper.taken
                gc.collect()
            if keeper.behind:
                continue
            door.give(wanted)
            _pause(door, stop, pace.interval_s)
        keeper.drain()
    finally:
        door.close()
        gc.unfreeze()
        gc.enable()


def _pause(door: Door, stop: Event, pause_s: float) -> None:
    """Until the time is over, somebody asks, or we are told to end."""
    left_s = pause_s
    while left_s > 0 and not stop.is_set() and not door.wait(min(left_s, TICK_S)):
        left_s -= TICK_S


def _bound(duck: Duck, pace: Pace) -> None:
    """Nobody who asks can read files or take all memory; the door lets no SET through."""
    for setting in (
        f"memory_limit = '{pace.asked_memory_mb}MB'",
        f"checkpoint_threshold = '{pace.checkpoint_mb}MB'",
        "enable_external_access = false",
    ):
        duck.run(f"SET {setting}")


def _give_memory(duck: Duck, pace: Pace, *, asked: bool) -> None:
    """The engine keeps all that it has read for as long as it may: so it may less, mostly."""
    most_mb = pace.asked_memory_mb if asked else pace.memory_mb
    cursor = duck.beside()
    with suppress(*TROUBLE):  # what is in use just now cannot be taken away
        cursor.execute(f"SET threads = {pace.threads if asked else 1}").fetchall()
        cursor.execute(f"SET memory_limit = '{most_mb}MB'").fetchall()
    cursor.close()


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
