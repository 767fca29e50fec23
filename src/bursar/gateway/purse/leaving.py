"""What a worker leaves of its accounts, and goes on from when it is started again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bursar.gateway.purse.events import EventLog
from bursar.gateway.purse.views import SUFFIX, Snapshot, View, found_views, leave_views
from bursar.gateway.purse.watch import Watch
from bursar.state.claims import Caps

FRESH_MS = 2_000
"""What was read of other workers is good for so long."""


class OtherWorkers:
    """What other workers of this gateway have settled, by the snapshots that they leave."""

    def __init__(self, place: Path) -> None:
        """`place`: of this worker's own."""
        self._place = place
        self._calls: dict[tuple[str, int], int] = {}
        self._read_ms = 0

    def calls(self, view: View) -> int:
        """Of an account, in the window that a view of it is of."""
        if view.at_ms - self._read_ms >= FRESH_MS:
            self._read_ms, self._calls = view.at_ms, self._read()
        return self._calls.get((view.account, view.begin_ms), 0)

    def _read(self) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        for place in self._place.parent.glob(f"*{SUFFIX}"):
            if place == self._place:
                continue
            for view in found_views(place).views:
                key = view.account, view.begin_ms
                found[key] = found.get(key, 0) + view.calls
        return found


def begin_watch(
    watch: Watch, place: Path, caps: Caps, settings: Path | None, say: Callable[[str], None]
) -> Callable[[], None]:
    """Go on from the snapshot at `place`, and raise events beside it. What leaves the next one."""
    watch.restore(found_views(place).views, caps)
    watch.take_caps(caps)
    watch.log = EventLog(place.parent, say)
    watch.others = OtherWorkers(place).calls
    file = None if settings is None else str(settings.absolute())
    left = -1

    def leave() -> None:
        nonlocal left
        with suppress(OSError):  # a full disk: the counts of the page say so as well
            if left == watch.changes:
                os.utime(place)
            else:
                leave_views(Snapshot(settings=file, views=watch.views()), place)
                left = watch.changes

    return leave
