"""Values as the words of a page: escaped names, exact dollars, counts, shares.

Whatever comes out of here is safe inside an element or a quoted attribute. Names are written by
strangers, so characters that break or disguise a page are replaced before they are escaped. Dollars
come in as exact decimal strings and leave digit by digit; a float only ever draws a bar. What is
not known says so, and is never nought.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from bursar.model.errors import BadInput
from bursar.model.money import nano_from_usd, usd

Row = Mapping[str, Any]

LONGEST_NAME = 120
"""Characters of a name that are shown; the middle of a longer one is left out."""
LONGEST_TEXT = 600
"""Characters of a sentence that are shown."""
CENTS = 2
LONG_CENTS = 5
"""Digits behind the point beyond which a large figure is set smaller."""
NOT_KNOWN = '<span class="unknown">not known</span>'
NO_SHARE = '<span class="unknown">no prompt</span>'

# Controls, surrogates, marks that turn the direction of text, and code points that are no text.
_BROKEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_BEYOND = frozenset(plane * 0x10000 + last for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
_BEYOND_PATTERN = re.compile("[" + "".join(map(chr, sorted(_BEYOND))) + "]")
_CODE = re.compile("`([^`]{1,80})`")
_AMOUNT = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")


def clean(text: object) -> str:
    """Text that a browser draws as it is read: broken and disguising characters become U+FFFD."""
    return _BEYOND_PATTERN.sub("\ufffd", _BROKEN.sub("\ufffd", str(text)))


def shorten(text: str, longest: int) -> str:
    """Both ends of a text that is too long, since names differ at either."""
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - 1]}…{text[-end:]}"


def escape(text: object, longest: int = LONGEST_TEXT) -> str:
    """Any value as HTML text, or as the inside of a quoted attribute."""
    return html.escape(shorten(clean(text), longest), quote=True)


def prose(text: object, longest: int = LONGEST_TEXT) -> str:
    """A sentence of Bursar's own, which may hold names out of the logs, and `code` in backticks."""
    return _CODE.sub(r"<code>\1</code>", escape(text, longest))


def name(value: object, longest: int = LONGEST_NAME) -> str:
    """A name out of the logs, kept apart from the direction of the text around it."""
    if value is None:
        return NOT_KNOWN
    if value == "":
        return '<span class="unknown">(empty)</span>'
    return f"<bdi>{escape(value, longest)}</bdi>"


def spoken(word: object) -> str:
    """`cache_never_read` as `Cache never read`."""
    return escape(str(word).replace("_", " ").strip().capitalize(), LONGEST_NAME)


def plural(number: int, noun: str) -> str:
    """`1 call`, `2 calls`. A noun that ends in -y takes -ies unless a vowel stands before it."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}s"


def count(number: object) -> str:
    """A whole number with thousands apart."""
    if number is None:
        return NOT_KNOWN
    return f"{number:,}" if isinstance(number, int) else escape(number)


def percent(share: float | None) -> str:
    """A share of one as a percentage; never rounded to nought, nor to all."""
    if share is None:
        return NOT_KNOWN
    if 0 < share < 0.001:
        return "&lt;0.1%"
    if 0.999 < share < 1:
        return "&gt;99.9%"
    return f"{share:.0%}" if share in (0, 1) else f"{share * 100:.1f}%"


def times(factor: float | None) -> str:
    """A factor: 9.6 times."""
    return NOT_KNOWN if factor is None else f"{decimal(factor)}\u00d7"


def decimal(number: float | None) -> str:
    """A number that is no money, with as many places as its size deserves."""
    if number is None:
        return NOT_KNOWN
    if isinstance(number, int) or float(number).is_integer():
        return f"{int(number):,}"
    if 0 < abs(number) < 0.005:
        return "&lt;0.01" if number > 0 else "&gt;-0.01"
    return f"{number:,.1f}" if abs(number) >= 10 else f"{number:,.2f}"


def nano(amount: object) -> int | None:
    """The nanodollars of an exact decimal string; None where there is no amount."""
    if amount is None:
        return None
    try:
        return nano_from_usd(amount)
    except BadInput:
        return None


def share_of(part: object, whole: object) -> float | None:
    """One amount as a share of another; None where either is unknown or the whole is nothing."""
    some, every = nano(part), nano(whole)
    return None if some is None or not every else some / every


def total(amounts: Iterable[object]) -> str | None:
    """The exact sum of the amounts that are known; None where none is."""
    known = [one for one in map(nano, amounts) if one is not None]
    return usd(sum(known)) if known else None


def _tail(amount: object) -> str:
    """The digits below the cent."""
    match = _AMOUNT.fullmatch(str(amount))
    return (match[3] or "")[CENTS:] if match else ""


def money(amount: object, places: int = 0) -> str:
    """An exact amount: its cents read first, every further digit stands small behind them. Less
    than a cent is read to its second digit.

    The unmodified string is the element's machine-readable value. `places` reserves room for that
    many digits below the cent, so that the points of a column stand under each other.
    """
    if amount is None:
        return NOT_KNOWN
    match = _AMOUNT.fullmatch(str(amount))
    if match is None:
        return escape(amount)
    sign, whole, fraction = match[1], match[2], match[3] or ""
    cents, tail = fraction[:CENTS].ljust(CENTS, "0"), fraction[CENTS:]
    if not int(whole) and not int(cents) and tail:
        first = len(tail) - len(tail.lstrip("0")) + 2
        if places:
            tail = f"<b>{tail[:first]}</b>{tail[first:]}"
        else:
            cents, tail = cents + tail[:first], tail[first:]
    room = f" w{min(places, 9)}" if places else ""
    behind = f'<span class="tail{room}">{tail}</span>' if tail or places else ""
    exact = escape(amount)
    fine = " fine" if len(cents) > LONG_CENTS else ""
    return f'<data class="usd{fine}" value="{exact}">{sign}${int(whole):,}.{cents}{behind}</data>'


def money_column(amounts: Iterable[object]) -> list[str]:
    """Amounts of one column, their points under each other."""
    held = list(amounts)
    places = max((len(_tail(one)) for one in held), default=0)
    return [money(one, places) for one in held]


def plain_money(amount: object) -> str:
    """The same amount where no markup may stand: in a title or an attribute."""
    match = _AMOUNT.fullmatch(str(amount))
    if amount is None:
        return "not known"
    if match is None:
        return escape(amount)
    fraction = (match[3] or "").ljust(CENTS, "0")
    return f"{match[1]}${int(match[2]):,}.{fraction}"
