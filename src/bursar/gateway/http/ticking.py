"""One coarse clock for many time-outs.

A timer per call costs more than the call's own parsing. So whoever has a time-out joins a ticker
and is asked a few times per second whether its time is up. `now` is the loop's time at the last
tick: cheap to read, late by one tick at most.

After the loop was held up, what came meanwhile is still unread: a tick that comes late asks nobody,
so that no time-out is called on an answer that is there. The next one asks again, late or not.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Ticking(Protocol):
    def tick(self, now: float) -> None: ...


class Ticker:
    """Members are asked every `tick_s` seconds until `stop`."""

    __slots__ = ("_due", "_loop", "_next", "_passed", "_tick_s", "members", "now")

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_s: float) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self.members: set[Ticking] = set()
        self.now = loop.time()
        self._passed = False
        """The last tick came late."""
        self._due = self.now + tick_s
        self._next = loop.call_later(tick_s, self._tick)

    def stop(self) -> None:
        self._next.cancel()

    def _tick(self) -> None:
        self.now = now = self._loop.time()
        self._passed = not self._passed and now - self._due > self._tick_s
        self._due = now + self._tick_s
        self._next = self._loop.call_later(self._tick_s, self._tick)
        if self._passed:
            return
        for member in tuple(self.members):
            member.tick(now)
