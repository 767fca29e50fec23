"""What a worker counts, cheaply, as plain integers by tuples of labels.

Prometheus' text is made of it when somebody asks. Several workers share one page: each leaves a
snapshot in a common folder, and whoever is asked adds them up. A worker that takes the place of
another goes on from its snapshot, so that counters never fall. Clients choose labels, so their
number is bounded, for the page as a whole: each worker has its share of the bound, and what is
beyond is counted under `__other__`.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from bursar.model.call import Tags
from bursar.model.usage import Usage

BUCKETS_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000)
"""Upper ends of the buckets of durations."""
OTHER = "__other__"

Labels = tuple[str, ...]


class Counts(msgspec.Struct):
    """Everything that is counted. Each dict: labels -> a count."""

    calls: dict[Labels, int] = {}
    """(tags of the settings, provider, model, status)"""
    tokens: dict[Labels, int] = {}
    """(tags, provider, model, unit)"""
    cost_nano: dict[Labels, int] = {}
    """(tags, provider, model)"""
    unpriced: dict[Labels, int] = {}
    """(provider, model)"""
    refused: dict[Labels, int] = {}
    """(kind,)"""
    left: dict[Labels, int] = {}
    """(fate,): clients that left before their answer ended, `drained` or `cut`."""
    upstream_errors: dict[Labels, int] = {}
    """(provider, kind)"""
    unread: dict[Labels, int] = {}
    """(provider, reason): answers without a usage that can be believed."""
    undurable: dict[Labels, int] = {}
    """(provider,): answers given although the disk did not take their record in time."""
    quarantined: dict[Labels, int] = {}
    """(rule,): by the name of the route's rule."""
    large: dict[Labels, int] = {}
    """(rule,): requests above the size at which somebody wants to know."""
    levers: dict[Labels, int] = {}
    """(rule, lever, verdict): what levers did to calls, refused ones too."""
    spans: dict[Labels, int] = {}
    """(fate,): spans for a collector, by what became of them."""
    journal: dict[Labels, int] = {}
    """(what,): what happened to the journal, by the fields of its `Tally`."""
    sessions: dict[Labels, int] = {}
    """(fate,): inferred sessions, by what became of them."""
    cap_refusals: dict[Labels, int] = {}
    """(cap, unit): calls that a cap refused; of rates the unit is `rate`."""
    judged_refusals: dict[Labels, int] = {}
    """(cap,): those of which it is known whether they were false."""
    false_refusals: dict[Labels, int] = {}
    """(cap,): those whose calls would have fitted, as it turned out."""
    cap_cuts: dict[Labels, int] = {}
    """(cap,): streams that a cap cut."""
    cap_events: dict[Labels, int] = {}
    """(cap, kind): events that were raised."""
    restarts: dict[Labels, int] = {}
    """(process,): `keeper`, `purse` or `worker`."""
    duration_ms: dict[Labels, list[int]] = {}
    """(provider,) -> counts by bucket, then the sum and the number."""
    first_byte_ms: dict[Labels, list[int]] = {}
    cap_wait_ms: dict[Labels, list[int]] = {}
    """(cap,), as above: calls that waited for room and were let in."""


class Tally:
    """The counts of one worker."""

    def __init__(self, tag_names: Sequence[str] = (), most_series: int = 1_000) -> None:
        """`tag_names`: tags that become labels. Sets of labels beyond `most_series` of one name are
        counted as `__other__`, since clients choose models."""
        self.tag_names = tuple(tag_names)
        self._most = most_series
        self.counts = Counts()
        self.open = 0
        """Calls under way."""

    def share(self, workers: int) -> None:
        """Several workers count: each has an equal share of the bound, so that the sum keeps it."""
        self._most = max(1, self._most // max(1, workers))

    def add(self, name: str, labels: Labels, more: int = 1) -> None:
        """Count `more` of `name` (a field of Counts)."""
        series: dict[Labels, int] = getattr(self.counts, name)
        if labels not in series and len(series) >= self._most:
            labels = (OTHER,) * len(labels)
        series[labels] = series.get(labels, 0) + more

    def labels(self, tags: Tags, provider: str, model: str) -> Labels:
        """The labels of an attempt."""
        return (*(tag_of(tags, name) for name in self.tag_names), provider, model)

    def call(self, labels: Labels, status: int, usage: Usage | None, cost_nano: int | None) -> None:
        """One attempt, by its labels."""
        self.add("calls", (*labels, str(status)))
        if usage is not None:
            for unit, tokens in usage_units(usage):
                self.add("tokens", (*labels, unit), tokens)
            if cost_nano is None:
                self.add("unpriced", labels[-2:])
        if cost_nano is not None:
            self.add("cost_nano", labels, cost_nano)

    def took(self, name: str, labels: Labels, spent_ms: int) -> None:
        """A duration. `name`: `duration_ms`, `first_byte_ms` or `cap_wait_ms`."""
        series: dict[Labels, list[int]] = getattr(self.counts, name)
        counts = series.get(labels)
        if counts is None:
            if len(series) >= self._most:
                labels = (OTHER,) * len(labels)
            counts = series.setdefault(labels, [0] * (len(BUCKETS_MS) + 3))
        counts[bisect_left(BUCKETS_MS, spent_ms)] += 1
        counts[-2] += spent_ms
        counts[-1] += 1


def tag_of(tags: Tags, name: str) -> str:
    """A tag as a label; empty where the call has none."""
    found = getattr(tags, name, None) or tags.other.get(name)
    return "" if found is None else str(found)


def usage_units(usage: Usage) -> Iterable[tuple[str, int]]:
    """(unit, count) of what is not zero."""
    for unit in USAGE_UNITS:
        tokens = getattr(usage, unit)
        if tokens:
            yield unit, tokens
    yield from usage.other.items()


USAGE_UNITS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")


def leave(counts: Counts, place: Path) -> None:
    """Write a snapshot; a reader sees the one before or this one, never half of it."""
    spare = place.with_suffix(".new")
    spare.write_bytes(msgspec.msgpack.encode(counts))
    os.replace(spare, place)


def found(place: Path) -> Counts:
    """A snapshot, or nothing counted yet."""
    try:
        return msgspec.msgpack.decode(place.read_bytes(), type=Counts)
    except (OSError, msgspec.MsgspecError):
        return Counts()


def summed(all_counts: Iterable[Counts], most_series: int) -> Counts:
    """All workers together. Of each name at most `most_series` sets of labels and `__other__`: more
    can only come from snapshots that an earlier start, with another bound, has left."""
    total = Counts()
    for counts in all_counts:
        for name in Counts.__struct_fields__:
            mine: dict[Labels, int | list[int]] = getattr(total, name)
            theirs: Mapping[Labels, int | list[int]] = getattr(counts, name)
            for labels, count in theirs.items():
                other = (OTHER,) * len(labels)
                if labels not in mine and len(mine) - (other in mine) >= most_series:
                    labels = other
                mine[labels] = _plus(mine.get(labels), count)
    return total


def _plus(one: int | list[int] | None, other: int | list[int]) -> int | list[int]:
    if one is None:
        return other
    if isinstance(one, list) and isinstance(other, list):
        return [left + right for left, right in zip(one, other, strict=True)]
    assert isinstance(one, int)
    assert isinstance(other, int)
    return one + other
