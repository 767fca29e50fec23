"""A ledger that a keeper holds, asked across its socket as if it were open here.

Reads only. All questions of one asker see the same moment. What would change the ledger is refused
with the reason, since the keeper owns it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from bursar.ledger.engines.duck import ArrowStream, Duck
from bursar.ledger.journal.asker import Asker, greeted
from bursar.model.errors import LedgerError

KEPT = "stop `bursar serve` first, or name another file with --ledger"


class RemoteDuck(Duck):
    """The ledger behind a keeper's socket. Raises LedgerError when the keeper goes away."""

    def __init__(self, asker: Asker) -> None:
        self.path = asker.place
        self.asker = asker

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. `values` fill its `?` places."""
        return self.asker.asked(sql, values)[1]

    def named(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """All rows of a query, each as a dict by column name."""
        names, rows = self.asker.asked(sql, values)
        return [dict(zip(names, row, strict=True)) for row in rows]

    # -- what only the keeper may do

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        self.refuse_change()

    def append(self, table: str, columns: Mapping[str, Sequence[object]]) -> None:
        self.refuse_change()

    def load(self, table: str, rows: ArrowStream) -> None:
        self.refuse_change()

    @contextmanager
    def transaction(self) -> Generator[None]:
        self.refuse_change()
        yield

    def refuse_change(self) -> NoReturn:
        """Only the keeper writes."""
        raise LedgerError(f"the ledger {self.path} is being kept by `bursar serve`", mend=KEPT)

    def close(self) -> None:
        self.asker.close()


def kept_ledger(door: Path, ledger: Path, *, fresh: bool = True) -> RemoteDuck | None:
    """The ledger across a keeper's socket; None where no live keeper holds this very file."""
    found = greeted(door, ledger, fresh=fresh)
    if found is None:
        return None
    asker, here = found
    with suppress(OSError):
        if Path(here.ledger).resolve() == ledger.resolve():
            return RemoteDuck(asker)
    asker.close()
    return None
