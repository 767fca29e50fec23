"""What all connections of one server share, and what is said when the application fails."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Sequence
from typing import Protocol

from bursar.gateway.http.messages import App, Bounds
from bursar.gateway.http.ticking import Ticker, Ticking

log = logging.getLogger("bursar.gateway.http")


class Open(Ticking, Protocol):
    """A connection, as its server sees it."""

    def drain(self) -> None:
        """Take no new request; the one that is being read or answered may end."""
        ...

    def abort(self) -> None: ...


class Floor:
    """What all connections of one server share."""

    __slots__ = (
        "app",
        "bounds",
        "connections",
        "draining",
        "held_bytes",
        "loop",
        "running",
        "ticker",
        "tls",
    )

    def __init__(
        self, app: App, bounds: Bounds, loop: asyncio.AbstractEventLoop, tls: bool
    ) -> None:
        self.app = app
        self.bounds = bounds
        self.loop = loop
        self.tls = tls
        self.draining = False
        self.held_bytes = 0
        self.ticker = Ticker(loop, bounds.tick_s)
        self.connections: set[Open] = set()
        self.running: set[asyncio.Task[None]] = set()


def report_task(task: asyncio.Task[None]) -> None:
    """Log how a task failed, if it did."""
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        log.error("a request was left without its answer")
    else:
        report(error)


def report(error: BaseException) -> None:
    """Say what failed and where; the error's own text may hold what a client sent."""
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    log.error("the application failed: %s at %s", type(error).__name__, place)
