"""A ledger that a keeper holds, asked across its socket as if it were open here.

Reads only. All questions of one asker see the same moment. What would change the ledger is refused
with the reason, since the keeper owns it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from bursar.ledger.engines.duck import ArrowStream, Duck
from bursar.ledger.journal.wire import (
    LONGEST_ANSWER_BYTES,
    Columns,
    Done,
    Failed,
    Hello,
    Here,
    Message,
    Rows,
    address_of,
    ask_of,
    receive,
    send,
)
from bursar.model.errors import BadInput, LedgerError

LIMIT_S = 120.0
CONNECT_S = 5.0
KEPT = "stop `bursar serve` first, or name another file with --ledger"


class RemoteDuck(Duck):
    """The ledger behind a keeper's socket. Raises LedgerError when the keeper goes away."""

    def __init__(self, line: socket.socket, path: Path, limit_s: float = LIMIT_S) -> None:
        self.path = path
        self._line = line
        self._limit_s = limit_s
        line.settimeout(limit_s + CONNECT_S)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. `values` fill its `?` places."""
        return self._asked(sql, values)[1]

    def named(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """All rows of a query, each as a dict by column name."""
        names, rows = self._asked(sql, values)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _asked(self, sql: str, values: Sequence[object]) -> tuple[list[str], list[tuple[Any, ...]]]:
        try:
            send(self._line, ask_of(sql, values, self._limit_s))
            names: list[str] = []
            rows: list[tuple[Any, ...]] = []
            while not isinstance(message := self._next(), Done):
                if isinstance(message, Columns):
                    names = message.names
                elif isinstance(message, Rows):
                    rows.extend(message.rows)
            return names, rows
        except (OSError, BadInput) as bad:
            raise self._gone(str(bad)) from bad

    def _next(self) -> Message:
        message = receive(self._line, LONGEST_ANSWER_BYTES)
        if message is None:
            raise self._gone("it has ended")
        if isinstance(message, Failed):
            raise LedgerError(f"the ledger cannot answer: {message.why}", mend=message.mend)
        return message

    def _gone(self, why: str) -> LedgerError:
        return LedgerError(f"the keeper of {self.path} does not answer: {why}", mend="ask again")

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
        self._line.close()


def kept_ledger(door: Path, ledger: Path, *, fresh: bool = True) -> RemoteDuck | None:
    """The ledger across a keeper's socket; None where no live keeper holds this very file."""
    if not door.exists():
        return None
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(CONNECT_S)
    try:
        folder = os.open(door.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            line.connect(address_of(str(door), folder))
        finally:
            os.close(folder)
        send(line, Hello(fresh=fresh))
        message = receive(line, LONGEST_ANSWER_BYTES)
    except (OSError, BadInput):
        line.close()
        return None
    if isinstance(message, Failed):
        line.close()
        raise LedgerError(f"the keeper of {ledger}: {message.why}", mend=message.mend)
    if isinstance(message, Here):
        with suppress(OSError):
            if Path(message.ledger).resolve() == ledger.resolve():
                return RemoteDuck(line, ledger)
    line.close()
    return None
