"""Identical calls in flight: the first is sent, the others wait for what it brings.

Whoever waits does so for a bounded time, and is sent itself when the first fails, brings nothing
that can be given again, or takes too long. The seat of the first is given back in every case, also
when its task is cancelled, and a waiter that is cancelled disturbs nobody. No thread, one event
loop; nothing is kept once the first has landed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

Given = TypeVar("Given")

MOST_FLIGHTS = 10_000
"""Calls beyond them are sent without being waited for."""


class Seat(Generic[Given]):
    """A call's part in a flight."""

    __slots__ = ("brought", "given", "is_first")

    def __init__(self, given: Given | None, *, is_first: bool) -> None:
        self.given = given
        """What the first call brought. None: this call is to be sent."""
        self.is_first = is_first
        """Others may be waiting for this call."""
        self.brought: Given | None = None

    def bring(self, answer: Given) -> None:
        """The answer that those who wait are to get. Without it they are sent themselves."""
        self.brought = answer


class Flights(Generic[Given]):
    """The calls in flight of one worker."""

    __slots__ = ("_first", "most", "wait_s")

    def __init__(self, wait_s: float, most: int = MOST_FLIGHTS) -> None:
        self.wait_s = wait_s
        """The longest that a call waits for another."""
        self.most = most
        self._first: dict[bytes, asyncio.Future[Given | None]] = {}

    def __len__(self) -> int:
        return len(self._first)

    @asynccontextmanager
    async def seat(self, key: bytes) -> AsyncGenerator[Seat[Given]]:
        """Take part in the flight of a key. Where `given` is None, send, and `bring` the answer."""
        ahead = self._first.get(key)
        if ahead is not None:
            await asyncio.wait((ahead,), timeout=self.wait_s)
            yield Seat(ahead.result() if ahead.done() else None, is_first=False)
            return
        if len(self._first) >= self.most:
            yield Seat(None, is_first=False)
            return
        landed: asyncio.Future[Given | None] = asyncio.get_running_loop().create_future()
        self._first[key] = landed
        seat: Seat[Given] = Seat(None, is_first=True)
        try:
            yield seat
        finally:
            del self._first[key]
            landed.set_result(seat.brought)
