"""The server: listens on sockets given to it, and ends with grace.

The supervisor opens the sockets and hands them to each worker; a `Server` belongs to one event
loop. Closing it takes no new requests, lets the open ones end, and cuts what is left.
"""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
from collections.abc import Sequence

from bursar.gateway.http.connection import Connection
from bursar.gateway.http.floor import Floor
from bursar.gateway.http.messages import App, Bounds

BACKLOG = 4096
LOOK_S = 0.02
"""How often a closing server looks whether everything has ended."""


class Server:
    """A server in service."""

    __slots__ = ("_floor", "_listening")

    def __init__(self, floor: Floor, listening: Sequence[asyncio.Server]) -> None:
        self._floor = floor
        self._listening = listening

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._floor.connections)

    @property
    def running(self) -> int:
        """Requests whose answers have not ended, those of clients who left included."""
        return len(self._floor.running)

    async def close(self, grace_s: float) -> None:
        """Stop listening, wait at most `grace_s` for open requests, then cut them."""
        floor = self._floor
        floor.draining = True
        for one in self._listening:
            one.close()
        for connection in tuple(floor.connections):
            connection.drain()
        until = floor.loop.time() + grace_s
        while (floor.connections or floor.running) and floor.loop.time() < until:
            await asyncio.sleep(LOOK_S)
        for task in tuple(floor.running):
            task.cancel()
        for connection in tuple(floor.connections):
            connection.abort()
        if floor.running:
            await asyncio.wait(tuple(floor.running), timeout=floor.bounds.linger_s)
        await asyncio.sleep(0)
        floor.ticker.stop()


async def serve(
    app: App,
    sockets: Sequence[socket.socket],
    bounds: Bounds,
    *,
    ssl: tls.SSLContext | None = None,
) -> Server:
    """Answer whoever connects to `sockets` (bound, not yet listening) with `app`."""
    loop = asyncio.get_running_loop()
    floor = Floor(app, bounds, loop, tls=ssl is not None)
    listening = [
        await loop.create_server(
            lambda: Connection(floor),
            sock=one,
            ssl=ssl,
            backlog=BACKLOG,
            ssl_handshake_timeout=bounds.header_read_s if ssl is not None else None,
        )
        for one in sockets
    ]
    return Server(floor, listening)
