"""The parent of `bursar serve`: opens the port, keeps workers and the ledger's keeper alive.

It reads no request and opens no ledger. Children are forked from it before it starts any thread,
so that they share its memory. A child that dies is started again, each time after a longer pause.
A worker that cannot stay up stops the whole, with the reason, since a gateway that flaps is worse
than one that is down. The keeper can be done without: calls go on, the journals keep their records,
and it is tried again for as long as it takes, loudly.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from bursar.model.errors import BadInput

QUICK_S = 10.0
"""A child that lived shorter than this failed to start."""
MOST_QUICK = 5
"""So many quick deaths in a row of a vital child stop the gateway."""
PAUSES_S = (0.0, 0.1, 0.5, 2.0, 5.0, 10.0, 30.0)
"""Before a start that follows so many quick deaths, and each further one."""
TICK_S = 0.25
"""Between two looks at children that are to be started."""
LAST_S = 1.0
"""Beyond the grace time, until a child is killed."""
KEEPER, PURSE, WORKER = "keeper", "purse", "worker"
"""Kinds of children. Only workers are vital."""
INCARNATIONS = 1_024
ENDINGS = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
"""Signals that the parent handles in its own way."""
BACKLOG = 4_096


class Starts(Protocol):
    """Runs in a child until its end. `incarnation` differs from that of any child that lives."""

    def __call__(self, slot: int, incarnation: int) -> None: ...


class Child:
    """One place that is to be filled: the keeper, the purse, or a worker's slot."""

    def __init__(
        self,
        name: str,
        slot: int,
        run: Starts,
        *,
        kind: str = WORKER,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """`wanted`: whether it is to run; once it does, it does to the end."""
        self.name = name
        self.slot = slot
        self.run = run
        self.kind = kind
        self.wanted = wanted
        self.alive: BaseProcess | None = None
        self.since = 0.0
        self.quick = 0
        self.not_before = 0.0

    @property
    def vital(self) -> bool:
        """Without it nothing goes on."""
        return self.kind == WORKER


class Notes(Protocol):
    """Who is told how the children fare."""

    def ended(self, kind: str) -> None: ...
    def failing(self, name: str) -> None: ...
    def steady(self, name: str) -> None: ...


class Supervisor:
    """Runs until it is told to stop."""

    def __init__(
        self,
        children: list[Child],
        say: Callable[[str], None],
        grace_s: float,
        notes: Notes | None = None,
    ) -> None:
        self._notes = notes
        self._children = children
        self._say = say
        self._grace_s = grace_s
        self._fork = get_context("fork")
        self._incarnation = secrets.randbelow(INCARNATIONS)
        self._stopping = False
        self._bell = os.pipe()
        """Rung by a stop, since a signal alone does not end a wait."""

    def run(self) -> int:
        """Keep all children up. The exit code: 0 after a stop that was asked for."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        signal.signal(signal.SIGHUP, self._pass_on)
        gc.collect()
        gc.freeze()  # what the collector looks at is copied: in the children it looks at their own
        failed: Child | None = None
        while not self._stopping and failed is None:
            self._fill()
            alive = [one.alive.sentinel for one in self._children if one.alive]
            wait([*alive, self._bell[0]], TICK_S)
            failed = next((one for one in self._children if self._gave_up(one)), None)
        self._end()
        if failed is not None:
            self._say(f"bursar: {failed.name} does not stay up; see its messages above")
            return 1
        return 0

    def _fill(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.alive is None and now >= child.not_before and child.wanted():
                self._start(child, now)

    def _start(self, child: Child, now: float) -> None:
        self._incarnation = (self._incarnation + 1) % INCARNATIONS
        started = self._fork.Process(
            target=_born, args=(child.run, child.slot, self._incarnation), name=child.name
        )
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        try:
            started.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
        child.alive, child.since = started, now

    def _gave_up(self, child: Child) -> bool:
        """Look after one child. True: it dies each time."""
        alive = child.alive
        if alive is None:
            return False
        if alive.is_alive():
            self._look_at_steady(child)
            return False
        code = alive.exitcode
        alive.close()
        child.alive = None
        if self._stopping:
            return False
        now = time.monotonic()
        child.quick = child.quick + 1 if now - child.since < QUICK_S else 0
        pause = PAUSES_S[min(child.quick, len(PAUSES_S) - 1)]
        child.not_before = now + pause
        self._say(f"bursar: {child.name} ended ({_told(code)}); started again in {pause:g} s")
        if self._notes is not None:
            self._notes.ended(child.kind)
            if child.quick >= MOST_QUICK and child.kind == KEEPER:
                self._notes.failing(child.name)
        return child.vital and child.quick >= MOST_QUICK

    def _look_at_steady(self, child: Child) -> None:
        """A child that has lived long enough is forgiven its earlier deaths."""
        if child.quick and time.monotonic() - child.since >= QUICK_S:
            child.quick = 0
            if self._notes is not None and child.kind == KEEPER:
                self._notes.steady(child.name)

    def _end(self) -> None:
        """Workers first: the keeper sees their last records, the purse their last costs."""
        workers = [one for one in self._children if one.vital]
        _ask_to_end(workers, self._grace_s + LAST_S)
        others = [one for one in self._children if not one.vital]
        _ask_to_end(others, self._grace_s + LAST_S)

    def _stop(self, *_: object) -> None:
        if not self._stopping:
            os.write(self._bell[1], b"!")
        self._stopping = True

    def _pass_on(self, number: int, _: object) -> None:
        for child in self._children:
            if child.alive is not None and child.alive.pid is not None:
                os.kill(child.alive.pid, number)


def _ask_to_end(children: list[Child], grace_s: float) -> None:
    for child in children:
        if child.alive is not None:
            child.alive.terminate()
    until = time.monotonic() + grace_s
    for child in children:
        if child.alive is None:
            continue
        child.alive.join(max(0.0, until - time.monotonic()))
        if child.alive.is_alive():
            child.alive.kill()
            child.alive.join()
        child.alive = None


def _born(run: Starts, slot: int, incarnation: int) -> None:
    """The first lines of a child's life: its parent's handlers are not its own.

    Signals are held back until then: the parent's handlers, in the child, would just swallow them.
    A reload means nothing to a child that is about to read its settings and prices.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
    run(slot, incarnation)
    sys.stdout.flush()
    sys.stderr.flush()


def _told(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit code {code}"


def listening(host: str, port: int) -> socket.socket:
    """The port of the gateway. Raises BadInput where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        opened.listen(BACKLOG)
    except OSError as bad:
        opened.close()
        raise BadInput(
            f"cannot listen on {host}:{port}: {bad.strerror or bad}",
            mend="end what holds the port, or choose another with --port or `listen.port`",
        ) from bad
    opened.setblocking(False)
    opened.set_inheritable(True)
    return opened


def run_folder(home: Path) -> Path:
    """Where workers leave what they count."""
    folder = home / "run"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
