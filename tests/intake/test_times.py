"""Every spelling of one moment is that moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.intake.times import EPOCH, milliseconds_between, parse_time

MOMENTS = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1))
OFFSETS = st.integers(min_value=-14 * 60, max_value=14 * 60)


@given(MOMENTS, OFFSETS)
def test_any_offset_gives_the_same_moment(at: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    text = at.replace(tzinfo=UTC).astimezone(zone).isoformat()
    assert parse_time(text) == (at, True)


@given(MOMENTS)
def test_every_unit_since_1970_gives_the_same_moment(at: datetime) -> None:
    micros = (at - EPOCH) // timedelta(microseconds=1)
    whole = at.replace(microsecond=0)
    assert parse_time(micros) == (at, True)
    assert parse_time(micros * 1000) == (at, True)
    assert parse_time(str(micros * 1000)) == (at, True)
    assert parse_time(micros // 10**6) == (whole, True)
    assert parse_time(micros // 10**6 * 1000) == (whole, True)


@given(MOMENTS)
def test_a_float_of_seconds_is_right_to_the_microsecond(at: datetime) -> None:
    found, _ = parse_time((at - EPOCH).total_seconds())
    assert found is not None
    assert abs(found - at) <= timedelta(microseconds=2)


@given(MOMENTS)
def test_a_time_without_zone_says_so(at: datetime) -> None:
    assert parse_time(at.isoformat()) == (at, False)
    assert parse_time(at.isoformat(" ")) == (at, False)


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01T10:00:00Z",
        "2026-05-01T10:00:00.000Z",
        "2026-05-01T10:00:00.000000000Z",
        "2026-05-01 10:00:00+00",
        "2026-05-01 10:00:00 UTC",
        "2026-05-01 12:00:00.000000+02:00",
        " 2026-05-01T10:00:00Z ",
    ],
)
def test_spellings(text: str) -> None:
    assert parse_time(text) == (datetime(2026, 5, 1, 10), True)


@pytest.mark.parametrize(
    "value",
    ["", "soon", "2026-13-01", None, True, [], float("nan"), float("inf"), 10**40, "9" * 400],
)
def test_what_is_no_time(value: object) -> None:
    assert parse_time(value) == (None, False)


def test_dates_that_cannot_be_true_are_left_to_the_recorder() -> None:
    assert parse_time(0) == (EPOCH, True)
    assert parse_time("2100-01-01T00:00:00Z") == (datetime(2100, 1, 1), True)


def test_milliseconds() -> None:
    start = datetime(2026, 5, 1)
    assert milliseconds_between(start, start + timedelta(seconds=1, microseconds=999)) == 1000
    assert milliseconds_between(start, start - timedelta(seconds=1)) is None
    assert milliseconds_between(None, start) is None
