"""The writing half of a connection: how much is held for a client that reads slowly, how long.

The transport holds what the socket does not take. Above a bound, whoever streams waits for room;
a client that takes nothing for too long is parted with.
"""

from __future__ import annotations

import asyncio

from bursar.gateway.http.messages import Bounds
from bursar.gateway.http.ticking import Ticker


class Outflow(asyncio.Protocol):
    """What is written to one client."""

    __slots__ = ("_bounds", "_ticker", "_transport", "_unsent", "_waiting", "_write_due", "full")

    def __init__(self, bounds: Bounds, ticker: Ticker) -> None:
        self._bounds = bounds
        self._ticker = ticker
        self._transport: asyncio.Transport | None = None
        self._unsent = 0
        self._write_due = 0.0
        self._waiting: list[asyncio.Future[None]] = []
        self.full = False
        """As much is held as may be."""

    def write(self, piece: bytes) -> None:
        if self._transport is not None:
            self._transport.write(piece)

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self.full = True
        self._write_due = self._ticker.now + self._bounds.slow_reader_s
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()

    async def drained(self) -> None:
        """Wait until less is held for this client, or it is gone."""
        room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(room)
        await room

    def _make_room(self) -> None:
        self.full = False
        waiting, self._waiting = self._waiting, []
        for room in waiting:
            if not room.done():
                room.set_result(None)

    def _is_stuck(self, now: float, *, streaming: bool) -> bool:
        """Whether the client has had its time.

        A whole answer may be far above the bound; it goes on as long as the client takes it at
        the least rate.
        """
        if not self.full or now < self._write_due or self._transport is None:
            return False
        unsent = self._transport.get_write_buffer_size()
        taken, self._unsent = self._unsent - unsent, unsent
        bounds = self._bounds
        if streaming or taken <= bounds.body_min_bytes_per_s * bounds.slow_reader_s:
            return True
        self._write_due = now + bounds.slow_reader_s
        return False
