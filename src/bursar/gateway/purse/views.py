"""Accounts as a worker saw them last: what `bursar budgets` and the metrics page are told.

Each worker leaves a snapshot in the run folder, once a second, of the accounts that it used lately;
whoever asks puts those of all workers together. Counts of the store are the same whoever reads
them, so the youngest are taken; what each worker counts by itself is added up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

SUFFIX = ".accounts"
ALIVE_MS = 10_000
"""A gateway whose snapshots are older is not running, or hangs."""


class View(msgspec.Struct, kw_only=True):
    """One account. Amounts are nanodollars, tokens, calls, or ms, by its unit."""

    account: str
    """As the store knows it."""
    cap: str
    """Title of its rule, such as `budgets.tenants`."""
    scope: tuple[tuple[str, str | None], ...] = ()
    unit: str
    window: str
    """Such as `month@Europe/Berlin` or `86400s`."""
    limit: int | None = None
    """That holds now; None: it is only counted."""
    hard: bool = True
    at_ms: int = 0
    """When the store told it."""
    posted: int = 0
    held: int = 0
    suspect: int = 0
    worst_over: int = 0
    """The most by which it has exceeded its limit, ever."""
    begin_ms: int = 0
    """Of the window, or of what is now in it where it rolls."""
    resets_ms: int | None = None
    """End of a calendar window; None where there is no such moment."""
    calls: int = 0
    """Settled in this window, as are the four below; where there is no end, since `since_ms`."""
    refusals: int = 0
    judged: int = 0
    """Refusals of which it is known whether they were false."""
    false_refusals: int = 0
    cuts: int = 0
    """Streams that were cut."""
    since_ms: int = 0
    """Since when they are counted."""

    @property
    def left(self) -> int | None:
        """What may still be reserved; below 0 where it is exceeded."""
        if self.limit is None:
            return None
        return self.limit - self.posted - self.held - self.suspect


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker leaves."""

    settings: str | None = None
    """The file that it works by."""
    views: tuple[View, ...] = ()
    """Most recently used first."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All snapshots of a run folder together."""

    at_ms: int | None
    """Of the youngest; None: there is none."""
    settings: str | None
    views: tuple[View, ...]

    def is_alive(self, now_ms: int) -> bool:
        """Whether a gateway runs."""
        return self.at_ms is not None and now_ms - self.at_ms <= ALIVE_MS


def leave_views(snapshot: Snapshot, place: Path) -> None:
    """Write a snapshot, for its owner alone; a reader sees the one before or this one."""
    spare = place.with_suffix(".part")
    opened = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "wb") as stream:
        stream.write(msgspec.msgpack.encode(snapshot))
    os.replace(spare, place)


def found_views(place: Path) -> Snapshot:
    """A snapshot, or an empty one."""
    try:
        return msgspec.msgpack.decode(place.read_bytes(), type=Snapshot)
    except (OSError, msgspec.MsgspecError):
        return Snapshot()


def seen_in(folder: Path) -> Seen:
    """The snapshots of all workers that left one while the youngest was left."""
    stamps: list[tuple[int, Path]] = []
    for place in folder.glob(f"*{SUFFIX}"):
        try:
            stamps.append((place.stat().st_mtime_ns // 1_000_000, place))
        except FileNotFoundError:
            continue
    if not stamps:
        return Seen(at_ms=None, settings=None, views=())
    newest = max(stamps)
    near = [place for at_ms, place in sorted(stamps) if newest[0] - at_ms <= ALIVE_MS]
    snapshots = [found_views(place) for place in near]
    settings = next((one.settings for one in reversed(snapshots) if one.settings), None)
    views = merged(view for one in snapshots for view in one.views)
    return Seen(at_ms=newest[0], settings=settings, views=views)


def merged(views: Iterable[View]) -> tuple[View, ...]:
    """One view for each account, by cap and then by what is spent."""
    found: dict[str, View] = {}
    for view in views:
        known = found.get(view.account)
        found[view.account] = view if known is None else _both(known, view)
    return tuple(
        sorted(found.values(), key=lambda one: (one.cap, one.unit, one.window, -one.posted))
    )


def _both(one: View, other: View) -> View:
    young, old = (one, other) if one.at_ms >= other.at_ms else (other, one)
    same = young.begin_ms == old.begin_ms or young.resets_ms is None
    if not same:
        return young
    return msgspec.structs.replace(
        young,
        worst_over=max(young.worst_over, old.worst_over),
        calls=young.calls + old.calls,
        refusals=young.refusals + old.refusals,
        judged=young.judged + old.judged,
        false_refusals=young.false_refusals + old.false_refusals,
        cuts=young.cuts + old.cuts,
        since_ms=min(young.since_ms, old.since_ms),
    )
