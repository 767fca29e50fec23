"""A small HTTP/1.1 server for the simulator: requests in whole, plays out.

It reads what well-behaved clients and gateways send, keeps connections alive, and performs plays:
waits, trickles, cuts. Its own, since a fault such as "closed before any header" or "silent after
three events" is what libraries are made to prevent. A play without waits is one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

from bursar.simulator.desk import Desk, Request
from bursar.simulator.plays import Play

LARGEST_HEAD_BYTES = 64 * 1024
LARGEST_BODY_BYTES = 64 * 1024 * 1024
READ_BYTES = 32 * 1024
SLOWEST_STEP_S = 0.05
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
COMPLETE, BY_CLIENT, BY_FAULT = "complete", "cut_by_client", "cut_by_fault"
Answerer = Callable[[Request], bytes | None]


class Connection(asyncio.BufferedProtocol):
    """One client's connection: one request after the other."""

    def __init__(
        self,
        desk: Desk,
        own: Answerer,
        tasks: set[asyncio.Task[None]],
        connections: set[Connection],
    ) -> None:
        self.desk = desk
        self.own = own
        self.tasks = tasks
        self.connections = connections
        self.transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()
        self.roomy = asyncio.Event()
        self.roomy.set()
        self.arrived = bytearray(READ_BYTES)
        self.buffer = bytearray()
        self.busy = False
        self.last = False
        self.chunked = True
        self.head: tuple[str, str, dict[str, str], int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self.roomy.set()
        self.connections.discard(self)

    def pause_writing(self) -> None:
        self.roomy.clear()

    def resume_writing(self) -> None:
        self.roomy.set()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.arrived

    def buffer_updated(self, nbytes: int) -> None:
        self.buffer += memoryview(self.arrived)[:nbytes]
        self._advance()

    def _advance(self) -> None:
        while not self.busy and not self.gone.is_set():
            if self.head is None and not self._read_head():
                return
            request = self._read_body()
            if request is None:
                return
            self._answer(request)

    def _read_head(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > LARGEST_HEAD_BYTES:
                self._give_up(431)
            return False
        lines = bytes(self.buffer[:end]).decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        words = lines[0].split(" ")
        size = headers.get("content-length", "0")
        if len(words) != 3 or not size.isdecimal() or int(size) > LARGEST_BODY_BYTES:
            self._give_up(413 if size.isdecimal() and len(words) == 3 else 400)
            return False
        self.chunked = words[2] == "HTTP/1.1"
        self.last = headers.get("connection", "").lower() == "close" or not self.chunked
        if headers.get("expect", "").lower() == "100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        self.head = (words[0], words[1], headers, -1 if chunked else int(size))
        return True

    def _read_body(self) -> Request | None:
        assert self.head is not None
        method, target, headers, size = self.head
        if size < 0:
            found = _unchunked(self.buffer)
            if found is None:
                if len(self.buffer) > LARGEST_BODY_BYTES:
                    self._give_up(413)
                return None
            body, used = found
        elif len(self.buffer) < size:
            return None
        else:
            body, used = bytes(self.buffer[:size]), size
        del self.buffer[:used]
        self.head = None
        return Request(method, target, headers, body)

    def _answer(self, request: Request) -> None:
        own = self.own(request)
        if own is not None:
            self._write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(own), own)
            )
            self._ended()
            return
        play = self.desk.plan(request)
        if play.at_once:
            play.begin()
            self.desk.settle(play, COMPLETE, len(play.frames))
            self._write(self._head(play) + self._frames(play))
            self._ended()
            return
        self.busy = True
        task = asyncio.get_running_loop().create_task(self._perform(play))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _perform(self, play: Play) -> None:
        sent, fate, rest = 0, BY_CLIENT, b""
        try:
            if not await self._left_within(play.wait_s):
                play.begin()
                if play.silent:
                    fate = await self._silence(play)
                else:
                    self._write(self._head(play))
                    sent, fate, rest = await self._frame_by_frame(play)
        finally:
            self.desk.settle(play, fate, sent)
        if fate == COMPLETE:
            self._write(rest)
            self.busy = False
            self._ended()
            self._advance()

    async def _frame_by_frame(self, play: Play) -> tuple[int, str, bytes]:
        """Frames sent, what became of it, and its last bytes, which wait for the invoice."""
        held = b""
        for sent, frame in enumerate(play.frames):
            self._write(held)
            if sent == play.cut_at:
                return sent, await self._silence(play), b""
            if play.event_s and await self._left_within(play.event_s):
                return sent, BY_CLIENT, b""
            *pieces, final = _pieces(frame, play.bytes_per_s)
            for piece in pieces:
                self._write(self._framed(piece, play))
                if await self._left_within(len(piece) / play.bytes_per_s):
                    return sent, BY_CLIENT, b""
            held = self._framed(final, play)
            await self.roomy.wait()
            if self.gone.is_set():
                return sent, BY_CLIENT, b""
        if play.cut_at is not None:
            self._write(held)
            return len(play.frames), await self._silence(play), b""
        end = b"0\r\n\r\n" if play.stream and self.chunked else b""
        return len(play.frames), COMPLETE, held + end

    async def _silence(self, play: Play) -> str:
        """Nothing more comes, and then the connection is closed."""
        left = await self._left_within(play.hold_s)
        if self.transport is not None:
            self.transport.close()
        return BY_CLIENT if left else BY_FAULT

    async def _left_within(self, seconds: float) -> bool:
        """Waits; whether the client left meanwhile."""
        if seconds > 0 and not self.gone.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self.gone.wait()
            except TimeoutError:
                return False
        return self.gone.is_set()

    def _head(self, play: Play) -> bytes:
        lines = [b"HTTP/1.1 %d %b" % (play.status, REASONS.get(play.status, b"Overloaded"))]
        lines += [f"{name}: {value}".encode("latin-1", "replace") for name, value in play.headers]
        if not play.stream:
            lines.append(b"content-length: %d" % sum(map(len, play.frames)))
        elif self.chunked:
            lines.append(b"transfer-encoding: chunked")
        if self.last:
            lines.append(b"connection: close")
        return b"\r\n".join((*lines, b"", b""))

    def _frames(self, play: Play) -> bytes:
        if not play.stream or not self.chunked:
            return b"".join(play.frames)
        return b"".join([b"%x\r\n%b\r\n" % (len(one), one) for one in play.frames]) + b"0\r\n\r\n"

    def _framed(self, piece: bytes, play: Play) -> bytes:
        if not play.stream or not self.chunked or not piece:
            return piece
        return b"%x\r\n%b\r\n" % (len(piece), piece)

    def _write(self, raw: bytes) -> None:
        if self.transport is not None and not self.gone.is_set():
            self.transport.write(raw)

    def _ended(self) -> None:
        if self.last and self.transport is not None:
            self.busy = True
            self.transport.close()

    def _give_up(self, status: int) -> None:
        reason = REASONS.get(status, b"")
        self._write(
            b"HTTP/1.1 %d %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (status, reason)
        )
        self.last = True
        self._ended()


def _pieces(frame: bytes, bytes_per_s: int) -> list[bytes]:
    if not bytes_per_s:
        return [frame]
    size = max(1, int(bytes_per_s * SLOWEST_STEP_S))
    return [frame[start : start + size] for start in range(0, len(frame), size)] or [frame]


def _unchunked(raw: bytearray) -> tuple[bytes, int] | None:
    """A chunked body and how many bytes it takes; None while it is not whole."""
    place, parts = 0, bytearray()
    while (end := raw.find(b"\r\n", place)) >= 0:
        try:
            size = int(bytes(raw[place:end]).partition(b";")[0], 16)
        except ValueError:
            return bytes(parts), len(raw)
        start = end + 2
        if size == 0:
            done = raw.find(b"\r\n", start)
            return (bytes(parts), done + 2) if done >= 0 else None
        if len(raw) < start + size + 2:
            return None
        parts += raw[start : start + size]
        place = start + size + 2
    return None
