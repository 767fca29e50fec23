"""The small values that settings are made of: secrets, durations, sizes, moments, patterns.

A person writes `30s`, `8 MiB`, `2027-01-31` or `gpt-5*`; each is read once, at start, and what
cannot be read is a ValueError whose text says how to write it. A secret never shows itself: not in
its repr, not in a traceback, not in any encoding.
"""

from __future__ import annotations

import fnmatch
import hmac
import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

from bursar.gateway.settings import amounts
from bursar.gateway.settings.amounts import plain

Matcher = Callable[[str], bool]
Kept = TypeVar("Kept")

LONGEST_PATTERN = 256
LONGEST_S = 30 * 86_400.0
LARGEST_BYTES = 1 << 40
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?(ms|s|m|h|d)")
_SECONDS_OF = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE = re.compile(r"(\d{1,15}) ?(B|KB|MB|GB|KiB|MiB|GiB)")
_BYTES_OF = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}


class Seconds(float):
    """A duration. Written `250ms`, `30s`, `5m`, `1h`, `7d`, or a bare number of seconds."""


class Bytes(int):
    """A size. Written `64KiB`, `8 MiB`, `2MB`, or a bare number of bytes."""


class Moment(int):
    """A point in time, as seconds since 1970. Written `2027-01-31` or `2027-01-31T12:00:00Z`."""


class Secret:
    """A text that may be used and never shown."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one header that carries it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


def seconds_of(given: object) -> Seconds:
    """A duration as written. Raises ValueError with the mend."""
    value = math.nan
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        value = float(given) if abs(given) <= LONGEST_S else math.inf
    elif isinstance(given, str) and (found := _DURATION.fullmatch(given)):
        value = float(found[1]) * _SECONDS_OF[found[2]]
    if not 0 < value <= LONGEST_S:
        raise ValueError("needs a duration such as 250ms, 30s, 5m or 1h, above 0, at most 30d")
    return Seconds(value)


def bytes_of(given: object) -> Bytes:
    """A size as written. Raises ValueError with the mend."""
    value = -1
    if isinstance(given, int) and not isinstance(given, bool):
        value = given
    elif isinstance(given, str) and (found := _SIZE.fullmatch(given)):
        value = int(found[1]) * _BYTES_OF[found[2]]
    if not 0 < value <= LARGEST_BYTES:
        raise ValueError("needs a size such as 64KiB or 8MiB, above 0")
    return Bytes(value)


def moment_of(given: object) -> Moment:
    """A day or a time in UTC as written. Raises ValueError with the mend."""
    try:
        at = datetime.fromisoformat(given if isinstance(given, str) else "")
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return Moment(int(at.timestamp()))
    except (ValueError, OverflowError):
        raise ValueError("needs a day or a time such as 2027-01-31T12:00:00Z, in UTC") from None


READERS: dict[type, Callable[[object], object]] = {
    Seconds: seconds_of,
    Bytes: bytes_of,
    Moment: moment_of,
    amounts.Amounts: amounts.amounts_of,
    amounts.Count: amounts.count_of,
    amounts.Every: amounts.every_of,
    amounts.Money: amounts.money_of,
    amounts.Percent: amounts.percent_of,
    amounts.Words: amounts.words_of,
}


def read_value(kind: type, given: object) -> object:
    """The hook by which msgspec reads our own kinds of value."""
    reader = READERS.get(kind)
    if reader is None:
        raise ValueError(f"cannot be a {kind.__name__}")
    return reader(given)


def written(value: object) -> object:
    """A value of ours as plain YAML knows it."""
    if isinstance(value, Moment):
        return datetime.fromtimestamp(value, tz=UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Seconds):
        return float(value)
    return int(value) if isinstance(value, Bytes) else plain(value)


def matcher_of(pattern: str) -> Matcher:
    """A test for a shell-like pattern (`*`, `?`, `[ab]`), case and all.

    It never backtracks across a star, so that no text takes long. Raises ValueError for a pattern
    that is too long.
    """
    if not pattern or len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"needs a pattern of 1 to {LONGEST_PATTERN} characters")
    head = pattern[:-1]
    if not set(pattern) & set("*?["):
        return pattern.__eq__
    if pattern[-1] == "*" and not set(head) & set("*?["):
        return lambda text: text.startswith(head)
    fits = re.compile(fnmatch.translate(pattern)).match
    return lambda text: fits(text) is not None


def any_of(patterns: Iterable[str]) -> Matcher | None:
    """A test for several patterns; None where there are none."""
    tests = [matcher_of(one) for one in patterns]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda text: any(fits(text) for fits in tests)


class Bounded(dict[object, Kept]):
    """A cache that forgets everything when it is full: bounded, and cheap to ask."""

    __slots__ = ("most",)

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def keep(self, key: object, value: Kept) -> Kept:
        if len(self) >= self.most:
            self.clear()
        self[key] = value
        return value
