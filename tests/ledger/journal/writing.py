"""Calls to write into journals, and ledgers to read them back from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.ids import key_of
from bursar.ledger.journal.keeper import Keeper
from bursar.ledger.journal.reader import Journal, journal_folders
from bursar.model.block import Block, Kind, Role, digest_of
from bursar.model.call import Call, Tags
from bursar.model.entry import Answer, Attempt, Entry, Skip
from bursar.model.usage import Usage
from trials import book

START = datetime(2026, 11, 22, 9)
NANO = 3_500_000
"""What `ATTEMPT` costs: 1000 x $2.50 + 100 x $10 per million tokens."""
ATTEMPT = Attempt(
    provider="openai", model="gpt-4o", usage=Usage(input=1000, output=100), status=200, total_ms=400
)
ANSWER = Answer(
    blocks=(Block(role=Role.ASSISTANT, kind=Kind.OUTPUT, digest=99, tokens=100),), stop="end"
)


def block(text: str, role: Role = Role.USER, size_bytes: int = 40) -> Block:
    kind = Kind.HISTORY if role is Role.ASSISTANT else Kind.USER
    return Block(role=role, kind=kind, digest=digest_of(text), tokens=10, size_bytes=size_bytes)


def call(number: int, *texts: str, tags: Tags | None = None, **more: Any) -> Call:
    """A call begun `number` seconds after START; `texts` become the blocks of its prompt."""
    return Call(
        key=key_of(number),
        at=START + timedelta(seconds=number),
        dialect="openai-chat",
        provider="openai",
        model="gpt-4o",
        blocks=tuple(block(text) for text in texts or (f"prompt {number}",)),
        tags=tags or Tags(tenant="acme"),
        **more,
    )


def read_all(home: Path) -> tuple[list[Entry], list[Skip]]:
    """What all journals of a home give, without any ledger."""
    entries: list[Entry] = []
    skips: list[Skip] = []
    for folder in journal_folders(home):
        for item in Journal(folder).read(1_000_000):
            (entries if isinstance(item, Entry) else skips).append(item)  # type: ignore[arg-type]
    return entries, skips


def taken_in(home: Path, duck: Duck | None = None) -> Duck:
    """A ledger that has taken in the journals of a home."""
    duck = duck or Duck(None)
    Keeper(home, duck, book()).drain()
    return duck


def ids_of(entries: Iterable[Entry]) -> list[str]:
    return sorted(entry.call.key for entry in entries)
