"""The questions of the ledger benchmark: the product's own reports, each with its goal.

DuckDB is asked through `Duck.rows` with parameters, as the product does. PostgreSQL gets the same
text through SQLGlot with the parameters written out, except where the report uses a function that
it lacks: there it gets SQL of the same meaning, written for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import isclose

import sqlglot
from _ledger_rows import END, START

from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import Scope, dimension, load_sql, scope_of
from bursar.ledger.shelf import SESSION_EPOCH

DASHBOARD_MS, SESSIONS_MS, TRACE_MS = 150.0, 1200.0, 5.0
LEAST_RATIO = 10.0


@dataclass(frozen=True)
class Question:
    """One question and what it has to reach."""

    name: str
    sql: str
    values: tuple[object, ...]
    goal_ms: float | None = DASHBOARD_MS
    least_ratio: float | None = LEAST_RATIO
    postgres: str | None = None
    """SQL of the same meaning for PostgreSQL, where SQLGlot cannot translate the report."""

    def for_postgres(self) -> str:
        if self.postgres is not None:
            return self.postgres
        text = self.sql
        for value in self.values:
            text = text.replace("?", _literal(value), 1)
        return sqlglot.transpile(text, read="duckdb", write="postgres")[0]


def _literal(value: object) -> str:
    return f"TIMESTAMP '{value}'" if isinstance(value, datetime) else str(value)


MONTH = scope_of(END - timedelta(days=30), END)
DAY = scope_of(END - timedelta(days=1), END)
EIGHT_DAYS = scope_of(END - timedelta(days=8), END)
ALL = Scope()


def _columns(*names: str) -> dict[str, str]:
    return {
        "columns": ", ".join(f'{dimension(name)} AS "{name}"' for name in names),
        "keys": ", ".join(str(place + 1) for place in range(len(names))),
    }


def _ask(name: str, file: str, scope: Scope, **places: str) -> Question:
    return Question(name, load_sql(file, scope=scope.where, **places), scope.values)


def _sessions(name: str, file: str, *more: object, **places: str) -> Question:
    return Question(
        name, load_sql(file, scope=ALL.where, **places), more, SESSIONS_MS, least_ratio=None
    )


def questions(duck: Duck) -> list[Question]:
    """All questions, the dashboard's first. One session of this ledger is looked up as a trace."""
    route, tenant = dimension("route"), dimension("tenant")
    by = [
        _ask(f"by {name}, all", "by", ALL, dimension=dimension(name))
        for name in ("model", "route", "provider", "tenant", "tool")
    ]
    return [
        _ask("cost per route and day, 30 d", "report_daily", MONTH, dimension=route),
        _ask("top route yesterday, iterations", "report_dearest", DAY, dimension=route),
        _ask("retries and cost per tool, all", "report_retries", ALL),
        _ask("cache reads and writes, all", "report_cache", ALL),
        _ask("5x spikes by hour, 8 d", "report_spikes", EIGHT_DAYS, dimension=route),
        _ask("tenants above 10x mean, 30 d", "report_outliers", MONTH, dimension=tenant),
        _ask("prompt growth per route, all", "report_slopes", ALL, dimension=route),
        _ask("by day, all", "by_day", ALL),
        *by,
        _sessions("totals, all", "totals"),
        _sessions("costs report: route, day", "report_costs", **_columns("route", "day")),
        _sessions("tenants report", "report_tenants"),
        _sessions("iterations, p50/p95/p99 cost", "iterations"),
        _sessions("iterations per route", "report_iterations"),
        replace(_sessions("growth first to last prompt", "growth"), postgres=GROWTH_WINDOWS),
        _sessions("dearest 50 against median", "report_tail"),
        _sessions("top 20 sessions", "report_sessions", 20),
        *_traces(duck),
    ]


def _traces(duck: Duck) -> list[Question]:
    """The steps of one session: by its number alone, and with the hint that the number carries."""
    number = duck.rows(
        "SELECT session FROM sessions AS s WHERE s.calls = 12 AND s.at < ? ORDER BY s.id LIMIT 1",
        [START + timedelta(days=20)],
    )[0][0]
    assert isinstance(number, int)
    began = SESSION_EPOCH + timedelta(seconds=number >> 31)
    plain = load_sql("session_steps")
    hinted = plain.replace("WHERE", "WHERE a.at >= ? AND a.at < ? AND")
    assert hinted != plain
    hint = (began, began + timedelta(hours=6), number)
    return [
        Question("one trace", plain, (number,), None, None),
        Question("one trace with its time hint", hinted, hint, TRACE_MS, None),
    ]


GROWTH_WINDOWS = """
WITH o AS (
    SELECT session, prompt_tokens,
        ROW_NUMBER() OVER (PARTITION BY session ORDER BY step, n, at, call_id) AS up,
        ROW_NUMBER() OVER (
            PARTITION BY session ORDER BY step DESC, n DESC, at DESC, call_id DESC
        ) AS down
    FROM attempts
    WHERE session IS NOT NULL AND prompt_tokens IS NOT NULL
),
s AS (
    SELECT session, SUM(prompt_tokens) AS sent,
        MAX(CASE WHEN up = 1 THEN prompt_tokens END) AS first_prompt,
        MAX(CASE WHEN down = 1 THEN prompt_tokens END) AS last_prompt
    FROM o
    GROUP BY session
)
SELECT SUM(sent), SUM(last_prompt),
    PERCENTILE_DISC(0.5) WITHIN GROUP (
        ORDER BY CASE WHEN first_prompt > 0
            THEN CAST(last_prompt AS DOUBLE PRECISION) / first_prompt END
    )
FROM s
"""


def same(ours: list[tuple[object, ...]], theirs: list[tuple[object, ...]]) -> bool:
    """Equal rows in equal order; only what is a float on one side may differ, by rounding."""
    return len(ours) == len(theirs) and all(
        len(a) == len(b) and all(map(_same, a, b)) for a, b in zip(ours, theirs, strict=True)
    )


def _same(a: object, b: object) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return (
            isinstance(a, float | int | Decimal)
            and isinstance(b, float | int | Decimal)
            and isclose(a, b, rel_tol=1e-9)
        )
    return a == b
