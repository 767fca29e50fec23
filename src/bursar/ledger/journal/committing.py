"""Where groups are committed: in the event loop while the disk is quick, else in a thread.

Handing a group to a thread costs more than a quick sync does; a slow sync in the loop would hold up
every other call. So the last syncs decide, and a disk that refuses always gets the thread. Only the
sync is slow: what is written goes to the system's memory, and the loop does that itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import perf_counter

from bursar.ledger.journal.segment import Group

QUICK_S, SLOW_S = 0.001, 5.0
"""While the last syncs took longer than the first, the thread has the groups of the next seconds.
"""
WEIGHT = 1 / 8
"""Of the last sync in that mean: one late sync says little, a stalled disk says enough."""
Done = Callable[[Group, OSError | None], None]


class Committer:
    """Commits the groups of one writer, one after the other."""

    def __init__(self, done: Done, *, in_loop: bool) -> None:
        """`done` is called in the loop when a group is through, or has failed."""
        self._done = done
        self._in_loop = in_loop
        self._mean_s = self._slow_until_s = 0.0
        self._queue: SimpleQueue[Group | None] = SimpleQueue()
        self._thread: Thread | None = None

    def take(self, group: Group, loop: asyncio.AbstractEventLoop, *, healthy: bool) -> None:
        """Commit a group. `healthy`: the disk did not refuse the last one."""
        if self._in_loop and healthy:
            bad = group.write()
            if bad is None and group.syncs:
                if perf_counter() < self._slow_until_s:
                    self._give_thread(group, loop)
                    return
                bad = group.commit()
                self._look_at(group.sync_s)
            self._done(group, bad)
            return
        self._give_thread(group, loop)

    def _look_at(self, sync_s: float) -> None:
        self._mean_s += (sync_s - self._mean_s) * WEIGHT
        if self._mean_s > QUICK_S:
            self._mean_s, self._slow_until_s = 0.0, perf_counter() + SLOW_S

    def _give_thread(self, group: Group, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._work, args=(loop,), name="journal", daemon=True)
            self._thread.start()
        self._queue.put(group)

    def close(self, patience_s: float) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(patience_s)

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread."""
        while (group := self._queue.get()) is not None:
            bad = group.commit()
            try:
                loop.call_soon_threadsafe(self._done, group, bad)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return
