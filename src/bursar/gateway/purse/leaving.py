"""What a worker leaves of its accounts, and goes on from when it is started again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bursar.gateway.purse.events import EventLog
from bursar.gateway.purse.views import Snapshot, found_views, leave_views
from bursar.gateway.purse.watch import Watch
from bursar.state.claims import Caps


def begin_watch(
    watch: Watch, place: Path, caps: Caps, settings: Path | None, say: Callable[[str], None]
) -> Callable[[], None]:
    """Go on from the snapshot at `place`, and raise events beside it. What leaves the next one."""
    watch.restore(found_views(place).views, caps)
    watch.take_caps(caps)
    watch.log = EventLog(place.parent, say)
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
