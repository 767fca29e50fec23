"""A provider's answer as it comes in, and the ways it can fail.

The caller has the head, then the body chunk by chunk, as it arrives and never held back. Between
the connection and the caller stands a bounded buffer: a caller who is slow stops the reading from
the provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal, Protocol

import msgspec

HELD_BYTES = 256 << 10
"""Of an answer, what waits for a slow caller before the provider is read no further."""

Kind = Literal["connect", "timeout", "cut", "protocol", "refused"]


class Waits(msgspec.Struct, frozen=True):
    """How long each step of a request may take, in seconds."""

    connect_s: float = 5.0
    head_s: float = 600.0
    idle_s: float = 120.0
    """Silence within a body, while the caller is ready for more."""
    total_s: float = 3600.0


class UpstreamError(Exception):
    """A request that has no whole answer. `sent`: the provider may have seen some of it."""

    def __init__(self, kind: Kind, *, sent: bool, what: str) -> None:
        super().__init__(kind, what)
        self.kind: Kind = kind
        self.sent = sent
        self.what = what

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class Carrier(Protocol):
    """The connection, as its answer sees it."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abandon(self) -> None: ...


class Incoming:
    """An answer that is coming in. Its caller reads it to the end or closes it."""

    __slots__ = (
        "_chunks",
        "_ended",
        "_error",
        "_held",
        "_link",
        "_passes",
        "_patient",
        "_paused",
        "_waiting",
        "headers",
        "status",
    )

    def __init__(self, link: Carrier) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        """Names in lower case."""
        self._link: Carrier | None = link
        self._chunks: list[bytes] = []
        self._held = 0
        self._ended = False
        self._error: UpstreamError | None = None
        self._paused = False
        self._passes: Callable[[bytes], bool] | None = None
        self._patient = False
        self._waiting: asyncio.Future[None] | None = None

    async def met(self) -> None:
        """Wait for the head."""
        if not self.status and self._error is None:
            await self._wait()
        if not self.status and self._error is not None:
            raise self._error

    async def chunks(self, passes: Callable[[bytes], bool] | None = None) -> AsyncIterator[bytes]:
        """The body, in pieces as they come.

        `passes` is shown each piece first, while the caller waits for it: what it takes (True) is
        not given here, and wakes nobody. It may raise UpstreamError.
        """
        chunks, self._passes = self._chunks, passes
        self._patient = False
        while True:
            if chunks:
                piece = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                self._taken()
                yield piece
            elif self._error is not None:
                raise self._error
            elif self._ended:
                return
            else:
                await self._wait()

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body; UpstreamError "protocol" beyond `limit_bytes`."""
        before = 0
        whole: list[bytes] = []
        while True:
            before += self._held
            if before > limit_bytes:
                self.close()
                raise UpstreamError("protocol", sent=True, what="the answer is too large")
            if self._ended:
                break
            whole.extend(self._chunks)
            self._taken()
            if self._error is not None:
                raise self._error
            self._patient = before + HELD_BYTES <= limit_bytes
            await self._wait()
        whole.extend(self._chunks)
        self._taken()
        return whole[0] if len(whole) == 1 else b"".join(whole)

    def close(self) -> None:
        """Give the answer up: what is still to come cuts the connection."""
        link, self._link = self._link, None
        if link is not None and not self._ended:
            self._error = UpstreamError("cut", sent=True, what="the answer was given up")
            link.abandon()

    def add(self, piece: bytes) -> None:
        self._chunks.append(piece)
        self._held += len(piece)

    def end(self) -> None:
        self._ended = True
        self._link = None

    def fail(self, error: UpstreamError) -> None:
        self._error = error
        self._link = None

    def wake(self) -> None:
        """Tell the caller what has come, and stop reading if it is too much for now."""
        if self._patient and not self._ended and self._error is None and self._held < HELD_BYTES:
            return
        waiting = self._waiting
        if self._passes is not None and waiting is not None and self._chunks:
            self._pass_on(self._passes)
            if not self._held and not self._ended and self._error is None:
                return
        if waiting is not None:
            self._waiting = None
            if not waiting.done():
                waiting.set_result(None)
        if self._held > HELD_BYTES and not self._paused and self._link is not None:
            self._paused = True
            self._link.pause()

    def _pass_on(self, passes: Callable[[bytes], bool]) -> None:
        chunks = self._chunks
        try:
            if passes(chunks[0] if len(chunks) == 1 else b"".join(chunks)):
                self._taken()
        except UpstreamError as error:
            self._taken()
            self._error = error

    async def _wait(self) -> None:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        await waiting

    def _taken(self) -> None:
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            if self._link is not None:
                self._link.resume()
