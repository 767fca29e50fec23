"""Splitting integers exactly, and rows as columns."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from bursar.ledger.rows import Rows
from bursar.ledger.schema import TABLES
from bursar.ledger.shares import Charge, parts_of, ranges
from bursar.model.block import Kind
from bursar.model.money import apportion

totals = st.integers(0, 10**12)
tokens = st.integers(0, 10**6)


def by_largest_remainder(total: int, weights: list[int]) -> list[int]:
    """The rule, word by word, in fractions."""
    whole = sum(weights)
    if not whole:
        return [total] + [0] * (len(weights) - 1)
    exact = [Fraction(total * weight, whole) for weight in weights]
    parts = [int(one) for one in exact]
    order = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in order[: total - sum(parts)]:
        parts[place] += 1
    return parts


@given(totals, st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_integers_are_split_by_largest_remainder(total: int, weights: list[int]) -> None:
    assert apportion(total, weights) == by_largest_remainder(total, weights)


@given(st.lists(st.integers(0, 10**9), max_size=20))
def test_weights_that_add_up_are_the_parts(weights: list[int]) -> None:
    assert apportion(sum(weights), [float(weight) for weight in weights]) == weights


@given(totals, st.lists(st.floats(0, 1e12), min_size=1, max_size=20))
def test_parts_of_any_weights_add_up(total: int, weights: list[float]) -> None:
    parts = apportion(total, weights)
    assert len(parts) == len(weights)
    assert sum(parts) == total


@given(tokens, tokens, tokens, st.integers(1, 10**6))
def test_ranges_follow_each_other_and_cover_the_prompt(
    read: int, written: int, plain: int, whole: int
) -> None:
    found = ranges(Charge(read_tokens=read, written_tokens=written, plain_tokens=plain), whole)
    ends = [0.0, *(high for _, high, _, _ in found)]
    assert [low for low, _, _, _ in found] == ends[:-1]
    assert ends[-1] == whole


def test_a_prompt_that_nobody_shows_is_unseen() -> None:
    charge = Charge(plain_tokens=10, plain_pico=20_000, answer_pico=10_000, cost_nano=30)
    parts, nanos = parts_of({}, {}, 0, charge)
    assert [(p.kind, p.tokens, p.fresh_nano) for p in parts] == [
        (Kind.OUTPUT, 0, 10),
        (Kind.UNSEEN, 10, 20),
    ]
    assert sum(nanos.values()) == 20


def test_without_a_price_only_tokens_are_shared() -> None:
    parts, nanos = parts_of({}, {0: 10.0}, 10, Charge(plain_tokens=10))
    assert not nanos
    assert {(p.fresh_nano, p.carried_nano) for p in parts} == {(None, None)}


def test_rows_come_out_as_columns_once() -> None:
    rows = Rows()
    names = list(TABLES["skips"])
    for number in range(3):
        rows.add("skips", f"file {number}", number, "why", 1)
    assert rows.take() == {
        "skips": dict(
            zip(
                names,
                [["file 0", "file 1", "file 2"], [0, 1, 2], ["why"] * 3, [1] * 3],
                strict=True,
            )
        )
    }
    assert rows.take() == {}
