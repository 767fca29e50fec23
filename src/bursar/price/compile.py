"""Turn the installed genai-prices package into a `Table` of integers.

The package is the source and the test oracle, never the hot path: importing it takes a quarter of a
second and one price 177 us. Only `cache` loads this module, and only when no compiled file fits.
Rates that are no whole number of picodollars per unit (hours of audio, float noise in the list) are
rounded half to even here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from genai_prices import __version__ as source_version
from genai_prices import types as source
from genai_prices.data import providers
from genai_prices.data_units import unit_data

from bursar.price.table import (
    Clause,
    Dated,
    ModelRow,
    Price,
    Prices,
    ProviderRow,
    Table,
    Variant,
)
from bursar.price.units import SOURCE_UNITS

PICO_PER_USD = 10**12

UNIT_OF_PRICE_KEY = {
    unit["price_key"]: (SOURCE_UNITS.get(name, name), int(unit["per"]))
    for name, unit in unit_data.items()
}
"""Price key of the source -> (our unit, units per listed price)."""

SIMPLE_CLAUSES: tuple[tuple[type, str, str], ...] = (
    (source.ClauseEquals, "eq", "equals"),
    (source.ClauseStartsWith, "starts", "starts_with"),
    (source.ClauseEndsWith, "ends", "ends_with"),
    (source.ClauseContains, "contains", "contains"),
)


def compile_table() -> Table:
    """The whole of the installed genai-prices as a Table."""
    return Table(
        source=f"genai-prices {source_version}",
        providers=tuple(_provider(provider) for provider in providers),
    )


def _provider(provider: source.Provider) -> ProviderRow:
    return ProviderRow(
        id=provider.id,
        name=provider.name,
        model_match=_clause(provider.model_match),
        provider_match=_clause(provider.provider_match),
        fallback=tuple(provider.fallback_model_providers or ()),
        models=tuple(_model(model) for model in provider.models),
    )


def _model(model: source.ModelInfo) -> ModelRow:
    match = _clause(model.match)
    if match is None:
        raise ValueError(f"{model.id} has no match clause")
    listed = model.prices
    if isinstance(listed, source.ModelPrice):
        dated = (Dated(_prices(listed)),)
    else:
        dated = tuple(_dated(row.prices, row.constraint) for row in listed)
    return ModelRow(
        id=model.id,
        match=match,
        name=model.name or model.id,
        dated=dated or (Dated({}),),
        variants=tuple(
            Variant(dict(variant.when), _dated(variant.prices, variant.constraint))
            for variant in model.price_variants or ()
        ),
    )


def _dated(prices: source.ModelPrice, constraint: object) -> Dated:
    if isinstance(constraint, source.StartDateConstraint):
        return Dated(_prices(prices), start=constraint.start_date)
    if isinstance(constraint, source.TimeOfDateConstraint):
        return Dated(
            _prices(prices),
            from_second=_utc_second(constraint.start_time),
            to_second=_utc_second(constraint.end_time),
        )
    if constraint is not None:
        raise ValueError(f"unknown price constraint {constraint!r}")
    return Dated(_prices(prices))


def _utc_second(moment: time) -> int:
    if moment.tzinfo is not None:
        moment = datetime.combine(date(1970, 1, 1), moment).astimezone(UTC).time()
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _prices(listed: source.ModelPrice) -> Prices:
    found: Prices = {}
    for key, value in vars(listed).items():
        if value is None:
            continue
        unit, per = UNIT_OF_PRICE_KEY[key]
        if isinstance(value, source.TieredPrices):
            tiers = tuple((tier.start, _pico(tier.price, per)) for tier in value.tiers)
            found[unit] = Price(_pico(value.base, per), tiers)
        else:
            found[unit] = Price(_pico(value, per))
    return found


def _pico(dollars: Decimal, per: int) -> int:
    return int((dollars * PICO_PER_USD / per).to_integral_value(ROUND_HALF_EVEN))


def _clause(clause: Any) -> Clause | None:
    if clause is None:
        return None
    for kind, op, field in SIMPLE_CLAUSES:
        if isinstance(clause, kind):
            return Clause(op, getattr(clause, field).lower())
    if isinstance(clause, source.ClauseRegex):
        return Clause("regex", clause.regex)
    if isinstance(clause, source.ClauseOr):
        return Clause("or", "", _parts(clause.or_))
    if isinstance(clause, source.ClauseAnd):
        return Clause("and", "", _parts(clause.and_))
    raise ValueError(f"unknown match clause {clause!r}")


def _parts(clauses: list[Any]) -> tuple[Clause, ...]:
    return tuple(part for part in map(_clause, clauses) if part is not None)
