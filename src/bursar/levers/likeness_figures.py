"""Numbers, units, dates and times in one spelling each.

`twenty-one` and `1,000` become digits, `5 kilometres` becomes `5|km`, `$5` becomes `5|dollar`,
`July 4, 1990` becomes `date:1990-7-4`, `7 p.m.` becomes `time:19:00`. What is not certain (`7:15`
without a half of the day, `4/7`) keeps a spelling of its own.
"""

from __future__ import annotations

import re

from bursar.levers.likeness_words import (
    CURRENCIES,
    LONG_MONTHS,
    MONTHS,
    NUMBERS,
    ORDINALS,
    SCALES,
    TENS,
    UNITS,
    WEEKDAYS,
)

_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_PLAIN = re.compile(r"\d+(?:\.\d+)?")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)")
_HALVES = {"am": 0, "a.m": 0, "a.m.": 0, "pm": 12, "p.m": 12, "p.m.": 12}
_WORDS = {"noon": "time:12:00", "midnight": "time:0:00"}
_THOUSAND = 1_000
_SPOKEN = frozenset((*NUMBERS, *TENS, *ORDINALS, *MONTHS, *_WORDS, *map(str.lower, WEEKDAYS)))
"""Words that can be a figure by themselves."""
_SIGNS = frozenset((",", "'s"))
_DIGITS = frozenset("0123456789#")


def with_figures(tokens: list[str]) -> list[str]:
    """The tokens, their figures in one spelling."""
    if all(one in _SIGNS or (one.isalpha() and one.lower() not in _SPOKEN) for one in tokens):
        return tokens
    return _with_units(_with_dates(_with_numbers(tokens)))


def is_figure(token: str) -> bool:
    """Whether a token of a form is a number, a date or a time."""
    return token[:1].isdigit() or token[:5] in ("date:", "time:", "time~") or token[:1] == "#"


# -- numbers


def _with_numbers(tokens: list[str]) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(tokens):
        read = _spoken(tokens, at)
        if read is not None:
            value, at = read
            found.append(str(value))
            continue
        found.append(_written(tokens, at))
        at += 1
    return _signed(found)


def _written(tokens: list[str], at: int) -> str:
    """One token, in digits where it is a number."""
    token = tokens[at]
    low = token.lower()
    if token.isalpha() and low not in ORDINALS:
        return token
    if low in ORDINALS:
        return token if low == "second" and _is_unit(tokens, at) else f"#{ORDINALS[low]}"
    if (ordinal := _ORDINAL.fullmatch(token)) is not None:
        return f"#{int(ordinal[1])}"
    bare = token.replace(",", "") if _THOUSANDS.fullmatch(token) else token
    return bare


def _is_unit(tokens: list[str], at: int) -> bool:
    """Whether `second` is a time here."""
    before = tokens[at - 1].lower() if at else ""
    return before in ("a", "per", "each", "every", "1", "one") or before[:1].isdigit()


def _spoken(tokens: list[str], at: int) -> tuple[int, int] | None:
    """A number in words: its value, and where it ends."""
    if tokens[at].isdecimal():
        return _scaled(tokens, at)
    total = current = 0
    end = at
    seen = False
    while end < len(tokens):
        value = _small(tokens[end].lower())
        scale = SCALES.get(tokens[end].lower())
        if value is not None and (not seen or _fits(current, value)):
            current += value
        elif scale is not None and seen:
            current, total = (
                (current * scale, total) if scale < _THOUSAND else (0, total + current * scale)
            )
        else:
            break
        seen = True
        end += 1
    return (total + current, end) if seen else None


def _fits(current: int, value: int) -> bool:
    """Whether a further word goes on with the number: twenty one; not five six."""
    below = current % 100
    return (below == 0 and value < 100) or (below >= 20 and below % 10 == 0 and 0 < value < 10)


def _small(word: str) -> int | None:
    if word in NUMBERS:
        return NUMBERS[word]
    if word in TENS:
        return TENS[word]
    tens, _, ones = word.partition("-")
    if tens in TENS and 0 < NUMBERS.get(ones, 0) < 10:
        return TENS[tens] + NUMBERS[ones]
    return None


def _scaled(tokens: list[str], at: int) -> tuple[int, int] | None:
    """2 million, 10 k."""
    following = tokens[at + 1].lower() if at + 1 < len(tokens) else ""
    if len(tokens[at]) > 9:
        return None
    if following in SCALES:
        return int(tokens[at]) * SCALES[following], at + 2
    return (int(tokens[at]) * _THOUSAND, at + 2) if tokens[at + 1 : at + 2] == ["k"] else None


def _signed(tokens: list[str]) -> list[str]:
    """A minus before a number belongs to it, where nothing stands before that could lose it."""
    found: list[str] = []
    for token in tokens:
        lone = found and found[-1] in ("-", "\u2212")
        if lone and _PLAIN.fullmatch(token):
            found[-1] = f"0-{token}"
        else:
            found.append(token)
    return found


# -- dates and times


def _with_dates(tokens: list[str]) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(tokens):
        read = _date(tokens, at) or _time(tokens, at)
        if read is not None:
            said, at = read
            found.append(said)
            continue
        token = tokens[at]
        before = found[-1].lower() if found else ""
        if token in WEEKDAYS and before in ("on", "next", "last", "this", "every", "by", "until"):
            token = WEEKDAYS[token]
        found.append(token)
        at += 1
    return found


def _date(tokens: list[str], at: int) -> tuple[str, int] | None:
    """A day of a month, with its year or without; or a month with its year."""
    if tokens[at][:1] not in _DIGITS and tokens[at].lower() not in MONTHS:
        return None
    if (iso := _ISO.fullmatch(tokens[at])) is not None:
        return f"date:{iso[1]}-{int(iso[2])}-{int(iso[3])}", at + 1
    rest = [token.lower() for token in tokens[at : at + 6]]
    day, month, end = _day(rest[0]), None, 1
    if day is not None:
        end += rest[1:2] == ["of"]
        month = MONTHS.get(rest[end]) if end < len(rest) else None
        end += 1
    elif rest[0] in MONTHS and len(rest) > 1:
        month = MONTHS[rest[0]]
        day, end = _day(rest[1]), 2
        year = _year(rest[1])
        if day is None and year is not None:
            return f"date:{year}-{LONG_MONTHS[month]}", at + 2
    if day is None or month is None:
        return None
    skip = end + (rest[end : end + 1] == [","])
    year = _year(rest[skip]) if skip < len(rest) else None
    said = f"date:{year or '?'}-{month}-{day}"
    return said, at + (skip + 1 if year is not None else end)


def _day(token: str) -> int | None:
    bare = token.removeprefix("#")
    return int(bare) if bare.isdecimal() and len(bare) < 3 and 1 <= int(bare) <= 31 else None


def _year(token: str) -> int | None:
    return int(token) if token.isdecimal() and len(token) == 4 else None


def _time(tokens: list[str], at: int) -> tuple[str, int] | None:
    token = tokens[at]
    if token.lower() in _WORDS:
        return _WORDS[token.lower()], at + 1
    if token[:1] not in _DIGITS:
        return None
    clock = _CLOCK.fullmatch(token)
    half = _HALVES.get(tokens[at + 1].lower()) if at + 1 < len(tokens) else None
    if clock is None and (half is None or not token.isdecimal() or len(token) > 2):
        return None
    hour, minute = (int(clock[1]), clock[2]) if clock is not None else (int(token), "00")
    if half is not None and 1 <= hour <= 12:
        return f"time:{hour % 12 + half}:{minute}", at + 2
    return f"time{'~' if hour <= 12 else ':'}{hour}:{minute}", at + 1


# -- units


def _with_units(tokens: list[str]) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        following = tokens[at + 1 : at + 4]
        if token in CURRENCIES and following and _PLAIN.fullmatch(following[0]):
            found.append(f"{following[0]}|{CURRENCIES[token]}")
            at += 2
        elif _PLAIN.fullmatch(token) and following:
            unit, length = _unit(following)
            found.append(token if unit is None else f"{token}|{unit}")
            at += 1 + length
        else:
            found.append(token)
            at += 1
    return found


def _unit(following: list[str]) -> tuple[str | None, int]:
    """The unit behind a number, and how many tokens it takes."""
    low = [one.lower() for one in following]
    if low[:2] == ["per", "cent"]:
        return "%", 2
    if low[0] in ("degrees", "degree", "\u00b0") and len(following) > 1:
        scale = UNITS.get(following[1]) or UNITS.get(low[1])
        return (scale, 2) if scale in ("degC", "degF") else (None, 0)
    if low[0] in ("pounds", "pound"):
        return ("lb", 1) if low[1:2] == ["of"] else (None, 0)
    if low[0] in ("cubic", "square"):
        return None, 0
    word = following[0]
    unit = UNITS.get(word) or (UNITS.get(low[0]) if len(word) > 2 else None)
    return (unit, 1) if unit is not None else (None, 0)
