"""Times as logs write them: RFC 3339, other ISO spellings, and seconds since 1970 in any unit.

The ledger keeps naive datetimes in UTC. Whether a time named its zone is told apart, so that a
reader can flag what it had to assume. A date that cannot be true (1970, 2100) is read as it
stands: the recorder flags it.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1)
UNITS = ((10**17, 10**9), (10**14, 10**6), (10**11, 10**3), (0, 1))
"""(from this size on, parts of a second): nano-, micro-, milliseconds, seconds. A count of
seconds reaches 10**11 in the year 5138, one of milliseconds in 1973."""
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
NAMED_UTC = re.compile(r"\s*(?:UTC|GMT|Z|z)$")
LONG_FRACTION = re.compile(r"([.,]\d{6})\d+")
SHORT_OFFSET = re.compile(r"(?<=\d)([+-]\d\d)$")


def parse_time(value: object) -> tuple[datetime | None, bool]:
    """(naive UTC, whether the zone was named) of a time; (None, False) of what is none.

    A count since 1970 is UTC by definition, so its zone counts as named.
    """
    if isinstance(value, str):
        if value[4:5] != "-":  # fromisoformat would read ten digits as a basic date
            return _other_spelling(value.strip())
        try:
            return _naive(datetime.fromisoformat(value))
        except (ValueError, OverflowError):
            return _other_spelling(value.strip())
    if isinstance(value, datetime):
        return _naive(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _since_epoch(value)
    return None, False


def milliseconds_between(start: datetime | None, end: datetime | None) -> int | None:
    """Whole milliseconds; None where a side is not known or the end lies before the start."""
    if start is None or end is None or end < start:
        return None
    return (end - start) // timedelta(milliseconds=1)


def _naive(at: datetime) -> tuple[datetime, bool]:
    if at.tzinfo is None:
        return at, False
    return at.astimezone(UTC).replace(tzinfo=None), True


def _other_spelling(text: str) -> tuple[datetime | None, bool]:
    """`2026-05-01 10:00:00 UTC`, `...+00`, nine digits of a second, a number in quotes."""
    if NUMBER.fullmatch(text):
        whole = text.lstrip("+-").isdecimal()
        return _since_epoch(int(text) if whole and len(text) < 32 else float(text))
    spelled, named = NAMED_UTC.subn("+00:00", text)
    spelled = LONG_FRACTION.sub(r"\1", spelled)
    if not named and ":" in spelled:
        spelled = SHORT_OFFSET.sub(r"\1:00", spelled)
    try:
        return _naive(datetime.fromisoformat(spelled))
    except (ValueError, OverflowError):
        return None, False


def _since_epoch(number: int | float) -> tuple[datetime | None, bool]:
    if not math.isfinite(number):
        return None, False
    size = abs(number)
    per_second = next(parts for least, parts in UNITS if size >= least)
    try:
        if isinstance(number, int):
            return EPOCH + timedelta(microseconds=number * 10**6 // per_second), True
        return EPOCH + timedelta(seconds=number / per_second), True
    except OverflowError:
        return None, False
