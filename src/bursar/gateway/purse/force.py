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

    __slots__ = ("_ahead", "_caps", "_now_ms")

    def __init__(self, caps: Caps, now_ms: Callable[[], int]) -> None:
        self._caps = caps
        self._ahead: list[tuple[int, Caps]] = []
        """From when others are in force, one after the other."""
        self._now_ms = now_ms

    @property
    def latest_ms(self) -> int:
        """When those that were taken last are in force; 0: they are."""
        return self._ahead[-1][0] if self._ahead else 0

    def now(self) -> Caps:
        """Those that count a call that begins now."""
        while self._ahead and self._now_ms() >= self._ahead[0][0]:
            self._caps = self._ahead.pop(0)[1]
        return self._caps

    def take(self, caps: Caps, from_ms: int = 0) -> None:
        """Others, from a moment on, and not before those that were taken earlier; 0: at once."""
        if from_ms:
            self._ahead.append((max(from_ms, self.latest_ms), caps))
        else:
            self._caps = caps
            self._ahead.clear()

    def follow(self, caps: Caps) -> None:
        """Others that count nothing new: as soon as those that were taken last are in force."""
        self.now()
        if self._ahead:
            self._ahead[-1] = (self.latest_ms, caps)
        else:
            self._caps = caps
