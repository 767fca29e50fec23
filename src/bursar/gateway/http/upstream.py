"""Connections to providers, kept open between requests.

One pool per worker. A connection carries one request at a time; when its answer has ended it waits
for the next, for less time than providers wait. The last one used is used first, so that those not
needed grow old. Redirects are answers like any other: nothing here follows one. A request is never
sent twice: what a provider may have seen, it may have billed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import msgspec

from bursar.gateway.http.guard import may_connect
from bursar.gateway.http.incoming import Incoming, UpstreamError, Waits
from bursar.gateway.http.link import Link
from bursar.gateway.http.resuming import ResumingContext, client_context
from bursar.gateway.http.ticking import Ticker

__all__ = ["Incoming", "Keeping", "Origin", "Pool", "UpstreamError", "Waits"]

MOST_ADDRESSES = 4
"""Addresses of one host that are tried."""

PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Where a provider is. `private`: the settings allow this machine and private networks."""

    scheme: str
    host: str
    port: int
    private: bool = False


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool keeps."""

    idle: int = 128
    """Open connections per origin that wait for work; one more is closed."""
    idle_s: float = 50.0
    """Providers close theirs after 60 s or more; a request sent into that moment is lost."""
    age_s: float = 900.0
    """Then a connection is renewed, so that a provider's new addresses are seen."""
    connections: int = 2048
    """In all; a request beyond them is refused."""
    tick_s: float = 0.25


class Pool:
    """Open connections by origin. Belongs to the event loop that it was made in."""

    __slots__ = ("_context", "_idle", "_keeping", "_links", "_loop", "_opening", "ticker")

    def __init__(self, *, ca_file: str | None = None, keeping: Keeping | None = None) -> None:
        """`ca_file`: the only authorities to trust, instead of this machine's."""
        self._keeping = keeping or Keeping()
        self._loop = asyncio.get_running_loop()
        self._context: ResumingContext = client_context(ca_file)
        self._idle: dict[Origin, list[Link]] = {}
        self._links: dict[Link, tuple[Origin, socket.socket]] = {}
        self._opening = 0
        self.ticker = Ticker(self._loop, self._keeping.tick_s)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._links)

    @property
    def idle(self) -> int:
        """Open connections that wait for work."""
        return sum(map(len, self._idle.values()))

    async def send(self, origin: Origin, head: bytes, body: bytes, waits: Waits) -> Incoming:
        """Send a request and wait for the head of its answer.

        `head` is complete, with its blank line (`messages.build_head`). Raises UpstreamError.
        """
        link = self._take(origin) or await self._connect(origin, waits)
        incoming = link.ask(head, body, waits)
        met = False
        try:
            await incoming.met()
            met = True
        finally:
            if not met:
                incoming.close()
        return incoming

    def close(self) -> None:
        """Cut all connections."""
        self.ticker.stop()
        for link in tuple(self._links):
            link.abandon()

    # -- links --------------------------------------------------------------------------------

    def take_back(self, link: Link) -> None:
        """A link whose answer has ended."""
        origin = self._links[link][0]
        if origin.scheme == "https" and not link.is_known:
            self._remember(origin, link)
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = []
        now = self.ticker.now
        if len(idle) >= self._keeping.idle or now - link.born >= self._keeping.age_s:
            link.close()
            return
        link.idle_from = now
        idle.append(link)

    def forget(self, link: Link) -> None:
        """A link whose connection has ended."""
        self.ticker.members.discard(link)
        found = self._links.pop(link, None)
        if found is None:
            return
        origin, sock = found
        self._drop_idle(origin, link)
        sock.close()

    def tick_idle(self, link: Link, now: float) -> None:
        keeping, found = self._keeping, self._links.get(link)
        old = now - link.idle_from >= keeping.idle_s or now - link.born >= keeping.age_s
        if old and found is not None:
            self._drop_idle(found[0], link)
            link.close()

    def _remember(self, origin: Origin, link: Link) -> None:
        """Keep the TLS session of a link for the next one; its tickets have come by now."""
        link.is_known = True
        wrapped = link.transport.get_extra_info("ssl_object") if link.transport else None
        if wrapped is not None:
            self._context.remember(origin.host, wrapped)

    def _drop_idle(self, origin: Origin, link: Link) -> None:
        idle = self._idle.get(origin)
        if idle is not None:
            with contextlib.suppress(ValueError):
                idle.remove(link)
            if not idle:
                del self._idle[origin]

    def _take(self, origin: Origin) -> Link | None:
        idle = self._idle.get(origin)
        while idle:
            link = idle.pop()
            if link.is_open and (link.idle_from == self.ticker.now or self._is_quiet(link)):
                return link
            link.abandon()
        return None

    def _is_quiet(self, link: Link) -> bool:
        """Whether nothing has come on an idle link: neither an end nor a word out of turn."""
        try:
            self._links[link][1].recv(1, PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    # -- connecting ---------------------------------------------------------------------------

    async def _connect(self, origin: Origin, waits: Waits) -> Link:
        if len(self._links) + self._opening >= self._keeping.connections:
            raise UpstreamError("refused", sent=False, what="too many connections are open")
        self._opening += 1
        try:
            async with asyncio.timeout(waits.connect_s):
                found = await self._resolve(origin)
                return await self._open(origin, found, waits.connect_s / len(found))
        except TimeoutError:
            raise UpstreamError("connect", sent=False, what="connecting took too long") from None
        finally:
            self._opening -= 1

    async def _open(self, origin: Origin, found: list[Any], share_s: float) -> Link:
        """Connect to the first address that answers, of those that were judged."""
        what = "no connection"
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            link = None
            try:
                sock.setblocking(False)
                async with asyncio.timeout(share_s):
                    await self._loop.sock_connect(sock, address)
                    link = await self._speak(origin, sock)
            except ssl.SSLError as error:
                what = f"no TLS: {error.reason or 'the handshake failed'}"
            except TimeoutError:
                what = "connecting took too long"
            except OSError as error:
                what = f"no connection: {error.strerror or type(error).__name__}"
            finally:
                if link is None:
                    sock.close()
            if link is not None:
                return link
        raise UpstreamError("connect", sent=False, what=what)

    async def _speak(self, origin: Origin, sock: socket.socket) -> Link:
        tls = origin.scheme == "https"
        link = Link(self)
        await self._loop.create_connection(
            lambda: link,
            sock=sock,
            ssl=self._context if tls else None,
            server_hostname=origin.host if tls else None,
        )
        if not link.is_open:
            raise ConnectionResetError
        self._links[link] = (origin, sock)
        self.ticker.members.add(link)
        return link

    async def _resolve(self, origin: Origin) -> list[Any]:
        try:
            found = await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise UpstreamError("connect", sent=False, what=f"no address: {reason}") from None
        for _, _, _, _, address in found:
            if not may_connect(str(address[0]), private=origin.private):
                raise UpstreamError("refused", sent=False, what="the address is not public")
        if not found:
            raise UpstreamError("connect", sent=False, what="the name has no address")
        return found[:MOST_ADDRESSES]
