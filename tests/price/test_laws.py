"""Laws of pricing: monotone, additive below a tier, never negative; both paths give one bill."""

from __future__ import annotations

from datetime import datetime

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.model.money import pico_to_nano
from bursar.model.usage import Usage
from bursar.price import Book, Rates, Tier, price_with

MODELS = (
    ("anthropic", "claude-opus-5-5"),
    ("anthropic", "claude-haiku-5-5"),
    ("openai", "gpt-5.6-sol"),
    ("openai", "gpt-4o"),
    ("google", "gemini-2.5-pro"),
    ("aws", "us.amazon.nova-micro-v1:0"),
    ("deepseek", "deepseek-v4-pro"),
)
FLAT = ("anthropic", "claude-opus-5-5")
UNITS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")

counts = st.integers(0, 400_000)
usages = st.builds(Usage, **dict.fromkeys(UNITS, counts))
models = st.sampled_from(MODELS)
classes = st.sampled_from(("standard", "batch", "flex", "priority", "fast", "geo_us", "typo"))
moments = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))
law = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@law
@given(model=models, usage=usages, at=st.none() | moments, price_class=classes)
def test_the_hot_path_is_the_bill(
    book: Book, model: tuple[str, str], usage: Usage, at: datetime | None, price_class: str
) -> None:
    priced = book.price(*model, usage, at, price_class)
    cost_nano, rates, reason = book.cost_nano(*model, usage, at, price_class)
    assert (cost_nano, reason) == (priced.cost_nano, priced.unpriced_reason)
    assert rates == priced.rates
    if priced.cost_nano is not None:
        assert pico_to_nano(sum(line.cost_pico for line in priced.lines)) == priced.cost_nano
        assert all(line.tokens * line.rate_pico == line.cost_pico for line in priced.lines)


@law
@given(model=models, usage=usages, unit=st.sampled_from(UNITS), more=st.integers(1, 200_000))
def test_more_tokens_never_cost_less(
    book: Book, model: tuple[str, str], usage: Usage, unit: str, more: int
) -> None:
    larger = msgspec.structs.replace(usage, **{unit: getattr(usage, unit) + more})
    small, large = book.cost_nano(*model, usage)[0], book.cost_nano(*model, larger)[0]
    assert small is not None
    assert large is not None
    assert 0 <= small <= large


@law
@given(one=usages, other=usages)
def test_costs_add_up_where_there_is_no_tier(book: Book, one: Usage, other: Usage) -> None:
    parts = [book.price(*FLAT, usage).lines for usage in (one, other)]
    whole = book.price(*FLAT, one + other).lines
    assert sum(line.cost_pico for part in parts for line in part) == sum(
        line.cost_pico for line in whole
    )


@law
@given(
    unit=st.sampled_from(UNITS),
    bad=st.one_of(
        st.integers(max_value=-1),
        st.integers(min_value=2**53 + 1),
        st.floats(),
        st.none(),
        st.text(max_size=3),
    ),
)
def test_untrue_counts_are_unpriced_never_negative(book: Book, unit: str, bad: object) -> None:
    usage = msgspec.structs.replace(Usage(input=5, output=5), **{unit: bad})
    priced = book.price(*FLAT, usage)
    assert priced.cost_nano is None
    assert unit in (priced.unpriced_reason or "")
    assert book.cost_nano(*FLAT, usage)[0] is None
    nested = Usage(input=5, other={"web_searches": bad})
    assert book.cost_nano(*FLAT, nested)[0] is None


@law
@given(
    usage=usages, edge=st.integers(0, 1_000_000), low=st.integers(0, 99), high=st.integers(0, 99)
)
def test_a_tier_holds_strictly_above_its_threshold(
    usage: Usage, edge: int, low: int, high: int
) -> None:
    flat = dict.fromkeys(UNITS, low)
    tier = Tier(above_tokens=edge, **dict.fromkeys(UNITS, high))
    rates = Rates(version="v", provider="p", model="m", tiers=(tier,), **flat)
    priced = price_with(rates, usage)
    rate = high if usage.prompt > edge else low
    assert priced.cost_nano == pico_to_nano(rate * (usage.prompt + usage.answer))
    assert priced.rates is not None
    assert priced.rates.input == rate


@law
@given(model=models, at=moments, price_class=classes)
def test_the_same_question_has_the_same_answer(
    book: Book, model: tuple[str, str], at: datetime, price_class: str
) -> None:
    usage = Usage(input=1000, output=100)
    first = book.price(*model, usage, at, price_class)
    assert book.price(*model, usage, at, price_class) == first
    assert first.cost_nano is None or first.version


@law
@given(provider=st.none() | st.text(max_size=30), model=st.none() | st.text(max_size=60))
def test_any_name_is_priced_or_has_a_reason(
    book: Book, provider: str | None, model: str | None
) -> None:
    cost_nano, _, reason = book.cost_nano(provider, model, Usage(input=1))
    assert (cost_nano is None) == (reason is not None)


def test_a_cost_beyond_any_real_amount_is_unpriced(book: Book) -> None:
    usage = Usage(input=2**53)
    priced = book.price("openai", "o1-pro", usage)
    assert priced.cost_nano is None
    assert "beyond" in (priced.unpriced_reason or "")
    assert book.cost_nano("openai", "o1-pro", usage)[0] is None
