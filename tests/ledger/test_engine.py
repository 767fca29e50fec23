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
from bursar.ledger.schema import BOOL, INT, REAL, SCHEMA_VERSION, TABLES, TEXT, TIME
from bursar.model.errors import LedgerError

Row = tuple[object, ...]

OF_TYPE: dict[str, st.SearchStrategy[object]] = {
    INT: st.integers(-(2**63), 2**63 - 1),
    TEXT: st.text(st.characters(codec="utf-8"), max_size=20),
    TIME: st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
    BOOL: st.booleans(),
    REAL: st.floats(allow_nan=False),
}


@pytest.fixture(scope="module", name="duck")
def duck_fixture() -> Iterator[Duck]:
    duck = Duck()
    yield duck
    duck.close()


def columns(table: str, rows: Sequence[Row]) -> dict[str, list[object]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(TABLES[table])}


def stored(duck: Duck, table: str) -> list[Row]:
    return duck.rows(f"SELECT * FROM {table} ORDER BY rowid")


# -- what goes in comes out


@st.composite
def tables_of_rows(draw: st.DrawFn) -> tuple[str, list[Row]]:
    table = draw(st.sampled_from(sorted(TABLES)))
    kinds = [st.none() | OF_TYPE[kind] for kind in TABLES[table].values()]
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
