"""Windows: every moment has one slot, slots have no gaps, and nothing is forgotten early."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bursar.model.errors import BadInput
from bursar.state.windows import (
    EPOCH,
    LONGEST_S,
    MS,
    SLOTS,
    UNITS,
    Window,
    checked_window,
    place,
    placing,
    resets_ms,
)

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # went back at 00:01, to the day before
    "America/Sao_Paulo",  # skipped midnight
    "America/Havana",  # had midnight twice
    "Atlantic/Azores",
    "Australia/Lord_Howe",  # jumps by half an hour
    "Asia/Kathmandu",  # +05:45
    "Pacific/Apia",  # left out a whole day
    "Africa/Casablanca",
    "Africa/Monrovia",  # -00:44:30 until 1972
    "Asia/Gaza",
    "Antarctica/Troll",  # jumps by two hours
)
CALENDAR = ("minute", "hour", "day", "week", "month", "quarter", "year")
LAST_MS = 4_102_444_800_000  # 2100
HOUR_MS = 3_600_000


def ms(text: str, zone: str = "UTC") -> int:
    at = datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return (at.astimezone(UTC) - EPOCH) // MS


def local(at_ms: int, zone: str) -> datetime:
    return (EPOCH + timedelta(milliseconds=at_ms)).astimezone(zoneinfo.ZoneInfo(zone))


def jumps(zone: str) -> list[int]:
    """The moments (to the hour) about which the clocks of a zone jump."""
    found: list[int] = []
    step, before = 12 * HOUR_MS, local(0, zone).utcoffset()
    for at in range(step, LAST_MS // 2, step):
        now = local(at, zone).utcoffset()
        if now != before:
            found += range(at - step, at, HOUR_MS)
        before = now
    return found


JUMPS = {zone: jumps(zone) for zone in ZONES}


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int]:
    """Any moment, half of them where clocks jump or years end."""
    zone = draw(st.sampled_from(ZONES))
    at = draw(st.integers(0, LAST_MS))
    if JUMPS[zone] and draw(st.booleans()):
        at = draw(st.sampled_from(JUMPS[zone])) + draw(st.integers(-HOUR_MS, HOUR_MS))
    elif draw(st.booleans()):
        year = draw(st.integers(1971, 2099))
        at = ms(f"{year}-01-01", zone) + draw(st.integers(-2, 2))
    return zone, at


windows = st.builds(Window, st.sampled_from(CALENDAR), st.just(0), st.sampled_from(ZONES))
lengths = st.one_of(st.integers(1, 200), st.integers(1, LONGEST_S))


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(CALENDAR), moments())
@example("day", ("Pacific/Apia", ms("2011-12-30T10:00")))
@example("hour", ("Australia/Lord_Howe", ms("2026-04-04T15:10")))
@example("day", ("America/St_Johns", ms("2005-10-30T03:00")))
def test_calendar_slots_have_no_gaps(unit: str, moment: tuple[str, int]) -> None:
    zone, at = moment
    window = Window(unit, 0, zone)  # type: ignore[arg-type]
    here = place(window, at)
    assert here.slot <= at < here.until
    assert (here.since, here.step) == (here.slot, 0)
    assert place(window, here.slot) == here
    assert place(window, here.until - 1) == here
    assert place(window, here.until).slot == here.until
    assert place(window, here.slot - 1).until == here.slot
    assert resets_ms(window, at) == here.until


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(CALENDAR[2:]), moments())
def test_calendar_slots_begin_where_people_say(unit: str, moment: tuple[str, int]) -> None:
    zone, at = moment
    begin = local(place(Window(unit, 0, zone), at).slot, zone)  # type: ignore[arg-type]
    first = begin.date()
    if (begin.hour, begin.minute, begin.second) != (0, 0, 0):
        before = local(place(Window(unit, 0, zone), at).slot - 1, zone)  # type: ignore[arg-type]
        assert before.date() != first, "a day that begins late begins where clocks jumped"
        assert before.utcoffset() != begin.utcoffset()
    if unit == "week" and zone != "Pacific/Apia":
        assert first.weekday() == 0
    if unit in ("month", "quarter", "year"):
        assert first.day == 1
    if unit == "quarter":
        assert first.month in (1, 4, 7, 10)
    if unit == "year":
        assert first.month == 1


@pytest.mark.parametrize(
    ("unit", "zone", "at", "begin", "hours"),
    [
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-29", 23),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-25", 25),
        ("day", "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T01:00", 23),
        ("day", "America/Havana", "2026-11-01T12:00", "2026-11-01", 25),
        ("month", "UTC", "2028-02-29T23:59:59", "2028-02-01", 29 * 24),
        ("month", "UTC", "2027-02-28T23:59:59", "2027-02-01", 28 * 24),
        ("year", "UTC", "2028-12-31T23:59:59", "2028-01-01", 366 * 24),
        ("quarter", "America/New_York", "2026-03-31T23:00", "2026-01-01", 90 * 24 - 1),
        ("week", "Europe/Berlin", "2026-11-22T23:59:59", "2026-11-16", 7 * 24),
        ("hour", "Asia/Kathmandu", "2026-11-22T10:59", "2026-11-22T10:00", 1),
    ],
)
def test_known_days(unit: str, zone: str, at: str, begin: str, hours: int) -> None:
    here = place(checked_window(unit, zone=zone), ms(at, zone))
    assert here.slot == ms(begin, zone)
    assert here.until - here.slot == hours * HOUR_MS


@settings(max_examples=500, deadline=None)
@given(lengths, st.integers(0, LAST_MS), st.integers(0, 2 * LONGEST_S * 1000))
def test_rolling_never_forgets_early_and_at_most_a_slot_late(
    length_s: int, at: int, later_ms: int
) -> None:
    window = checked_window("rolling", length_s)
    spent, now = place(window, at), place(window, at + later_ms)
    counts = spent.slot >= now.since
    length_ms = length_s * 1000
    assert counts or later_ms >= length_ms
    assert not counts or later_ms < length_ms + spent.step
    assert counts == (at + later_ms < spent.until)
    assert spent.step * (SLOTS - 1) < length_ms + spent.step
    assert (now.slot - now.since) // now.step <= SLOTS
    assert now.slot <= at + later_ms < now.slot + now.step
    assert resets_ms(window, at + later_ms, spent.slot) == spent.until
    late = resets_ms(window, at)
    assert late is not None
    assert late >= at + length_ms


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        windows,
        st.just(Window("never")),
        st.builds(Window, st.just("rolling"), lengths),
    ),
    st.lists(st.integers(0, LAST_MS), max_size=8),
    st.lists(st.integers(-HOUR_MS, HOUR_MS), max_size=8),
)
def test_the_quick_way_gives_the_same(window: Window, far: list[int], near: list[int]) -> None:
    """Also when the clock steps back."""
    quick = placing(window)
    for at in [*far, *(max(0, (far or [0])[-1] + one) for one in near)]:
        assert quick(at) == place(window, at)


def test_never() -> None:
    window = checked_window("never")
    assert place(window, 5) == place(window, LAST_MS) == (0, 0, 0, 0)
    assert resets_ms(window, 5) is None


@pytest.mark.parametrize(
    ("unit", "length_s", "zone", "said"),
    [
        ("fortnight", 0, "UTC", "no window"),
        ("rolling", 0, "UTC", "length"),
        ("day", 60, "UTC", "length"),
        ("rolling", -5, "UTC", "-5 seconds"),
        ("rolling", LONGEST_S + 1, "UTC", "seconds"),
        ("day", 0, "Europe/Atlantis", "no time zone"),
        ("day", 0, "../../etc/passwd", "no time zone"),
        ("day", 0, "", "no time zone"),
        ("day", 0, "Europe", "no time zone"),
    ],
)
def test_what_is_no_window_is_named(unit: str, length_s: int, zone: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        checked_window(unit, length_s, zone, where="budgets.0.window")
    assert "budgets.0.window" in caught.value.message
    assert caught.value.mend


def test_utc_needs_no_database() -> None:
    assert all(place(Window(unit, 60 * (unit == "rolling")), 0) for unit in UNITS)
