"""Laws of the words of a page: money leaves as it came, names leave harmless."""

from __future__ import annotations

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dashboard import text
from bursar.model.money import usd
from dashboard.reading import read

AMOUNTS = st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1)


@given(AMOUNTS, st.integers(min_value=0, max_value=9))
def test_money_is_exact_to_the_last_digit(cost_nano: int, places: int) -> None:
    exact = usd(cost_nano)
    element = read(text.money(exact, places)).one("data")
    assert element.attributes["value"] == exact
    assert Decimal(element.text.replace("$", "").replace(",", "")) == Decimal(str(exact))
    plain = text.plain_money(exact).replace("$", "").replace(",", "")
    assert Decimal(plain) == Decimal(str(exact))


@given(st.lists(st.none() | AMOUNTS.map(lambda nano: nano // 100), max_size=40))
def test_a_sum_is_exact_and_leaves_out_only_what_is_not_known(costs: list[int | None]) -> None:
    known = [cost for cost in costs if cost is not None]
    assert text.total(map(usd, costs)) == (usd(sum(known)) if known else None)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("12", "$12.00"),
        ("0.5", "$0.50"),
        ("-0.5", "-$0.50"),
        ("1234567.89", "$1,234,567.89"),
        ("0.000000001", "$0.000000001"),
        ("18.237491283", "$18.237491283"),
    ],
)
def test_money_reads_as_people_write_it(amount: str, shown: str) -> None:
    assert read(text.money(amount)).text == shown
    assert text.plain_money(amount) == shown


def test_a_column_reserves_room_for_its_longest_amount() -> None:
    assert all("w7" in cell for cell in text.money_column(["1", "0.123456789", "2.5"]))
    assert "tail" not in text.money_column(["1", "2.50"])[0]


@given(st.text(st.characters(), max_size=80))
def test_no_name_leaves_with_markup_or_broken_characters(name: str) -> None:
    shown = text.name(name)
    shown.encode("utf-8")
    assert not {"<", ">", '"', "'"} & set(text.escape(name))
    seen = read(shown).text
    assert not [
        one for one in seen if unicodedata.category(one) in ("Cs", "Cc") and one not in "\t\n"
    ]


@pytest.mark.parametrize(
    "bad",
    [
        "\ud800",
        "\x00",
        "\x1b",
        "\x85",
        "\u202e",
        "\u2066",
        "\u200f",
        "\u2028",
        "\ufffe",
        "\U0010ffff",
    ],
)
def test_characters_that_break_or_disguise_a_page_are_replaced(bad: str) -> None:
    assert text.clean(f"a{bad}b") == "a\ufffdb"


@given(st.text(max_size=400), st.integers(min_value=12, max_value=60))
def test_a_long_name_keeps_both_ends(name: str, longest: int) -> None:
    short = text.shorten(name, longest)
    assert len(short) <= longest
    if len(name) <= longest:
        assert short == name
    else:
        assert name.startswith(short.split("…")[0][:3])
        assert name.endswith(short[-3:])


@given(st.floats(min_value=0, max_value=1))
def test_a_share_is_never_rounded_to_nought_or_to_all(share: float) -> None:
    shown = text.percent(share)
    assert (shown in ("0%", "0.0%")) == (share == 0)
    assert (shown in ("100%", "100.0%")) == (share == 1)


@pytest.mark.parametrize(
    "words",
    [text.money, text.percent, text.count, text.decimal, text.times, text.name],
)
def test_what_is_not_known_says_so(words: object) -> None:
    assert callable(words)
    assert words(None) == text.NOT_KNOWN


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "call", "1 call"),
        (0, "call", "0 calls"),
        (2, "day", "2 days"),
        (3, "entry", "3 entries"),
    ],
)
def test_plurals(number: int, noun: str, said: str) -> None:
    assert text.plural(number, noun) == said


def test_code_in_a_sentence_is_set_as_code_and_nothing_else_is() -> None:
    shown = text.prose("run `bursar prices missing` <b>now</b> `")
    assert shown == "run <code>bursar prices missing</code> &lt;b&gt;now&lt;/b&gt; `"
