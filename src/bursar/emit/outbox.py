"""A bounded queue with a thread behind it: whoever puts something in never waits.

What finds no room is the caller's to count; nothing that is in the queue is dropped before a stop,
and each batch is handed on once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from bursar.ledger.recorder import outlived

Item = TypeVar("Item")
BATCH = 512
"""Most items of one batch."""


class Outbox(Generic[Item]):
    """Items on their way to `deliver`, which may take its time."""

    def __init__(
        self,
        name: str,
        deliver: Callable[[list[Item]], None],
        spoilt: Callable[[str, int], None],
        *,
        most: int,
        linger_s: float = 0.0,
    ) -> None:
        """`spoilt`: told of a fault in `deliver` and how many items it cost. `linger_s`: how long a
        batch may wait to become full."""
        self._deliver = deliver
        self._spoilt = spoilt
        self._most = most
        self._linger_s = linger_s
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._under_way = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, items: Sequence[Item]) -> int:
        """Take as many as there is room for; how many found none."""
        with self._changed:
            room = 0 if self._closing else max(0, self._most - len(self._items))
            self._items.extend(items[:room])
            self._changed.notify()
        return max(0, len(items) - room)

    def close(self, within_s: float) -> tuple[int, int]:
        """Deliver what is there, for at most so long; how many are (left, under way)."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(max(0.0, within_s))
        with self._changed:
            left = len(self._items)
            self._items.clear()
            return left, self._under_way

    def _run(self) -> None:
        while batch := self._next():
            fault = outlived(partial(self._deliver, batch), ())[1]
            if fault is not None:
                self._spoilt(fault, len(batch))

    def _next(self) -> list[Item]:
        """The next batch; an empty one is the end."""
        with self._changed:
            self._under_way = 0
            self._changed.wait_for(lambda: self._closing or self._items)
            if self._linger_s:
                self._changed.wait_for(self._is_full, self._linger_s)
            count = min(BATCH, len(self._items))
            self._under_way = count
            return [self._items.popleft() for _ in range(count)]

    def _is_full(self) -> bool:
        return self._closing or len(self._items) >= BATCH
