"""Reports: each runs on any ledger and translates to other engines, and the fast ones are right.

The reports that find percentiles and first prompts without sorting everything are held against
the obvious computation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.advisor.sane import SANE
from bursar.ledger import reports
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import load_sql
from bursar.ledger.schema import BOOL, INT, REAL, TABLES, TEXT, TIME

Row = tuple[object, ...]


@pytest.fixture(scope="module", name="duck")
def duck_fixture() -> Iterator[Duck]:
    duck = Duck()
    yield duck
    duck.close()


def columns(table: str, rows: Sequence[Row]) -> dict[str, list[object]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(TABLES[table])}


FOLDER = Path(str(reports.__file__)).parent
NAMES = sorted(str(file.relative_to(FOLDER).with_suffix("")) for file in FOLDER.rglob("*.sql"))
PLACES = {
    "scope": "a.at >= TIMESTAMP '2026-01-01' AND a.at < TIMESTAMP '2027-01-01'",
    "dimension": "a.route",
    "columns": 'a.route AS "route", strftime(a.at, \'%Y-%m-%d\') AS "day"',
    "keys": "1, 2",
    "sane": SANE,
    "causes": "'rate_limit', 'tool_error'",
    "classes": "'provisioned'",
}
WORDS: dict[str, tuple[object, ...]] = {
    "route": ("billing", "search", None),
    "kind": ("system", "tools", "tool_result", "output", "history"),
    "role": ("system", "user", "tool"),
    "other_tags": ('{"shop": "a"}', None),
    "other_units": ('{"searches": 2}', None),
    "recorded_usage": ('{"input": 40, "output": 2}', None),
    "iterations": (None,),
    "added": ("0-2", "3,5-6", None),
    "path": ("0-5",),
    "retry_cause": ("rate_limit", "tool_error", None),
    "usage_basis": ("measured", "modelled", None),
    "cost_basis": ("measured", "assumed", None),
    "id": ("one", "two", "three"),
}


def filled(name: str) -> str:
    sql = load_sql(name, **PLACES)
    for place in {part.split("}")[0] for part in sql.split("{")[1:]}:
        sql = sql.replace("{" + place + "}", "2")
    return sql


def ask(duck: Duck, name: str) -> list[Row]:
    sql = filled(name)
    return duck.rows(sql, [3] * (sql.count("?") - sql.count("'?'")))


def test_reports_are_found() -> None:
    assert {"by", "totals", "flags/unpriced", "suspects/cache_busted"} <= set(NAMES)


@pytest.fixture(scope="module", name="small")
def small_fixture() -> Iterator[Duck]:
    """Every table full of small random values."""
    pick = random.Random(11)
    of_type = {
        INT: lambda: pick.choice((0, 1, 2, 3, 5, 40, None)),
        TEXT: lambda: pick.choice(("a", "b", None)),
        TIME: lambda: datetime(2026, 3, 1) + timedelta(minutes=pick.randrange(90_000)),
        BOOL: lambda: pick.choice((True, False, None)),
        REAL: lambda: pick.choice((0.5, None)),
    }
    duck = Duck()
    for table, kinds in TABLES.items():
        if table != "facts":
            rows = [
                tuple(
                    pick.choice(WORDS[name]) if name in WORDS and kind == TEXT else of_type[kind]()
                    for name, kind in kinds.items()
                )
                for _ in range(300)
            ]
            duck.append(table, columns(table, rows))
    yield duck
    duck.close()


@pytest.fixture(scope="module", name="empty")
def empty_fixture() -> Iterator[Duck]:
    duck = Duck()
    yield duck
    duck.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_report_runs_on_an_empty_ledger(empty: Duck, name: str) -> None:
    ask(empty, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_report_runs_on_a_small_ledger_and_is_repeatable(small: Duck, name: str) -> None:
    assert ask(small, name) == ask(small, name)


@pytest.mark.parametrize("dialect", ["clickhouse", "postgres", "spark"])
@pytest.mark.parametrize("name", NAMES)
def test_a_report_translates(name: str, dialect: str) -> None:
    sql = filled(name).replace("= ?", "= 3").replace("LIMIT ?", "LIMIT 3")
    (text,) = sqlglot.transpile(sql, read="duckdb", write=dialect)
    assert sqlglot.parse_one(text, read=dialect)


def test_by_day_is_by_over_days(small: Duck) -> None:
    day = PLACES | {"dimension": "strftime(a.at, '%Y-%m-%d')"}
    by, by_day = load_sql("by", **day), load_sql("by_day", **day)
    assert small.named(by) == small.named(by_day)
    assert len(small.rows(by)) > 20


# -- the fast reports against the obvious ones


@st.composite
def attempts(draw: st.DrawFn) -> list[dict[str, int | str | datetime | None]]:
    """Attempts of a few sessions; steps, times and costs meet and are missing on purpose."""
    cost = st.none() | st.integers(0, 3) | st.integers(0, 10**13)
    count = draw(st.integers(0, 40))
    numbers = draw(st.permutations(range(count)))
    at = st.integers(0, 3).map(lambda minutes: datetime(2026, 3, 1) + timedelta(minutes=minutes))
    return [
        {
            "call_id": number << 40,
            "n": draw(st.sampled_from((0, 0, 1))),
            "at": draw(at),
            "session": draw(st.none() | st.integers(1, 9)),
            "step": draw(st.integers(0, 3) | st.sampled_from((10**6, 2**31 - 1))),
            "route": draw(st.sampled_from(("search", "billing", None))),
            "cost_nano": draw(cost),
            "prompt_tokens": draw(st.none() | st.integers(0, 5) | st.integers(0, 10**7)),
        }
        for number in numbers
    ]


Attempts = list[dict[str, int | str | datetime | None]]


def fill(duck: Duck, rows: Attempts) -> None:
    duck.run("DELETE FROM attempts")
    if rows:
        duck.append("attempts", {name: [row[name] for row in rows] for name in rows[0]})


def rank(values: list[int | float | None], share: float) -> int | float | None:
    """Nearest rank; what has no value ranks as zero, and is itself only among its own kind."""
    if not values:
        return None
    key = sorted(value or 0 for value in values)[ceil(len(values) * share) - 1]
    return key if key or 0 in values else None


def by_session(rows: Attempts, name: str) -> dict[object, list[dict[str, object]]]:
    found: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        if row["session"] is not None and (not name or row[name] is not None):
            found.setdefault(row["session"], []).append(dict(row))
    return found


def spent(rows: list[dict[str, object]]) -> int | None:
    costs = [int(str(row["cost_nano"])) for row in rows if row["cost_nano"] is not None]
    return sum(costs) if costs else None


@settings(max_examples=150, deadline=None)
@given(attempts())
def test_iterations_are_nearest_ranks(duck: Duck, rows: Attempts) -> None:
    fill(duck, rows)
    sessions = list(by_session(rows, "").values())
    calls = [sum(row["n"] == 0 for row in session) for session in sessions]
    costs = [spent(session) for session in sessions]
    (found,) = duck.named(load_sql("iterations", scope="TRUE"))
    assert found == {
        "sessions": len(sessions),
        "calls": sum(calls) if calls else None,
        "calls_p50": rank([*calls], 0.5),
        "calls_p95": rank([*calls], 0.95),
        "calls_max": max(calls, default=None),
        "cost_p50": rank([*costs], 0.5),
        "cost_p95": rank([*costs], 0.95),
        "cost_p99": rank([*costs], 0.99),
        "cost_max": max((cost for cost in costs if cost is not None), default=None),
    }


@settings(max_examples=150, deadline=None)
@given(attempts())
def test_iterations_of_each_route_are_nearest_ranks(duck: Duck, rows: Attempts) -> None:
    fill(duck, rows)
    groups: dict[object, list[list[dict[str, object]]]] = {}
    for session in by_session(rows, "").values():
        route = max((str(row["route"]) for row in session if row["route"]), default=None)
        groups.setdefault(route, []).append(session)
    found = {row["route"]: row for row in duck.named(load_sql("report_iterations", scope="TRUE"))}
    assert found.keys() == groups.keys()
    for route, sessions in groups.items():
        calls = [sum(row["n"] == 0 for row in session) for session in sessions]
        costs = [spent(session) for session in sessions]
        row = found[route]
        assert (row["sessions"], row["calls_max"]) == (len(calls), max(calls))
        assert (row["calls_p50"], row["calls_p95"]) == (
            rank([*calls], 0.5),
            rank([*calls], 0.95),
        )
        assert (row["cost_p50_nano"], row["cost_p95_nano"]) == (
            rank([*costs], 0.5),
            rank([*costs], 0.95),
        )


@settings(max_examples=150, deadline=None)
@given(attempts())
def test_the_tail_is_held_against_the_median(duck: Duck, rows: Attempts) -> None:
    fill(duck, rows)
    costs = [spent(session) for session in by_session(rows, "").values()]
    median = rank([*costs], 0.5)
    found = duck.named(load_sql("report_tail", scope="TRUE"))
    known = sorted((cost for cost in costs if cost is not None), reverse=True)
    assert [row["cost_nano"] for row in found] == [*known, *[None] * (len(costs) - len(known))]
    for row in found:
        cost = row["cost_nano"]
        over = cost / median if median and cost is not None else None
        assert row["over_median"] == pytest.approx(over)


@settings(max_examples=200, deadline=None)
@given(attempts())
def test_growth_is_from_the_first_prompt_to_the_last(duck: Duck, rows: Attempts) -> None:
    fill(duck, rows)
    sent = last = 0
    ratios: list[int | float | None] = []
    for session in by_session(rows, "prompt_tokens").values():
        session.sort(key=lambda row: (row["step"], row["n"], row["at"], row["call_id"]))
        prompts = [int(str(row["prompt_tokens"])) for row in session]
        sent, last = sent + sum(prompts), last + prompts[-1]
        if prompts[0]:
            ratios.append(prompts[-1] / prompts[0])
    (found,) = duck.rows(load_sql("growth", scope="TRUE"))
    some = bool(by_session(rows, "prompt_tokens"))
    assert found == (sent if some else None, last if some else None, rank(ratios, 0.5))


def test_growth_survives_absurd_steps(duck: Duck) -> None:
    steps = [-(2**63), 0, 2**63 - 1]
    fill(duck, [_prompt(place, step) for place, step in enumerate(steps)])
    assert duck.rows(load_sql("growth", scope="TRUE")) == [(6, 3, 3.0)]
    assert len(duck.rows(load_sql("report_slopes", scope="TRUE", dimension="a.route"))) == 1


def _prompt(place: int, step: int) -> dict[str, int | str | datetime | None]:
    at = datetime(2026, 3, 1)
    row = {"call_id": place, "n": 0, "session": 1, "step": step, "prompt_tokens": place + 1}
    return {**row, "at": at, "route": "search", "cost_nano": 1}


# -- the small new ones, by hand


def _spend(route: str, at: datetime, cost_nano: int | None) -> dict[str, object]:
    return {"call_id": 1, "n": 0, "session": 1, "at": at, "route": route, "cost_nano": cost_nano}


def test_a_spike_is_five_times_what_that_hour_cost(duck: Duck) -> None:
    duck.run("DELETE FROM attempts")
    rows = [_spend("search", datetime(2026, 3, day, 14, 5), 100) for day in range(1, 8)]
    rows += [_spend("billing", datetime(2026, 3, day, 14, 5), 100) for day in range(1, 8)]
    rows += [_spend("search", datetime(2026, 3, 8, 14, 59), 501)]
    rows += [_spend("billing", datetime(2026, 3, 8, 14, 59), 500)]
    rows += [_spend("search", datetime(2026, 3, 8, 15), 9999), _spend("x", datetime.max, None)]
    duck.append("attempts", {name: [row[name] for row in rows] for name in rows[0]})
    found = duck.rows(load_sql("report_spikes", scope="TRUE", dimension="a.route"))
    assert found == [("search", datetime(2026, 3, 8, 14), 501, 100)]


def test_outliers_are_ten_times_the_mean(duck: Duck) -> None:
    duck.run("DELETE FROM attempts")
    at = datetime(2026, 3, 1)
    rows = [_spend(f"small {n}", at, 1) for n in range(99)] + [_spend("big", at, 11)]
    duck.append("attempts", {name: [row[name] for row in rows] for name in rows[0]})
    assert duck.rows(load_sql("report_outliers", scope="TRUE", dimension="a.route")) == []
    duck.append("attempts", {"route": ["big"], "cost_nano": [2]})
    ((key, cost, over),) = duck.rows(load_sql("report_outliers", scope="TRUE", dimension="a.route"))
    assert (key, cost) == ("big", 13)
    assert over == pytest.approx(13 * 100 / 112)
