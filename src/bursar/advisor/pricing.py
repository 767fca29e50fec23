"""Prices outside the ledger: one raw answer explained line by line, and the book looked through."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from bursar.dialects.lens import read_response
from bursar.ledger.costing import price_iterations
from bursar.ledger.engines.duck import Duck
from bursar.model.errors import Unpriced
from bursar.model.money import rate_usd_per_mtok, usd, usd_of_pico
from bursar.model.usage import Usage
from bursar.price.book import Book
from bursar.price.rates import Priced

Row = dict[str, Any]


def price_body(
    book: Book, raw: bytes, file: str, told: dict[str, str | None], at: datetime | None
) -> Row:
    """The usage that a raw response holds, and the arithmetic of its cost.

    `told` fills what the body does not say: dialect, provider, model, class. Raises BadInput for a
    body that is no response.
    """
    reading = read_response(raw, told["dialect"], model=told["model"])
    provider = told["provider"] or reading.provider
    model = reading.model or told["model"]
    price_class = told["class"] or reading.price_class
    notes = list(reading.notes)
    if reading.truncated:
        notes.append("the body ends before its final usage")
    if reading.usage is None:
        priced = Priced(unpriced_reason="the body holds no usage")
    elif reading.iterations:
        priced = price_iterations(book, reading.iterations, at, provider, model)
        notes.append("priced per iteration, since other models or compaction took part")
    else:
        priced = book.price(provider, model, reading.usage, at, price_class)
    if priced.ambiguous:
        notes.append(priced.ambiguous)
    return {
        "file": file,
        "dialect": reading.dialect,
        "provider": provider,
        "model": model,
        "price_class": price_class,
        "usage": None if reading.usage is None else usage_row(reading.usage),
        "cost_usd": usd(priced.cost_nano),
        "unpriced_reason": priced.unpriced_reason,
        "lines": [
            {
                "unit": line.unit,
                "tokens": line.tokens,
                "rate_usd_per_mtok": rate_usd_per_mtok(line.rate_pico),
                "cost_usd": usd_of_pico(line.cost_pico),
            }
            for line in priced.lines
        ],
        "price_version": priced.version,
        "basis": priced.basis.value,
        "notes": notes,
    }


def usage_row(usage: Usage) -> Row:
    """Every count of a usage, those of zero as well."""
    return {name: getattr(usage, name) for name in usage.__struct_fields__}


def rate_rows(book: Book, text: str, at: datetime | None, limit: int) -> list[Row]:
    """Rates of the models whose names hold `text`, as dollars per million units."""
    rows: list[Row] = []
    for listed in book.find(text):
        if len(rows) >= limit:
            break
        row: Row = {"provider": listed.provider, "model": listed.model}
        try:
            rates = book.rates(listed.provider, listed.model, at)
        except Unpriced as bad:
            rows.append(row | {"unpriced": bad.message} | dict.fromkeys(RATES))
            continue
        for name in RATES:
            rate = getattr(rates, name)
            row[name] = None if rate is None else rate_usd_per_mtok(rate)
        row["version"] = rates.version
        row["tiers"] = [msgspec.to_builtins(tier) for tier in rates.tiers]
        rows.append(row)
    return rows


def unpriced_rows(duck: Duck) -> list[Row]:
    """What has no price, by provider, model and reason."""
    return duck.named(
        "SELECT provider, model, unpriced AS reason, COUNT(*) AS attempts FROM attempts"
        " WHERE cost_nano IS NULL GROUP BY ALL ORDER BY attempts DESC, provider, model"
    )


RATES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
