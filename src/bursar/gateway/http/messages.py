"""What the two sides of the gateway say to each other: a request, its way back, a refusal.

`Asked` is one request with the means to answer it, whole or as a stream. The application behind
the server is an `App`. Heads are built here and nowhere else: a name or value that would break
out of its line is refused, since a header that holds a line end is a request of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec

Headers = Sequence[tuple[bytes, bytes]]

JOINED_BYTES = 65536
"""Up to here a body is copied behind its head and both are written as one piece."""

FRAMING = frozenset(
    (b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"upgrade")
)
"""Headers that only this package sets; others that bring them are not heard."""

_BODILESS = frozenset((204, 304))
_LINES = {one.value: b"HTTP/1.1 %d %s\r\n" % (one, one.phrase.encode()) for one in HTTPStatus}
_FRESH, _STARTED, _OVER = 0, 1, 2


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may take. Passing a bound ends the request with the status named."""

    body_bytes: int = 8 << 20
    """413, before the body is read if its length is announced."""
    header_bytes: int = 32 << 10
    """431. Names and values of all headers; trailers have the same bound."""
    headers: int = 100
    """431."""
    target_bytes: int = 8 << 10
    """414."""
    header_read_s: float = 10.0
    """408. From the first byte of a head, or from the connection, to the end of the head."""
    body_idle_s: float = 15.0
    """408. Silence within a body; also the grace before the least rate counts."""
    body_min_bytes_per_s: int = 256
    """408. Mean rate of a body since the end of its head."""
    keep_alive_s: float = 75.0
    """Closed without a word. Between two requests."""
    connections: int = 4096
    """503."""
    held_bytes: int = 256 << 20
    """503. All bodies together that are read or waited for, those that came at once left out."""
    pipelined: int = 16
    """Requests read ahead of their turn; those after them are left to a new connection."""
    ahead_bytes: int = 64 << 10
    """Bytes held while a request is being answered; then the socket is read no further."""
    slow_reader_s: float = 60.0
    """Cut. A client whose answer has filled `write_high_bytes` and that takes none of it."""
    write_high_bytes: int = 256 << 10
    linger_s: float = 2.0
    """After a refusal: how long what the client still sends is thrown away, so that it can read."""
    tick_s: float = 0.25
    """How finely all these times are looked at."""


class Refusal(msgspec.Struct, frozen=True):
    """An answer that ends the connection."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    kind: str = ""
    """Of a refusal that HTTP itself is the cause of, and that no `App` has worded yet: its word."""
    message: str = ""


class App(Protocol):
    """What stands behind the server."""

    def admit(self, asked: Asked) -> Refusal | None:
        """Whether a request may go on; its headers are complete and its body is not yet read."""
        ...

    async def answer(self, asked: Asked) -> None:
        """Answer a complete request; ends in `reply`, `finish` or `cut`."""
        ...

    def worded(self, refused: Refusal, target: bytes, headers: Headers) -> Refusal:
        """A refusal of HTTP itself, as whoever asks for `target` reads it. `target` and `headers`
        are as much as was read of them, maybe nothing."""
        ...


class Way(Protocol):
    """The connection, as its requests see it."""

    closing: bool
    full: bool

    def write(self, piece: bytes) -> None: ...
    def over(self, asked: Asked) -> None: ...
    def cut(self, *, at_once: bool) -> None: ...
    async def drained(self) -> None: ...


def refusal(status: int, kind: str, message: str) -> Refusal:
    """A refusal of HTTP itself, in a shape that most clients read."""
    body = msgspec.json.encode({"error": {"type": kind, "message": message}})
    return Refusal(status, ((b"content-type", b"application/json"),), body, kind, message)


def answer_head(status: int, headers: Headers, framing: bytes) -> bytes:
    """Status line, headers and `framing` (whole lines, ending in the blank one)."""
    lines = [b": ".join(one) for one in headers if one[0] not in FRAMING]
    lines.append(framing)
    first = _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    head = first + b"\r\n".join(lines)
    _check(head, len(lines) + framing.count(b"\n"))
    return head


def build_head(method: bytes, target: bytes, headers: Headers, length: int) -> bytes:
    """The head of a request to a provider. `headers` name the host and give no framing.

    Raises ValueError for anything that would not stay in its own line.
    """
    return ended_head(open_head(method, target, headers), method, length)


def open_head(method: bytes, target: bytes, headers: Headers) -> bytes:
    """The same up to the length, which is all that differs where a request is repeated."""
    if not method.isalpha() or method in (b"HEAD", b"CONNECT"):
        raise ValueError("a method that is not sent to providers")
    if target[:1] != b"/" or not target.isascii() or len(target.split()) != 1:
        raise ValueError("a target that is no path")
    lines = [b": ".join(one) for one in headers if one[0] not in FRAMING]
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"\r\n".join(lines))
    if b"\r\nhost: " not in head:
        raise ValueError("a request without a host")
    _check(head, len(lines) + 1)
    return head


def ended_head(head: bytes, method: bytes, length: int) -> bytes:
    """An open head with its length."""
    if length or method != b"GET":
        return b"%bcontent-length: %d\r\n\r\n" % (head, length)
    return head + b"\r\n"


def _check(head: bytes, lines: int) -> None:
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
        raise ValueError("a header that does not stay in its line")


class Asked:
    """One request and its way back. `target` is as sent: never decoded, never normalised."""

    __slots__ = (
        "_chunked",
        "_lacks",
        "_left",
        "_on_gone",
        "_state",
        "_way",
        "at_ns",
        "body",
        "closes",
        "gone",
        "headers",
        "method",
        "noted",
        "plain",
        "target",
    )

    def __init__(
        self, way: Way, method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], at_ns: int
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        """Names in lower case, in the order sent, without the length and those meant for one hop.
        The same list while a client repeats its head: not to be changed."""
        self.body = b""
        self.at_ns = at_ns
        """When the headers were complete, in nanoseconds since 1970."""
        self.gone = False
        """The client has left."""
        self.closes = False
        """The connection ends with this answer."""
        self.plain = False
        """An HTTP/1.0 client, which knows no chunks."""
        self.noted: object = None
        """What the application found out when it admitted the request; before that, what it found
        out at the request before, where that had the same head."""
        self._way = way
        self._state = _FRESH
        self._chunked = False
        self._left: int | None = None
        self._lacks = False
        self._on_gone: Callable[[], None] | None = None
        """Let go of with the answer's end: what hangs on it points back here, and a cycle per call
        would be left to the garbage collector, which stops everything for it."""

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its name in lower case."""
        for one, value in self.headers:
            if one == name:
                return value
        return None

    @property
    def is_fresh(self) -> bool:
        return self._state == _FRESH

    @property
    def is_over(self) -> bool:
        return self._state == _OVER

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer with a whole body."""
        if self._state != _FRESH:
            raise RuntimeError("this request has its answer")
        head = answer_head(status, headers, self._framing(status, len(body)))
        self._state, self._on_gone = _OVER, None
        way = self._way
        if self.method == b"HEAD" or status in _BODILESS:
            way.write(head)
        elif len(body) <= JOINED_BYTES:
            way.write(head + body)
        else:
            way.write(head)
            way.write(body)
        way.over(self)

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        """Begin a stream; in chunks, unless its length is known."""
        if self._state != _FRESH:
            raise RuntimeError("this request has its answer")
        if length is None and self.plain:
            self.closes = True
        head = answer_head(status, headers, self._framing(status, length))
        self._state = _STARTED
        self._left = length
        self._chunked = length is None and not self.plain
        if self.method == b"HEAD" or status in _BODILESS:
            self._left, self._chunked = 0, False
        self._way.write(head)

    def send(self, chunk: bytes) -> None:
        """The next piece of a stream. Nothing happens when the client is gone."""
        if self._state != _STARTED:
            raise RuntimeError("this request has no open stream")
        if not chunk:
            return
        if self.gone and self._way.full:
            self._lacks = True
            return
        if self._chunked:
            self._way.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            return
        if self._left is not None:
            if self.method == b"HEAD":
                return
            if len(chunk) > self._left:
                raise ValueError("more than the length announced")
            self._left -= len(chunk)
        self._way.write(chunk)

    def finish(self) -> None:
        """End a stream."""
        if self._state != _STARTED:
            raise RuntimeError("this request has no open stream")
        if self._left or self._lacks:
            self.cut()
            return
        self._state, self._on_gone = _OVER, None
        if self._chunked:
            self._way.write(b"0\r\n\r\n")
        self._way.over(self)

    def cut(self) -> None:
        """End the connection so that the client sees an answer that is not whole."""
        if self._state == _OVER:
            return
        until_close = self._state == _STARTED and not self._chunked and self._left is None
        self._state, self._on_gone = _OVER, None
        self._way.cut(at_once=until_close)

    @property
    def keeps_up(self) -> bool:
        """The client is there, and takes what it is sent."""
        return not self.gone and not self._way.full

    async def room(self) -> None:
        """Wait until the client has read enough; at once if it keeps up or is gone."""
        if self._way.full and not self.gone:
            await self._way.drained()

    def when_gone(self, call: Callable[[], None]) -> None:
        """Have `call` called, once, if the client leaves before its answer has ended."""
        if self.gone:
            call()
        else:
            self._on_gone = call

    def lose(self) -> None:
        """The client has left."""
        if self.gone or self._state == _OVER:
            return
        self.gone = True
        call, self._on_gone = self._on_gone, None
        if call is not None:
            call()

    def _framing(self, status: int, length: int | None) -> bytes:
        close = b"connection: close\r\n" if self.closes or self._way.closing else b""
        if status in _BODILESS or (length is None and self.plain):
            return close + b"\r\n"
        if length is None:
            return b"transfer-encoding: chunked\r\n%b\r\n" % close
        return b"content-length: %d\r\n%b\r\n" % (length, close)
