"""What every command opens: the clock, the home folder, the price book and a ledger."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.keeper import SOCKET, has_journals, ledger_of, take_in
from bursar.ledger.journal.remote import RemoteDuck, kept_ledger
from bursar.ledger.reports import Scope, scope_of
from bursar.model.errors import BadInput, LedgerError
from bursar.price.book import Book, load_book
from bursar.price.cache import user_overlays

LEDGER_SUFFIX = ".duckdb"
DUCKDB_MARK = slice(8, 12)
"""Where a ledger's file says that it is one: "DUCK"."""


def now() -> datetime:
    """The present, in UTC, naive like every time in the ledger."""
    return datetime.now(UTC).replace(tzinfo=None)


def home() -> Path:
    """Where Bursar keeps its ledgers and compiled prices: `BURSAR_HOME` or the user's data."""
    named = os.environ.get("BURSAR_HOME")
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "bursar"


def overlays() -> list[Path]:
    """The user's own price files, in the order of their names."""
    return user_overlays(home())


def open_book(more: tuple[Path, ...] = ()) -> Book:
    """Listed prices, then the user's overlays, then those named on the command line."""
    return load_book((*overlays(), *more), home=home(), now=now())


def ledger_path(name: str | None) -> Path:
    """A ledger's file: a path as it is, a bare name inside the home folder."""
    if name is None:
        return home() / f"ledger{LEDGER_SUFFIX}"
    if "/" in name or os.sep in name or name.endswith(LEDGER_SUFFIX):
        return Path(name).expanduser()
    if not name.replace("-", "").replace("_", "").isalnum():
        raise BadInput(
            f"{name!r} is no name for a ledger",
            mend="use letters, digits, - and _, or give a path that ends in .duckdb",
        )
    return home() / "ledgers" / f"{name}{LEDGER_SUFFIX}"


@contextmanager
def opened(name: str | None, *, create: bool = False) -> Generator[Duck]:
    """A ledger that is closed again. Unless `create`, it must exist.

    Where `bursar serve` keeps it, it is asked across the keeper's socket. Where nobody does,
    journals that lie there are taken in first.
    """
    path = ledger_path(name)
    _refuse_foreign(path)
    duck = kept_ledger(home() / SOCKET, path)
    if duck is None:
        waiting = _has_journals_for(path)
        if not create and not waiting and not path.exists():
            raise LedgerError(
                f"there is no ledger at {path}",
                mend="import something first: bursar import PATH",
            )
        duck = Duck(path)
        if waiting:
            take_in(home(), duck, open_book())
    try:
        if create and isinstance(duck, RemoteDuck):
            duck.refuse_change()
        yield duck
    finally:
        duck.close()


def _has_journals_for(path: Path) -> bool:
    """Whether journals wait that belong to this ledger."""
    if not has_journals(home()):
        return False
    return (ledger_of(home()) or ledger_path(None)).resolve() == path.resolve()


def _refuse_foreign(path: Path) -> None:
    """A file that stands there and is no ledger is not touched."""
    mend = "name another file with --ledger; a new one is made where none is"
    try:
        if path.is_dir():
            raise LedgerError(f"{path} is a folder, not a ledger", mend=mend)
        if not path.is_file():
            if path.exists():
                raise LedgerError(f"{path} is no regular file", mend=mend)
            return
        with path.open("rb") as stream:
            start = stream.read(DUCKDB_MARK.stop)
    except OSError as bad:
        raise LedgerError(
            f"the ledger {path} cannot be read: {bad.strerror or bad}",
            mend="name a file that you may read and write with --ledger",
        ) from bad
    if start[DUCKDB_MARK] != b"DUCK":
        raise LedgerError(f"{path} is not a ledger", mend=mend)


@contextmanager
def temporary() -> Generator[Duck]:
    """A ledger in memory, gone when the command ends."""
    duck = Duck(None)
    try:
        yield duck
    finally:
        duck.close()


def asked_scope(since: str | None, until: str | None, where: list[str] | None) -> Scope:
    """The attempts that a person asked about."""
    filters: list[tuple[str, str]] = []
    for one in where or []:
        name, equals, value = one.partition("=")
        if not equals:
            raise BadInput(
                f"--where {one!r} is no filter", mend="write it as NAME=VALUE, as in route=airline"
            )
        filters.append((name.strip(), value))
    return scope_of(moment_of(since, "--since"), moment_of(until, "--until"), filters)


def moment_of(text: str | None, option: str) -> datetime | None:
    """A day or time that a person typed, as naive UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    except (ValueError, OverflowError) as bad:
        raise BadInput(
            f"{option} {text!r} is no date",
            mend="write it as 2026-11-22 or 2026-11-22T10:00:00Z",
        ) from bad
