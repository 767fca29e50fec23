"""Overlays: what they say is what is charged; what does not hold together is refused whole."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from bursar.model.errors import BadPrices, Unpriced
from bursar.model.usage import Basis, Usage
from bursar.price import Book, load_book
from bursar.price.overlay import read_overlay

AT = datetime(2026, 11, 1)
ARN = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc"
GOOD = '[[price]]\nprovider = "acme"\nmodel = "m"\nfrom = 2026-01-01\ninput = "1"\n'


def book_with(home: Path, tmp_path: Path, *texts: str) -> Book:
    files: list[Path] = []
    for n, text in enumerate(texts):
        files.append(tmp_path / f"prices{n}.toml")
        files[-1].write_text(text, encoding="utf-8")
    return load_book(files, home=home, now=AT)


def test_a_new_model_of_a_new_provider(home: Path, tmp_path: Path) -> None:
    book = book_with(
        home,
        tmp_path,
        """
        [[price]]
        provider = "acme"
        model = "Acme-1"
        from = 2026-03-01
        input = "2.00"
        output = 8
        cache_read = "0.003625"
        other.web_searches = "0.01"
        other.input_audio_tokens = "5"
        tier = [{ above = 1000, input = "4", output = "12" }]
        """,
    )
    usage = Usage(input=100, cache_read=200, output=10, other={"web_searches": 1})
    priced = book.price("acme", "acme-1", usage, AT)
    assert priced.cost_nano == 200_000 + 725 + 80_000 + 10_000_000
    assert priced.version is not None
    assert priced.version.startswith("prices0.toml#")
    rates = book.rates("ACME", "acme-1", AT)
    assert rates.other == {"web_searches": 10**10, "input_audio_tokens": 5_000_000}
    assert rates.for_prompt(1001).input == 4_000_000
    assert rates.for_prompt(1001).cache_read == 3_625
    with pytest.raises(Unpriced, match="2026-02-28"):
        book.rates("acme", "acme-1", datetime(2026, 2, 28, 23, 59))


def test_prices_are_appended_and_the_latest_start_holds(home: Path, tmp_path: Path) -> None:
    row = '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\nfrom = {}\n{}input = "{}"\n'
    book = book_with(
        home,
        tmp_path,
        row.format("2026-01-01", "", "1") + row.format("2026-06-01", "to = 2026-07-01\n", "0.5"),
    )
    by_month = [book.rates("openai", "gpt-4o", datetime(2026, n, 1)).input for n in (1, 6, 7)]
    assert by_month == [1_000_000, 500_000, 1_000_000]
    assert book.rates("openai", "gpt-4o", datetime(2025, 12, 31)).input == 2_500_000
    assert book.rates("openai", "gpt-4o", AT, "batch").input == 1_250_000


def test_the_narrower_pattern_holds(home: Path, tmp_path: Path) -> None:
    wide = '[[price]]\nprovider = "openai"\nmatch = "gpt-*"\nfrom = 2026-06-01\ninput = "9"\n'
    narrow = '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\nfrom = 2026-01-01\ninput = "7"\n'
    book = book_with(home, tmp_path, wide, narrow)
    assert book.rates("openai", "gpt-4o", AT).input == 7_000_000
    assert book.rates("openai", "gpt-5", AT).input == 9_000_000


def test_a_ratio_of_a_class(home: Path, tmp_path: Path) -> None:
    book = book_with(
        home,
        tmp_path,
        '[[price]]\nprovider = "azure"\nmatch = "gpt-*"\nclass = "batch"\nfrom = 2026-01-01\n'
        'ratio = "0.5"\nbasis = "assumed"\n',
    )
    rates = book.rates("azure", "gpt-4o", AT, "batch")
    assert (rates.input, rates.output, rates.basis) == (1_250_000, 5_000_000, Basis.ASSUMED)


def test_a_discount_is_off_the_list_price_only(home: Path, tmp_path: Path) -> None:
    book = book_with(
        home,
        tmp_path,
        '[[discount]]\nprovider = "*"\npercent = "12.5"\nfrom = 2026-01-01\nto = 2027-01-01\n'
        '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\nfrom = 2026-01-01\ninput = "2"\n',
    )
    assert book.rates("openai", "gpt-5", AT).input == 1_093_750
    assert book.rates("openai", "gpt-5", AT, "batch").input == 546_875
    assert "-12.5%" in book.rates("openai", "gpt-5", AT).version
    assert book.rates("openai", "gpt-4o", AT).input == 2_000_000
    assert book.rates("openai", "gpt-5", datetime(2025, 12, 31)).input == 1_250_000
    assert book.rates("openai", "gpt-5", datetime(2027, 1, 1)).input == 1_250_000
    search = book.rates("anthropic", "claude-opus-5-5", AT).other["web_searches"]
    assert search == 8_750_000_000


def test_the_users_price_wins_over_our_own_row_however_wide(home: Path, tmp_path: Path) -> None:
    book = book_with(
        home,
        tmp_path,
        '[[price]]\nprovider = "*"\nmatch = "*"\nclass = "batch"\n'
        'from = 2020-01-01\nratio = "0.4"\n'
        '[[discount]]\nprovider = "aws"\npercent = 10\nfrom = 2026-01-01\n',
    )
    assert book.rates("aws", "us.amazon.nova-pro-v1:0", AT, "batch").input == 320_000
    assert book.rates("aws", "us.amazon.nova-pro-v1:0", AT, "flex").input == 360_000
    assert book.rates("aws", "cohere.embed-v4:0", AT).input == 108_000


def test_profiles_aliases_and_disputes(home: Path, tmp_path: Path) -> None:
    book = book_with(
        home,
        tmp_path,
        f'[[profile]]\narn = "{ARN}"\nmodel = "us.amazon.nova-pro-v1:0"\n'
        '[[alias]]\nname = "My-Gateway"\nprovider = "openai"\n'
        '[[ambiguous]]\nprovider = "openai"\nmatch = "gpt-4o*"\nreason = "two lists"\n',
    )
    assert book.rates("aws", ARN, AT).model == "amazon.nova-pro-v1:0"
    assert book.rates(None, ARN, AT, "flex").input == 400_000
    rates = book.rates("my-gateway", "gpt-4o", AT)
    assert (rates.input, rates.ambiguous, rates.basis) == (2_500_000, "two lists", Basis.ASSUMED)
    assert book.rates("openai", "gpt-5", AT).ambiguous is None


REFUSED = [
    ('input = "1"', 'input = "-1"', "price[0].input", "negative"),
    ('input = "1"', 'input = "nan"', "price[0].input", "not finite"),
    ('input = "1"', 'input = "inf"', "price[0].input", "not finite"),
    ('input = "1"', "input = nan", "price[0].input", "float"),
    ('input = "1"', "input = 1.5", "price[0].input", "float"),
    ('input = "1"', "input = true", "price[0].input", "bool"),
    ('input = "1"', 'input = "cheap"', "price[0].input", "no number"),
    ('input = "1"', 'input = "1000001"', "price[0].input", "above"),
    ('input = "1"', 'input = "1e99"', "price[0].input", "above"),
    ('input = "1"', 'input = "0.0000001"', "price[0].input", "decimals"),
    ('input = "1"', 'other.web_searches = "-1"', "other.web_searches", "negative"),
    ('input = "1"', 'inptu = "1"', "price[0]", "unknown field `inptu`"),
    ('input = "1"', "", "price[0]", "ratio or rates"),
    ('input = "1"', 'input = "1"\nratio = "2"', "price[0]", "ratio or rates"),
    ('input = "1"', 'ratio = "-2"', "price[0].ratio", "negative"),
    ('input = "1"', 'input = "1"\nbasis = "sure"', "price[0].basis", "sure"),
    ('input = "1"', 'input = "1"\ntier = [{above=0, input="2"}]', "tier[0].above", ">= 1"),
    ('input = "1"', 'input = "1"\ntier = [{above=5, output="2"}]', "tier[0]", "output"),
    (
        'input = "1"',
        'input = "1"\ntier = [{above=5, input="2"}, {above=5, input="3"}]',
        "tier",
        "do not rise",
    ),
    ("from = 2026-01-01", "", "price[0]", "`from`"),
    ("from = 2026-01-01", 'from = "soon"', "price[0].from", "date"),
    ("from = 2026-01-01", "from = 2026-01-01\nto = 2025-01-01", "price[0].to", "not after"),
    ("from = 2026-01-01", "from = 2026-01-01\nto = 2026-01-01", "price[0].to", "not after"),
    ('model = "m"', "", "price[0]", "model or match"),
    ('model = "m"', 'model = "m"\nmatch = "m*"', "price[0]", "model or match"),
    ('provider = "acme"', "", "price[0]", "`provider`"),
    ("[[price]]", "[[prize]]", "prize", "unknown field"),
    ("[[price]]", "[[price", "", "no TOML"),
]


@pytest.mark.parametrize(("old", "new", "key", "says"), REFUSED)
def test_a_bad_file_is_refused_whole(
    home: Path, tmp_path: Path, old: str, new: str, key: str, says: str
) -> None:
    bad = GOOD.replace(old, new)
    assert bad != GOOD
    with pytest.raises(BadPrices) as caught:
        book_with(home, tmp_path, GOOD, bad)
    text = str(caught.value)
    assert "prices1.toml" in text
    assert key in text
    assert says in text
    assert caught.value.mend


@pytest.mark.parametrize(
    ("discount", "says"),
    [
        ('percent = "101"', "above 100"),
        ('percent = "-1"', "negative"),
        ("percent = 12.5", "float"),
    ],
)
def test_bad_discounts_are_refused(tmp_path: Path, discount: str, says: str) -> None:
    file = tmp_path / "d.toml"
    file.write_text(f'[[discount]]\nprovider = "aws"\nfrom = 2026-01-01\n{discount}\n')
    with pytest.raises(BadPrices, match="percent") as caught:
        read_overlay(file)
    assert says in str(caught.value)


def test_files_that_cannot_be_read_are_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BadPrices, match=r"gone\.toml"):
        load_book([tmp_path / "gone.toml"], home=home, now=AT)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\x00\xfe")
    with pytest.raises(BadPrices, match=r"binary\.toml"):
        load_book([binary], home=home, now=AT)


def test_the_page_shows_a_file_that_is_accepted(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "prices.md"
    example = page.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    file = tmp_path / "page.toml"
    file.write_text(example, encoding="utf-8")
    overlay = read_overlay(file)
    assert (len(overlay.prices), len(overlay.discounts), len(overlay.profiles)) == (2, 1, 1)


def test_a_cache_write_of_another_lifetime_has_the_price_that_names_it(
    home: Path, tmp_path: Path
) -> None:
    """No other lifetime stands in for it, and it counts towards the long-context threshold."""
    row = '[[price]]\nprovider = "acme"\nmodel = "{}"\nfrom = 2026-01-01\ninput = "1"\n'
    named = 'other.cache_write_12h = "3"\ntier = [{above = 1000, input = "2"}]\n'
    book = book_with(home, tmp_path, row.format("long") + named + row.format("short"))
    usage = Usage(input=100, other={"cache_write_12h": 500})
    assert book.price("acme", "long", usage, AT).cost_nano == 100 * 1_000 + 500 * 3_000
    prompt = Usage(input=600, other={"cache_write_12h": 500})
    assert book.price("acme", "long", prompt, AT).cost_nano == 600 * 2_000 + 500 * 3_000
    for owner in (("acme", "short"), ("anthropic", "claude-sonnet-4-6"), ("openai", "gpt-5.6")):
        priced = book.price(*owner, usage, AT)
        assert priced.cost_nano is None
        assert "no price is known for cache_write_12h" in (priced.unpriced_reason or "")
        assert book.cost_nano(*owner, usage, AT)[0] is None
