"""Prices worked out by hand from the providers' published tables, independent of any package."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from bursar.model.usage import Basis, Usage
from bursar.price import Book

AT = datetime(2026, 11, 1)
M = 1_000_000

# provider, model, USD per million tokens: input, output, read, write 5m, write 1h
TABLE = """
anthropic claude-fable-5-2 8 40 0.2 10 16
anthropic claude-opus-5-5 4 20 0.2 5 8
anthropic claude-opus-5 5 25 0.5 6.25 10
anthropic claude-opus-4-8 5 25 0.5 6.25 10
anthropic claude-opus-4-7 5 25 0.5 6.25 10
anthropic claude-sonnet-5-5 2 10 0.1 2.5 4
anthropic claude-sonnet-5 2 10 0.2 2.5 4
anthropic claude-sonnet-4-6 3 15 0.3 3.75 6
anthropic claude-sonnet-4-5 3 15 0.3 3.75 6
anthropic claude-haiku-5-5 0.1 0.5 0.01 0.125 0.2
anthropic claude-haiku-4-5 1 5 0.1 1.25 2
openai gpt-6-astra 10 50 1 12.5 -
openai gpt-6.1-sol 2 10 0.1 2.5 -
openai gpt-6.1-terra 1 5 0.05 1.25 -
openai gpt-6-sol 2 10 0.2 2.5 -
openai gpt-6-luna 0.1 0.5 0.01 0.125 -
openai gpt-5.6-sol 4 20 0.4 5 -
openai gpt-5.6-terra 2 12 0.2 2.5 -
openai gpt-5.6-luna 0.2 1.2 0.02 0.25 -
openai gpt-5.5 5 30 0.5 - -
openai gpt-5.4 2.5 15 0.25 - -
openai gpt-5.4-mini 0.75 4.5 0.075 - -
openai gpt-5 1.25 10 0.125 - -
openai gpt-5-mini 0.25 2 0.025 - -
openai gpt-4.1 2 8 0.5 - -
openai gpt-4o 2.5 10 1.25 - -
openai gpt-4o-mini 0.15 0.6 0.075 - -
openai o3 2 8 0.5 - -
openai text-embedding-3-small 0.02 - - - -
openai text-embedding-3-large 0.13 - - - -
google gemini-4-argon 2 10 0.1 - -
google gemini-3.8-flash 0.75 3.75 0.075 - -
google gemini-3.5-flash 1.5 9 0.15 - -
google gemini-2.5-pro 1.25 10 0.125 - -
google gemini-2.5-flash 0.3 2.5 0.03 - -
aws global.anthropic.claude-opus-5-5 4 20 0.2 5 8
aws us.anthropic.claude-opus-5-5 4.4 22 0.22 5.5 8.8
aws global.anthropic.claude-sonnet-4-6 3 15 0.3 3.75 6
aws us.anthropic.claude-sonnet-4-6 3.3 16.5 0.33 4.125 6.6
aws us.anthropic.claude-sonnet-4-5-20250929-v1:0 3.3 16.5 0.33 4.125 6.6
aws us.anthropic.claude-haiku-4-5-20251001-v1:0 1.1 5.5 0.11 1.375 2.2
aws us.anthropic.claude-haiku-5-5 0.11 0.55 0.011 0.1375 0.22
aws anthropic.claude-3-haiku-20240307-v1:0 0.25 1.25 - - -
aws anthropic.claude-3-5-sonnet-20241022-v2:0 3 15 0.3 3.75 -
aws us.amazon.nova-pro-v1:0 0.8 3.2 0.2 - -
aws amazon.nova-lite-v1:0 0.06 0.24 0.015 - -
aws amazon.nova-micro-v1:0 0.035 0.14 0.00875 - -
aws us.amazon.nova-2-lite-v1:0 0.33 2.75 0.0825 - -
aws amazon.nova-2-lite-v1:0 0.3 2.5 0.075 - -
aws amazon.titan-text-express-v1 0.2 0.6 - - -
aws amazon.titan-embed-text-v2:0 0.02 - - - -
aws meta.llama3-70b-instruct-v1:0 2.65 3.5 - - -
aws openai.gpt-oss-120b-1:0 0.15 0.6 - - -
aws cohere.embed-v4:0 0.12 - - - -
"""


def pico(usd_per_mtok: str) -> int:
    exact = Decimal(usd_per_mtok) * 1_000_000
    assert exact == int(exact)
    return int(exact)


@pytest.mark.parametrize("row", TABLE.split("\n")[1:-1])
def test_main_models(book: Book, row: str) -> None:
    provider, model, fresh, output, read, short, long = row.split()
    rates = book.rates(provider, model, AT)
    assert rates.input == pico(fresh)
    assert rates.output == (None if output == "-" else pico(output))
    assert rates.cache_read == pico(fresh if read == "-" else read)
    assert rates.cache_write_5m == pico(fresh if short == "-" else short)
    fallback = fresh if short == "-" else short
    assert rates.cache_write_1h == pico(fallback if long == "-" else long)
    assert rates.reasoning == rates.output


def cost(book: Book, name: str, usage: Usage, at: datetime = AT, price_class: str = "standard"):
    provider, model = name.split("/", 1)
    return book.price(provider, model, usage, at, price_class).cost_nano


def test_one_bill_by_hand(book: Book) -> None:
    usage = Usage(
        input=1000, cache_read=50_000, cache_write_5m=2000, cache_write_1h=300, output=400,
        reasoning=100, other={"web_searches": 2},
    )  # fmt: skip
    priced = book.price("anthropic", "claude-opus-5-5", usage, AT)
    # 4 + 0.2*50 + 5*2 + 8*0.3 + 20*0.5 = 36.4 mUSD, and two searches at 1 cent
    assert priced.cost_nano == 36_400_000 + 20_000_000
    assert [(line.unit, line.tokens) for line in priced.lines] == [
        ("input", 1000),
        ("cache_read", 50_000),
        ("cache_write_5m", 2000),
        ("cache_write_1h", 300),
        ("output", 400),
        ("reasoning", 100),
        ("web_searches", 2),
    ]
    assert priced.basis is Basis.MEASURED
    assert priced.version == "genai-prices 0.2.3 anthropic/claude-opus-5-5 always standard"


@pytest.mark.parametrize(
    ("name", "edge", "below", "above"),
    [
        ("openai/gpt-6-astra", 272_000, "10", "20"),
        ("openai/gpt-5.4", 272_000, "2.5", "5"),
        ("anthropic/claude-haiku-5-5", 100_000, "0.1", "0.5"),
        ("google/gemini-2.5-pro", 200_000, "1.25", "2.5"),
        ("aws/us.anthropic.claude-haiku-5-5", 100_000, "0.11", "0.55"),
    ],
)
def test_long_context_is_a_cliff(book: Book, name: str, edge: int, below: str, above: str) -> None:
    at_edge, over = Usage(input=edge), Usage(input=edge + 1)
    assert cost(book, name, at_edge) == edge * pico(below) // 1000
    assert cost(book, name, over) == (edge + 1) * pico(above) // 1000
    provider, model = name.split("/", 1)
    fast = [book.cost_nano(provider, model, usage, AT)[0] for usage in (at_edge, over)]
    assert fast == [cost(book, name, at_edge), cost(book, name, over)]


def test_the_cliff_counts_cached_tokens(book: Book) -> None:
    usage = Usage(input=1, cache_read=272_000)
    # input 20 and cached read 2 instead of 10 and 1
    assert cost(book, "openai/gpt-6-astra", usage) == 20_000 + 272_000 * 2_000


@pytest.mark.parametrize(
    ("name", "day", "fresh", "output"),
    [
        ("openai/gpt-5.6-sol", datetime(2026, 8, 20, 23, 59, 59), "5", "30"),
        ("openai/gpt-5.6-sol", datetime(2026, 8, 21), "4", "20"),
        ("openai/o3", datetime(2025, 6, 9), "10", "40"),
        ("openai/o3", datetime(2025, 6, 10), "2", "8"),
        ("deepseek/deepseek-v4-pro", datetime(2026, 11, 1, 0, 59), "0.66", "1.98"),
        ("deepseek/deepseek-v4-pro", datetime(2026, 11, 1, 1, 0), "1.32", "3.96"),
        ("deepseek/deepseek-v4-pro", datetime(2026, 11, 1, 4, 0), "0.66", "1.98"),
    ],
)
def test_prices_have_dates_and_hours(
    book: Book, name: str, day: datetime, fresh: str, output: str
) -> None:
    provider, model = name.split("/")
    rates = book.rates(provider, model, day)
    assert (rates.input, rates.output) == (pico(fresh), pico(output))


@pytest.mark.parametrize(
    ("name", "price_class", "fresh", "output", "basis"),
    [
        ("anthropic/claude-opus-5-5", "batch", "2", "10", "measured"),
        ("anthropic/claude-opus-5-5", "fast", "8", "40", "measured"),
        ("anthropic/claude-opus-5-5", "batch+geo_us", "2.2", "11", "measured"),
        ("openai/gpt-4.1", "priority", "3.5", "14", "measured"),
        ("openai/gpt-5.5", "priority", "12.5", "75", "measured"),
        ("openai/gpt-5-mini", "flex", "0.125", "1", "measured"),
        ("openai/gpt-4o", "default", "2.5", "10", "measured"),
        ("openai/gpt-4o", "auto", "2.5", "10", "measured"),
        ("aws/us.amazon.nova-pro-v1:0", "batch", "0.4", "1.6", "measured"),
        ("aws/us.amazon.nova-pro-v1:0", "flex", "0.4", "1.6", "measured"),
        ("aws/us.amazon.nova-pro-v1:0", "priority", "1.4", "5.6", "measured"),
        ("aws/us.amazon.nova-2-lite-v1:0", "priority", "0.5775", "4.8125", "measured"),
        ("aws/openai.gpt-oss-120b-1:0", "priority", "0.2625", "1.05", "measured"),
        ("aws/amazon.nova-2-lite-v1:0", "batch", "0.15", "1.25", "measured"),
        ("aws/us.anthropic.claude-haiku-4-5-20251001-v1:0", "batch", "0.55", "2.75", "measured"),
        ("aws/us.anthropic.claude-opus-5-5", "batch", "2.2", "11", "assumed"),
        ("aws/amazon.nova-lite-v1:0", "flex", "0.03", "0.12", "assumed"),
    ],
)
def test_price_classes(
    book: Book, name: str, price_class: str, fresh: str, output: str, basis: str
) -> None:
    provider, model = name.split("/")
    rates = book.rates(provider, model, AT, price_class)
    assert (rates.input, rates.output, rates.basis) == (pico(fresh), pico(output), basis)


def test_a_class_changes_tokens_not_searches(book: Book) -> None:
    searches = {"web_searches": 1000}
    for price_class in ("standard", "batch", "geo_us", "batch+geo_us"):
        usage = Usage(other=searches)
        assert cost(book, "anthropic/claude-opus-5-5", usage, AT, price_class) == 10 * 10**9


def test_a_class_is_carried_back_where_the_price_was_the_same(book: Book) -> None:
    rates = book.rates("anthropic", "claude-sonnet-4-6", datetime(2026, 9, 1), "batch")
    assert (rates.input, rates.output) == (pico("1.5"), pico("7.5"))
    assert rates.basis is Basis.ASSUMED
    assert "before 2026-10-14" in rates.version


def test_a_class_is_carried_back_in_proportion_to_the_price_of_the_day(book: Book) -> None:
    rates = book.rates("openai", "gpt-5.6-sol", datetime(2026, 8, 1), "batch")
    assert (rates.input, rates.output, rates.basis) == (pico("2.5"), pico("15"), Basis.ASSUMED)
    assert rates.for_prompt(272_001).input == pico("5")


def test_disputed_bedrock_ids_say_so(book: Book) -> None:
    bare = book.price("aws", "anthropic.claude-sonnet-4-6", Usage(input=1000), AT)
    assert bare.cost_nano == 3_300_000
    assert bare.basis is Basis.ASSUMED
    assert bare.ambiguous is not None
    assert "10 %" in bare.ambiguous
    for clear in (
        "us.anthropic.claude-sonnet-4-6",
        "global.anthropic.claude-sonnet-4-6",
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "anthropic.claude-3-haiku-20240307-v1:0",
    ):
        assert book.rates("aws", clear, AT).ambiguous is None, clear


def test_a_minimum_is_billed(book: Book) -> None:
    short = book.price("groq", "whisper-large-v3", Usage(other={"audio_seconds": 1}), AT)
    ten = book.price("groq", "whisper-large-v3", Usage(other={"audio_seconds": 10}), AT)
    assert short.cost_nano == ten.cost_nano is not None
    assert short.lines[0].tokens == 10
