"""The keeper's voice to a collector: begun with it, ended after it, its losses counted and said.

What became of each span is counted beside the workers' counts, so that `/metrics` shows it; a
loss is a line on stderr, at most one a minute, with numbers and no content.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from bursar.emit.line import SENT
from bursar.emit.options import OtlpOptions
from bursar.emit.teller import METRICS, Teller
from bursar.gateway.supervisor import run_folder
from bursar.gateway.tally import Tally, found, leave
from bursar.ledger.rows import Tell

COUNTS = "otlp.counts"
SAY_S = 60.0
"""Shortest time between two lines."""
LAST_WORDS_S = 5.0
"""How long a gateway that stops goes on telling."""


class Fates:
    """What became of what was told."""

    def __init__(self, place: Path, say: Callable[[str], None]) -> None:
        self._place = place
        self._say = say
        self._tally = Tally()
        self._tally.counts = found(place)
        self._lock = threading.Lock()
        self._unsaid: dict[str, int] = {}
        self._said_s = float("-inf")

    def note(self, fate: str, count: int) -> None:
        """So many spans met this fate, or so many sendings of metrics."""
        now_s = time.monotonic()
        with self._lock:
            if not fate.startswith(METRICS):
                self._tally.add("spans", (fate,), count)
            if not fate.endswith(SENT):
                self._unsaid[fate] = self._unsaid.get(fate, 0) + count
            with suppress(OSError):  # a full disk: the next snapshot has it
                leave(self._tally.counts, self._place)
            if self._unsaid and now_s - self._said_s >= SAY_S:
                self._speak(now_s)

    def close(self) -> None:
        """Nothing stays unsaid."""
        with self._lock:
            if self._unsaid:
                self._speak(time.monotonic())

    def _speak(self, now_s: float) -> None:
        told = ", ".join(f"{fate} {count}" for fate, count in sorted(self._unsaid.items()))
        with suppress(OSError):
            self._say(f"bursar: the collector of telemetry.otlp did not get everything: {told}")
        self._unsaid.clear()
        self._said_s = now_s


@contextmanager
def telling(
    options: OtlpOptions, home: Path, grace_s: float, say: Callable[[str], None]
) -> Generator[Tell]:
    """Somebody to tell of what is committed, for as long as a keeper runs."""
    fates = Fates(run_folder(home) / COUNTS, say)
    teller = Teller(options, fates.note)
    try:
        yield teller
    finally:
        teller.close(min(LAST_WORDS_S, grace_s))
        fates.close()
