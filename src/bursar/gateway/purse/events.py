"""Events of caps: what somebody may want to be woken for, each told once.

An event has a key: its account, its kind, its threshold and the limit it was measured by. Within
the window it is told once by this machine, whichever worker sees it first, and not again after a
restart: the file that events go into is also the memory of what was told. Workers take turns at it
with a lock. The file is bounded; when it is full it becomes `events.jsonl.1`, whose predecessor is
lost. So an event comes again only where both files have been filled since, and the gateway has been
started anew.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from bursar.gateway.settings.amounts import amount_text

NAME = "events.jsonl"
LOCK = "events.lock"
MOST_BYTES = 4 * 1024 * 1024
"""Of one file; two are kept."""
MOST_WAITING = 10_000
"""Events that wait for the lock; of more the oldest are lost."""
MOST_TOLD = 100_000
"""Keys that are remembered; of more the oldest are forgotten."""
MOST_LINES = 10
"""Written to stderr at once."""
Kind = Literal["warn", "refused", "forecast", "runaway", "large"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something about an account. Amounts are nanodollars, tokens, calls, or ms, by the unit."""

    kind: Kind
    """`warn`: a share of the limit is spent. `refused`: the first call in the window was refused.
    `forecast`: the limit will be passed. `runaway`: a task's ceiling refused a call. `large`: a
    request was above `large_request_tokens`."""
    cap: str
    """`budgets.tenants`; of `large`, `routes.` and the name of the route."""
    scope: dict[str, str | None]
    """Whose account, by scope; None: the call said nothing."""
    unit: str
    limit: int | None
    level: int
    """What was measured: spent, expected to be spent, or the size of the request."""
    percent: int | None
    """The threshold of `warn`; of the others the level in percent of the limit."""
    begin_ms: int | None
    """Of the window; None where it has no fixed one."""
    resets_ms: int | None
    at_ms: int
    basis: str
    """What it rests on, in words."""
    node: str
    key: str
    """The same for the same thing in the same window."""


class Found(msgspec.Struct, frozen=True):
    """An event, and since when another one of its key makes it no news."""

    event: Event
    since_ms: int


class EventLog:
    """The events of one machine, as one worker reads and writes them."""

    def __init__(
        self, folder: Path, say: Callable[[str], None], most_bytes: int = MOST_BYTES
    ) -> None:
        """`folder`: the run folder. `say`: writes a line to stderr."""
        self._place = folder / NAME
        self._before = folder / f"{NAME}.1"
        self._lock = folder / LOCK
        self._say = say
        self._most_bytes = most_bytes
        self._told: dict[str, int] = {}
        self._waiting: deque[Found] = deque(maxlen=MOST_WAITING)
        self._read: tuple[int, int] = (0, 0)
        """Inode of the file and how much of it is read."""
        self._is_failing = False
        _absorb(self._told, self._before, 0)
        self._catch_up()

    def is_news(self, key: str, since_ms: int) -> bool:
        """Whether nobody is known to have told it since then."""
        return self._told.get(key, -1) < since_ms

    def tell(self, found: Iterable[Found]) -> list[Event]:
        """Write those that are news, also to other workers; which ones they were.

        While another worker holds the lock they wait for the next time.
        """
        self._waiting.extend(one for one in found if self.is_news(one.event.key, one.since_ms))
        if not self._waiting:
            return []
        fresh: list[Event] = []
        try:
            with self._locked():
                self._catch_up()
                fresh = self._fresh()
                self._append(fresh)
                self._catch_up()
            self._is_failing = False
        except BlockingIOError:
            return []
        except OSError as bad:
            fresh = fresh or self._fresh()
            if not self._is_failing:
                self._say(f"bursar: events cannot be written to {self._place}: {bad.strerror}")
            self._is_failing = True
        self._waiting.clear()
        self._note((event.key, event.at_ms) for event in fresh)
        for event in fresh[:MOST_LINES]:
            self._say(line_of(event))
        if len(fresh) > MOST_LINES:
            more = len(fresh) - MOST_LINES
            self._say(f"bursar: and {more} more events, in {self._place}")
        return fresh

    def _fresh(self) -> list[Event]:
        """Those that wait and are news, each key once."""
        found: dict[str, Event] = {}
        for one in self._waiting:
            if self.is_news(one.event.key, one.since_ms):
                found.setdefault(one.event.key, one.event)
        return list(found.values())

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Alone among the workers. Raises BlockingIOError."""
        opened = os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(opened)

    def _append(self, events: list[Event]) -> None:
        if not events:
            return
        lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        try:
            size = self._place.stat().st_size
        except FileNotFoundError:
            size = 0
        if size and size + len(lines) > self._most_bytes:
            os.replace(self._place, self._before)
        opened = os.open(self._place, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(opened, "a+b") as stream:
            if stream.tell() and _is_torn(stream):
                lines = b"\n" + lines
            stream.write(lines)

    def _catch_up(self) -> None:
        """Read what others have told since the last time."""
        inode, read = self._read
        try:
            found = self._place.stat()
        except FileNotFoundError:
            return
        if found.st_ino != inode or found.st_size < read:
            if inode:
                _absorb(self._told, self._before, read)
            read = 0
        if found.st_size > read:
            read = _absorb(self._told, self._place, read)
        self._read = (found.st_ino, read)
        self._note(())

    def _note(self, told: Iterable[tuple[str, int]]) -> None:
        self._told.update(told)
        if len(self._told) > MOST_TOLD:
            for key in list(islice(self._told, len(self._told) - MOST_TOLD // 2)):
                del self._told[key]


class _Told(msgspec.Struct, frozen=True):
    """Of an event that was told, what says whether another is news."""

    key: str
    at_ms: int


def _is_torn(stream: BinaryIO) -> bool:
    """Whether a write broke off before the end of its line."""
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) != b"\n"


def _absorb(told: dict[str, int], place: Path, start: int) -> int:
    """Take in the events of a file from a place on; where it ends. A broken line is passed over."""
    try:
        with place.open("rb") as stream:
            stream.seek(start)
            content = stream.read(2 * MOST_BYTES)
    except OSError:
        return start
    whole = content[: content.rfind(b"\n") + 1]
    for line in whole.splitlines():
        try:
            one = msgspec.json.decode(line, type=_Told)
        except msgspec.MsgspecError:
            continue
        told[one.key] = max(one.at_ms, told.get(one.key, 0))
    return start + len(whole)


def events_in(folder: Path, most: int, wanted: Callable[[Event], bool]) -> list[Event]:
    """The latest events of a run folder, oldest first. A line that is none is passed over."""
    found: deque[Event] = deque(maxlen=most)
    for place in (folder / f"{NAME}.1", folder / NAME):
        try:
            lines = place.read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                event = msgspec.json.decode(line, type=Event)
            except msgspec.MsgspecError:
                continue
            if wanted(event):
                found.append(event)
    return list(found)


def line_of(event: Event) -> str:
    """One short line, without the values of any scope."""
    limit = "" if event.limit is None else f" of {said(event.unit, event.limit)}"
    return {
        "warn": f"bursar: {event.cap}: {event.percent}%{limit} is spent",
        "refused": f"bursar: {event.cap}: calls are refused; {event.basis}",
        "forecast": f"bursar: {event.cap}: {said(event.unit, event.level)} is expected{limit}",
        "runaway": f"bursar: {event.cap}: a task reached its ceiling; {event.basis}",
        "large": f"bursar: {event.cap}: a request of {event.level} tokens; {event.basis}",
    }[event.kind]


def said(unit: str, amount: int) -> str:
    """An amount in the words of its unit."""
    return f"{amount // 1_000} s" if unit == "wall" else amount_text(unit, amount)
