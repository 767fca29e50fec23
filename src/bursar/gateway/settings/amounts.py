"""The small values that caps are made of: amounts with their windows, shares, lists of words.

A person writes `$500/month`, `2M tokens/24h`, `60 calls/min` or `80%`. Money is exact: what would
have to be rounded is refused, and so is what two people could read as two numbers (`1,5`, `$1e3`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Literal, NamedTuple, cast

from bursar.model.money import NANO_PER_USD, usd

FIRST_TOO_LARGE = 1 << 53
"""The counters of a shared store are exact below this."""
LONGEST_WINDOW_S = 366 * 86_400
LONGEST_TEXT = 80
MOST_ENTRIES = 100
Unit = Literal["usd", "tokens", "calls"]

CALENDAR = ("minute", "hour", "day", "week", "month", "quarter", "year")
NEVER = "never"
WORDS = {one: one for one in (*CALENDAR, NEVER, "second")} | {
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}
UNITS: dict[str, Unit] = {
    "token": "tokens",
    "tokens": "tokens",
    "call": "calls",
    "calls": "calls",
    "request": "calls",
    "requests": "calls",
}
SCALES = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9}
SECONDS_OF = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DIGITS = r"([0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)"
_DOLLARS = re.compile(rf"\$ ?{_DIGITS}([kMB]?)")
_COUNT = re.compile(rf"{_DIGITS} ?([kMB]?)(?: ?([a-z]+))?")
_WINDOW = re.compile(r"(.*?)(?: ?/ ?| per )([^/]*)")
_SPAN = re.compile(r"([0-9]{1,8})(s|m|min|h|d|w)")
_PERCENT = re.compile(r"([0-9]{1,4}) ?%")
_POWER = re.compile(r"[0-9]\.?[eE][-+]?[0-9]")
AN_AMOUNT = "needs an amount with its unit, such as $500, 2M tokens or 1_000 calls"


class Amount(NamedTuple):
    """An amount, and the window in which it holds where the text says so."""

    unit: Unit
    amount: int
    """Nanodollars, tokens or calls."""
    every: Every | None = None

    def __str__(self) -> str:
        text = amount_text(self.unit, self.amount)
        return text if self.every is None else f"{text}/{self.every}"


class Every(str):
    """A window: a period of the calendar, `never`, `second`, or a span such as `24h`."""

    __slots__ = ()

    @property
    def span_s(self) -> int:
        """Length of a span; 0 for anything else."""
        found = _SPAN.fullmatch(self)
        return int(found[1]) * SECONDS_OF[found[2]] if found else 0


class Amounts(tuple[Amount, ...]):
    """One amount or a list of them."""

    __slots__ = ()


class Words(tuple[str, ...]):
    """One text or a list of them."""

    __slots__ = ()


class Money(int):
    """Nanodollars. Written `$2.50`."""


class Count(int):
    """A number. Written `500k`, `2M`, `1_000` or `1000`."""


class Percent(int):
    """A share in whole percent. Written `80%`."""


def amounts_of(given: object) -> Amounts:
    """Amounts as written. Raises ValueError with the mend."""
    if isinstance(given, (list, tuple)):
        return Amounts(map(amount_of, _bounded(cast("list[object]", given))))
    return Amounts((amount_of(given),))


def amount_of(given: object) -> Amount:
    """One amount as written. Raises ValueError with the mend."""
    if not isinstance(given, str):
        raise ValueError(f"{AN_AMOUNT}; {shown(given)} has none")
    found = _WINDOW.fullmatch(given.strip())
    text, window = (found[1], found[2]) if found else (given.strip(), None)
    every = None if window is None else every_of(window)
    return Amount(*_counted(text), every)


def every_of(given: object) -> Every:
    """A window as written. Raises ValueError with the mend."""
    text = given.strip() if isinstance(given, str) else ""
    if text in WORDS:
        return Every(WORDS[text])
    found = _SPAN.fullmatch(text)
    if found and 0 < (span_s := int(found[1]) * SECONDS_OF[found[2]]) <= LONGEST_WINDOW_S:
        return Every(span_text(span_s))
    raise ValueError(
        f"{shown(given)} is no window: needs {', '.join(CALENDAR)} or never, or a span that ends"
        " now, such as 24h or 30d, at most 366d"
    )


def money_of(given: object) -> Money:
    """Dollars as written. Raises ValueError with the mend."""
    if isinstance(given, str) and given.startswith("$"):
        return Money(_counted(given)[1])
    raise ValueError(f"needs an amount of dollars such as $2.50; {shown(given)} is none")


def count_of(given: object) -> Count:
    """A number as written. Raises ValueError with the mend."""
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str) or given.startswith("$"):
        raise ValueError(f"needs a whole number such as 500k or 200_000; {shown(given)} is none")
    found = _COUNT.fullmatch(given)
    return Count(_counted(given if found and found[3] else f"{given} tokens")[1])


def percent_of(given: object) -> Percent:
    """A share as written. Raises ValueError with the mend."""
    found = _PERCENT.fullmatch(given) if isinstance(given, str) else None
    if found is None or not 1 <= int(found[1]) <= 1_000:
        raise ValueError(f"needs a share such as 80%, from 1% to 1000%; {shown(given)} is none")
    return Percent(int(found[1]))


def words_of(given: object) -> Words:
    """Texts as written. Raises ValueError with the mend."""
    many = _bounded(cast("list[object]", given)) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(one, str) and one for one in many):
        raise ValueError("needs a text or a list of texts")
    return Words(cast("list[str]", many))


def amount_text(unit: str, amount: int) -> str:
    """An amount as a person writes it, exactly."""
    if unit == "usd":
        return f"${usd(amount)}"
    if unit == "tokens":
        for scale, size in (("M", 10**6), ("k", 10**3)):
            if amount and amount % size == 0:
                return f"{amount // size}{scale} tokens"
    return f"{amount} {unit}"


def shown(given: object) -> str:
    """What somebody wrote, for an error: short and printable."""
    text = given if isinstance(given, str) else str(cast("Any", given))
    return ascii(text[:LONGEST_TEXT])


def plain(value: object) -> object:
    """A value of ours as YAML knows it; any other as it is."""
    if isinstance(value, Amounts):
        return str(value[0]) if len(value) == 1 else [str(one) for one in value]
    if isinstance(value, Words):
        return value[0] if len(value) == 1 else list(value)
    if isinstance(value, Money):
        return amount_text("usd", value)
    if isinstance(value, Percent):
        return f"{int(value)}%"
    if isinstance(value, Count):
        return int(value)
    return str(value) if isinstance(value, Every) else value


def _bounded(given: list[object]) -> list[object]:
    if not 0 < len(given) <= MOST_ENTRIES:
        raise ValueError(f"needs 1 to {MOST_ENTRIES} entries")
    return given


def _counted(text: str) -> tuple[Unit, int]:
    """Unit and amount of a text without a window."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{AN_AMOUNT}; {shown(text)}... is too long")
    if found := _DOLLARS.fullmatch(text):
        return "usd", _whole(text, found[1], SCALES[found[2]] * NANO_PER_USD, "a nanodollar")
    found = _COUNT.fullmatch(text)
    if found and found[3] in UNITS:
        unit = UNITS[found[3]]
        return unit, _whole(text, found[1], SCALES[found[2]], f"one of its {unit}")
    raise ValueError(f"{shown(text)} {_why_not(text)}")


def _whole(text: str, digits: str, scale: int, smallest: str) -> int:
    exact = Decimal(digits.replace("_", "")) * scale
    if exact >= FIRST_TOO_LARGE:
        most = "9_007_199 dollars" if scale >= NANO_PER_USD and "$" in text else "2^53"
        raise ValueError(f"{shown(text)} is too large: write less than {most}")
    if exact != int(exact):
        raise ValueError(f"{shown(text)} is finer than {smallest}, and nothing is rounded here")
    return int(exact)


def _why_not(text: str) -> str:
    """What is wrong with a text that is no amount, and how to write it."""
    if re.match(r"\s*(?:\$\s*)?[-\u2212]", text):
        return "is below zero: a limit is 0 or more"
    if "," in text:
        return "has a comma: write $1.5 with a point, and $1_000 or $1000 for a thousand"
    if _POWER.search(text):
        return "has an exponent: write it out, as in $1000 or 1_000 calls"
    return f"is none: {AN_AMOUNT}"


def span_text(span_s: int) -> str:
    """A stretch of time as a person writes it."""
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if span_s % length_s == 0 and (unit != "d" or span_s > length_s):
            return f"{span_s // length_s}{unit}"
    return f"{span_s}s"


def listed(words: Iterable[str], join: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} {join} {last}" if most else last
