"""The caps that calls are counted by: the ones of the settings, from the moment that is agreed on.

Caps that count nothing new are in force at once. One that does is in force from a moment a little
ahead, the same for all workers, so that the ledger can be asked for all calls from before it and
every later one is counted as it is reserved.
"""

from __future__ import annotations

from collections.abc import Callable

from bursar.state.claims import Caps


class InForce:
    """Held by the kit; asked for each call."""

    __slots__ = ("_caps", "_from_ms", "_next", "_now_ms")

    def __init__(self, caps: Caps, now_ms: Callable[[], int]) -> None:
        self._caps = caps
        self._next: Caps | None = None
        self._from_ms = 0
        self._now_ms = now_ms

    def now(self) -> Caps:
        """Those that count a call that begins now."""
        if self._next is not None and self._now_ms() >= self._from_ms:
            self._caps, self._next = self._next, None
        return self._caps

    def take(self, caps: Caps, from_ms: int = 0) -> None:
        """Others, from a moment on; 0: at once."""
        if from_ms:
            self._next, self._from_ms = caps, from_ms
        else:
            self._caps, self._next = caps, None
