"""What a request may look like, beyond what the parser already refuses.

llhttp, kept strict, refuses both lengths at once, two lengths, folded headers, bare line ends,
control characters and chunk sizes that overflow. The rest is here: one host, a path as target,
plain ASCII, no encodings, bounds on everything. `Reader` holds the request that is being read;
its owner, the `connection`, hears of each complete head and body.
"""

from __future__ import annotations

import time
from typing import Protocol

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from bursar.gateway.http.messages import App, Asked, Bounds, Refusal, Way, refusal

MALFORMED = refusal(400, "bad_request", "This is not a well-formed HTTP/1.1 request.")
NO_HOST = refusal(400, "bad_request", "A request names one host.")
NO_PATH = refusal(400, "bad_request", "The request target is not a path.")
NOT_ASCII = refusal(400, "bad_request", "A header holds characters beyond ASCII.")
BAD_ENCODING = refusal(400, "bad_request", "The only transfer encoding read here is chunked.")
LATE = refusal(408, "timeout", "The request came too slowly.")
TOO_LARGE = refusal(413, "too_large", "The body is larger than this gateway takes.")
LONG_TARGET = refusal(414, "too_large", "The request target is too long.")
CODED = refusal(415, "encoded_body", "Bodies are read as they are: send no content-encoding.")
EXPECTS = refusal(417, "bad_request", "The only expectation met here is 100-continue.")
LARGE_HEAD = refusal(431, "too_large", "The request has too many headers, or too large ones.")
FAULT = refusal(500, "internal", "The gateway could not answer this request.")
CROWDED = refusal(503, "crowded", "This gateway has all the connections it takes.")
OLD_VERSION = refusal(505, "bad_request", "This gateway speaks HTTP/1.1.")

HEAD_OUT, IN_HEAD, IN_BODY = 0, 1, 2
"""Where the reading stands: between requests, in a head, in a body."""

FEW_PIECES = 64
"""A body in more pieces than this is gathered in one buffer."""

RAW_FACTOR = 8
"""A chunked body may take this many times its bound on the wire."""

LENGTH = b"content-length"
LENGTH_SIZE = len(LENGTH)
_DROPPED, _HOST, _NAMED, _EXPECT, _CODING, _TRANSFER = range(6)
_NOTED = {
    b"host": _HOST,
    b"connection": _NAMED,
    b"expect": _EXPECT,
    b"content-encoding": _CODING,
    b"transfer-encoding": _TRANSFER,
    b"keep-alive": _DROPPED,
    b"proxy-connection": _DROPPED,
    b"proxy-authenticate": _DROPPED,
    b"proxy-authorization": _DROPPED,
    b"te": _DROPPED,
    b"trailer": _DROPPED,
    b"upgrade": _DROPPED,
}
_KEPT = frozenset(
    (
        b"authorization",
        b"api-key",
        b"x-api-key",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
    )
)
"""What a `Connection` header cannot take away."""

_UPGRADING = frozenset((b"connection", b"upgrade", b"http2-settings"))


class Stop(Exception):
    """Reading ends here for good. None: without a word of its own."""

    def __init__(self, last: Refusal | None) -> None:
        super().__init__()
        self.last = last


class Owner(Way, Protocol):
    """Who the requests are read for."""

    def head_begins(self) -> None:
        """The first byte of a target. Raises Stop for a request out of turn."""
        ...

    def head_done(self, asked: Asked, expects: bool) -> None:
        """The headers are complete. Raises Stop for a request that is not admitted."""
        ...

    def complete(self, asked: Asked) -> None: ...


class Reader:
    """The request that is being read, from its first byte until it is complete.

    It is also the object that the parser calls.
    """

    __slots__ = (
        "_asked",
        "_bounds",
        "_bulk",
        "_chunked",
        "_expects",
        "_headers",
        "_hosts",
        "_length",
        "_made",
        "_named",
        "_owner",
        "_parser",
        "_pieces",
        "_raw",
        "_same",
        "_sent",
        "_target",
        "_trailer_bytes",
        "_upgrades",
        "length",
        "phase",
    )

    def __init__(self, owner: Owner, bounds: Bounds) -> None:
        self._owner = owner
        self._bounds = bounds
        self.phase = HEAD_OUT
        self.length = 0
        """Bytes of the body that have come."""
        self._raw = 0
        self._asked: Asked | None = None
        self._pieces: list[bytes] = []
        self._bulk: bytearray | None = None
        self._upgrades = False
        self._same: tuple[bytes, bytes, bool, list[tuple[bytes, bytes]]] | None = None
        """The head before this one. Clients repeat theirs: only the length differs."""
        self._made: tuple[list[tuple[bytes, bytes]], object] = ([], None)
        """What was made of it: headers, and what the application noted."""
        self._begin()
        self._parser = HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Read on. Raises Stop when nothing more can be read from this client."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as met:
            self._ignore_upgrade(data[met.args[0] :])
        except HttpParserCallbackError as error:
            if isinstance(error.__context__, Stop):
                raise Stop(error.__context__.last) from None
            raise Stop(FAULT) from error.__context__
        except HttpParserError:
            raise Stop(MALFORMED) from None

    @property
    def has_begun(self) -> bool:
        """Whether any byte of a request has come that is not complete."""
        return self.phase != HEAD_OUT or self._raw > 0

    def worded(self, refused: Refusal, app: App) -> Refusal:
        """What is said to whoever sends the request that is being read."""
        if not refused.kind:
            return refused
        if self.phase == HEAD_OUT:
            return app.worded(refused, b"", ())
        return app.worded(refused, self._target, self._sent)

    def took(self, length: int) -> None:
        """Count a piece that did not complete a request; raises Stop when there were too many."""
        self._raw = raw = self._raw + length
        bounds = self._bounds
        if self.phase == IN_BODY:
            if raw > RAW_FACTOR * bounds.body_bytes + bounds.header_bytes:
                raise Stop(TOO_LARGE)
        elif raw > bounds.header_bytes + bounds.target_bytes + 4 * bounds.headers:
            raise Stop(LARGE_HEAD)

    def drop_body(self) -> None:
        """Let go of a body that will not be completed."""
        self._pieces.clear()
        self._bulk = None

    def end(self) -> None:
        """Nothing is fed any more. Parser and reader hold each other until then."""
        del self._parser
        del self._owner

    def _begin(self) -> None:
        self._target = b""
        self._sent: list[tuple[bytes, bytes]] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailer_bytes = 0
        self._hosts = 0
        self._expects = False
        self._chunked = False
        self._named: bytes | None = None
        self._length: bytes | None = None

    def on_url(self, piece: bytes) -> None:
        if self.phase == HEAD_OUT:
            self._owner.head_begins()
            self._begin()
            self.phase = IN_HEAD
            self._target = piece
        else:
            self._target += piece
        if len(self._target) > self._bounds.target_bytes:
            raise Stop(LONG_TARGET)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase == IN_BODY:
            self._trailer_bytes += len(name) + len(value)
            if self._trailer_bytes > self._bounds.header_bytes:
                raise Stop(LARGE_HEAD)
            return
        if len(name) == LENGTH_SIZE and name.lower() == LENGTH:
            if int(value) > self._bounds.body_bytes:
                raise Stop(TOO_LARGE)
            self._length = value
            return
        sent = self._sent
        if len(sent) >= self._bounds.headers:
            raise Stop(LARGE_HEAD)
        sent.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        method = parser.get_method()
        if parser.should_upgrade():
            if method == b"CONNECT":
                raise Stop(NO_PATH)
            self._upgrades = True
            return
        version = parser.get_http_version()
        plain = version == "1.0"
        if not plain and version != "1.1":
            raise Stop(OLD_VERSION)
        same, noted = (method, self._target, plain, self._sent), None
        if same == self._same:
            self._headers, noted = self._made
        else:
            self._take_headers()
            self._check_head(method, plain)
        self.phase = IN_BODY
        self._raw = 0
        self.length = 0
        asked = Asked(self._owner, method, self._target, self._headers, time.time_ns())
        asked.plain, asked.noted = plain, noted
        self._asked = asked
        self._owner.head_done(asked, self._expects and not plain)
        if not self._expects:
            self._same, self._made = same, (asked.headers, asked.noted)

    def on_body(self, piece: bytes) -> None:
        self.length = length = self.length + len(piece)
        if length > self._bounds.body_bytes:
            raise Stop(TOO_LARGE)
        if self._bulk is not None:
            self._bulk += piece
            return
        pieces = self._pieces
        pieces.append(piece)
        if len(pieces) > FEW_PIECES:
            self._bulk = bytearray().join(pieces)
            pieces.clear()

    def on_message_complete(self) -> None:
        asked = self._asked
        if self._upgrades or asked is None:
            return
        self.phase = HEAD_OUT
        self._raw = 0
        self._asked = None
        asked.body = self._whole()
        asked.closes = asked.plain or not self._parser.should_keep_alive()
        self._owner.complete(asked)

    def _whole(self) -> bytes:
        pieces = self._pieces
        if self._bulk is not None:
            body, self._bulk = bytes(self._bulk), None
            return body
        if not pieces:
            return b""
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return body

    def _take_headers(self) -> None:
        """Sort the headers into those that go on and those that are ours to heed."""
        size = 0
        headers = self._headers
        noted = _NOTED
        for name, value in self._sent:
            size += len(name) + len(value)
            if not value.isascii():
                raise Stop(NOT_ASCII)
            name = name.lower()
            if name in noted:
                self._note(noted[name], name, value.rstrip())
            else:
                headers.append((name, value.rstrip()))
        if size > self._bounds.header_bytes:
            raise Stop(LARGE_HEAD)

    def _note(self, noted: int, name: bytes, value: bytes) -> None:
        if noted == _DROPPED:
            return
        if noted == _NAMED:
            self._named = value if self._named is None else self._named + b"," + value
            return
        if noted == _TRANSFER:
            if value.lower() != b"chunked" or self._chunked:
                raise Stop(BAD_ENCODING)
            self._chunked = True
            return
        if noted == _EXPECT:
            if value.lower() != b"100-continue":
                raise Stop(EXPECTS)
            self._expects = True
            return
        if noted == _HOST:
            self._hosts += 1
        elif value.lower() not in (b"identity", b""):
            raise Stop(CODED)
        self._headers.append((name, value))

    def _check_head(self, method: bytes, plain: bool) -> None:
        target = self._target
        if target[:1] != b"/" and not (target == b"*" and method == b"OPTIONS"):
            raise Stop(NO_PATH)
        if self._hosts != 1 and not (plain and not self._hosts):
            raise Stop(NO_HOST)
        if self._chunked and plain:
            raise Stop(BAD_ENCODING)
        if self._named is not None:
            names = {one.strip().lower() for one in self._named.split(b",")} - _KEPT
            if not names <= {b"close", b"keep-alive"}:
                self._headers = [one for one in self._headers if one[0] not in names]

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request as if it had not wished for another protocol.

        The parser leaves out the body of such a request, so a new one gets the head without it.
        """
        old = self._parser
        lines = [b": ".join(one) for one in self._sent if one[0].lower() not in _UPGRADING]
        named = b",".join(value for name, value in self._sent if name.lower() == b"connection")
        kept = [one for one in named.split(b",") if one.strip().lower() not in (b"", b"upgrade")]
        if self._length is not None:
            lines.append(b"content-length: " + self._length)
        if kept:
            lines.append(b"connection: " + b",".join(kept))
        version = old.get_http_version().encode()
        first = b"%b %b HTTP/%b" % (old.get_method(), self._target, version)
        self._upgrades = False
        self._parser = HttpRequestParser(self)
        self.phase = IN_HEAD
        self._begin()
        self.feed(b"\r\n".join((first, *lines, b"", b"")) + rest)
