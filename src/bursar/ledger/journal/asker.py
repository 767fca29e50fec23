"""One who asks the keeper: a line to its socket, questions out, rows back. Loads no database.

All questions of one asker see the same moment of the ledger.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


class Asker:
    """A line on which the keeper has answered the greeting."""

    def __init__(self, line: socket.socket, place: Path, limit_s: float = LIMIT_S) -> None:
        """`place`: what is asked, for messages."""
        self.place = place
        self._line = line
        self.limit_s = limit_s
        line.settimeout(limit_s + CONNECT_S)

    def asked(self, sql: str, values: Sequence[object] = ()) -> tuple[list[str], list[Any]]:
        """Names of the columns, and all rows. Raises LedgerError."""
        try:
            send(self._line, ask_of(sql, values, self.limit_s))
            names: list[str] = []
            rows: list[Any] = []
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
        return LedgerError(f"the keeper of {self.place} does not answer: {why}", mend="ask again")

    def close(self) -> None:
        self._line.close()


def greeted(door: Path, place: Path, *, fresh: bool = True) -> tuple[Asker, Here] | None:
    """A line to the keeper at a door; None where nobody answers. Raises LedgerError."""
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
    if isinstance(message, Here):
        return Asker(line, place), message
    line.close()
    if isinstance(message, Failed):
        raise LedgerError(f"the keeper of {place}: {message.why}", mend=message.mend)
    return None
