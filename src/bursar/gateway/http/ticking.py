"""One coarse clock for many time-outs.

A timer per call costs more than the call's own parsing. So whoever has a time-out joins a ticker
and is asked a few times per second whether its time is up. `now` is the loop's time at the last
tick: cheap to read, late by one tick at most.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Ticking(Protocol):
    def tick(self, now: float) -> None: ...


class Ticker:
    """Members are asked every `tick_s` seconds until `stop`."""

    __slots__ = ("_loop", "_next", "_tick_s", "members", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_s: float) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self.members: set[Ticking] = set()
        self.now = loop.time()
        self._next = loop.call_later(tick_s, self._tick)

    def stop(self) -> None:
        self._next.cancel()

    def _tick(self) -> None:
        self.now = now = self._loop.time()
        self._next = self._loop.call_later(self._tick_s, self._tick)
        for member in tuple(self.members):
            member.tick(now)
