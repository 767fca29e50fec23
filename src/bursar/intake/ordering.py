"""Calls in the order of their time, as far as a bounded look ahead can see.

The ledger follows a session's prompt from call to call, so it wants them as they were asked. Logs
deliver late and mixed. `by_time` keeps some entries back and lets the earliest go first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from heapq import heappop, heappush

from bursar.model.entry import Entry, Flag, SessionFact, Skip

HELD = 2_000
"""Entries kept back: records that are later than this many others stay out of order."""
Item = Entry | SessionFact | Skip | Flag


def in_session(entry: Entry) -> bool:
    """Only inside a session does the order of calls matter."""
    return entry.call.tags.session is not None


def by_time(
    items: Iterable[Item], held: int = HELD, movable: Callable[[Entry], bool] = in_session
) -> Iterator[Item]:
    """The same items; movable entries by their time, everything else where it stands."""
    waiting: list[tuple[datetime, int, Entry]] = []
    latest = datetime.min
    for number, item in enumerate(items):
        if not isinstance(item, Entry) or not movable(item):
            yield item
            continue
        latest = item.call.at or latest
        heappush(waiting, (latest, number, item))
        if len(waiting) > held:
            yield heappop(waiting)[2]
    while waiting:
        yield heappop(waiting)[2]
