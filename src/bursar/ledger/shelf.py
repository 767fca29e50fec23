"""Sessions on the shelf: taken up and put back in batches, never one statement each.

A session that is being imported stays in memory with its blocks; the ones not touched for longest
are given up once they are committed, and taken up again from the ledger if they come back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from bursar.ledger.blocks import Life, SessionBlocks
from bursar.ledger.engines.duck import Duck
from bursar.ledger.rows import Rows
from bursar.ledger.schema import numbers_of, numbers_text
from bursar.model.block import Block, Kind, Mark, Role, digest_of
from bursar.model.entry import SessionFact

SESSION_EPOCH = datetime(2020, 1, 1)
TIMELESS = 1 << 62
MOST = 2**63 - 1
BLOCKS_A_SESSION = 30
"""Of the sessions that are kept in memory, together."""
Row = dict[str, Any]


def session_key(name: str, at: datetime | None) -> int:
    """A session's number: its start in seconds above, a hash of its name below.

    Rows of one session lie together when sorted, and a question with a time hint reads few rows.
    A session without a time has the hash of its name alone, above all that have one.
    """
    if at is None:
        return TIMELESS | (digest_of(name) & (TIMELESS - 1))
    seconds = int((at - SESSION_EPOCH).total_seconds())
    return (max(0, min(seconds, 2**31 - 1)) << 31) | (digest_of(name) & 0x7FFFFFFF)


class Session(msgspec.Struct, kw_only=True):
    """One session as the ledger holds it."""

    number: int
    name: str
    blocks: SessionBlocks
    at: datetime | None = None
    success: bool | None = None
    score: float | None = None
    recorded_cost_nano: int | None = None
    recorded_usage: str | None = None
    written: bool = False
    """The ledger has rows of it, which the next writing replaces."""

    def learn(self, fact: SessionFact) -> None:
        """What a source says of the whole session; what it does not say stays."""
        if fact.success is not None:
            self.success = fact.success
        if fact.score is not None:
            self.score = fact.score
        if fact.recorded_cost_nano is not None:
            self.recorded_cost_nano = fact.recorded_cost_nano
        if fact.usage is not None:
            self.recorded_usage = msgspec.json.encode(fact.usage).decode()


class Shelf:
    """The sessions in memory, the least recently touched first."""

    def __init__(self, duck: Duck) -> None:
        self._duck = duck
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._touched: set[str] = set()

    def __len__(self) -> int:
        return len(self._open)

    def fetch(self, starts: Mapping[str, datetime | None]) -> None:
        """Take up what the ledger has of these sessions, and start the others at their times."""
        wanted = sorted(starts.keys() - self._open.keys())
        if not wanted:
            return
        rows = self._duck.named(
            "SELECT * FROM sessions WHERE id IN (SELECT unnest(?::VARCHAR[]))", [wanted]
        )
        lives: dict[int, list[Life]] = {row["session"]: [] for row in rows}
        if lives:
            for block in self._duck.named(
                "SELECT * FROM blocks WHERE session IN (SELECT unnest(?::BIGINT[]))"
                " ORDER BY session, block",
                [list(lives)],
            ):
                lives[block["session"]].append(life_of(block))
        for row in rows:
            self._open[row["id"]] = _session(row, lives[row["session"]])
        self._start({name: starts[name] for name in wanted if name not in self._open})

    def _start(self, starts: Mapping[str, datetime | None]) -> None:
        """New sessions, each with a number that no other session has."""
        wanted = {name: session_key(name, at) for name, at in starts.items()}
        taken = {one.number for one in self._open.values()}
        while wanted:
            rows = self._duck.rows(
                "SELECT session FROM sessions WHERE session IN (SELECT unnest(?::BIGINT[]))",
                [list(wanted.values())],
            )
            taken.update(int(str(row[0])) for row in rows)
            clashes: dict[str, int] = {}
            for name, number in wanted.items():
                if number in taken:
                    clashes[name] = number + 1 if number < MOST else 0
                    continue
                taken.add(number)
                self._open[name] = Session(
                    number=number, name=name, blocks=SessionBlocks(), at=starts[name]
                )
            wanted = clashes

    def session(self, name: str) -> Session:
        """The session of this name, which `fetch` has taken up or started."""
        self._open.move_to_end(name)
        return self._open[name]

    def touch(self, name: str) -> None:
        """The session has changed: `put_back` must write it."""
        self._touched.add(name)

    def put_back(self, rows: Rows) -> None:
        """Write the changed sessions: the old rows go, the new ones are pending in `rows`."""
        changed = [self._open[name] for name in sorted(self._touched)]
        self._touched.clear()
        numbers = [session.number for session in changed if session.written]
        for table in ("sessions", "blocks") if numbers else ():
            self._duck.run(
                f"DELETE FROM {table} WHERE session IN (SELECT unnest(?::BIGINT[]))", [numbers]
            )
        for session in changed:
            session.written = True
            blocks = session.blocks
            rows.add_session(session.number, blocks)
            rows.add(
                "sessions",
                session.number,
                session.name,
                session.at,
                session.success,
                session.score,
                session.recorded_cost_nano,
                session.recorded_usage,
                blocks.asked,
                blocks.sends,
                numbers_text(blocks.path),
            )

    def give_up(self, keep: int) -> None:
        """Forget the sessions not touched for longest. Only after `put_back`.

        Few long ones take as much room as many short ones, so their blocks are bounded too.
        """
        most = keep * BLOCKS_A_SESSION
        blocks = sum([len(one.blocks.lives) for one in self._open.values()])
        while len(self._open) > keep or (blocks > most and self._open):
            blocks -= len(self._open.popitem(last=False)[1].blocks.lives)


def _session(row: Row, lives: list[Life]) -> Session:
    blocks = SessionBlocks()
    blocks.restore(lives, numbers_of(row["path"]), row["sends"], row["calls"])
    return Session(
        number=row["session"],
        name=row["id"],
        blocks=blocks,
        at=row["at"],
        success=row["success"],
        score=row["score"],
        recorded_cost_nano=row["recorded_cost_nano"],
        recorded_usage=row["recorded_usage"],
        written=True,
    )


def life_of(row: Row) -> Life:
    """A block of an earlier import, as it was folded."""
    return Life(
        block=Block(
            role=Role(row["role"]),
            kind=Kind(row["kind"]),
            digest=row["digest"],
            tokens=row["tokens"],
            size_bytes=row["size_bytes"],
            name=row["name"],
            mark=Mark(row["mark"]),
        ),
        nth=row["nth"],
        tokens=row["tokens"],
        first_step=row["first_step"],
        carries=row["carries"],
        nano=(row["fresh_nano"], row["written_nano"], row["read_nano"], row["carried_nano"]),
    )
