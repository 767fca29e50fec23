"""Waiting operations, taken to the server together.

What is asked while a batch is under way goes along with the next one, so that a thousand calls at
once share a few round trips, and one alone waits for nobody. Every batch has a deadline. When one
fails, all that wait raise StoreLost at once, and so does everything until a connection is there
again, which is tried in the background ever more rarely: a dead server costs no call its timeout.

Each batch has a number, and the server remembers the last one of each client. On a new connection
it is asked for: so it is known whether the batch without a reply was done (then its reservations,
which nobody got, are undone), and whether the server still has what it had acknowledged. Batches
of the old connection that arrive late are refused, because it does not speak for us any more.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Iterable
from typing import Any

from bursar.state.redis.link import Link, Reply
from bursar.state.redis.wire import Operation
from bursar.state.terms import StoreLost

BATCH = 128
"""Operations that go together; the server does nothing else for about 3 ms then."""
BACKOFF_S, MOST_BACKOFF_S = 0.05, 2.0
REBUILD_S = 30.0
"""A rebuild is one step over all that a node tells, and nothing is admitted meanwhile anyway."""
IN_ANY_LIFE = frozenset(("look", "stage", "rebuild", "restore"))
"""What may be asked before our node has told its ledger to a store that has lost its counts."""

Waiting = tuple[Operation, "asyncio.Future[Any] | None"]


class Line:
    """To one server, for one event loop. `ask` answers what the operation's step returns."""

    def __init__(self, link: Link, nodes: int, timeout_ms: int, most_waiting: int) -> None:
        self._link = link
        self._nodes = nodes
        self._timeout_s = timeout_ms / 1000
        self._most_waiting = most_waiting
        self._client = secrets.token_hex(8)
        self._connection = 0
        self._number = 0
        self._acknowledged = 0
        self._unsure: tuple[int, list[Operation]] = (0, [])
        self._queue: deque[Waiting] = deque()
        self._running: asyncio.Task[None] | None = None
        self._mending: asyncio.Task[None] | None = None
        self._down = ""
        self._mend_by = ""
        self.life = ""
        """The one that we work in; empty before the first connection."""
        self.told = 0
        self.is_strange = False
        """The store has lost its counts since we worked with it, and we have not told it ours."""

    @property
    def is_whole(self) -> bool:
        return bool(self.life) and not self.is_strange and self.told >= self._nodes

    async def ask(self, operation: Operation) -> Any:
        """Raises StoreLost in two timeouts at most: one for the batch before, one for its own."""
        if self._down:
            raise StoreLost(self._down, mend=self._mend_by)
        if self.is_strange and operation[0] not in IN_ANY_LIFE:
            raise self._lost()
        if len(self._queue) >= self._most_waiting:
            raise StoreLost(f"{self._most_waiting} operations wait for Redis already")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append((operation, future))
        self._wake()
        try:
            answer, _ = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and not future.exception():
                self._undo(operation, *future.result())
            raise
        return answer

    async def close(self) -> None:
        self._down, self._mend_by = "the store is closed", ""
        for task in (self._running, self._mending):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        self._drop_all()
        await self._link.close()

    def _wake(self) -> None:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    def _lost(self) -> StoreLost:
        return StoreLost(f"Redis at {self._link.place} has lost its counts; they are to be rebuilt")

    async def _run(self) -> None:
        """Until nothing waits any more."""
        batch: list[Waiting] = []
        try:
            await asyncio.sleep(0)
            while self._queue:
                if not self._link.is_open:
                    await self._connect()
                if batch := self._take():
                    await self._exchange(batch)
        except (*self._link.errors, StoreLost) as bad:
            self._fail(batch, bad)
        finally:
            self._running = None
            _give_up(batch, StoreLost("the batch failed", mend="please report it"))

    def _take(self) -> list[Waiting]:
        """The next batch; what nobody waits for any more is left out."""
        batch: list[Waiting] = []
        while self._queue and len(batch) < BATCH:
            operation, future = self._queue[0]
            if operation[0] == "rebuild" and batch:
                break
            self._queue.popleft()
            if future is not None and future.done():
                continue
            if self.is_strange and operation[0] not in IN_ANY_LIFE:
                if future is not None:
                    future.set_exception(self._lost())
                continue
            batch.append((operation, future))
            if operation[0] == "rebuild":
                break
        return batch

    async def _exchange(self, batch: list[Waiting]) -> None:
        operations = [operation for operation, _ in batch]
        is_long = operations[0][0] == "rebuild"
        for _ in range(2):
            self._number += 1
            reserves = [one for one in operations if one[0] == "reserve"]
            self._unsure = (self._number, reserves)
            async with asyncio.timeout(REBUILD_S if is_long else self._timeout_s):
                life, told, answers = await self._send(self._number, operations)
            if isinstance(answers, list):
                break
            # This connection does not speak for us in that life (yet): nothing was done.
            self._unsure = (0, [])
            async with asyncio.timeout(self._timeout_s):
                await self._greet()
            if self.is_strange:
                self._queue.extendleft(reversed(batch))
                return
        else:
            raise StoreLost(f"Redis at {self._link.place} does not know us")
        self._unsure = (0, [])
        self._acknowledged = self._number
        self.life, self.told = life, told
        self._answer(batch, answers)

    def _answer(self, batch: list[Waiting], answers: list[Any]) -> None:
        for (operation, future), answer in zip(batch, answers, strict=True):
            step = operation[0]
            if step == "rebuild" and answer == 0:
                self.is_strange = False
            if future is None:
                continue
            if not future.done():
                future.set_result((answer, self._number))
            else:
                self._undo(operation, answer, self._number)

    def _undo(self, operation: Operation, answer: Any, number: int) -> None:
        """Take a reservation back that was made and that nobody waits for any more."""
        if operation[0] == "reserve" and answer == 0:
            self._queue.appendleft((("undo", operation[1], f"{self._client}:{number}"), None))
            if not self._down:
                self._wake()

    async def _send(self, number: int, operations: list[Operation]) -> Reply:
        fresh = secrets.token_hex(4)
        head = (self._client, self._connection, number, self.life, self._nodes, fresh)
        return await self._link.run(head, operations)

    async def _connect(self) -> None:
        async with asyncio.timeout(self._timeout_s):
            await self._link.open()
            await self._greet()

    async def _greet(self) -> None:
        """Speak for this client from now on, and learn what the server knows of it."""
        self._connection += 1
        hello = ("hello", self._acknowledged, secrets.token_hex(4))
        life, self.told, answers = await self._send(self._number, [hello])
        number, reserves = self._unsure
        self._unsure = (0, [])
        if self.life and life != self.life:
            self.is_strange = True
            self._acknowledged = 0
        elif isinstance(answers, list) and number and answers[0] >= number:
            self._acknowledged = answers[0]
            origin = f"{self._client}:{number}"
            undone = [(("undo", one[1], origin), None) for one in reserves]
            self._queue.extendleft(reversed(undone))
        self.life = life

    def _fail(self, batch: list[Waiting], bad: BaseException) -> None:
        """Nobody waits for a server that does not answer."""
        if isinstance(bad, StoreLost):
            self._down, self._mend_by = bad.message, bad.mend
        else:
            self._down = f"Redis at {self._link.place} cannot be used: {_words(bad)}"
            self._mend_by = ""
        self._drop_all(batch)
        self._mending = asyncio.get_running_loop().create_task(self._mend())

    def _drop_all(self, batch: Iterable[Waiting] = ()) -> None:
        """Nobody waits any more; what is to be undone stays."""
        waiting = [*batch, *self._queue]
        _give_up(waiting, StoreLost(self._down, mend=self._mend_by))
        self._queue = deque(one for one in waiting if one[1] is None)

    async def _mend(self) -> None:
        """Try again until it works, ever more rarely, and not in step with other nodes."""
        wait_s = BACKOFF_S
        while True:
            await self._link.close()
            await asyncio.sleep(random.uniform(0.5, 1) * wait_s)
            wait_s = min(2 * wait_s, MOST_BACKOFF_S)
            try:
                await self._connect()
            except (*self._link.errors, StoreLost):
                self._link.forget_moves()
                continue
            self._down = ""
            self._mending = None
            if self._queue:
                self._wake()
            return


def _give_up(waiting: Iterable[Waiting], why: StoreLost) -> None:
    for _, future in waiting:
        if future is not None and not future.done():
            future.set_exception(StoreLost(why.message, mend=why.mend))


def _words(bad: BaseException) -> str:
    if isinstance(bad, TimeoutError):
        return "it did not answer in time"
    return str(bad) or type(bad).__name__
