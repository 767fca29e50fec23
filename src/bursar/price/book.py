"""The price book: what any model cost at any moment, in any price class.

Prices are dated, so the rates of a model change only at a few known moments. The book finds those
moments once per (provider, model, class) and works out the rates between two of them once; pricing
an attempt is then one look-up and six products. Unknown prices are a state with a reason (Unpriced,
or `cost_nano=None`), never zero.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bursar.model.errors import Unpriced
from bursar.model.money import LARGEST_NANO, pico_to_nano
from bursar.model.usage import Usage
from bursar.price.cache import Compiled, default_home, load_compiled
from bursar.price.names import Names, clause_texts
from bursar.price.quote import Quote, Subject
from bursar.price.rates import Priced, Rates, price_with
from bursar.price.units import REQUESTS

LARGEST_CACHE = 20_000
"""Timelines kept at once; logs full of made-up model names start the cache anew."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the book, for listing and look-up."""

    provider: str
    model: str
    name: str
    aliases: tuple[str, ...] = ()
    """Names that the source matches exactly or in part."""
    starts: tuple[str, ...] = ()
    """Days and hours from which its prices hold, or `always`."""
    origin: str = ""
    """The overlay that lists it; "" for the price source."""


class Cell:
    """Rates unpacked for the hot path: what None means is settled when it is built."""

    __slots__ = ("above", "numbers", "plain", "rates", "reason")

    def __init__(self, rates: Rates | None, reason: str | None = None) -> None:
        self.rates = rates
        self.reason = reason
        self.numbers: tuple[int, ...] = ()
        self.above: tuple[tuple[int, Cell], ...] = ()
        self.plain = False
        """True: every text unit has a rate, so six products are the whole cost."""
        if rates is None:
            return
        six = (
            rates.input,
            rates.cache_read,
            rates.cache_write_5m,
            rates.cache_write_1h,
            rates.output,
            rates.reasoning,
        )
        self.numbers = tuple(rate for rate in six if rate is not None)
        self.plain = len(self.numbers) == len(six) and REQUESTS not in rates.other
        self.above = tuple(
            (tier.above_tokens, Cell(rates.for_prompt(tier.above_tokens + 1)))
            for tier in reversed(rates.tiers)
        )


class Timeline:
    """The cells of one (provider, model, class), one per stretch of time with the same rates."""

    __slots__ = ("cells", "days", "only", "quote", "seconds")

    def __init__(self, quote: Quote) -> None:
        self.quote = quote
        self.days, self.seconds = quote.edges()
        self.cells: dict[tuple[int, int], Cell] = {}
        self.only: Cell | None = None
        if not self.days and not self.seconds:
            self.only = self._cell(datetime(2000, 1, 1))

    def at(self, at: datetime) -> Cell:
        if self.only is not None:
            return self.only
        second = at.hour * 3600 + at.minute * 60 + at.second if self.seconds else 0
        place = (bisect_right(self.days, at.toordinal()), bisect_right(self.seconds, second))
        cell = self.cells.get(place)
        if cell is None:
            cell = self.cells[place] = self._cell(at)
        return cell

    def _cell(self, at: datetime) -> Cell:
        try:
            return Cell(self.quote.rates(at))
        except Unpriced as unpriced:
            return Cell(None, str(unpriced.message))


class Book:
    """All prices. Build it with `load_book`."""

    def __init__(self, compiled: Compiled, now: datetime) -> None:
        self.version = compiled.version
        """Source, its release, and a digest of the overlays."""
        self.now = now
        """What `at=None` means: naive UTC."""
        self._table = compiled.table
        self._overlay = compiled.overlay
        self._names = Names(compiled.table, compiled.overlay)
        self._subject = Subject(compiled.table.source, compiled.overlay, self._names)
        self._provider_ids: dict[str, str] = {}
        self._timelines: dict[tuple[str | None, str | None, str], Timeline | Cell] = {}

    def rates(
        self,
        provider: str | None,
        model: str | None,
        at: datetime | None = None,
        price_class: str = "standard",
    ) -> Rates:
        """Rates at a moment (naive UTC; None: now). Raises Unpriced with the reason and mend."""
        cell = self._cell(provider, model, at, price_class)
        if cell.rates is None:
            quote = self._subject.quote(provider, model, price_class)
            return quote.rates(_utc(at) if at is not None else self.now)
        return cell.rates

    def price(
        self,
        provider: str | None,
        model: str | None,
        usage: Usage,
        at: datetime | None = None,
        price_class: str = "standard",
    ) -> Priced:
        """Cost of a usage, line by line. Never raises for anything unknown: gives the reason."""
        cell = self._cell(provider, model, at, price_class)
        if cell.rates is None:
            return Priced(unpriced_reason=cell.reason)
        return price_with(cell.rates, usage)

    def cost_nano(
        self,
        provider: str | None,
        model: str | None,
        usage: Usage,
        at: datetime | None = None,
        price_class: str = "standard",
    ) -> tuple[int | None, Rates | None, str | None]:
        """(cost, rates applied, reason without a cost): `price` without its lines, for intake."""
        cell = self._cell(provider, model, at, price_class)
        if cell.plain and not usage.other:
            fresh, read, output = usage.input, usage.cache_read, usage.output
            short, long, thought = usage.cache_write_5m, usage.cache_write_1h, usage.reasoning
            try:
                true_counts = not (fresh | read | short | long | output | thought) >> 53
            except TypeError:
                true_counts = False
            if true_counts:
                if cell.above:
                    prompt = fresh + read + short + long
                    for above, dearer in cell.above:
                        if prompt > above:
                            cell = dearer
                            break
                a, b, c, d, e, f = cell.numbers
                nano = pico_to_nano(
                    fresh * a + read * b + short * c + long * d + output * e + thought * f
                )
                if nano <= LARGEST_NANO:
                    return nano, cell.rates, None
        if cell.rates is None:
            return None, None, cell.reason
        priced = price_with(cell.rates, usage)
        return priced.cost_nano, priced.rates, priced.unpriced_reason

    def provider_id(self, name: str) -> str:
        """The one name under which a provider is reported; an unknown one keeps its own."""
        found = self._provider_ids.get(name)
        if found is None:
            row = self._names.provider(name.lower())
            found = row.id if row is not None else name
            if len(self._provider_ids) < LARGEST_CACHE:
                self._provider_ids[name] = found
        return found

    def models(self) -> Iterator[Listed]:
        """Every model of the source, then every one that only an overlay lists."""
        for provider in self._table.providers:
            for row in provider.models:
                yield Listed(
                    provider=provider.id,
                    model=row.id,
                    name=row.name,
                    aliases=tuple(clause_texts(row.match)),
                    starts=tuple(dated.label for dated in row.dated),
                )
        for price in self._overlay.prices:
            if price.ratio is None:
                yield Listed(
                    provider=price.provider,
                    model=price.pattern,
                    name=price.pattern,
                    starts=(price.start.isoformat(),),
                    origin=price.origin,
                )

    def find(self, text: str) -> list[Listed]:
        """Models whose provider, id, name or alias contains every word of `text`."""
        words = text.lower().split()
        return [
            listed
            for listed in self.models()
            if all(
                word in f"{listed.provider}/{listed.model} {listed.name}".lower()
                or any(word in alias for alias in listed.aliases)
                for word in words
            )
        ]

    def _cell(
        self, provider: str | None, model: str | None, at: datetime | None, price_class: str
    ) -> Cell:
        found = self._timelines.get((provider, model, price_class))
        if found is None:
            found = self._timeline(provider, model, price_class)
        if isinstance(found, Cell):
            return found
        if at is None:
            at = self.now
        elif at.tzinfo is not None:
            at = _utc(at)
        return found.at(at)

    def _timeline(
        self, provider: str | None, model: str | None, price_class: str
    ) -> Timeline | Cell:
        if len(self._timelines) >= LARGEST_CACHE:
            self._timelines.clear()
        found: Timeline | Cell
        try:
            found = Timeline(self._subject.quote(provider, model, price_class))
        except Unpriced as unpriced:
            found = Cell(None, unpriced.message)
        else:
            found = found.only or found
        self._timelines[provider, model, price_class] = found
        return found


def load_book(
    overlays: Sequence[Path] = (), home: Path | None = None, now: datetime | None = None
) -> Book:
    """The book of the installed price source and overlays.

    `overlays`: TOML files of the user, checked; raises BadPrices. `home`: where the compiled file
    is kept (default `BURSAR_HOME`, else the platform's cache folder). `now`: what a call without a
    time is priced at, naive UTC (default: the clock, read here and nowhere else).
    """
    compiled = load_compiled(overlays, home if home is not None else default_home())
    return Book(compiled, now if now is not None else datetime.now(UTC).replace(tzinfo=None))


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
