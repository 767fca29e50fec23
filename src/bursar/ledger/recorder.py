"""Writes entries into a ledger: each exactly once, in transactions, whatever is read twice.

A call is known by the hash of its key in the source. Before a batch is posted the ledger is asked
which of its calls it holds; those only move their session's prompt along. Rows, blocks and
sessions of a batch are committed together, so a stop at any moment leaves a ledger that the next
import continues from.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bursar.ledger.blocks import Life, SessionBlocks
from bursar.ledger.engines.duck import Duck
from bursar.ledger.posting import Poster, session_key
from bursar.ledger.rows import Rows
from bursar.ledger.schema import numbers_of, numbers_text
from bursar.model.block import Block, Kind, Mark, Role, digest_of
from bursar.model.entry import Entry, Flag, SessionFact, Skip
from bursar.price.book import Book

BATCH = 2_000
"""Entries per question to the ledger."""
FLUSH_ROWS = 50_000
"""Attempts per transaction."""
OPEN_SESSIONS = 5_000
"""Sessions whose prompts are kept in memory; the least recently touched go to the ledger."""
FLAG_EXAMPLES = 3


class Recorder:
    """Takes what readers yield, in order, and keeps it."""

    def __init__(self, duck: Duck, book: Book, now: datetime) -> None:
        self.duck = duck
        self.added = 0
        self.seen = 0
        self._now = now
        self._poster = Poster(book, now, self._take_up)
        self._rows = Rows()
        self._batch: list[Entry] = []
        self._here: set[int] = set()
        """Calls added by the current source: a second sighting is a duplicate line."""
        self._facts: list[SessionFact] = []
        self._numbers: dict[str, int] = {}
        self._touched: set[str] = set()
        self._source = 0
        self._file = ""
        self._before = (0, 0)

    def begin(self, file: str, form: str, size_bytes: int) -> None:
        """A new source starts."""
        rows = self.duck.rows("SELECT coalesce(max(source), 0) + 1 FROM sources")
        self._source = int(str(rows[0][0]))
        self._file = file
        self._here.clear()
        self._before = (self.seen, self.added)
        self.duck.append(
            "sources",
            {
                "source": [self._source],
                "file": [file],
                "format": [form],
                "size_bytes": [size_bytes],
                "imported_at": [self._now],
                "entries": [0],
                "added": [0],
            },
        )

    def take(self, item: Entry | SessionFact | Skip | Flag) -> None:
        """One thing that a reader found."""
        if isinstance(item, Entry):
            self._batch.append(item)
            if len(self._batch) >= BATCH:
                self._post()
        elif isinstance(item, SessionFact):
            self._facts.append(item)
        elif isinstance(item, Skip):
            self._rows.add("skips", item.file, item.line, item.reason, self._source)
        else:
            self._poster.flag(item.kind, item.where, item.what)

    def end(self) -> None:
        """The current source is read to its end: everything of it becomes durable."""
        self._post()
        self._flush()
        entries, added = self.seen - self._before[0], self.added - self._before[1]
        self.duck.run(
            "UPDATE sources SET entries = ?, added = ? WHERE source = ?",
            [entries, added, self._source],
        )

    # -- inside

    def _post(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        ids = [digest_of(entry.call.key) for entry in batch]
        known = self._known(ids)
        for entry, call_id in zip(batch, ids, strict=True):
            self.seen += 1
            if call_id in known:
                if call_id in self._here:
                    self._duplicate(entry)
                else:
                    self._poster.pass_by(entry)
                continue
            known.add(call_id)
            self._here.add(call_id)
            self.added += 1
            if entry.call.tags.session is not None:
                self._touched.add(entry.call.tags.session)
            self._rows.add_posted(self._poster.post(entry), self._source)
        if self._rows.pending("attempts") >= FLUSH_ROWS or len(self._poster.open) > OPEN_SESSIONS:
            self._flush()

    def _known(self, ids: list[int]) -> set[int]:
        if self.duck.rows("SELECT count(*) FROM attempts")[0][0] == 0:
            return self._pending_ids() & set(ids)
        held = self.duck.rows(
            "SELECT DISTINCT call_id FROM attempts WHERE call_id IN (SELECT unnest(?::BIGINT[]))",
            [ids],
        )
        return {int(str(row[0])) for row in held} | (self._pending_ids() & set(ids))

    def _pending_ids(self) -> set[int]:
        return {int(str(one)) for one in self._rows.tables["attempts"]["call_id"]}

    def _duplicate(self, entry: Entry) -> None:
        line = entry.origin.line if entry.origin else None
        place = f"{self._file}:{line}" if line else self._file
        self._poster.flag("duplicate_lines", self._file, f"{place} repeats an earlier call")

    def _take_up(self, name: str, at: datetime | None) -> tuple[int, SessionBlocks]:
        """A session's number, and its blocks where the ledger has them."""
        blocks = SessionBlocks()
        rows = self.duck.rows(
            "SELECT session, path, sends, calls FROM sessions WHERE id = ? LIMIT 1", [name]
        )
        if not rows:
            number = self._numbers.setdefault(name, session_key(name, at))
            return number, blocks
        number = int(str(rows[0][0]))
        self._numbers[name] = number
        lives = [life_of(row) for row in self.duck.named(LIVES, [number])]
        path = numbers_of(str(rows[0][1] or ""))
        blocks.restore(lives, path, int(str(rows[0][2])), int(str(rows[0][3])))
        return number, blocks

    def _flush(self) -> None:
        """Commit everything that is pending, the touched sessions' blocks with it."""
        poster, rows, duck = self._poster, self._rows, self.duck
        with duck.transaction():
            for name in sorted(self._touched & poster.open.keys()):
                number, blocks = poster.open[name]
                duck.run("DELETE FROM blocks WHERE session = ?", [number])
                rows.add_session(number, blocks)
                self._keep_session(name, number, blocks)
            for (kind, place), whats in poster.flags.items():
                text = "; ".join(whats[:FLAG_EXAMPLES])
                more = len(whats) - FLAG_EXAMPLES
                rows.add(
                    "flags", kind, place, text + (f"; and {more} more" if more > 0 else ""),
                    self._source,
                )
            poster.flags.clear()
            for table, columns in rows.take().items():
                duck.append(table, columns)
            self._keep_facts()
        self._touched.clear()
        for _ in poster.close_sessions(OPEN_SESSIONS // 2):
            pass

    def _keep_session(self, name: str, number: int, blocks: SessionBlocks) -> None:
        self.duck.run("DELETE FROM sessions WHERE session = ? AND success IS NULL "
                      "AND recorded_cost_nano IS NULL AND score IS NULL", [number])
        held = self.duck.rows("SELECT 1 FROM sessions WHERE session = ?", [number])
        if held:
            self.duck.run(
                "UPDATE sessions SET calls = ?, sends = ?, path = ? WHERE session = ?",
                [blocks.asked, blocks.sends, numbers_text(blocks.path), number],
            )
        else:
            self._rows.add(
                "sessions", number, name, None, None, None, None, None, blocks.asked,
                blocks.sends, numbers_text(blocks.path),
            )

    def _keep_facts(self) -> None:
        facts, self._facts = self._facts, []
        for fact in facts:
            number, _ = self._poster.open.get(fact.session) or self._take_up(fact.session, fact.at)
            usage = msgspec.json.encode(fact.usage).decode() if fact.usage else None
            if not self.duck.rows("SELECT 1 FROM sessions WHERE session = ?", [number]):
                self.duck.run(
                    "INSERT INTO sessions (session, id, calls, sends, path) VALUES (?, ?, 0, 0, '')",
                    [number, fact.session],
                )
            self.duck.run(
                "UPDATE sessions SET success = coalesce(?, success), score = coalesce(?, score),"
                " recorded_cost_nano = coalesce(?, recorded_cost_nano),"
                " recorded_usage = coalesce(?, recorded_usage) WHERE session = ?",
                [fact.success, fact.score, fact.recorded_cost_nano, usage, number],
            )


LIVES = "SELECT * FROM blocks WHERE session = ? ORDER BY block"


def life_of(row: dict[str, object]) -> Life:
    """A block of an earlier import, as it was folded."""

    def whole(name: str) -> int:
        return int(str(row[name] or 0))

    return Life(
        block=Block(
            role=Role(str(row["role"])),
            kind=Kind(str(row["kind"])),
            digest=whole("digest"),
            tokens=whole("tokens"),
            size_bytes=whole("size_bytes"),
            name=None if row["name"] is None else str(row["name"]),
            mark=Mark(str(row["mark"])),
        ),
        nth=whole("nth"),
        tokens=whole("tokens"),
        first_step=whole("first_step"),
        carries=whole("carries"),
        nano=[whole(f"{bucket}_nano") for bucket in ("fresh", "written", "read", "carried")],
    )
