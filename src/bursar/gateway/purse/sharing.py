"""One store for all workers of a machine: a socket that only its owner may open, and both its ends.

What a worker asks in one turn of its loop goes in one frame, and the answers come back in one, in
order; so frames are pipelined and a thousand calls at once share a few writes. When a worker's line
breaks, what it held is suspect at once. When the store's end breaks, everything raises StoreLost at
once, and the line is tried again with pauses; a store that was started anew has lost its counts and
takes nothing but `rebuild` and `restore` from this worker until it has told what it knows.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from bursar.gateway.purse import steps
from bursar.gateway.purse.steps import Step
from bursar.ledger.journal.wire import address_of
from bursar.state.terms import Ask, Carried, Claim, Denial, Settled, Standing, StoreLost, Suspect

VERSION = 1
LENGTH = struct.Struct("<I")
LONGEST_BYTES = 64 * 1024 * 1024
"""Of a frame; a rebuild is one."""
STEPS = 2_000
"""That go in one frame."""
MOST_WAITING = 50_000
TIMEOUT_S = 2.0
REBUILD_S = 30.0
PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0

_encode = msgspec.msgpack.Encoder().encode
_answers = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def framed(value: object) -> bytes:
    """A message behind its length."""
    raw = _encode(value)
    return LENGTH.pack(len(raw)) + raw


class Frames(asyncio.Protocol):
    """Cuts what comes into frames."""

    def __init__(self, taken: Callable[[bytes], None]) -> None:
        """`taken`: told of each frame."""
        self._taken = taken
        self.line: asyncio.Transport | None = None
        self._rest = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.line = cast("asyncio.Transport", transport)

    def received(self, data: bytes) -> None:
        """Some bytes have come."""
        rest = self._rest
        rest += data
        begin = 0
        while len(rest) - begin >= LENGTH.size:
            (length,) = LENGTH.unpack_from(rest, begin)
            end = begin + LENGTH.size + length
            if length > LONGEST_BYTES:
                self.broken()
                return
            if len(rest) < end:
                break
            self._taken(bytes(memoryview(rest)[begin + LENGTH.size : end]))
            begin = end
        del rest[:begin]

    data_received = received

    def broken(self) -> None:
        """What has come is none."""
        if self.line is not None:
            self.line.abort()


class _Line(Frames):
    """A worker's end."""

    def __init__(self, taken: Callable[[bytes], None], lost: Callable[[_Line], None]) -> None:
        super().__init__(taken)
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)


class SharedStore:
    """A `terms.Store` behind the socket. For one event loop, and as many calls at once as like."""

    def __init__(self, place: Path, owner: str, timeout_s: float = TIMEOUT_S) -> None:
        """`owner`: the worker, as its Asks name it."""
        self._place = place
        self._owner = owner
        self._timeout_s = timeout_s
        self._line: _Line | None = None
        self._life: bytes = b""
        self._is_strange = False
        """The store has lost its counts since we worked with it, and we have not told it ours."""
        self._queue: list[tuple[Step, asyncio.Future[Any]]] = []
        self._sent: deque[tuple[type, asyncio.Future[Any]]] = deque()
        self._frames: deque[int] = deque()
        """How many answers each frame under way will bring."""
        self._count = 0
        """Frames that were answered, ever."""
        self._alarm: asyncio.TimerHandle | None = None
        self._mending: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> bool:
        """Connect; whether that worked at once. If not, it is tried on in the background."""
        if self._line is None and (self._mending is None or self._mending.done()):
            try:
                await self._connect()
            except (OSError, StoreLost, msgspec.MsgspecError):
                self._mend()
        return self._line is not None

    async def close(self) -> None:
        self._closed = True
        if self._mending is not None:
            self._mending.cancel()
        if self._line is not None and self._line.line is not None:
            self._line.line.close()
        self._drop("the store is closed")

    # -- the steps

    async def is_whole(self) -> bool:
        return bool(await self._ask(steps.Look())) and not self._is_strange

    async def rebuild(
        self, node: str, carried: tuple[Carried, ...], done: tuple[str, ...], at_ms: int
    ) -> None:
        await self._ask(steps.Rebuild(node, carried, done, at_ms))
        self._is_strange = False

    async def carry(self, teller: str, carried: tuple[Carried, ...], at_ms: int) -> None:
        await self._ask(steps.Carry(teller, carried, at_ms))

    async def restore(self, ask: Ask) -> None:
        await self._ask(steps.Restore(ask))

    async def reserve(self, ask: Ask) -> Denial | None:
        return await self._ask(steps.Reserve(ask))

    async def extend(self, key: str, amounts: Sequence[int], at_ms: int) -> Denial | None:
        return await self._ask(steps.Extend(key, tuple(amounts), at_ms))

    async def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        return await self._ask(steps.Settle(key, tuple(amounts), at_ms))

    async def void(self, key: str, at_ms: int) -> bool:
        return await self._ask(steps.Void(key, at_ms))

    async def renew(self, keys: Sequence[str], at_ms: int) -> None:
        await self._ask(steps.Renew(tuple(keys), at_ms))

    async def sweep(self, at_ms: int) -> int:
        return await self._ask(steps.Sweep(at_ms))

    async def abandon(self, owner: str, at_ms: int) -> int:
        return await self._ask(steps.Abandon(owner, at_ms))

    async def suspects(self, most: int) -> list[Suspect]:
        return await self._ask(steps.Suspects(most))

    async def standings(self, claims: Sequence[Claim]) -> list[Standing]:
        return await self._ask(steps.Standings(tuple(claims)))

    # -- the line

    def _ask(self, step: Step) -> asyncio.Future[Any]:
        if self._line is None:
            raise StoreLost("the purse of this machine is away")
        if self._is_strange and not isinstance(step, steps.IN_ANY_LIFE):
            raise StoreLost("the purse has lost its counts; they are to be told anew")
        if len(self._sent) + len(self._queue) >= MOST_WAITING:
            raise StoreLost(f"{MOST_WAITING} steps wait for the purse already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._queue:
            loop.call_soon(self._flush)
        self._queue.append((step, future))
        return future

    def _flush(self) -> None:
        """Send what was asked in this turn."""
        queue, self._queue = self._queue, []
        line = self._line.line if self._line is not None else None
        if line is None:
            _fail((future for _, future in queue), "the purse of this machine is away")
            return
        for first in range(0, len(queue), STEPS):
            part = queue[first : first + STEPS]
            frame = framed([step for step, _ in part])
            if len(frame) > LONGEST_BYTES:
                _fail((future for _, future in part), "too much to tell the purse in one frame")
                continue
            self._frames.append(len(part))
            self._sent.extend((type(step), future) for step, future in part)
            line.write(frame)
        if self._alarm is None and self._frames:
            self._watch()

    def _watch(self) -> None:
        """The oldest frame must be answered in time."""
        patience_s = self._timeout_s
        if any(kind is steps.Rebuild for kind, _ in self._sent):
            patience_s = REBUILD_S
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(patience_s, self._look, len(self._frames), self._count)

    def _look(self, frames: int, count: int) -> None:
        self._alarm = None
        if frames and self._count == count and self._line is not None:
            self._line.broken()
        elif self._frames:
            self._watch()

    def _taken(self, raw: bytes) -> None:
        """The answers to the oldest frame."""
        try:
            answers = _answers(raw)
            expected = self._frames.popleft()
            if len(answers) != expected:
                raise msgspec.DecodeError("not as many answers as questions")
            self._count += 1
            for answer in answers:
                kind, future = self._sent.popleft()
                if not future.done():
                    steps.answer(kind, answer, future)
        except (msgspec.MsgspecError, IndexError):
            if self._line is not None:
                self._line.broken()

    def _lost(self, line: _Line) -> None:
        if line is self._line:
            self._drop("the purse of this machine has ended")
            if not self._closed:
                self._mend()

    def _drop(self, why: str) -> None:
        self._line = None
        waiting = [*(future for _, future in self._sent), *(future for _, future in self._queue)]
        self._sent.clear()
        self._queue = []
        self._frames.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        _fail(waiting, why)

    async def _connect(self) -> None:
        """A line on which the greeting was answered. Raises OSError, StoreLost, MsgspecError."""
        loop = asyncio.get_running_loop()
        greeted: asyncio.Future[bytes] = loop.create_future()

        def first(raw: bytes) -> None:
            if greeted.done():
                self._taken(raw)
            else:
                greeted.set_result(raw)

        def lost(line: _Line) -> None:
            if not greeted.done():
                greeted.set_exception(StoreLost("the purse does not greet"))
            self._lost(line)

        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.setblocking(False)
        try:
            folder = os.open(self._place.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                await loop.sock_connect(opened, address_of(str(self._place), folder))
            finally:
                os.close(folder)
            _, line = await loop.create_unix_connection(lambda: _Line(first, lost), sock=opened)
        except OSError:
            opened.close()
            raise
        assert line.line is not None
        line.line.write(framed(steps.Hello(VERSION, self._owner)))
        try:
            async with asyncio.timeout(self._timeout_s):
                here = msgspec.msgpack.decode(await greeted, type=steps.Here)
        except (TimeoutError, msgspec.MsgspecError):
            line.broken()
            raise
        if here.version != VERSION:
            line.broken()
            raise StoreLost(f"the purse speaks version {here.version}, not {VERSION}")
        if self._life and here.life != self._life:
            self._is_strange = True
        self._life, self._line = here.life, line

    def _mend(self) -> None:
        if self._mending is None or self._mending.done():
            self._mending = asyncio.get_running_loop().create_task(self._try_on())

    async def _try_on(self) -> None:
        """Until there is a line again, ever more rarely, and not in step with other workers."""
        pause_s = PAUSE_S
        while True:
            await asyncio.sleep(random.uniform(0.5, 1) * pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                await self._connect()
            except (OSError, StoreLost, msgspec.MsgspecError):
                continue
            return


def _fail(waiting: Iterable[asyncio.Future[Any]], why: str) -> None:
    for future in waiting:
        if not future.done():
            future.set_exception(StoreLost(why))
