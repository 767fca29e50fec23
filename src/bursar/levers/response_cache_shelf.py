"""A bounded shelf: key -> value, the least recently used goes first, and nothing outlives its time.

There is no clock here: each act brings its time. Each value says how large it is and under which
labels it can be thrown out. Nothing larger than a quarter of the shelf is put on it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

Value = TypeVar("Value")

OVERHEAD_BYTES = 400
"""What an entry takes beside its value: key, links, labels."""
LARGEST_SHARE = 4


class Place(msgspec.Struct, Generic[Value], gc=False):
    """One value on the shelf."""

    value: Value
    size_bytes: int
    since_ms: int
    labels: tuple[str, ...]


class Shelf(Generic[Value]):
    """Values by key. Not for use by several threads at the same time."""

    __slots__ = ("_keys", "_places", "_size", "most_bytes", "most_entries", "ttl_ms")

    def __init__(self, *, most_bytes: int, most_entries: int, ttl_ms: int) -> None:
        self.most_bytes = most_bytes
        self.most_entries = most_entries
        self.ttl_ms = ttl_ms
        self._places: OrderedDict[bytes, Place[Value]] = OrderedDict()
        self._keys: dict[str, set[bytes]] = {}
        """Label -> keys."""
        self._size = 0

    def __len__(self) -> int:
        return len(self._places)

    @property
    def size_bytes(self) -> int:
        return self._size

    def get(self, key: bytes, now_ms: int, most_age_ms: int | None = None) -> Place[Value] | None:
        """What is kept and young enough. What has outlived its time is thrown out, and so is what
        comes from the future of a clock that was set back."""
        place = self._places.get(key)
        if place is None:
            return None
        age_ms = now_ms - place.since_ms
        if not 0 <= age_ms < self.ttl_ms:
            self.drop(key)
            return None
        if most_age_ms is not None and age_ms > most_age_ms:
            return None
        self._places.move_to_end(key)
        return place

    def put(
        self, key: bytes, value: Value, size_bytes: int, now_ms: int, labels: Iterable[str] = ()
    ) -> bool:
        """Keep it, in place of what was there. False: it is too large."""
        self.drop(key)
        told = tuple(labels)
        size = size_bytes + OVERHEAD_BYTES + sum(len(label) for label in told)
        if size * LARGEST_SHARE > self.most_bytes or self.most_entries < 1:
            return False
        self._places[key] = Place(value, size, now_ms, told)
        self._size += size
        for label in told:
            self._keys.setdefault(label, set()).add(key)
        while self._size > self.most_bytes or len(self._places) > self.most_entries:
            self.drop(next(iter(self._places)))
        return True

    def drop(self, key: bytes) -> bool:
        place = self._places.pop(key, None)
        if place is None:
            return False
        self._size -= place.size_bytes
        for label in place.labels:
            keys = self._keys[label]
            keys.discard(key)
            if not keys:
                del self._keys[label]
        return True

    def purge(self, label: str) -> int:
        """Throw out all that has the label; how many that were."""
        keys = tuple(self._keys.get(label, ()))
        for key in keys:
            self.drop(key)
        return len(keys)

    def clear(self) -> int:
        """Throw out everything; how many that were."""
        count = len(self._places)
        self._places.clear()
        self._keys.clear()
        self._size = 0
        return count
