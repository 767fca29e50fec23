"""The files of a journal as their writer sees them: a folder of its own, one open segment.

The folder `<node>-<start>-<pid>` holds a file `alive`, locked while its process lives, so that a
reader knows whether more can come. Segments are appended to and never changed. All of this runs in
the writer's own thread, never in the event loop.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from bursar.ledger.journal.frames import HEADER, frame, seed_of
from bursar.ledger.journal.records import Ended, Opened, encode
from bursar.model.block import Block
from bursar.model.call import Call
from bursar.model.errors import LedgerError

ALIVE = "alive"
SUFFIX = ".wal"
FOLDER = "journal"
End = tuple[Ended, Call | None, asyncio.Future[None] | None]
"""An end, its call, and who waits for it."""


def segment_name(number: int) -> str:
    return f"{number:08d}{SUFFIX}"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Folder:
    """The journal of one process."""

    def __init__(self, home: Path, node: str) -> None:
        self.node = re.sub(r"[^A-Za-z0-9_]", "_", node)[:40] or "node"
        self.pid = os.getpid()
        self.name = f"{self.node}-{time.time_ns():x}-{self.pid}"
        self.path = home / FOLDER / self.name
        self._lock = -1

    def make(self) -> None:
        """Make it, locked from the moment that it has its name. Raises OSError."""
        if self._lock >= 0:
            return
        hidden = self.path.parent / f".{self.name}"
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        hidden.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(hidden / ALIVE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self.path)
            sync_folder(self.path.parent)
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def leave(self) -> None:
        """Nothing more will come."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class Segment:
    """One file of a journal, and which blocks it has defined."""

    def __init__(
        self, folder: Folder, number: int, before_bytes: int | None, born_s: float
    ) -> None:
        self.folder = folder
        self.number = number
        self.seed = seed_of(folder.name, number)
        self.known: dict[int, tuple[Block, int]] = {}
        """By digest: the block as it was defined last, and its number."""
        self.defined = 0
        self.born_s = born_s
        opened = Opened(folder.name, number, folder.node, folder.pid, before_bytes)
        self.head = HEADER + frame(encode(opened), self.seed)
        self.size_bytes = 0
        """Bytes that were handed to the thread."""
        self._fd = -1

    def open(self) -> int:
        """The file, made at its first use. Raises OSError."""
        if self._fd < 0:
            self.folder.make()
            path = self.folder.path / segment_name(self.number)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o600)
            sync_folder(self.folder.path)
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Group:
    """Frames that are written, and made durable, together."""

    __slots__ = (
        *("ends", "last", "raw", "segment", "sync", "sync_s", "upto", "written", "written_bytes"),
    )

    def __init__(
        self, segment: Segment, raw: bytes, ends: list[End], *, upto: int, sync: bool, last: bool
    ) -> None:
        self.segment = segment
        self.raw = raw
        self.ends = ends
        self.sync = sync
        self.last = last
        """The segment is closed behind them."""
        self.upto = upto
        """How many frames had been made when these were taken."""
        self.written_bytes = 0
        self.written = False
        self.sync_s = 0.0
        """How long the disk took."""

    @property
    def syncs(self) -> bool:
        """Whether the disk is to have it before it is through."""
        return self.sync or self.last

    def write(self) -> OSError | None:
        """Give the system the rest of the frames; what was written stays. The error that stopped
        it."""
        try:
            fd = self.segment.open()
            view = memoryview(self.raw)
            while self.written_bytes < len(view):
                self.written_bytes += os.write(fd, view[self.written_bytes :])
        except OSError as bad:
            return bad
        self.written = True
        return None

    def commit(self) -> OSError | None:
        """Write, and wait for the disk where that is wanted. The error that stopped it."""
        bad = None if self.written else self.write()
        if bad is not None or not self.syncs:
            return bad
        try:
            begun_s = perf_counter()
            sync_file(self.segment.open())
            self.sync_s = perf_counter() - begun_s
        except OSError as bad:
            return bad
        if self.last:
            self.segment.close()
        return None


def sync_file(fd: int) -> None:
    """Wait until the disk has what was written."""
    os.fdatasync(fd)


def release(ends: Sequence[End], bad: LedgerError | None) -> int:
    """Let ends return, or fail; how many still waited."""
    waiting = [done for _, _, done in ends if done is not None and not done.done()]
    for done in waiting:
        if bad is None:
            done.set_result(None)
        else:
            done.set_exception(bad)
    return len(waiting)
