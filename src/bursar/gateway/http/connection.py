"""One client's connection: requests in, one at a time and in order; answers out; time-outs.

What comes while a request is being answered waits, within bounds. After a body it does not: a
client must not send on before the answer to a POST, and bytes behind a body are how requests are
smuggled, so they are thrown away and the connection ends with the answer.

A client that ends its sending side counts as gone, as with other proxies; what is still written
to it is sent, until the socket says otherwise.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import cast

from bursar.gateway.http.floor import Floor, report, report_task
from bursar.gateway.http.messages import Asked, Refusal, answer_head
from bursar.gateway.http.outflow import Outflow
from bursar.gateway.http.reading import (
    CROWDED,
    FAULT,
    HEAD_OUT,
    IN_BODY,
    IN_HEAD,
    LATE,
    Reader,
    Stop,
)

BODILESS = frozenset((b"GET", b"HEAD", b"OPTIONS"))
"""Methods after which the next request may follow at once."""

RESET = struct.pack("ii", 1, 0)
"""No lingering: the other side sees a reset, not an end."""

MOST_REFUSED = 256
"""Connections beyond the bound that are told so; more are dropped without a word."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(Outflow):
    """The server's side of one socket."""

    __slots__ = (
        "_active",
        "_ahead",
        "_ahead_bytes",
        "_body_from",
        "_continue_due",
        "_deaf",
        "_due",
        "_floor",
        "_held_bytes",
        "_last",
        "_leaving",
        "_queue",
        "_reader",
        "closing",
    )

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor.bounds, floor.ticker)
        self._floor = floor
        self._reader: Reader | None = None
        self._active: Asked | None = None
        self._queue: deque[Asked] = deque()
        self._ahead: list[bytes] = []
        self._ahead_bytes = 0
        self._last: Refusal | None = None
        self._deaf = False
        self._leaving = False
        self._continue_due = False
        self._body_from = 0.0
        self._due = 0.0
        self._held_bytes = 0
        self.closing = False

    # -- the socket ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        floor = self._floor
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._bounds.write_high_bytes)
        self._reader = Reader(self, self._bounds)
        self._due = self._ticker.now + self._bounds.header_read_s
        floor.connections.add(self)
        self._ticker.members.add(self)
        crowd = len(floor.connections) - self._bounds.connections
        if crowd > MOST_REFUSED:
            self._transport.abort()
        elif crowd > 0:
            self._refuse(CROWDED)
        elif floor.draining:
            self._close()

    def received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._active is None:
            self._feed(data)
        else:
            self._keep(data)

    data_received = received

    def eof_received(self) -> bool:
        active = self._active
        if active is None:
            return False
        self._deaf = True
        self.closing = True
        self._queue.clear()
        self._drop_ahead()
        active.lose()
        return not self._floor.tls

    def connection_lost(self, exc: Exception | None) -> None:
        floor = self._floor
        floor.connections.discard(self)
        self._ticker.members.discard(self)
        self._transport = None
        self._deaf = True
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.end()
        self._queue.clear()
        self._drop_ahead()
        self._release()
        active, self._active = self._active, None
        self._make_room()
        if active is not None:
            active.lose()

    def resume_writing(self) -> None:
        self._make_room()
        if self._active is None and not self._leaving:
            self._go_on()

    # -- reading ------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            return
        try:
            reader.feed(data)
            if self._active is None:
                self._wait_for_more(reader, len(data))
        except Stop as stop:
            self._stop(stop)

    def _wait_for_more(self, reader: Reader, length: int) -> None:
        """The request is not complete: count what came, and set the time for the rest."""
        if reader.phase == IN_BODY:
            self._due = self._ticker.now + self._bounds.body_idle_s
            self._hold(length)
        elif not reader.has_begun:
            self._due = self._ticker.now + self._bounds.header_read_s
        reader.took(length)

    def _hold(self, length: int) -> None:
        """Count the bodies that do not come in one piece; all of them together have a bound."""
        floor = self._floor
        floor.held_bytes += length
        self._held_bytes += length
        if floor.held_bytes > self._bounds.held_bytes:
            raise Stop(CROWDED)

    def _release(self) -> None:
        self._floor.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def _stop(self, stop: Stop) -> None:
        """Nothing more is read from this client; what it may still hear is `stop.last`."""
        if stop.__cause__ is not None:
            report(stop.__cause__)
        self._deaf = True
        newest = self._queue[-1] if self._queue else self._active
        if newest is None:
            self._refuse(stop.last or FAULT)
        elif stop.last is None or newest.closes or not _may_follow(newest):
            newest.closes = True
        else:
            self._last = stop.last

    def _keep(self, data: bytes) -> None:
        """Hold what comes before its turn."""
        newest = self._queue[-1] if self._queue else self._active
        reader = self._reader
        between = reader is not None and reader.phase == HEAD_OUT
        if newest is not None and between and not _may_follow(newest):
            if data.strip(b"\r\n"):
                newest.closes = True
                self._deaf = True
            return
        self._ahead.append(data)
        self._ahead_bytes += len(data)
        if self._ahead_bytes > self._bounds.ahead_bytes and self._transport is not None:
            self._transport.pause_reading()

    def _drop_ahead(self) -> None:
        self._ahead.clear()
        self._ahead_bytes = 0

    def head_begins(self) -> None:
        newest = self._queue[-1] if self._queue else self._active
        if newest is None:
            self._due = self._ticker.now + self._bounds.header_read_s
        elif not _may_follow(newest) or len(self._queue) >= self._bounds.pipelined:
            raise Stop(None)

    def head_done(self, asked: Asked, expects: bool) -> None:
        refused = self._floor.app.admit(asked)
        if refused is not None:
            raise Stop(refused)
        self._body_from = self._ticker.now
        if not expects:
            return
        if self._active is None:
            self.write(CONTINUE)
        else:
            self._continue_due = True

    def complete(self, asked: Asked) -> None:
        if self._active is None:
            self._begin(asked)
        else:
            self._queue.append(asked)

    # -- answering ----------------------------------------------------------------------------

    def _begin(self, asked: Asked) -> None:
        self._active = asked
        loop = self._floor.loop
        task = asyncio.Task(self._attend(asked), loop=loop, name="answer")
        self._floor.running.add(task)

    async def _attend(self, asked: Asked) -> None:
        floor = self._floor
        returned = False
        try:
            await floor.app.answer(asked)
            returned = True
        finally:
            task = cast("asyncio.Task[None]", asyncio.current_task())
            floor.running.discard(task)
            if not (returned and asked.is_over):
                self._left_open(asked, task, returned)

    def _left_open(self, asked: Asked, task: asyncio.Task[None], returned: bool) -> None:
        """The application failed, or gave up on a client who left. Its fault is not told."""
        if returned and asked.gone:
            asked.cut()
            return
        task.add_done_callback(report_task)
        if asked.is_fresh and not asked.gone:
            asked.closes = True
            said = self._floor.app.worded(FAULT, asked.target, asked.headers)
            asked.reply(said.status, said.headers, said.body)
        else:
            asked.cut()

    def over(self, asked: Asked) -> None:
        """The answer to `asked` is written."""
        self._active = None
        if self._held_bytes:
            self._release()
        if self._transport is None:
            return
        if asked.closes or self.closing:
            if self._deaf and not asked.gone:
                self._linger()
            else:
                self._close()
        elif not self.full:
            self._go_on()

    def _go_on(self) -> None:
        """Turn to what came meanwhile, or wait for the next request."""
        reader = self._reader
        self._due = self._ticker.now + self._bounds.keep_alive_s
        if self._queue:
            self._begin(self._queue.popleft())
        elif self._last is not None:
            self._refuse(self._last)
        elif reader is not None and reader.phase != HEAD_OUT:
            in_head, bounds = reader.phase == IN_HEAD, self._bounds
            wait_s = bounds.header_read_s if in_head else bounds.body_idle_s
            self._due = self._ticker.now + wait_s
            self._body_from = self._ticker.now
            if self._continue_due:
                self._continue_due = False
                self.write(CONTINUE)
            self._read_ahead()
        else:
            self._read_ahead()

    def _read_ahead(self) -> None:
        if self._ahead:
            data = b"".join(self._ahead)
            if self._ahead_bytes > self._bounds.ahead_bytes and self._transport is not None:
                self._transport.resume_reading()
            self._drop_ahead()
            self._feed(data)

    # -- ending -------------------------------------------------------------------------------

    def cut(self, *, at_once: bool) -> None:
        self._active = None
        if self._transport is not None and at_once:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._transport.abort()
        else:
            self._close()

    def drain(self) -> None:
        """Take no new request; the one that is being read or answered may end."""
        self.closing = True
        reader = self._reader
        if self._active is None and (reader is None or reader.phase != IN_BODY):
            self._close()

    def _refuse(self, refused: Refusal) -> None:
        """Say a last word."""
        self._drop_ahead()
        self._release()
        if self._reader is not None:
            self._reader.drop_body()
            refused = self._reader.worded(refused, self._floor.app)
        framing = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(refused.body)
        self.write(answer_head(refused.status, refused.headers, framing) + refused.body)
        self._linger()

    def _linger(self) -> None:
        """Say no more, and throw away what still comes until the client has heard the rest.

        A socket that is closed with unread bytes in it takes back what was last written.
        """
        self._deaf = True
        self.closing = True
        self._leaving = True
        self._due = self._ticker.now + self._bounds.linger_s
        transport = self._transport
        if transport is not None and transport.can_write_eof():
            transport.write_eof()

    def _close(self) -> None:
        """Close once everything is written, within the time of a slow reader."""
        self._leaving = True
        self._deaf = True
        self._due = self._ticker.now + self._bounds.slow_reader_s
        if self._transport is not None:
            self._transport.close()

    # -- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        active = self._active
        if self._is_stuck(now, streaming=active is not None):
            if active is not None:
                active.lose()
            self.abort()
            self._make_room()
        elif self._active is None and now >= self._due:
            self._expire()
        elif self._active is None and not self._leaving:
            self._look_at_rate(now)

    def _look_at_rate(self, now: float) -> None:
        reader, bounds = self._reader, self._bounds
        if reader is None or reader.phase != IN_BODY:
            return
        spent_s = now - self._body_from
        if spent_s > bounds.body_idle_s and reader.length < spent_s * bounds.body_min_bytes_per_s:
            self._refuse(LATE)

    def _expire(self) -> None:
        transport, reader = self._transport, self._reader
        if transport is None:
            return
        if self._leaving or transport.get_write_buffer_size():
            transport.abort()
        elif reader is not None and reader.has_begun:
            self._refuse(LATE)
        else:
            self._close()


def _may_follow(asked: Asked) -> bool:
    """Whether another request may come before this one has its answer."""
    return asked.method in BODILESS and not asked.body
