"""Ten million attempts in a ledger: load, size, and every question beside PostgreSQL.

    python benchmarks/ledger_10m.py                     all of it, under ten minutes on two cores
    python benchmarks/ledger_10m.py --rows 1e6          a quick look
    python benchmarks/ledger_10m.py --no-postgres       Bursar alone
    python benchmarks/ledger_10m.py --keep DIR          leave rows and ledger in DIR

The same rows go into both; every answer is compared. DuckDB's time is the best of five, that of
PostgreSQL the best of up to five within ten seconds. Without PostgreSQL on the machine, or once
the time is up, the remaining ratios are left open, never guessed. Exit code 1: an answer differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

import arro3.core as arrow
import duckdb
from _ledger_postgres import binaries, cluster, index, load, size_bytes
from _ledger_questions import Question, questions, same
from _ledger_rows import make_rows

from bursar.ledger.engines.duck import ROW_GROUP_ROWS, Duck
from bursar.ledger.schema import TABLES

BATCH_ROWS = 4 * ROW_GROUP_ROWS
ROWS_AT_ONCE = 4 * BATCH_ROWS
APPENDED_ROWS = 50_000
FOLLOWED_ROWS = 1_000_000
ROUNDS = 5
PATIENCE_S = 10.0
LIMIT_S = 570.0
GOAL_ROWS_PER_S, GOAL_BYTES = 1_000_000, 70


@dataclass
class Stopwatch:
    """Wall and processor seconds of what ran inside."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    _since: tuple[float, float] = field(default=(0.0, 0.0))

    def __enter__(self) -> Stopwatch:
        self._since = (time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s += time.perf_counter() - self._since[0]
        self.cpu_s += time.process_time() - self._since[1]


def main() -> int:
    asked = _arguments()
    started = time.monotonic()
    rows = int(float(asked.rows))
    busy = os.getloadavg()[0]
    print(f"{rows:,} attempts, {os.cpu_count()} cores, load average at the start {busy:.1f}")
    folder = Path(asked.keep or tempfile.mkdtemp(prefix="bursar-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with Stopwatch() as watch:
            make_rows(folder / "made", rows)
        print(f"rows made in {watch.wall_s:.1f} s (not part of any figure below)\n")
        duck = _load(folder, rows)
        asks = questions(duck)
        ours = {ask.name: _timed(ask, duck) for ask in asks}
        duck.close()
        theirs: dict[str, Timed] = {}
        if not asked.no_postgres:
            theirs = _ask_postgres(folder, asks, rows, started + LIMIT_S)
        wrong = _table(asks, ours, theirs)
    finally:
        if not asked.keep:
            shutil.rmtree(folder)
    after = os.getloadavg()[0]
    print(f"\n{time.monotonic() - started:.0f} s in all; load average at the end {after:.1f}")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("--rows", default="10e6")
    ask.add_argument("--no-postgres", action="store_true")
    ask.add_argument("--keep", metavar="DIR")
    return ask.parse_args()


# -- load and size


def _load(folder: Path, rows: int) -> Duck:
    """Measure every way in. The ledger that stays is the one loaded from Arrow batches."""
    _from_parquet(folder, rows)
    path = folder / "ledger.duckdb"
    duck = _fresh(path)
    watch = Stopwatch()
    for batch in _batches(folder / "made" / "attempts", rows):
        with watch:
            duck.load("attempts", batch)
    _tell_load("Duck.load, Arrow batches", rows, watch, duck)
    _tell_size("attempts as a log without prompts fills them", path, rows)
    _append(folder)
    duck.run(f"INSERT INTO sessions SELECT * FROM '{folder}/made/sessions/*.parquet'")
    duck.run("CHECKPOINT")
    _followed(folder, min(rows, FOLLOWED_ROWS))
    return duck


def _fresh(path: Path) -> Duck:
    path.unlink(missing_ok=True)
    return Duck(path)


def _from_parquet(folder: Path, rows: int) -> None:
    """Insertion order is given up: kept, the checkpoint writes two row groups in five again."""
    path = folder / "parquet.duckdb"
    duck = _fresh(path)
    duck.run("SET preserve_insertion_order = false")
    with Stopwatch() as watch:
        duck.run(f"INSERT INTO attempts SELECT * FROM '{folder}/made/attempts/*.parquet'")
    _tell_load("INSERT from Parquet", rows, watch, duck)
    duck.close()
    path.unlink()


def _batches(made: Path, rows: int) -> Generator[arrow.Table]:
    """The rows as Arrow tables of two million or so, cut into batches of whole row groups."""
    reader = duckdb.connect()
    files = sorted(str(file) for file in made.glob("*.parquet"))
    step = max(1, ROWS_AT_ONCE * len(files) // rows)
    for start in range(0, len(files), step):
        relation = reader.sql(f"FROM read_parquet({files[start : start + step]})")
        yield arrow.Table.from_arrow(relation).rechunk(max_chunksize=BATCH_ROWS)
    reader.close()


def _append(folder: Path) -> None:
    """Python columns, as the recorder hands them over."""
    file = min((folder / "made" / "attempts").glob("*.parquet"))
    rows = duckdb.sql(f"FROM '{file}' LIMIT {APPENDED_ROWS}").fetchall()
    columns = dict(zip(TABLES["attempts"], zip(*rows, strict=True), strict=True))
    duck = Duck()
    with Stopwatch() as watch:
        duck.append("attempts", columns)
    print(f"Duck.append, Python columns: {len(rows) / watch.wall_s:,.0f} rows/s")
    duck.close()


def _followed(folder: Path, rows: int) -> None:
    """The size when prompts were followed and request ids kept: the widest rows there are."""
    made, path = folder / "followed", folder / "followed.duckdb"
    make_rows(made, rows, followed=True)
    duck = _fresh(path)
    for batch in _batches(made / "attempts", rows):
        duck.load("attempts", batch)
    duck.run("CHECKPOINT")
    duck.close()
    _tell_size("with prompts followed and request ids", path, rows)
    path.unlink()
    shutil.rmtree(made)


def _tell_load(name: str, rows: int, watch: Stopwatch, duck: Duck) -> None:
    with Stopwatch() as checkpoint:
        duck.run("CHECKPOINT")
    rate = rows / watch.wall_s
    print(
        f"{name}: {rate:,.0f} rows/s ({watch.wall_s:.1f} s, {watch.cpu_s:.1f} s of processor),"
        f" checkpoint {checkpoint.wall_s:.2f} s; goal {GOAL_ROWS_PER_S:,}:"
        f" {_met(rate >= GOAL_ROWS_PER_S)}"
    )


def _tell_size(name: str, path: Path, rows: int) -> None:
    per_row = path.stat().st_size / rows
    print(f"{name}: {per_row:.1f} bytes a row; goal {GOAL_BYTES}: {_met(per_row <= GOAL_BYTES)}")


# -- questions


@dataclass(frozen=True)
class Timed:
    """The best time of a question, and its answer."""

    best_ms: float
    rows: list[tuple[object, ...]]


def _timed(ask: Question, duck: Duck) -> Timed:
    return _best(lambda: duck.rows(ask.sql, ask.values), float("inf"))


def _best(run: Callable[[], list[tuple[object, ...]]], patience_s: float) -> Timed:
    best_s, spent_s, rows = float("inf"), 0.0, []
    for _ in range(ROUNDS):
        with Stopwatch() as watch:
            rows = run()
        best_s = min(best_s, watch.wall_s)
        spent_s += watch.wall_s
        if spent_s >= patience_s:
            break
    return Timed(best_s * 1e3, rows)


def _ask_postgres(folder: Path, asks: list[Question], rows: int, until: float) -> dict[str, Timed]:
    programs = binaries()
    if programs is None:
        print("\nno PostgreSQL on this machine: its times and the ratios are left open")
        return {}
    found: dict[str, Timed] = {}
    with cluster(programs, folder) as (connection, home):
        version = connection.info.server_version // 10_000
        with Stopwatch() as copy:
            load(connection, home, folder / "made", "attempts")
        load(connection, home, folder / "made", "sessions")
        with Stopwatch() as indexing:
            index(connection)
        print(
            f"\nPostgreSQL {version}: COPY {rows / copy.wall_s:,.0f} rows/s, indexes and VACUUM"
            f" {indexing.wall_s:.0f} s, {size_bytes(connection, 'attempts') / rows:.0f} bytes a row"
        )
        for ask in asks:
            if time.monotonic() > until:
                print(f"time is up: from {ask.name!r} on PostgreSQL was not asked")
                break
            sql = ask.for_postgres()
            found[ask.name] = _best(lambda s=sql: connection.execute(s).fetchall(), PATIENCE_S)
    return found


def _table(asks: list[Question], ours: dict[str, Timed], theirs: dict[str, Timed]) -> int:
    """Print one line a question; how many answers differ."""
    print(f"\n{'question':34}{'DuckDB ms':>10}{'PG ms':>10}{'ratio':>8}  {'goal':18}met")
    wrong = 0
    for ask in asks:
        own, other = ours[ask.name], theirs.get(ask.name)
        ratio = other.best_ms / own.best_ms if other else None
        goal = f"{ask.goal_ms:.0f} ms" if ask.goal_ms else "-"
        if ask.least_ratio:
            goal += f" and {ask.least_ratio:.0f}x"
        met = "" if ask.goal_ms is None else _met(own.best_ms <= ask.goal_ms)
        if ask.least_ratio and met == "yes":
            met = "?" if ratio is None else _met(ratio >= ask.least_ratio)
        if other and not same(own.rows, other.rows):
            wrong += 1
            met += "  THE ANSWERS DIFFER"
        pg = f"{other.best_ms:10.1f}{ratio:7.1f}x" if other else f"{'-':>10}{'-':>8}"
        print(f"{ask.name:34}{own.best_ms:10.1f}{pg}  {goal:18}{met}")
    return wrong


def _met(good: bool) -> str:
    return "yes" if good else "NO"


if __name__ == "__main__":
    raise SystemExit(main())
