"""What a suspect is made from: the view that it is asked of, and the finding that it gives.

A finding's dollars are either `avoidable` (the bill would be smaller by them) or `explained` (they
are part of the bill, and somebody should look at them); its evidence says which. They never
overstate: a token is worth what it was billed as, a cached one its read price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from bursar.advisor.sane import SANE
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import Scope, load_sql
from bursar.model.errors import Unpriced
from bursar.model.usage import Basis
from bursar.price.book import Book
from bursar.price.rates import Rates

Row = dict[str, Any]

AVOIDABLE = "avoidable"
EXPLAINED = "explained"
TOP = ("top_1", "top_2", "top_3")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One suspect before it is ranked."""

    kind: str
    where: str
    """The route, model, session, tenant or tool. At most one finding per (kind, where)."""
    cost_nano: int
    dollars: str = AVOIDABLE
    evidence: Row
    """Concrete pointers; `text` is the same in a sentence."""
    mend: str
    basis: Basis
    danger: bool = False
    """True: it is told however small its dollars are."""


class Ratios(msgspec.Struct, frozen=True, kw_only=True):
    """Prices of cached tokens in units of the plain input price: `read / input` and so on."""

    input: int
    read: int
    write_5m: int
    write_1h: int
    basis: Basis

    @property
    def has_cache(self) -> bool:
        """A read is cheaper than plain input."""
        return self.read < self.input

    @property
    def writes_cost(self) -> bool:
        """A write is dearer than plain input, so it must be asked for with a mark."""
        return self.write_5m > self.input


ASSUMED_RATIOS = Ratios(input=100, read=10, write_5m=125, write_1h=200, basis=Basis.ASSUMED)
"""Without a price book: the commonest multipliers of the price table, 0.1, 1.25 and 2."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts in question, and what they have cost in all."""

    duck: Duck
    scope: Scope
    book: Book | None
    spend_nano: int

    def ask(self, name: str, **places: object) -> list[Row]:
        """Rows of suspects/NAME.sql over the scope."""
        texts = {place: str(value) for place, value in places.items()}
        sql = load_sql(f"suspects/{name}", scope=self.scope.where, sane=SANE, **texts)
        return self.duck.named(sql, self.scope.values)

    def sessions(self, *numbers: int | None) -> list[str]:
        """The ids of sessions by their numbers, in the same order; unknown ones are left out."""
        found: list[str] = []
        for number in numbers:
            if number is None:
                continue
            rows = self.duck.rows("SELECT id FROM sessions WHERE session = ? LIMIT 1", [number])
            found.extend(str(row[0]) for row in rows if row[0] is not None)
        return list(dict.fromkeys(found))

    def top(self, row: Row) -> list[str]:
        return self.sessions(*(row[name] for name in TOP))

    def rates(self, row: Row, model: str | None = None) -> Rates | None:
        """Rates of a row's model (or another of its provider) at the row's latest moment."""
        if self.book is None:
            return None
        try:
            return self.book.rates(
                row["provider"], model or row["model"], row["latest"], row["price_class"]
            )
        except Unpriced:
            return None

    def ratios(self, row: Row) -> Ratios:
        rates = self.rates(row)
        if rates is None or not rates.input:
            return ASSUMED_RATIOS
        plain = rates.input
        short = plain if rates.cache_write_5m is None else rates.cache_write_5m
        return Ratios(
            input=plain,
            read=plain if rates.cache_read is None else rates.cache_read,
            write_5m=short,
            write_1h=short if rates.cache_write_1h is None else rates.cache_write_1h,
            basis=Basis.MODELLED,
        )


Finder = Callable[[View], Iterable[Finding]]


def by_place(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows under the place that they tell of, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["place"], []).append(row)
    return found


def total(rows: Iterable[Row], name: str) -> int:
    return sum(row[name] or 0 for row in rows)


def models(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in rows if row["model"] is not None))


def basis_of(estimated: int) -> Basis:
    """Measured dollars, unless some of them rest on estimated tokens."""
    return Basis.MODELLED if estimated else Basis.MEASURED


def words(names: Iterable[str]) -> str:
    """Literals of a SQL list."""
    return ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(names))


def money(cost_nano: int) -> str:
    """Dollars for a sentence: cents, or two digits of what is less than a cent."""
    dollars = Decimal(cost_nano).scaleb(-9)
    places = 2 if abs(dollars) >= Decimal("0.01") or not dollars else 1 - dollars.adjusted()
    return f"${dollars:,.{places}f}"


def many(count: int, noun: str) -> str:
    """`1 call`, `2,000 calls`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def listing(names: Iterable[str], limit: int = 5) -> str:
    """A few names for a sentence."""
    known = list(names)
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return ", ".join(known[:limit]) + more
