"""Windows: over which stretch of time a limit counts, and when it begins anew.

A calendar window (day, month) is one slot that runs from one boundary on the clocks of its time
zone to the next: 23 or 25 hours on days when clocks change. A rolling window of N seconds is cut
into 60 slots; what was spent in one leaves with the last moment of its slot, so that it is never
forgotten early and at most one slot late; where clocks of several nodes differ, each goes by its
own, and by so much the window is not the same. A window that never ends is the one slot 0.

Pure: a moment goes in as milliseconds since 1970, in UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from bursar.model.errors import BadInput

Unit = Literal["never", "rolling", "minute", "hour", "day", "week", "month", "quarter", "year"]
UNITS: tuple[Unit, ...] = get_args(Unit)

SLOTS = 60
"""Into so many at most a rolling window is cut; one more is partly in it."""
LONGEST_S = 10 * 366 * 86_400
"""Of a rolling window."""
SHORT_MS = {"minute": 60_000, "hour": 3_600_000}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)


class Window(msgspec.Struct, frozen=True):
    """The stretch of a limit. `checked_window` makes one from what a person wrote."""

    unit: Unit
    length_s: int = 0
    """Of a rolling window, else 0."""
    zone: str = "UTC"
    """IANA name of the time zone whose clocks a calendar window goes by. Weeks begin on Monday."""

    @property
    def step_ms(self) -> int:
        """Length of one slot of a rolling window, else 0."""
        return -(-self.length_s * 1000 // SLOTS) if self.unit == "rolling" else 0


class Place(NamedTuple):
    """Where a moment falls in a window: what a Claim tells the store about time, in its words."""

    slot: int
    since: int
    step: int
    until: int
    """When the slot is out of every window; 0: never."""


FOREVER = Place(0, 0, 0, 0)


def checked_window(unit: str, length_s: int = 0, zone: str = "UTC", where: str = "") -> Window:
    """A Window that `place` can be asked about. Raises BadInput, naming `where` it stood."""
    at = f"{where}: " if where else ""
    if unit not in UNITS:
        raise BadInput(f"{at}{unit!r} is no window", mend=f"one of {', '.join(UNITS)}")
    if (unit == "rolling") != bool(length_s):
        raise BadInput(f"{at}only a rolling window has a length", mend="rolling with seconds")
    if length_s and not 1 <= length_s <= LONGEST_S:
        raise BadInput(
            f"{at}a rolling window of {length_s} seconds", mend=f"from 1 to {LONGEST_S} seconds"
        )
    try:
        zone_of(zone)
    except BadInput as bad:
        raise BadInput(f"{at}{bad.message}", mend=bad.mend) from bad
    return Window(unit, length_s, zone)


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name; UTC needs no time zone database. Raises BadInput."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as bad:
        if not available_timezones():
            raise BadInput(
                f"{name!r} cannot be looked up: this machine has no time zones",
                mend="install the system's tzdata, or the Python package: pip install tzdata",
            ) from bad
        raise BadInput(
            f"{name!r} is no time zone that this machine knows",
            mend="an IANA name such as Europe/Berlin",
        ) from bad


def place(window: Window, at_ms: int) -> Place:
    """Where a moment falls. Each moment has one place, and the slots of a window have no gaps."""
    if window.unit == "never":
        return FOREVER
    if window.unit == "rolling":
        length_ms, step = window.length_s * 1000, window.step_ms
        slot = at_ms - at_ms % step
        oldest = at_ms - length_ms + 1
        return Place(slot, oldest - oldest % step, step, slot + step + length_ms - 1)
    begin, end = _bounds(window, at_ms)
    return Place(begin, begin, 0, end)


def placing(window: Window) -> Callable[[int], Place]:
    """`place` of one window, which answers quickly as long as moments stay in one slot."""
    last = place(window, 0)
    begin, end = 0, 0
    length_ms, step = window.length_s * 1000, window.step_ms

    def forever(at_ms: int) -> Place:
        return FOREVER

    def rolling(at_ms: int) -> Place:
        slot = at_ms - at_ms % step
        oldest = at_ms - length_ms + 1
        return Place(slot, oldest - oldest % step, step, slot + step + length_ms - 1)

    def calendar(at_ms: int) -> Place:
        nonlocal last, begin, end
        if not begin <= at_ms < end:
            last = place(window, at_ms)
            begin, end = last.slot, last.until
        return last

    return {"never": forever, "rolling": rolling}.get(window.unit, calendar)


def resets_ms(window: Window, at_ms: int, oldest: int | None = None) -> int | None:
    """When a window that is full begins to have room again; None: it never does.

    The next boundary of a calendar window. Of a rolling one, when its `oldest` slot that counts
    anything leaves (as `Denial.oldest` tells); where that is not known, when all has left.
    """
    if window.unit == "never":
        return None
    here = place(window, at_ms)
    if not here.step or oldest is None:
        return here.until
    return oldest + here.step + window.length_s * 1000 - 1


def _offset_ms(zone: tzinfo, at_ms: int) -> int:
    """What clocks there are ahead of UTC at a moment."""
    return ((EPOCH + at_ms * MS).astimezone(zone).utcoffset() or timedelta()) // MS


def _bounds(window: Window, at_ms: int) -> tuple[int, int]:
    """Beginning and end of the calendar unit that a moment is in."""
    zone = zone_of(window.zone)
    if window.unit in SHORT_MS:
        return _short_bounds(zone, SHORT_MS[window.unit], at_ms)
    first = _first_day((EPOCH + at_ms * MS).astimezone(zone).date(), window.unit, 0)
    begin, end = _begin_ms(zone, first), _begin_ms(zone, _first_day(first, window.unit, 1))
    while at_ms < begin:  # clocks went back over midnight, and this day has already begun
        first = _first_day(first, window.unit, -1)
        begin, end = _begin_ms(zone, first), begin
    while at_ms >= end:
        first = _first_day(first, window.unit, 1)
        begin, end = end, _begin_ms(zone, _first_day(first, window.unit, 1))
    return begin, end


def _first_day(day: date, unit: str, ahead: int) -> date:
    """First day of the unit that holds a day, or of one so many units ahead."""
    if unit == "day":
        return day + timedelta(days=ahead)
    if unit == "week":
        return day + timedelta(days=7 * ahead - day.weekday())
    months = MONTHS[unit]
    count = (day.year * 12 + day.month - 1) // months * months + ahead * months
    return date(count // 12, count % 12 + 1, 1)


def _begin_ms(zone: tzinfo, day: date) -> int:
    """The first moment of a day: where midnight is skipped, that of the jump; where it comes
    twice, the first."""
    return (datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) - EPOCH) // MS


def _short_bounds(zone: tzinfo, unit_ms: int, at_ms: int) -> tuple[int, int]:
    """A minute or an hour, cut short where the clocks jump by less than one (Lord Howe)."""
    offset_ms = _offset_ms(zone, at_ms)
    begin = at_ms - (at_ms + offset_ms) % unit_ms
    end = begin + unit_ms
    if (_offset_ms(zone, begin) - offset_ms) % unit_ms:
        begin = _jump(zone, begin, at_ms)
    if (_offset_ms(zone, end - 1) - offset_ms) % unit_ms:
        end = _jump(zone, at_ms, end - 1)
    return begin, end


def _jump(zone: tzinfo, before_ms: int, after_ms: int) -> int:
    """The moment between two at which the clocks jump: the first with the later offset."""
    offset_ms = _offset_ms(zone, after_ms)
    while after_ms - before_ms > 1:
        middle_ms = (before_ms + after_ms) // 2
        if _offset_ms(zone, middle_ms) == offset_ms:
            after_ms = middle_ms
        else:
            before_ms = middle_ms
    return after_ms
