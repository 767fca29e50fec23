"""Writes entries into a ledger: each exactly once, in transactions, whatever is read twice.

A call is known by the hash of its key in the source. Before a batch is posted the ledger is asked
which of its calls it holds; those only move their session's prompt along. Rows, blocks and
sessions of a batch are committed together, so a stop at any moment leaves a ledger that the next
import continues from.
"""

from __future__ import annotations

from datetime import datetime

from bursar.ledger.engines.duck import Duck
from bursar.ledger.posting import Poster
from bursar.ledger.rows import Rows
from bursar.ledger.shelf import Shelf
from bursar.model.block import digest_of
from bursar.model.entry import Entry, Flag, SessionFact, Skip
from bursar.price.book import Book

BATCH = 2_000
"""Entries per question to the ledger."""
FLUSH_ROWS = 50_000
"""Attempts per transaction."""
OPEN_SESSIONS = 5_000
"""Sessions kept in memory after a transaction."""
FLAG_EXAMPLES = 3


class Recorder:
    """Takes what readers yield, in order, and keeps it."""

    def __init__(self, duck: Duck, book: Book, now: datetime) -> None:
        self.duck = duck
        self.added = 0
        self.seen = 0
        self._now = now
        self._shelf = Shelf(duck)
        self._poster = Poster(book, now, self._shelf)
        self._rows = Rows()
        self._batch: list[Entry] = []
        self._pending: set[int] = set()
        """Calls that are posted and not yet committed."""
        self._here: set[int] = set()
        """Calls added by the current source: a second sighting is a duplicate line."""
        self._facts: list[SessionFact] = []
        self._source = 0
        self._file = ""
        self._form = ""
        self._size_bytes = 0
        self._before = (0, 0)
        rows = duck.rows("SELECT coalesce(max(source), 0) FROM sources")
        self._last_source = int(str(rows[0][0]))

    def begin(self, file: str, form: str, size_bytes: int) -> None:
        """A new source starts."""
        self._last_source += 1
        self._source = self._last_source
        self._file, self._form, self._size_bytes = file, form, size_bytes
        self._here.clear()
        self._before = (self.seen, self.added)

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
        """The current source is read to its end."""
        self._post()
        self._rows.add(
            "sources",
            self._source,
            self._file,
            self._form,
            self._size_bytes,
            self._now,
            self.seen - self._before[0],
            self.added - self._before[1],
        )
        if self._poster.flags:
            self._add_flags()

    def close(self) -> None:
        """Everything becomes durable. Call it once, after the last source."""
        self._post()
        self._flush()

    # -- inside

    def _post(self) -> None:
        batch, self._batch = self._batch, []
        facts, self._facts = self._facts, []
        names = {entry.call.tags.session for entry in batch} | {fact.session for fact in facts}
        self._shelf.fetch(name for name in names if name is not None)
        ids = [digest_of(entry.call.key) for entry in batch]
        known = self._known(ids)
        for entry, call_id in zip(batch, ids, strict=True):
            self.seen += 1
            if call_id not in known:
                known.add(call_id)
                self._add(entry, call_id)
            elif call_id in self._here:
                self._duplicate(entry)
            else:
                self._poster.pass_by(entry)
        for fact in facts:
            self._shelf.session(fact.session, fact.at).learn(fact)
            self._shelf.touch(fact.session)
        if len(self._pending) >= FLUSH_ROWS or len(self._shelf) > 2 * OPEN_SESSIONS:
            self._flush()

    def _add(self, entry: Entry, call_id: int) -> None:
        self._pending.add(call_id)
        self._here.add(call_id)
        self.added += 1
        if entry.call.tags.session is not None:
            self._shelf.touch(entry.call.tags.session)
        self._rows.add_posted(self._poster.post(entry, call_id), self._source)

    def _known(self, ids: list[int]) -> set[int]:
        """Which of these calls are in the ledger or on the way to it."""
        held = self.duck.rows(
            "SELECT DISTINCT call_id FROM attempts WHERE call_id IN (SELECT unnest(?::BIGINT[]))",
            [ids],
        )
        return {int(str(row[0])) for row in held} | (self._pending & set(ids))

    def _duplicate(self, entry: Entry) -> None:
        line = entry.origin.line if entry.origin else None
        place = f"{self._file}:{line}" if line else self._file
        self._poster.flag("duplicate_lines", self._file, f"{place} repeats an earlier call")

    def _flush(self) -> None:
        """Commit everything that is pending, the changed sessions' blocks with it."""
        with self.duck.transaction():
            self._shelf.put_back(self._rows)
            self._add_flags()
            for table, columns in self._rows.take().items():
                self.duck.append(table, columns)
        self._pending.clear()
        self._shelf.give_up(OPEN_SESSIONS)

    def _add_flags(self) -> None:
        for (kind, place), whats in self._poster.flags.items():
            text = "; ".join(whats[:FLAG_EXAMPLES])
            if len(whats) > FLAG_EXAMPLES:
                text += f"; and {len(whats) - FLAG_EXAMPLES} more"
            self._rows.add("flags", kind, place, text, self._source)
        self._poster.flags.clear()
