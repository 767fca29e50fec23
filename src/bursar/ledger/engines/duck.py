"""DuckDB: the default engine, one file, one process, no extension.

Rows arrive as columns and go in as Arrow batches (row-wise inserts are forty times slower). Every
read fetches all its rows, since DuckDB 2 refuses the next statement on an unread result.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import arro3.core as arrow
import duckdb

from bursar.ledger.engines.upgrading import upgrade
from bursar.ledger.schema import BOOL, INT, REAL, SCHEMA_VERSION, TABLES, TEXT, TIME, ddl
from bursar.model.block import CLASSIFIER_VERSION
from bursar.model.errors import LedgerError

ARROW_TYPES = {
    INT: arrow.DataType.int64(),
    TEXT: arrow.DataType.string(),
    TIME: arrow.DataType.timestamp("us"),
    BOOL: arrow.DataType.bool(),
    REAL: arrow.DataType.float64(),
}

EPOCH = datetime(1970, 1, 1)
ROW_GROUP_ROWS = 122_880
"""What DuckDB compresses and skips as one."""
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # Five full row groups are waited for otherwise: memory that is new to the processor each time.
    "write_buffer_row_group_count": 1,
}
TROUBLE = (
    duckdb.OperationalError,
    duckdb.InternalError,
    duckdb.FatalException,
    duckdb.InterruptException,
    duckdb.PermissionException,
)
"""Errors of the disk, the memory or the engine itself: no row is to blame for them."""
HELD = "close the other process that holds it, or name another file with --ledger"
NOT_OURS = "name another file with --ledger; this one was left as it is"


class ArrowStream(Protocol):
    """Anything that hands out Arrow batches: an arro3 or pyarrow table, a DuckDB relation."""

    def __arrow_c_stream__(self, requested_schema: object | None = None, /) -> object: ...


class Duck:
    """A ledger in a DuckDB file, or in memory when `path` is None."""

    def __init__(self, path: Path | None = None, *, read_only: bool = False) -> None:
        self.path = path
        try:
            if path is not None and not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._duck = duckdb.connect(
                str(path) if path else ":memory:",
                read_only=read_only,
                config=SETTINGS,
            )
        except (duckdb.Error, OSError) as bad:
            raise LedgerError(
                f"the ledger {path} cannot be opened: {str(bad).splitlines()[0]}",
                mend=HELD if "lock" in str(bad) else NOT_OURS,
            ) from bad
        try:
            self._found(read_only)
        except LedgerError:
            self._duck.close()
            raise
        except duckdb.Error as bad:
            self._duck.close()
            raise LedgerError(
                f"the ledger {path} cannot be read: {str(bad).splitlines()[0]}", mend=NOT_OURS
            ) from bad

    def _found(self, read_only: bool) -> None:
        """Create what is missing; refuse what is no ledger, or one that a newer Bursar made."""
        self._duck.execute("SET TimeZone = 'UTC'")
        tables = {str(row[0]) for row in self.rows("SELECT table_name FROM duckdb_tables()")}
        if (tables or read_only) and "facts" not in tables:
            raise LedgerError(f"{self.path} is a database, but not a ledger", mend=NOT_OURS)
        rows: list[tuple[object, ...]] = []
        if tables:
            rows = self.rows("SELECT value FROM facts WHERE name = 'schema_version'")
        version = str(rows[0][0]) if rows else str(SCHEMA_VERSION)
        if not version.isdecimal() or int(version) > SCHEMA_VERSION:
            raise LedgerError(
                f"the ledger {self.path} was made by a newer Bursar (schema {version})",
                mend="upgrade Bursar, or name another ledger with --ledger",
            )
        old = int(version) < SCHEMA_VERSION
        if read_only and old:
            raise LedgerError(
                f"the ledger {self.path} was made by an older Bursar (schema {version})",
                mend=f"bring it up to date first: bursar sessions --ledger {self.path}",
            )
        if read_only:
            return
        if old:
            with self.transaction():
                upgrade(self.run, int(version), SCHEMA_VERSION)
        for statement in ddl():
            self._duck.execute(statement)
        if not rows:
            names = ["schema_version", "classifier_version"]
            self.append("facts", {"name": names, "value": [version, str(CLASSIFIER_VERSION)]})

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. `values` fill its `?` places."""
        return self._duck.execute(sql, list(values)).fetchall()

    def named(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """All rows of a query, each as a dict by column name."""
        cursor = self._duck.execute(sql, list(values))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """A statement without an answer."""
        self._duck.execute(sql, list(values)).fetchall()

    def append(self, table: str, columns: Mapping[str, Sequence[object]]) -> None:
        """Add rows, given as columns of equal length in the order and types of the schema."""
        kinds = TABLES[table]
        batch = arrow.Table.from_pydict(  # pyright: ignore[reportUnknownMemberType]
            {name: _arrow(values, kinds[name]) for name, values in columns.items()}
        )
        self.load(table, batch)

    def load(self, table: str, rows: ArrowStream) -> None:
        """Add rows that are Arrow already; columns that they lack become NULL.

        Several batches keep every core busy. Batches of whole row groups are written once; others
        leave small groups, which the next checkpoint writes again.
        """
        self._duck.register("incoming", rows)
        self.run(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")
        self._duck.unregister("incoming")

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing."""
        self._duck.execute("BEGIN").fetchall()
        done = False
        try:
            yield
            done = True
        finally:
            self._duck.execute("COMMIT" if done else "ROLLBACK").fetchall()

    def beside(self) -> duckdb.DuckDBPyConnection:
        """Another connection to the same open ledger, for another thread."""
        return self._duck.cursor()

    def close(self) -> None:
        self._duck.close()


def _arrow(values: Sequence[Any], kind: str) -> arrow.Array:
    if kind != TIME:
        return arrow.Array(values, ARROW_TYPES[kind])
    micros = [None if at is None else _micros(at) for at in values]
    return arrow.Array(micros, ARROW_TYPES[INT]).cast(ARROW_TYPES[TIME])


def _micros(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
