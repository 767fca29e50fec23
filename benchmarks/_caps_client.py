"""The client of `caps_beside.py`: raw HTTP over kept connections, many at once.

`burst`: all calls as fast as so many connections carry them; each sends its next call when it has
its answer. `arrivals`: calls come at moments that are fixed beforehand, whatever became of those
before them, and as many connections as needed are opened.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

from httptools import HttpParserError, HttpResponseParser

HOST = "127.0.0.1"
Ask = Callable[[int], bytes]
"""Number of a call -> the bytes of its request."""


class Link(asyncio.Protocol):
    """One connection; carries one call at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_open = False
        self._parser: HttpResponseParser | None = None
        self._done: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.is_open = cast(asyncio.Transport, transport), True

    async def ask(self, raw: bytes, patience_s: float) -> int:
        """The status; 0: no whole answer came."""
        assert self.transport is not None
        self._parser = HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(raw)
        try:
            return await asyncio.wait_for(self._done, patience_s)
        except TimeoutError:
            self.close()
            return 0

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self.close()

    def on_message_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        self._end(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._end(0)

    def close(self) -> None:
        self.is_open = False
        if self.transport is not None:
            self.transport.close()

    def _end(self, status: int) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(status)


class Fleet:
    """Connections to all nodes of a tool, used in turn."""

    def __init__(self, ports: Sequence[int], patience_s: float) -> None:
        self.statuses: Counter[int] = Counter()
        self.sent = 0
        self.most_at_once = 0
        self._ports = ports
        self._patience_s = patience_s
        self._now = 0

    def by_status(self) -> dict[str, int]:
        """How many answers had each; 0: no whole answer came."""
        return {str(status): count for status, count in sorted(self.statuses.items())}

    async def burst(self, ask: Ask, calls: int, sockets: int, seconds: float) -> None:
        """All calls; none begins after so many seconds."""
        count = min(calls, sockets)
        links = await asyncio.gather(
            *(self._connected(None, n) for n in range(count)), return_exceptions=True
        )
        numbers = iter(range(calls))
        ends = time.monotonic() + seconds

        async def carry(place: int, link: Link | None) -> None:
            for number in numbers:
                if time.monotonic() > ends:
                    break
                link = await self._call(ask(number), link, place)
            if link is not None:
                link.close()

        await asyncio.gather(
            *(
                carry(n, None if isinstance(one, BaseException) else one)
                for n, one in enumerate(links)
            )
        )

    async def arrivals(self, ask: Ask, moments_s: Sequence[float], most_open: int) -> None:
        """Each call at its moment, counted from now; waits until all are answered."""
        idle: list[list[Link]] = [[] for _ in self._ports]
        free = asyncio.Semaphore(most_open)
        begun = time.monotonic()

        async def one(number: int) -> None:
            place = number % len(self._ports)
            async with free:
                link = idle[place].pop() if idle[place] else None
                link = await self._call(ask(number), link, place)
                if link is not None and link.is_open:
                    idle[place].append(link)

        async with asyncio.TaskGroup() as group:
            for number, moment in enumerate(moments_s):
                await asyncio.sleep(max(0.0, begun + moment - time.monotonic()))
                group.create_task(one(number))
        for link in (link for links in idle for link in links):
            link.close()

    async def _call(self, raw: bytes, link: Link | None, place: int) -> Link | None:
        try:
            link = await self._connected(link, place)
        except OSError:
            self.statuses[0] += 1
            return None
        self.sent += 1
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        self.statuses[await link.ask(raw, self._patience_s)] += 1
        self._now -= 1
        return link

    async def _connected(self, link: Link | None, place: int) -> Link:
        if link is not None and link.is_open:
            return link
        port = self._ports[place % len(self._ports)]
        _, made = await asyncio.get_running_loop().create_connection(Link, HOST, port)
        return made


def request(body: bytes, headers: Sequence[tuple[str, str]]) -> bytes:
    """The bytes of one call."""
    named = [
        ("host", HOST),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        *headers,
    ]
    lines = "".join(f"{name}: {value}\r\n" for name, value in named)
    return f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode() + body
