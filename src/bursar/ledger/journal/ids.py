"""Call ids: 63-bit integers that carry their time, made by a worker without asking anybody.

41 bits of milliseconds since 2024, 10 bits of the worker's number, 12 bits of sequence. Ids of one
worker only grow: a clock that steps back is ignored until it has caught up.
"""

from __future__ import annotations

from datetime import datetime, timedelta

EPOCH_MS = 1_704_067_200_000
"""2024-01-01 in Unix time."""
WORKERS = 1 << 10
SEQUENCES = 1 << 12
KEY_MARK = "id:"
"""How the key of a call begins whose number is its id."""


class Ids:
    """The ids of one worker."""

    __slots__ = ("_last_ms", "_sequence", "_worker_bits")

    def __init__(self, worker: int) -> None:
        self._worker_bits = (worker % WORKERS) * SEQUENCES
        self._last_ms = 0
        self._sequence = 0

    def next(self, now_ms: int) -> int:
        """The next id. `now_ms`: Unix time."""
        since_ms = now_ms - EPOCH_MS
        if since_ms > self._last_ms:
            self._last_ms = since_ms
            self._sequence = 0
        else:
            self._sequence += 1
            if self._sequence == SEQUENCES:
                self._sequence = 0
                self._last_ms += 1
        return (self._last_ms << 22) | self._worker_bits | self._sequence


def time_of(call_id: int) -> datetime:
    """When an id was made, in UTC, naive."""
    return datetime(1970, 1, 1) + timedelta(milliseconds=(call_id >> 22) + EPOCH_MS)


def key_of(call_id: int) -> str:
    """The key of a call with this id."""
    return f"{KEY_MARK}{call_id}"


def id_of(key: str) -> int | None:
    """The id that a key carries; None where it is another kind of key."""
    number = key[len(KEY_MARK) :]
    if not key.startswith(KEY_MARK) or not number.isascii() or not number.isdecimal():
        return None
    found = int(number) if len(number) < 20 else 1 << 63
    return found if found < 1 << 63 else None
