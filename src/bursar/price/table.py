"""The price source as flat integers: providers, their models, dated prices and class variants.

This is what the compiled file holds. Selection follows genai-prices: the last price whose start or
hours hold is in force; a class variant overrides single units. It departs where genai-prices would
silently answer with the standard price: a class asked for before its first known date is carried
back (basis ASSUMED) when the standard price allows it, and an unknown class is Unpriced.
"""

from __future__ import annotations

import re
from datetime import date, datetime

import msgspec

from bursar.model.errors import Unpriced
from bursar.model.usage import Basis
from bursar.price.rates import Rates, RateSet, Tier
from bursar.price.units import STAND_INS, TEXT_UNITS

ALWAYS = "always"
"""Stands in a version where a price has no start date."""


class Clause(msgspec.Struct, frozen=True, array_like=True):
    """A test on a name. `op`: eq, starts, ends, contains, regex, or, and."""

    op: str
    text: str = ""
    parts: tuple[Clause, ...] = ()


class Price(msgspec.Struct, frozen=True, array_like=True):
    """The rate of one unit in picodollars, and its cliffs by rising threshold."""

    base: int
    tiers: tuple[tuple[int, int], ...] = ()
    """(above_tokens, rate_pico)."""


Prices = dict[str, Price]
"""By unit; `cache_write` is the source's rate for a write of any lifetime."""


class Dated(msgspec.Struct, frozen=True, array_like=True):
    """Prices with the days or the daily hours (UTC) at which they hold."""

    prices: Prices
    start: date | None = None
    from_second: int | None = None
    """Seconds since midnight; with `to_second`, a daily interval that may pass midnight."""
    to_second: int | None = None

    def holds(self, at: datetime) -> bool:
        if self.from_second is not None and self.to_second is not None:
            second = at.hour * 3600 + at.minute * 60 + at.second
            if self.to_second < self.from_second:
                return second >= self.from_second or second < self.to_second
            return self.from_second <= second < self.to_second
        return self.start is None or at.date() >= self.start

    @property
    def label(self) -> str:
        if self.from_second is not None and self.to_second is not None:
            return f"{_clock(self.from_second)}-{_clock(self.to_second)}"
        return self.start.isoformat() if self.start else ALWAYS


class Variant(msgspec.Struct, frozen=True, array_like=True):
    """Prices of single units under a condition such as `{"processing": "batch"}`."""

    when: dict[str, str]
    dated: Dated


class ModelRow(msgspec.Struct, frozen=True, array_like=True):
    """One model of one provider."""

    id: str
    match: Clause
    name: str
    dated: tuple[Dated, ...]
    """Later rows take precedence."""
    variants: tuple[Variant, ...] = ()


class ProviderRow(msgspec.Struct, frozen=True, array_like=True):
    """One provider and its models, in the order in which they are tried."""

    id: str
    name: str
    model_match: Clause | None
    provider_match: Clause | None
    fallback: tuple[str, ...]
    """Providers whose models this one hosts."""
    models: tuple[ModelRow, ...]


class Table(msgspec.Struct, frozen=True, array_like=True):
    """One release of the price source."""

    source: str
    """Its name and version."""
    providers: tuple[ProviderRow, ...]


def matches(clause: Clause, text: str) -> bool:
    """Whether a name passes a clause. Case does not count, except in a regular expression."""
    match clause.op:
        case "or":
            return any(matches(part, text) for part in clause.parts)
        case "and":
            return all(matches(part, text) for part in clause.parts)
        case "regex":
            return re.search(clause.text, text) is not None
        case "eq":
            return text.lower() == clause.text
        case "starts":
            return text.lower().startswith(clause.text)
        case "ends":
            return text.lower().endswith(clause.text)
        case _:
            return clause.text in text.lower()


class Chosen(msgspec.Struct, frozen=True):
    """Prices found for a moment and a class, with what stands in their version."""

    prices: Prices
    label: str
    basis: Basis = Basis.MEASURED


def standard_prices(row: ModelRow, at: datetime) -> Chosen:
    """The list price of a model at a moment. Before its first date, the first price is ASSUMED."""
    for dated in reversed(row.dated):
        if dated.holds(at):
            return Chosen(dated.prices, dated.label)
    return Chosen(row.dated[0].prices, row.dated[0].label, Basis.ASSUMED)


def class_prices(
    row: ModelRow, at: datetime, contexts: tuple[dict[str, str], ...]
) -> Chosen | None:
    """The price under the first context that the model has a variant for, or None.

    `contexts` are alternatives: providers spell the same class in different ways.
    Raises Unpriced when the only variant starts later and cannot be carried back exactly.
    """
    standard = standard_prices(row, at)
    for context in contexts:
        fitting = [variant for variant in row.variants if variant.when.items() <= context.items()]
        if not fitting:
            continue
        active = [variant.dated for variant in fitting if variant.dated.holds(at)]
        if active:
            prices = standard.prices | _overrides(active)
            starts = f"{standard.label}/{active[0].label}"
            return Chosen(prices, starts, standard.basis)
        return _carried_back(row, standard, [variant.dated for variant in fitting])
    return None


def _overrides(active: list[Dated]) -> Prices:
    found: Prices = {}
    for dated in active:
        for unit, price in dated.prices.items():
            found.setdefault(unit, price)
    return found


def _carried_back(row: ModelRow, standard: Chosen, later: list[Dated]) -> Chosen:
    first = min(dated.start for dated in later if dated.start is not None)
    moment = datetime(first.year, first.month, first.day)
    then = standard_prices(row, moment).prices
    overrides = _overrides([dated for dated in later if dated.holds(moment)])
    label = f"{standard.label}/before {first.isoformat()}"
    if then != standard.prices:
        overrides = {
            unit: _scaled(unit, price, then, standard.prices) for unit, price in overrides.items()
        }
    return Chosen(standard.prices | overrides, label, Basis.ASSUMED)


def _scaled(unit: str, price: Price, then: Prices, now: Prices) -> Price:
    """A class rate moved to another standard price by the same ratio, if that is exact."""
    before, after = then.get(unit), now.get(unit)
    if before is not None and after is not None and _cliffs(before) == _cliffs(after):
        old, new, rates = _flat(before), _flat(after), _flat(price)
        if _cliffs(price) == _cliffs(before) and all(old):
            scaled = [rate * b for rate, b in zip(rates, new, strict=True)]
            if all(value % a == 0 for value, a in zip(scaled, old, strict=True)):
                exact = [value // a for value, a in zip(scaled, old, strict=True)]
                return Price(exact[0], tuple(zip(_cliffs(price), exact[1:], strict=True)))
    raise Unpriced(
        f"the class has a known {unit} price only from a later date, when the standard price "
        "was another one",
        mend='add a [[price]] with this class and its "from" date to an overlay',
    )


def _cliffs(price: Price) -> tuple[int, ...]:
    return tuple(above for above, _ in price.tiers)


def _flat(price: Price) -> list[int]:
    return [price.base, *(rate for _, rate in price.tiers)]


def rate_set_fields(prices: Prices, above_tokens: int | None) -> dict[str, object]:
    """The fields of a RateSet for prompts just above a threshold (None: below all of them)."""
    flat = {unit: _rate_above(price, above_tokens) for unit, price in prices.items()}
    fields: dict[str, object] = {}
    for unit in TEXT_UNITS:
        names = (unit, *STAND_INS.get(unit, ()))
        fields[unit] = next((flat[name] for name in names if name in flat), None)
    fields["other"] = {
        unit: rate
        for unit, rate in flat.items()
        if unit not in TEXT_UNITS and unit != "cache_write"
    }
    return fields


def build_rates(prices: Prices, version: str, owner: tuple[str, str], basis: Basis) -> Rates:
    """Rates of `owner` (provider, model) from chosen prices."""
    cliffs = sorted({above for price in prices.values() for above, _ in price.tiers})
    tiers = tuple(
        msgspec.convert({"above_tokens": above, **rate_set_fields(prices, above)}, Tier)
        for above in cliffs
    )
    base = msgspec.convert(rate_set_fields(prices, None), RateSet)
    return Rates(
        version=version,
        provider=owner[0],
        model=owner[1],
        tiers=tiers,
        basis=basis,
        **msgspec.structs.asdict(base),
    )


def _rate_above(price: Price, above_tokens: int | None) -> int:
    rate = price.base
    for start, tier_rate in price.tiers:
        if above_tokens is not None and above_tokens >= start:
            rate = tier_rate
    return rate


def _clock(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}"
