"""One connection to a provider, with at most one request on it.

An answer that is not HTTP, too large in its head or of another protocol ends the connection, and
so does a word out of turn. An answer that has ended in good order gives the link back to its pool.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpResponseParser,
)

from bursar.gateway.http.incoming import Incoming, Kind, UpstreamError, Waits
from bursar.gateway.http.messages import JOINED_BYTES
from bursar.gateway.http.ticking import Ticker

HEAD_BYTES = 64 << 10
HEADERS = 200
INTERIM = 10
"""Answers with a status of 1xx that may come before the real one."""


class Home(Protocol):
    """Where links live."""

    ticker: Ticker

    def take_back(self, link: Link) -> None: ...
    def forget(self, link: Link) -> None: ...
    def tick_idle(self, link: Link, now: float) -> None: ...


class _Unreadable(Exception):
    pass


class Link(asyncio.Protocol):
    """One connection to a provider."""

    __slots__ = (
        "_head_by",
        "_head_raw",
        "_headers",
        "_home",
        "_idle_s",
        "_incoming",
        "_interim",
        "_keeps",
        "_met",
        "_parser",
        "_paused",
        "_size",
        "_total_by",
        "_touched",
        "_transport",
        "_until_close",
        "born",
        "idle_from",
        "is_known",
    )

    def __init__(self, home: Home) -> None:
        self._home = home
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = None
        self._incoming: Incoming | None = None
        self.born = home.ticker.now
        self.idle_from = self.born
        self.is_known = False
        """Its TLS session is remembered."""
        self._paused = False
        self._met = False
        self._until_close = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._head_raw = 0
        self._interim = 0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = HttpResponseParser(self)

    def ask(self, head: bytes, body: bytes, waits: Waits) -> Incoming:
        """Send a request; the link carries no other until its answer has ended."""
        transport = self._transport
        if transport is None:
            raise UpstreamError("cut", sent=False, what="the provider closed the connection")
        now = self._home.ticker.now
        self._head_by = now + waits.head_s
        self._total_by = now + waits.total_s
        self._idle_s = waits.idle_s
        self._touched = now
        self._met = False
        self._headers = []
        self._size = self._head_raw = self._interim = 0
        self._incoming = incoming = Incoming(self)
        if len(body) <= JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return incoming

    # -- what comes ---------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        incoming, parser = self._incoming, self._parser
        if incoming is None or parser is None:
            self.abandon()
            return
        self._touched = self._home.ticker.now
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._fail("protocol", "the provider changed the protocol")
        except HttpParserCallbackError as error:
            self._fail("protocol", str(error.__context__))
        except HttpParserError as error:
            self._fail("protocol", f"the answer is not HTTP: {error}")
        if not self._met:
            self._head_raw += len(data)
            if self._head_raw > HEAD_BYTES + 4 * HEADERS:
                self._fail("protocol", "the head of the answer is too large")
        incoming.wake()

    data_received = received

    def on_status(self, reason: bytes) -> None:
        if self._incoming is None:
            raise _Unreadable("more came than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size = size = self._size + len(name) + len(value)
        if size > HEAD_BYTES or len(self._headers) >= HEADERS:
            raise _Unreadable("the answer has too many headers, or too large ones")
        if not self._met:
            self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        incoming, parser = self._incoming, self._parser
        if incoming is None or parser is None:
            raise _Unreadable("more came than was asked for")
        status = parser.get_status_code()
        if status < 200:
            self._skip_interim(status)
            return
        if status > 599:
            raise _Unreadable(f"the answer has the status {status}")
        headers = self._headers
        length = transfer = None
        for name, value in headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                transfer = value
                if value.lower() != b"chunked":
                    raise _Unreadable("the answer has a transfer encoding that is not read here")
        bare = length is None and transfer is None
        self._until_close = bare and status != 204 and status != 304
        self._met = True
        incoming.status = status
        incoming.headers = headers

    def _skip_interim(self, status: int) -> None:
        self._interim += 1
        if status == 101 or self._interim > INTERIM:
            raise _Unreadable("the provider answers without answering")
        self._headers = []
        self._size = 0

    def on_body(self, piece: bytes) -> None:
        if self._incoming is not None:
            self._incoming.add(piece)

    def on_message_complete(self) -> None:
        incoming, parser, transport = self._incoming, self._parser, self._transport
        if incoming is None or parser is None or transport is None or not self._met:
            return
        self._incoming = None
        incoming.end()
        if self._paused:
            self.resume()
        if parser.should_keep_alive() and not transport.get_write_buffer_size():
            self._home.take_back(self)
        else:
            transport.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._home.forget(self)
        self._transport = self._parser = None
        incoming = self._incoming
        if incoming is None:
            return
        if self._met and self._until_close and exc is None:
            self._incoming = None
            incoming.end()
        else:
            self._fail("cut", "the provider closed the connection")
        incoming.wake()

    # -- what its caller does -----------------------------------------------------------------

    def pause(self) -> None:
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._touched = self._home.ticker.now
            if self._transport is not None:
                self._transport.resume_reading()

    def abandon(self) -> None:
        """Cut the connection; nobody waits for what it carries."""
        self._incoming = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close a link that carries nothing."""
        if self._transport is not None:
            self._transport.close()

    def tick(self, now: float) -> None:
        incoming = self._incoming
        if incoming is None:
            self._home.tick_idle(self, now)
            return
        if now >= self._total_by:
            self._fail("timeout", "the answer took too long as a whole")
        elif not self._met:
            if now >= self._head_by:
                self._fail("timeout", "the answer did not begin in time")
        elif not self._paused and now >= self._touched + self._idle_s:
            self._fail("timeout", "the answer fell silent")
        if self._incoming is None:
            incoming.wake()

    def _fail(self, kind: Kind, what: str) -> None:
        incoming = self._incoming
        if incoming is not None:
            incoming.fail(UpstreamError(kind, sent=True, what=what))
        self.abandon()
