"""Progress on stderr while files are read: a live line on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.status import Status

QUIET_S = 1.0
"""Work shorter than this shows nothing."""


class Progress:
    """Shows the file being read and how many calls were found."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status: Status | None = None
        self._started = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def show(self, file: str, read_bytes: int, entries: int) -> None:
        """Called by the import now and then."""
        if not sys.stderr.isatty() or time.monotonic() - self._started < QUIET_S:
            return
        if self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._status.update(f"{Path(file).name}: {read_bytes / 1e6:,.0f} MB, {entries:,} calls")
