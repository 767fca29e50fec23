"""The compiled table against genai_prices.calc_price: every model, many shapes, exact picodollars.

Where the two differ, the difference must be of a kind that docs/prices.md names, and the models of
each kind must be exactly those that the page counts or lists.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path

import pytest
from genai_prices import Usage as SourceUsage
from genai_prices import types as source
from genai_prices.data import providers
from genai_prices.data_units import unit_data

from bursar.model.usage import Basis, Usage
from bursar.price import Book
from bursar.price.rates import Priced

PAGE = Path(__file__).resolve().parents[2] / "docs" / "prices.md"
AT = datetime(2026, 11, 1, 12)
PER = {unit["price_key"]: unit["per"] for unit in unit_data.values()}
CONTEXTS = {
    "standard": None,
    "default": {"service_tier": "default"},
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}
OTHER_UNITS = (
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "web_searches",
    "audio_seconds",
    "input_document_pages",
    "input_characters",
)
NOT_TOKENS = ("web_searches", "audio_seconds", "input_document_pages", "input_characters")

Pair = tuple[source.Provider, source.ModelInfo]


def all_models() -> Iterator[Pair]:
    for provider in providers:
        for model in provider.models:
            yield provider, model


def reference(provider: source.Provider, model: source.ModelInfo) -> str | None:
    """A name by which the source itself finds the model; None when others shadow all its names."""
    for name in (model.id, *names_in(model.match)):
        if provider.find_model(name, all_providers=providers) is model:
            return name
    return None


def names_in(clause: object) -> Iterator[str]:
    for field in ("equals", "starts_with", "contains", "ends_with"):
        if hasattr(clause, field):
            yield getattr(clause, field)
    for part in [*getattr(clause, "or_", []), *getattr(clause, "and_", [])]:
        yield from names_in(part)


def source_usage(usage: Usage) -> SourceUsage:
    """The same counts in the overlapping form of the source: totals and parts of them."""
    written = usage.cache_write_5m + usage.cache_write_1h
    total_in = usage.prompt + sum(
        count for unit, count in usage.other.items() if re.match(r"input_.*_tokens$", unit)
    )
    total_out = usage.answer + sum(
        count for unit, count in usage.other.items() if re.match(r"output_.*_tokens$", unit)
    )
    return SourceUsage(
        input_tokens=total_in,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=written,
        cache_write_5m_tokens=usage.cache_write_5m,
        cache_write_1h_tokens=usage.cache_write_1h,
        output_tokens=total_out,
        output_reasoning_tokens=usage.reasoning,
        **usage.other,
    )


def oracle_pico(pair: Pair, usage: Usage, at: datetime, context: dict[str, str] | None) -> Decimal:
    provider, model = pair
    found = model.calc_price(
        source_usage(usage), provider, genai_request_timestamp=at, price_context=context
    )
    return found.total_price * 10**12


def our_pico(priced: Priced) -> int:
    return sum(line.cost_pico for line in priced.lines)


def listed_prices(model: source.ModelInfo) -> Iterator[source.ModelPrice]:
    if isinstance(model.prices, source.ModelPrice):
        yield model.prices
    else:
        yield from (row.prices for row in model.prices)
    yield from (variant.prices for variant in model.price_variants or ())


def amounts(price: object) -> list[Decimal]:
    if isinstance(price, source.TieredPrices):
        return [price.base, *(tier.price for tier in price.tiers)]
    return [price] if isinstance(price, Decimal) else []


def is_rounded(model: source.ModelInfo) -> bool:
    """Whether any listed rate is no whole number of picodollars per unit."""
    return any(
        amount * 10**12 / PER[key] % 1 != 0
        for prices in listed_prices(model)
        for key, price in vars(prices).items()
        for amount in amounts(price)
    )


def lacks_rate(model: source.ModelInfo, at: datetime, unit: str) -> bool:
    """Whether the source has nothing to price the unit with, and so takes it for free."""
    prices = {key for key, price in vars(model.get_prices(at)).items() if price is not None}
    if unit in ("output", "reasoning") or unit.startswith("output_"):
        keys = {"output_mtok", unit_key(unit)}
    elif unit in NOT_TOKENS:
        keys = {unit_key(unit)}
    else:
        keys = {"input_mtok", unit_key(unit)}
        if unit.startswith("cache_write"):
            keys.add("cache_write_mtok")
    return not keys & prices


def used_units(usage: Usage) -> list[str]:
    six = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    return [*(unit for unit in six if getattr(usage, unit)), *usage.other]


def unit_key(unit: str) -> str:
    named = {
        "output": "output_mtok",
        "reasoning": "output_reasoning_mtok",
        "cache_read": "cache_read_mtok",
        "cache_write_5m": "cache_write_5m_mtok",
        "cache_write_1h": "cache_write_1h_mtok",
    }
    return named.get(unit) or unit_data.get(unit, {"price_key": ""})["price_key"]


def thresholds(model: source.ModelInfo) -> list[int]:
    found = {
        tier.start
        for prices in listed_prices(model)
        for price in vars(prices).values()
        if isinstance(price, source.TieredPrices)
        for tier in price.tiers
    }
    return sorted(found)


def shapes(model: source.ModelInfo) -> list[Usage]:
    """A dozen shapes, with prompts exactly at each threshold and one token above it."""
    found = [
        Usage(input=1),
        Usage(output=1),
        Usage(input=1234, output=567),
        Usage(input=100, cache_read=9000, output=300, reasoning=77),
        Usage(input=10, cache_read=4000, cache_write_5m=2000, cache_write_1h=300, output=5),
        Usage(cache_write_1h=17),
        Usage(input=99_999, cache_read=1),
        Usage(input=1_500_000, output=64_000),
        Usage(input=7, output=7, other={"web_searches": 3}),
    ]
    for edge in thresholds(model):
        found.append(Usage(input=edge - 500, cache_read=400, cache_write_5m=100, output=50))
        found.append(Usage(input=edge - 500, cache_read=400, cache_write_1h=101, output=50))
    return found


def golden_shapes() -> list[Usage]:
    """More than two hundred shapes: every mix of the six counts, tier edges, further units."""
    mixed = [
        Usage(
            input=fresh,
            cache_read=read,
            cache_write_5m=short,
            cache_write_1h=long,
            output=output,
            reasoning=thought,
        )
        for fresh, read, (short, long), (output, thought) in product(
            (0, 1, 1_037, 150_001),
            (0, 90_001),
            ((0, 0), (2_048, 0), (0, 511), (3, 5)),
            ((0, 0), (1, 0), (811, 0), (0, 13), (640, 1_999)),
        )
    ]
    edges = [
        Usage(input=edge + step - part, cache_read=part, output=9)
        for edge in (100_000, 128_000, 199_999, 200_000, 256_000, 272_000)
        for step in (-1, 0, 1)
        for part in (0, 60_000)
    ]
    others = [
        Usage(input=500, output=40, other={unit: count})
        for unit in OTHER_UNITS
        for count in (1, 1_001)
    ]
    return mixed + edges + others


def class_kind(pair: Pair, at: datetime, price_class: str) -> str:
    """What the source does with a class: `listed`, `later` (not verified yet), `none`."""
    context = CONTEXTS[price_class]
    if context is None or price_class == "default":
        return "listed"
    fitting = [row for row in pair[1].price_variants or () if row.when.items() <= context.items()]
    if not fitting:
        return "none"
    active = any(row.constraint is None or row.constraint.active(at) for row in fitting)
    return "listed" if active else "later"


def representatives() -> list[Pair]:
    """About sixty models: the main ones, and the first of each provider, tier and oddity."""
    wanted = re.compile(
        r"claude-(fable|opus|sonnet|haiku)-[45]|gpt-(4o|4.1|5|5.5|5.6-sol|6-sol|6.1-sol)$|^o3$"
        r"|gemini-(2.5-(pro|flash)|3.8-flash|4-argon)$|nova-(pro|lite|micro)|deepseek-v4-(pro|flash)$"
    )
    chosen: dict[tuple[str, str], Pair] = {}
    seen: set[str] = set()
    for provider, model in all_models():
        main = provider.id in ("anthropic", "openai", "google", "aws", "deepseek")
        marks = {provider.id, *(f"tier {edge}" for edge in thresholds(model))}
        if (main and wanted.search(model.id)) or marks - seen:
            chosen[provider.id, model.id] = (provider, model)
        seen |= marks
    return list(chosen.values())


def changes(model: source.ModelInfo) -> list[datetime]:
    """Moments around each change of the list price, by day and by hour."""
    moments = [AT]
    for row in model.prices if isinstance(model.prices, list) else []:
        if isinstance(row.constraint, source.StartDateConstraint):
            start = datetime.combine(row.constraint.start_date, datetime.min.time())
            moments += [start, start - timedelta(seconds=1)]
        elif row.constraint is not None:
            for edge in (row.constraint.start_time, row.constraint.end_time):
                moments.append(datetime.combine(AT.date(), edge.replace(tzinfo=None)))
                moments.append(moments[-1] - timedelta(seconds=1))
    return moments


class Differences:
    """Collects where the two disagree, by kind; anything of no kind is a failure."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.compared = 0
        self.references: dict[str, str | None] = {}
        self.by_kind: dict[str, set[str]] = defaultdict(set)
        self.wrong: list[str] = []

    def compare(self, pair: Pair, usage: Usage, at: datetime, price_class: str) -> None:
        provider, model = pair
        name = f"{provider.id}/{model.id}"
        if name not in self.references:
            self.references[name] = reference(provider, model)
        ref = self.references[name]
        if ref is None:
            self.by_kind["shadowed"].add(name)
            return
        ours = self.book.price(provider.id, ref, usage, at, price_class)
        kind = class_kind(pair, at, price_class)
        if not any(vars(prices) for prices in listed_prices(model)):
            self.judge("no price at all", name, ours.cost_nano is None)
        elif free := [unit for unit in used_units(usage) if lacks_rate(model, at, unit)]:
            text = any(unit not in OTHER_UNITS for unit in free)
            kind = "text without a rate" if text else "other unit without a rate"
            self.judge(kind, name, ours.cost_nano is None)
        elif kind == "none":
            kept = ours.cost_nano is None or "bedrock.toml" in (ours.version or "")
            self.judge("class not listed", name, kept)
        elif kind == "later":
            self.judge("class carried back", name, carried_back(pair, usage, at, price_class, ours))
        else:
            self.exact(pair, usage, at, price_class, ours)

    def exact(self, pair: Pair, usage: Usage, at: datetime, price_class: str, ours: Priced) -> None:
        provider, model = pair
        name = f"{provider.id}/{model.id}"
        self.compared += 1
        if ours.cost_nano is None:
            self.wrong.append(f"unpriced for no reason: {name}: {ours.unpriced_reason}")
            return
        expected = oracle_pico(pair, usage, at, CONTEXTS[price_class])
        gap = abs(our_pico(ours) - expected)
        if gap == 0:
            return
        units = usage.prompt + usage.answer + sum(usage.other.values())
        self.judge("rounded rate", name, is_rounded(model) and gap <= Decimal(units) / 2)

    def judge(self, kind: str, name: str, fits: bool) -> None:
        self.by_kind[kind].add(name)
        if not fits:
            self.wrong.append(f"{kind}: {name}")


def carried_back(pair: Pair, usage: Usage, at: datetime, price_class: str, ours: Priced) -> bool:
    """Whether a class before its first date has its first price, moved with the standard one."""
    model, context = pair[1], CONTEXTS[price_class]
    first = min(
        row.constraint.start_date
        for row in model.price_variants or ()
        if context is not None and row.when.items() <= context.items()
        if isinstance(row.constraint, source.StartDateConstraint)
    )
    then = datetime.combine(first, datetime.min.time())
    if ours.cost_nano is None:
        return model.get_prices(at) != model.get_prices(then)
    if ours.basis is not Basis.ASSUMED or "/before " not in (ours.version or ""):
        return False
    if model.get_prices(at) == model.get_prices(then):
        return our_pico(ours) == oracle_pico(pair, usage, then, context)
    return 0 < our_pico(ours) < oracle_pico(pair, usage, at, None) * 3


@pytest.fixture(scope="module", name="differences")
def differences_fixture(book: Book) -> Differences:
    """Every model with a dozen shapes, its price changes and every class."""
    found = Differences(book)
    plain = Usage(input=1234, cache_read=50, output=567)
    for pair in all_models():
        for usage in shapes(pair[1]):
            found.compare(pair, usage, AT, "standard")
        for at in changes(pair[1]):
            found.compare(pair, plain, at, "standard")
        for price_class, at in product(CONTEXTS, (AT, datetime(2026, 9, 1))):
            found.compare(pair, plain, at, price_class)
    return found


def test_every_model_and_shape_agrees_or_is_documented(differences: Differences) -> None:
    assert differences.compared > 25_000
    assert not differences.wrong, differences.wrong[:20]


def test_two_hundred_golden_shapes_agree(book: Book) -> None:
    golden = golden_shapes()
    assert len(golden) >= 200
    found = Differences(book)
    models = representatives()
    assert len(models) >= 60
    for pair in models:
        for usage in golden:
            found.compare(pair, usage, AT, "standard")
    assert not found.wrong, found.wrong[:20]
    assert found.compared > 0.9 * len(models) * len(golden)


def test_classes_agree_once_they_are_verified(book: Book) -> None:
    found = Differences(book)
    some = golden_shapes()[3::11]
    for pair in representatives():
        for usage, price_class, month in product(some, CONTEXTS, (9, 11)):
            found.compare(pair, usage, datetime(2026, month, 1), price_class)
    assert not found.wrong, found.wrong[:20]
    assert found.by_kind["class carried back"]


def test_the_page_counts_and_lists_the_differences(differences: Differences) -> None:
    page = PAGE.read_text(encoding="utf-8")
    counted = dict(re.findall(r"^\| `([^`]+)` \| (\d+) \|", page, re.MULTILINE))
    assert {kind: len(names) for kind, names in differences.by_kind.items()} == {
        kind: int(count) for kind, count in counted.items()
    }
    listed = set(re.findall(r"^- `([^`]+/[^`]+)`$", page, re.MULTILINE))
    rounded = {f"{p.id}/{m.id}" for p, m in all_models() if is_rounded(m)}
    assert listed == rounded


def test_names_find_what_the_source_finds(book: Book) -> None:
    for provider, model in all_models():
        for name in [model.id, *names_in(model.match)]:
            found = provider.find_model(name, all_providers=providers)
            if found is None or not any(vars(prices) for prices in listed_prices(found)):
                continue
            assert book.rates(provider.id, name, AT).model == found.id, (provider.id, name)
