"""Charts: bars never leave their drawing, parts follow each other, axes are round and reach."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dashboard import charts, spending
from bursar.dashboard.charts import Column, Part
from bursar.model.block import Kind
from bursar.model.money import NANO_PER_USD, nano_from_usd, usd
from dashboard.reading import Element, read

SHARES = st.floats(min_value=-1, max_value=2)


def length(rect: Element, name: str) -> float:
    return float(str(rect.attributes.get(name) or "0%").removesuffix("%"))


@given(st.lists(SHARES, max_size=9))
def test_a_bar_stays_inside_its_drawing(shares: list[float]) -> None:
    drawn = read(charts.bar(*((share, "accent") for share in shares)))
    for rect in drawn.all("rect"):
        assert 0 <= length(rect, "x") <= 100
        assert 0 < length(rect, "width") <= 100


@given(st.lists(st.integers(min_value=1, max_value=10**6), min_size=1, max_size=9))
def test_the_parts_of_a_stacked_bar_fill_it_without_gaps(weights: list[int]) -> None:
    whole = sum(weights)
    parts = [Part(share=weight / whole, title="part", look="accent") for weight in weights]
    rects = read(charts.stacked("A bar", parts)).all("rect")
    assert len(rects) == len(weights)
    end = 0.0
    for rect in rects:
        assert length(rect, "x") == pytest.approx(end, abs=0.06)
        end = length(rect, "x") + length(rect, "width")
    assert end == pytest.approx(100, abs=0.06)


def test_a_chart_says_in_words_what_it_shows() -> None:
    columns = [Column(label="one", title="one: $1.00", parts=((1.0, "accent"),))]
    for drawn in (
        charts.columns("Spend by day", columns),
        charts.stacked("Prompt tokens", [Part(share=1.0, title="User: 100%", look="k-user")]),
    ):
        image = read(drawn).one("svg", role="img")
        assert image.attributes["aria-label"]
        assert image.all("title")[0].text == image.attributes["aria-label"]


def test_no_column_is_drawn_for_nothing() -> None:
    columns = [
        Column(label="a", title="a", parts=((0.0, "accent"),)),
        Column(label="b", title="b", parts=((0.25, "k-user"), (0.5, "k-output"))),
    ]
    drawn = read(charts.columns("Steps", columns))
    assert [rect.attributes["class"] for rect in drawn.all("rect")] == ["k-user", "k-output"]
    heights = [float(str(rect.attributes["height"])) for rect in drawn.all("rect")]
    assert heights == [charts.PLOT_HEIGHT * 0.25, charts.PLOT_HEIGHT * 0.5]


@given(st.integers(min_value=1, max_value=2**63 - 1))
def test_an_axis_has_a_few_round_marks_and_reaches_the_highest(highest: int) -> None:
    marks = charts.round_ticks(highest)
    assert 1 <= len(marks) <= 4
    assert marks[-1] >= highest > marks[-1] // 4
    assert len(str(marks[0]).rstrip("0")) == 1
    assert marks == [marks[0] * (place + 1) for place in range(len(marks))]


@pytest.mark.parametrize(
    ("dollars", "labels"),
    [
        ("1.06", ["$0.50", "$1.00", "$1.50"]),
        ("102", ["$50", "$100", "$150"]),
        ("1234567.89", ["$500k", "$1m", "$1.5m"]),
        ("0.038", ["$0.01", "$0.02", "$0.03", "$0.04"]),
        ("0.000000001", ["$1e-9"]),
    ],
)
def test_the_labels_of_an_axis_in_dollars(dollars: str, labels: list[str]) -> None:
    ticks, top = charts.money_ticks(nano_from_usd(dollars))
    assert [tick.label for tick in ticks] == labels
    assert ticks[-1].share == 1
    assert top >= nano_from_usd(dollars)
    assert charts.money_ticks(0) == ([], 0)
    assert all(len(tick.label) <= 7 for tick in ticks), "wider than the axis"


def test_every_kind_has_a_colour_of_its_own() -> None:
    looks = {charts.look_of(kind) for kind in Kind}
    assert len(looks) == len(Kind)
    assert charts.look_of('x" onload="') == "k-other"


DATES = st.dates(min_value=date(1970, 1, 1), max_value=date(2100, 1, 1))


@given(st.dictionaries(DATES, st.integers(min_value=0, max_value=10**15), min_size=1, max_size=9))
def test_stretches_of_time_keep_every_dollar_and_leave_no_gap(costs: dict[date, int]) -> None:
    dated: list[tuple[date, dict[str, Any]]] = [
        (day, {"cost_usd": usd(cost)}) for day, cost in sorted(costs.items())
    ]
    grain, held = spending.stretches(dated)
    assert sum(nano_from_usd(one) for _, each in held for one in each) == sum(costs.values())
    starts = [start for start, _ in held]
    assert starts == sorted(set(starts))
    assert starts[0] <= min(costs)
    if grain != "year":
        assert len(held) <= spending.MOST_COLUMNS
        longest = {"day": 1, "week": 7, "month": 31}[grain]
        for one, after in pairwise(starts):
            assert after - one <= timedelta(days=longest)


def test_a_fortnight_is_drawn_by_day_and_three_years_by_month() -> None:
    def grain(days: int) -> str:
        start = date(2026, 1, 1)
        row = {"cost_usd": usd(NANO_PER_USD)}
        return spending.stretches([(start, row), (start + timedelta(days=days), row)])[0]

    assert [grain(days) for days in (0, 13, 91, 92, 600, 1100, 20_000)] == [
        "day",
        "day",
        "day",
        "week",
        "week",
        "month",
        "year",
    ]
