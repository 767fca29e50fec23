"""A PostgreSQL of our own for one run: its own folder, port and socket, gone at the end.

It gets what a careful owner would give it: 4 GB of shared buffers, 256 MB of work memory, fast
disks assumed, a primary key, indexes on (route, at) and (session), VACUUM ANALYZE after loading.
It does not have to survive a crash (fsync is off), which only helps its load.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import psycopg

from bursar.ledger.schema import DERIVED, TABLES

SETTINGS = {
    "shared_buffers": "4GB",
    "work_mem": "256MB",
    "maintenance_work_mem": "1GB",
    "effective_cache_size": "12GB",
    "random_page_cost": "1.1",
    "max_wal_size": "16GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "fsync": "off",
    "timezone": "UTC",
    "listen_addresses": "127.0.0.1",
}
TYPES = {"VARCHAR": "TEXT", "DOUBLE": "DOUBLE PRECISION"}
INDEXES = (
    "ALTER TABLE attempts ADD PRIMARY KEY (call_id, n)",
    "CREATE INDEX ON attempts (route, at)",
    "CREATE INDEX ON attempts (session)",
    "ALTER TABLE sessions ADD PRIMARY KEY (session)",
)
USER = "postgres"
"""Whom the server runs as when we are root, whom it refuses to run as."""


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl, or None where PostgreSQL is not installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


def _run(*command: str | Path) -> None:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        words = ["su", USER, "-s", "/bin/sh", "-c", shlex.join(words)]
    done = subprocess.run(words, cwd="/", text=True, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: its words stand above")


@contextmanager
def cluster(programs: Path, folder: Path) -> Generator[tuple[psycopg.Connection, Path]]:
    """(connection, folder that the server can read), on 127.0.0.1 at a free port."""
    home = Path(tempfile.mkdtemp(prefix="bursar-pg-", dir=folder))
    place = home / "cluster"
    if os.geteuid() == 0:
        shutil.chown(home, USER)
        folder.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _run(programs / "initdb", "-D", place, "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C")
    options = {**SETTINGS, "port": str(port), "unix_socket_directories": str(home)}
    line = " ".join(f"-c {name}={value}" for name, value in options.items())
    _run(programs / "pg_ctl", "-D", place, "-l", home / "log", "-w", "-o", line, "start")
    try:
        link = f"host=127.0.0.1 port={port} user={USER} dbname=postgres"
        with psycopg.connect(link, autocommit=True) as connection:
            yield connection, home
    finally:
        _run(programs / "pg_ctl", "-D", place, "-m", "immediate", "-w", "stop")
        shutil.rmtree(home)


def load(connection: psycopg.Connection, home: Path, made: Path, table: str) -> None:
    """Create a table of the schema and COPY its Parquet files into it, one CSV at a time."""
    columns = ", ".join(f'"{name}" {TYPES.get(kind, kind)}' for name, kind in TABLES[table].items())
    derived = "".join(
        f', "{name}" {kind} GENERATED ALWAYS AS ({rule}) STORED'
        for name, (kind, rule) in DERIVED.get(table, {}).items()
    )
    duck = duckdb.connect()
    with connection.transaction():
        connection.execute(f"CREATE TABLE {table} ({columns}{derived})")
        for file in sorted((made / table).glob("*.parquet")):
            text = home / "rows.csv"
            duck.execute(f"COPY (FROM '{file}') TO '{text}' (FORMAT csv, HEADER false)").fetchall()
            text.chmod(0o644)
            connection.execute(f"COPY {table} FROM '{text}' (FORMAT csv)")
            text.unlink()
    duck.close()


def index(connection: psycopg.Connection) -> None:
    for statement in (*INDEXES, "VACUUM ANALYZE"):
        connection.execute(statement)


def size_bytes(connection: psycopg.Connection, table: str) -> int:
    """The table with its indexes."""
    row = connection.execute(f"SELECT pg_total_relation_size('{table}')").fetchone()
    assert row is not None
    return int(row[0])
