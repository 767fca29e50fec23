"""The client of the invoice test: raw HTTP over kept connections, and a log of its own.

It reads as little of an answer as a client must to know that it is whole, retries like the vendors'
SDKs (after 408, 409, 429, 5xx and broken connections, with their header), and leaves when a wish
says so. Each try has a number of its own (the nonce), by which the three sides are joined.
"""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec
from _invoice_mix import BEFORE_USAGE, PLAIN, Asked, Mix, Wish
from httptools import HttpParserError, HttpResponseParser

HOST = "127.0.0.1"
PATIENCE_S = 30.0
PAUSE_S = 0.02
RETRIED = frozenset({408, 409, 429})
REQUEST_IDS = (b"x-request-id", b"request-id", b"x-amzn-requestid")
TAIL_BYTES = 64
MIDDLE_BYTES = 1_500


class Tried(msgspec.Struct, kw_only=True):
    """One try as the client saw it."""

    nonce: str
    kind: str
    tenant: str
    fault: str | None
    leave: str | None
    route: str
    n: int
    status: int = 0
    """0: no head came."""
    whole: bool = False
    """The answer came to its end, or its last word was seen."""
    left: bool = False
    """We broke it off."""
    call_id: int | None = None
    request_id: str | None = None


class Link(asyncio.Protocol):
    """One connection; carries one try at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_open = False
        self._parser: HttpResponseParser | None = None
        self._tried: Tried | None = None
        self._done: asyncio.Future[None] | None = None
        self._last: bytes | None = None
        self._tail = b""
        self._size_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.is_open = cast(asyncio.Transport, transport), True

    async def ask(self, raw: bytes, tried: Tried, last: bytes | None) -> None:
        """Returns when the answer is whole, or the connection is over."""
        assert self.transport is not None
        self._parser = HttpResponseParser(self)
        self._tried, self._last = tried, last
        self._tail, self._size_bytes = b"", 0
        self._done = asyncio.get_running_loop().create_future()
        if tried.leave == "asking":
            self.transport.write(raw[: len(raw) * 2 // 3])
            await asyncio.sleep(0.005)
            self._leave()
            return
        self.transport.write(raw)
        if tried.leave == "asked":
            await asyncio.sleep(0.015 if tried.fault else 0.0)
            self._leave()
            return
        try:
            await asyncio.wait_for(self._done, PATIENCE_S)
        except TimeoutError:
            self._leave()

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._done is None or self._done.done():
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._leave()

    def on_header(self, name: bytes, value: bytes) -> None:
        tried = self._tried
        assert tried is not None
        name = name.lower()
        if name == b"x-bursar-call-id":
            tried.call_id = int(value)
        elif name in REQUEST_IDS:
            tried.request_id = value.decode()

    def on_headers_complete(self) -> None:
        assert self._tried is not None
        assert self._parser is not None
        self._tried.status = self._parser.get_status_code()

    def on_body(self, piece: bytes) -> None:
        tried = self._tried
        assert tried is not None
        seen = self._tail + piece
        self._tail = seen[-TAIL_BYTES:]
        self._size_bytes += len(piece)
        if self._last is not None and self._last in seen:
            tried.whole = True
        leave = tried.leave
        if leave is None:
            return
        if (
            leave == "first"
            or (leave == "middle" and self._size_bytes > MIDDLE_BYTES)
            or (leave == "usage" and any(mark in seen for mark in BEFORE_USAGE))
            or (leave == "last" and tried.whole)
        ):
            self._leave()

    def on_message_complete(self) -> None:
        assert self._tried is not None
        if self._tried.left:
            return
        self._tried.whole = True
        assert self._parser is not None
        if not self._parser.should_keep_alive():
            self.close()
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._end()

    def close(self) -> None:
        self.is_open = False
        if self.transport is not None:
            self.transport.close()

    def _leave(self) -> None:
        assert self._tried is not None
        self._tried.left = True
        self.is_open = False
        if self.transport is not None:
            self.transport.abort()
        self._end()

    def _end(self) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


class Crowd:
    """Many sessions at once, until so many tries were made."""

    def __init__(self, port: int, mix: Mix, calls: int, at_once: int) -> None:
        self.log: list[Tried] = []
        self._port = port
        self._mix = mix
        self._calls = calls
        self._at_once = at_once
        self._sessions = 0

    @property
    def is_done(self) -> bool:
        return len(self.log) >= self._calls

    async def run(self) -> None:
        await asyncio.gather(*(self._person() for _ in range(self._at_once)))

    async def _person(self) -> None:
        link: Link | None = None
        while not self.is_done:
            self._sessions += 1
            for asked in self._mix.session(self._sessions):
                link = await self._call(asked, link)
                if self.is_done:
                    break
        if link is not None:
            link.close()

    async def _call(self, asked: Asked, link: Link | None) -> Link | None:
        for n, wish in enumerate(asked.wishes):
            tried = self._tried(asked, wish, n)
            link = await self._connected(link)
            if link is None:
                await asyncio.sleep(PAUSE_S * 5)
                continue
            await link.ask(request(asked, tried), tried, asked.kind.last)
            again = not tried.whole or tried.status in RETRIED or tried.status >= 500
            if tried.left or not again or self.is_done:
                break
            await asyncio.sleep(PAUSE_S * (n + 1))
        return link

    def _tried(self, asked: Asked, wish: Wish, n: int) -> Tried:
        if wish.leave in ("usage", "last") and asked.kind.last is None:
            wish = PLAIN
        tried = Tried(
            nonce=f"n{len(self.log)}",
            kind=asked.kind.name,
            tenant=asked.tenant,
            fault=wish.fault,
            leave=wish.leave,
            route=wish.route or asked.route,
            n=n,
        )
        self.log.append(tried)
        return tried

    async def _connected(self, link: Link | None) -> Link | None:
        if link is not None and link.is_open:
            return link
        try:
            _, made = await asyncio.get_running_loop().create_connection(Link, HOST, self._port)
        except OSError:
            return None
        return made


def request(asked: Asked, tried: Tried) -> bytes:
    """The bytes of one try."""
    headers = [
        ("host", HOST),
        ("content-type", "application/json"),
        ("x-bursar-tenant", asked.tenant),
        ("x-bursar-route", tried.route),
        ("x-bursar-nonce", tried.nonce),
        ("x-client-request-id", tried.nonce),
        ("x-stainless-retry-count", str(tried.n)),
        ("content-length", str(len(asked.body))),
        *asked.kind.headers,
    ]
    if asked.session is not None:
        headers.append(("x-bursar-session", asked.session))
    if tried.fault is not None:
        headers.append(("x-simulate", tried.fault))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"POST {asked.kind.path} HTTP/1.1\r\n{lines}\r\n".encode() + asked.body
