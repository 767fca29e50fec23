"""The ledger, asked by a worker: a few questions over the keeper's socket, in a thread.

Before they are answered the keeper takes all journals in, so that the answers hold every call that
was recorded when they were asked.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from bursar.ledger.journal.asker import greeted
from bursar.model.errors import LedgerError

SOCKET = "ledger.sock"
LIMIT_S = 60.0
Question = tuple[str, list[object]]


class Books:
    """The ledger of a home."""

    def __init__(self, home: Path) -> None:
        self._door = home / SOCKET

    async def ask(self, *questions: Question) -> list[list[Any]]:
        """The rows of each, all of one moment. Raises LedgerError where the keeper is not there."""
        return await asyncio.to_thread(self._ask, questions)

    def _ask(self, questions: tuple[Question, ...]) -> list[list[Any]]:
        found = greeted(self._door, self._door)
        if found is None:
            raise LedgerError("the ledger's keeper does not answer yet")
        asker, here = found
        try:
            if not here.fresh:
                raise LedgerError("the ledger's keeper is still taking the journals in")
            return [asker.asked(sql, values)[1] for sql, values in questions]
        finally:
            asker.close()
