"""The DuckDB engine keeps what it is given, all or nothing, and says what it cannot open.

What is no ledger, a newer one or one that another process holds is refused with a mend, and left as
it was.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import arro3.core as arrow
import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bursar
from bursar.ledger.engines.duck import Duck
from bursar.ledger.schema import (
    BOOL,
    INT,
    REAL,
    SCHEMA_VERSION,
    TABLES,
    TEXT,
    TIME,
    added_of,
    added_text,
    request_digest,
    short_digest,
)
from bursar.model.errors import LedgerError
from bursar.model.usage import LARGEST_COUNT

Row = tuple[object, ...]

OF_TYPE: dict[str, st.SearchStrategy[object]] = {
    INT: st.integers(-(2**63), 2**63 - 1),
    TEXT: st.text(st.characters(codec="utf-8"), max_size=20),
    TIME: st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
    BOOL: st.booleans(),
    REAL: st.floats(allow_nan=False),
}
COUNTS = st.integers(-LARGEST_COUNT, LARGEST_COUNT)
"""Readers refuse larger counts, so that what a column derives from several of them fits."""


@pytest.fixture(scope="module", name="duck")
def duck_fixture() -> Iterator[Duck]:
    duck = Duck()
    yield duck
    duck.close()


def columns(table: str, rows: Sequence[Row]) -> dict[str, list[object]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(TABLES[table])}


def stored(duck: Duck, table: str) -> list[Row]:
    names = ", ".join(f'"{name}"' for name in TABLES[table])
    return duck.rows(f"SELECT {names} FROM {table} ORDER BY rowid")


# -- what goes in comes out


@st.composite
def tables_of_rows(draw: st.DrawFn) -> tuple[str, list[Row]]:
    table = draw(st.sampled_from(sorted(TABLES)))
    kinds = [
        st.none() | (COUNTS if name.endswith("_tokens") else OF_TYPE[kind])
        for name, kind in TABLES[table].items()
    ]
    return table, draw(st.lists(st.tuples(*kinds), max_size=4))


@settings(max_examples=60, deadline=None)
@given(tables_of_rows())
def test_rows_come_back_as_they_went_in(duck: Duck, given_rows: tuple[str, list[Row]]) -> None:
    table, rows = given_rows
    duck.run(f"DELETE FROM {table}")
    duck.append(table, columns(table, rows))
    assert stored(duck, table) == rows


def test_microseconds_before_1970_are_exact(duck: Duck) -> None:
    times = [datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime(1, 1, 1, 0, 0, 0, 1), None]
    duck.run("DELETE FROM repricings")
    duck.append("repricings", {"at": times})
    assert [row[0] for row in stored(duck, "repricings")] == times


def test_columns_that_are_left_out_are_null(duck: Duck) -> None:
    duck.run("DELETE FROM attempts")
    duck.append("attempts", {"model": ["m"], "call_id": [7]})
    (row,) = duck.named("SELECT * FROM attempts")
    assert {name: value for name, value in row.items() if value is not None} == {
        "call_id": 7,
        "model": "m",
    }


def test_arrow_loads_without_python_values(duck: Duck) -> None:
    duck.run("DELETE FROM skips")
    batch = arrow.Table.from_pydict({"line": arrow.Array([3, None], arrow.DataType.int64())})
    duck.load("skips", batch.rechunk(max_chunksize=1))
    assert [row[1] for row in stored(duck, "skips")] == [3, None]


# -- all or nothing


def test_a_failed_transaction_leaves_nothing(duck: Duck) -> None:
    duck.run("DELETE FROM facts WHERE name = 'x'")

    def fail() -> None:
        with duck.transaction():
            duck.append("facts", {"name": ["x"], "value": ["1"]})
            duck.append("flags", {"kind": ["x"], "place": ["p"]})
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert duck.rows("SELECT 1 FROM facts WHERE name = 'x'") == []
    assert duck.rows("SELECT 1 FROM flags WHERE kind = 'x'") == []


def test_a_refused_statement_rolls_back_and_the_ledger_goes_on(duck: Duck) -> None:
    def fail() -> None:
        with duck.transaction():
            duck.append("facts", {"name": ["y"], "value": ["1"]})
            odd = arrow.Array(["z"], arrow.DataType.string())
            duck.load("facts", arrow.Table.from_pydict({"nonsense": odd}))

    with pytest.raises(duckdb.Error, match="nonsense"):
        fail()
    assert duck.rows("SELECT 1 FROM facts WHERE name = 'y'") == []
    with duck.transaction():
        duck.append("facts", {"name": ["y"], "value": ["2"]})
    assert duck.rows("SELECT value FROM facts WHERE name = 'y'") == [("2",)]


def test_what_was_committed_is_there_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "ledger.duckdb"
    duck = Duck(path)
    with duck.transaction():
        duck.append("facts", {"name": ["kept"], "value": [None]})
    duck.close()
    again = Duck(path, read_only=True)
    assert again.rows("SELECT value FROM facts WHERE name = 'kept'") == [(None,)]
    again.close()


# -- what cannot be opened

OTHER = """
import sys
from pathlib import Path
from bursar.ledger.engines.duck import Duck
from bursar.model.errors import LedgerError
try:
    Duck(Path(sys.argv[1]), read_only=sys.argv[2] == "read").close()
except LedgerError as bad:
    print(bad.message, "|", bad.mend)
"""


def other_process(path: Path, how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OTHER, str(path), how],
        env={**os.environ, "PYTHONPATH": str(Path(bursar.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_second_process_is_told_to_wait(tmp_path: Path, how: str) -> None:
    path = tmp_path / "ledger.duckdb"
    duck = Duck(path)
    assert "close the other process" in other_process(path, how)
    duck.close()
    assert other_process(path, how) == ""


@pytest.mark.parametrize("version", [str(SCHEMA_VERSION + 1), "99999999999999999999", "next"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_ledger_is_refused(tmp_path: Path, version: str, read_only: bool) -> None:
    path = tmp_path / "ledger.duckdb"
    duck = Duck(path)
    duck.run("UPDATE facts SET value = ? WHERE name = 'schema_version'", [version])
    duck.close()
    for _ in range(2):
        with pytest.raises(LedgerError, match="newer Bursar") as refused:
            Duck(path, read_only=read_only)
        assert "upgrade" in refused.value.mend


def _text(path: Path) -> None:
    path.write_text("call,cost\n" * 1000)


def _empty(path: Path) -> None:
    path.touch()


def _folder(path: Path) -> None:
    path.mkdir()


def _sqlite(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE facts (name, value)")
    other.close()


def _ledger(path: Path) -> bytes:
    duck = Duck(path)
    duck.append("facts", {"name": ["x"] * 50_000, "value": [str(n) for n in range(50_000)]})
    duck.close()
    return path.read_bytes()


def _cut(path: Path) -> None:
    whole = _ledger(path)
    path.write_bytes(whole[: len(whole) // 2])


def _rotten(path: Path) -> None:
    whole = _ledger(path)
    path.write_bytes(whole[:4096] + bytes(8192) + whole[12288:])


def _foreign(path: Path) -> None:
    with duckdb.connect(str(path)) as other:
        other.execute("CREATE TABLE salaries AS SELECT 1 AS id")


def _homonym(path: Path) -> None:
    with duckdb.connect(str(path)) as other:
        other.execute("CREATE TABLE facts AS SELECT 1 AS id")


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    "make", [_text, _empty, _folder, _sqlite, _cut, _rotten, _foreign, _homonym]
)
def test_what_is_no_ledger_is_refused_and_left_alone(
    tmp_path: Path, make: object, read_only: bool
) -> None:
    path = tmp_path / "thing"
    assert callable(make)
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(LedgerError) as refused:
        Duck(path, read_only=read_only)
    assert str(path) in refused.value.message
    assert "\n" not in refused.value.message
    assert "another file" in refused.value.mend
    assert (path.read_bytes() if path.is_file() else None) == before


def test_reading_makes_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError):
        Duck(tmp_path / "absent.duckdb", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be opened"):
        Duck(tmp_path / "file" / "ledger.duckdb")


# -- ledgers of earlier schemas

REQUEST = "req_011CSHoEeqs5C35K2UUqR7Fy"
IN_1 = {"input_tokens": "BIGINT", "request_id": "VARCHAR"}
GONE_1 = ("request_digest",)


def _of_schema_1(path: Path) -> None:
    """A ledger as the first schema wrote it, of two attempts."""
    columns = {one: kind for one, kind in TABLES["attempts"].items() if one not in GONE_1} | IN_1
    Duck(path).close()
    with duckdb.connect(str(path)) as old:
        old.execute("DROP TABLE attempts")
        kinds = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        old.execute(f"CREATE TABLE attempts ({kinds})")
        old.execute(
            "INSERT INTO attempts (call_id, model, model_asked, prompt_tokens, input_tokens,"
            " cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, prompt_digest,"
            " kept, added, request_id) VALUES"
            " (1, 'm', 'm', 100, 30, 50, 15, 5, 9000000000000000000, 3, '3-4', ?),"
            " (2, 'm', 'other', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            [REQUEST],
        )
        old.execute("UPDATE facts SET value = '1' WHERE name = 'schema_version'")


def test_an_older_ledger_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    _of_schema_1(path)
    for _ in range(2):
        duck = Duck(path)
        first, second = duck.named("SELECT * FROM attempts ORDER BY call_id")
        assert (first["model_asked"], second["model_asked"]) == (None, "other")
        assert (first["input_tokens"], second["input_tokens"]) == (30, None)
        assert first["request_digest"] == request_digest(REQUEST)
        assert first["prompt_digest"] == short_digest(9000000000000000000)
        assert added_of(first["kept"], first["added"]) == [3, 4]
        version = duck.rows("SELECT value FROM facts WHERE name = 'schema_version'")
        assert version == [(str(SCHEMA_VERSION),)]
        duck.append("attempts", {"call_id": [3], "request_digest": [None]})
        duck.run("DELETE FROM attempts WHERE call_id = 3")
        duck.close()


def test_an_older_ledger_is_not_only_read(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    _of_schema_1(path)
    with pytest.raises(LedgerError, match="older Bursar") as refused:
        Duck(path, read_only=True)
    assert "bursar sessions --ledger" in refused.value.mend


@given(st.integers(0, 50), st.lists(st.integers(0, 60), max_size=6) | st.integers(1, 9))
def test_added_blocks_are_written_and_read(kept: int, added: list[int] | int) -> None:
    numbers = list(range(kept, kept + added)) if isinstance(added, int) else added
    text = added_text(kept, numbers)
    assert added_of(kept, text) == numbers
    if isinstance(added, int):
        assert text == f"+{added}"


@given(st.text(max_size=40))
def test_a_request_is_found_by_sql_too(duck: Duck, text: str) -> None:
    ours = request_digest(text.encode("utf-8", "replace").decode())
    sql = "SELECT CAST('0x' || substr(md5(CAST(? AS VARCHAR)), 1, 15) AS BIGINT)"
    assert duck.rows(sql, [text.encode("utf-8", "replace").decode()]) == [(ours,)]
