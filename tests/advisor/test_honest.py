"""Laws: an efficient agent raises nothing; every question is portable SQL; real traces hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.tokens import estimate_tokens
from bursar.ledger import reports
from bursar.price.book import Book
from tests.advisor.planting import GPT, SONNET, Ledger, Line, at, call, result, text, use
from tests.convert import TAUBENCH, taubench

PREFIX_TOKENS = 1_500
WORKFLOWS = 3


def efficient(sessions: list[int], *, marked: bool) -> list[Line]:
    """Sessions of so many steps in each workflow: cached prefix, small results, no retries."""
    lines: list[Line] = []
    system = text(PREFIX_TOKENS)
    for number, steps in enumerate(steps for steps in sessions for _ in range(WORKFLOWS)):
        messages: list[Line] = [
            {"role": "system", "content": system},
            {"role": "user", "content": f"Where is order {number}?"},
        ]
        held = 0
        for step in range(steps):
            ask = use("get_order", f'{{"order": {number}, "page": {step}}}', f"u{step}")
            prompt = sum(estimate_tokens(str(one)) for one in messages)
            kind = "cache_write_5m" if marked else "input"
            usage = {"cache_read": held, kind: prompt - held, "output": 40}
            more = {
                "route": "orders",
                "tenant": f"t{number % WORKFLOWS}",
                "workflow": f"w{number % WORKFLOWS}",
            }
            base = SONNET if marked else GPT
            lines.append(
                call(step, f"s{number}", usage, messages=[*messages, ask], **base, **more)
                | {"at": at(600 * number + 20 * step), "outcome": {"success": True}}
            )
            messages += [ask, result(f"u{step}", f"order {number} page {step}: shipped")]
            held = prompt
    return lines


@given(
    sessions=st.lists(st.integers(3, 12), min_size=1, max_size=3),
    marked=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_an_efficient_agent_raises_nothing(book: Book, sessions: list[int], marked: bool) -> None:
    with TemporaryDirectory() as folder:
        ledger = Ledger(efficient(sessions, marked=marked), Path(folder), book)
        assert ledger.flags() == []
        assert [one for one in ledger.suspects() if one.share > 0.05] == []


@given(sessions=st.lists(st.integers(1, 9), min_size=1, max_size=4))
@settings(max_examples=6, deadline=None)
def test_no_suspect_costs_more_than_everything(book: Book, sessions: list[int]) -> None:
    lines = efficient(sessions, marked=True)
    for line in lines:
        usage = line["usage"]
        line["usage"] = {"input": sum(usage.values()) - 40, "output": 40}
    with TemporaryDirectory() as folder:
        ledger = Ledger(lines, Path(folder), book)
        assert all(0 < one.share <= 1 for one in ledger.suspects())


PLACES = {
    "scope": "TRUE",
    "sane": "TRUE",
    "dimension": "a.route",
    "causes": "'parse'",
    "classes": "'hosted'",
}
SQL = sorted(
    path
    for folder in ("suspects", "flags")
    for path in Path(reports.__path__[0], folder).glob("*.sql")
)


@pytest.mark.parametrize("path", SQL, ids=lambda path: f"{path.parent.name}-{path.stem}")
@pytest.mark.parametrize("engine", ["clickhouse", "spark"])
def test_questions_are_portable(path: Path, engine: str) -> None:
    sql = path.read_text(encoding="utf-8")
    for place, value in PLACES.items():
        sql = sql.replace("{" + place + "}", value)
    while "{" in sql:
        start = sql.index("{")
        sql = sql[:start] + "7" + sql[sql.index("}", start) + 1 :]
    written = sqlglot.transpile(
        sql, read="duckdb", write=engine, unsupported_level=sqlglot.ErrorLevel.RAISE
    )
    assert len(written) == 1


def test_no_name_in_the_questions_is_misspelt() -> None:
    assert len(SQL) >= 25
    assert not [path.name for path in SQL if not path.read_text(encoding="utf-8").startswith("-- ")]


def test_taubench_is_explained(
    shared_data: Callable[[str], Path], tmp_path: Path, book: Book
) -> None:
    ledger = Ledger(list(taubench(shared_data(TAUBENCH))), tmp_path, book)
    found = {(one.kind, one.where): one for one in ledger.suspects()}
    failed = found["failed_spend", "airline"].evidence
    assert (failed["failed"], failed["labelled"]) == (116, 200)
    assert found["uncached_prefix", "airline"].basis == "assumed"
    assert ("large_tool_results", "get_reservation_details") in found
    assert ("context_growth", "airline") in found
    assert ledger.flags() == []
