"""Trials of the import and of the command: lines to read, ledgers to look into, runs to judge."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from functools import cache
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from bursar.cli import main
from bursar.intake.importing import Imported, import_paths
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.ledger.schema import TABLES
from bursar.price.book import Book, load_book

NOW = datetime(2026, 11, 22, 12)
TIMEOUT_S = 30
COST_NANO = 3_500_000
"""Of one `call_line`: 1000 x $2.50 + 100 x $10 per million tokens."""
FAULTS = ("Traceback", "this is a fault in Bursar", "a fault in Bursar")
Line = dict[str, Any]
Row = tuple[Any, ...]


def call_line(session: object, **more: object) -> Line:
    """A session total of gpt-4o, of COST_NANO."""
    return {
        "session": session,
        "provider": "openai",
        "model": "gpt-4o",
        "at": "2026-05-01T10:00:00Z",
        "usage": {"input": 1000, "output": 100},
        **more,
    }


def jsonl(lines: Iterable[Line | bytes]) -> bytes:
    """Lines of a file; bytes go in as they are."""
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )


GOOD = jsonl(call_line(f"good-{n}") for n in range(10))
"""Ten calls that every damaged file holds beside its damage."""


@cache
def book() -> Book:
    return load_book(now=NOW)


def take_in(duck: Duck, *paths: Path) -> Imported:
    """One import into a ledger, as the command does it."""
    return import_paths(paths, Recorder(duck, book(), NOW))


def ledger(*paths: Path) -> Duck:
    """A fresh ledger in memory with these files."""
    duck = Duck(None)
    take_in(duck, *paths)
    return duck


HERE = ("source", "line", "imported_at", "size_bytes", "entries", "added")
"""Columns that tell of the reading, not of the calls."""
OF_CALLS = ("attempts", "parts", "blocks", "sessions", "tool_uses", "tool_outcomes")
OF_READING = ("flags", "skips", "sources")


def content(duck: Duck, tables: Iterable[str] = OF_CALLS, without: Iterable[str] = ()) -> Any:
    """The rows of tables in an order of their own, by table; reading once or twice is the same."""
    found: dict[str, list[Row]] = {}
    for table in tables:
        names = [f'"{name}"' for name in TABLES[table] if name not in (*HERE, *without)]
        found[table] = duck.rows(f"SELECT {', '.join(names)} FROM {table} ORDER BY ALL")
    if "sources" in found:
        found["sources"] = sorted(set(found["sources"]))
    return found


class Run(NamedTuple):
    """What one run of the command gave."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        return self.out.decode()


def bursar(*args: object, home: Path, stdin: bytes = b"") -> Run:
    """Run the command in this process. A fault of ours fails whatever is tested."""
    out, err = (TextIOWrapper(BytesIO(), encoding="utf-8") for _ in range(2))
    threshold, code = gc.get_threshold(), 0
    with (
        patch.object(sys, "argv", ["bursar", *map(str, args)]),
        patch.object(sys, "stdin", TextIOWrapper(BytesIO(stdin))),
        patch.dict(os.environ, {"BURSAR_HOME": str(home), "NO_COLOR": "1"}),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            gc.set_threshold(*threshold)
            out.flush()
            err.flush()
    return _judged(code, out.buffer.getvalue(), err.buffer.getvalue())  # type: ignore[attr-defined]


def bursar_apart(
    *args: object, home: Path, stdin: bytes = b"", before: Iterable[str] = (), **env: str
) -> Run:
    """Run the command as a user does, in a process of its own; `before` stands before it."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "bursar", *map(str, args)],
        env={**os.environ, "BURSAR_HOME": str(home), "NO_COLOR": "1", **env},
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return _judged(done.returncode, done.stdout, done.stderr)


def _judged(code: int, out: bytes, err: bytes) -> Run:
    shown = (err + out).decode("utf-8", "replace")
    assert not any(fault in shown for fault in FAULTS), shown
    assert code != 70, shown
    return Run(code, out, err.decode("utf-8", "replace"))
