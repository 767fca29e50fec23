"""Writes entries into a ledger: each exactly once, in transactions, whatever is read twice.

A call is known by the hash of its key in the source. Before a batch is posted the ledger is asked
which of its calls it holds; those only move their session's prompt along. Rows, blocks and
sessions of a batch are committed together, so a stop at any moment leaves a ledger that the next
import continues from. A file that is read again replaces what was said of its reading before:
its skips and its flags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import PurePath
from traceback import extract_tb
from typing import Any, TypeVar

from msgspec.structs import replace

from bursar.ledger.correcting import correct, grown
from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.ids import id_of
from bursar.ledger.posting import Poster
from bursar.ledger.rows import Posted, Rows
from bursar.ledger.shelf import Shelf
from bursar.model.block import digest_of
from bursar.model.entry import Entry, Flag, SessionFact, Skip
from bursar.model.errors import BursarError
from bursar.price.book import Book

BATCH = 2_000
"""Entries per question to the ledger."""
FLUSH_ROWS = 50_000
"""Attempts per transaction."""
OPEN_SESSIONS = 5_000
"""Sessions kept in memory after a transaction."""
MOST_PLACES = 100
"""Flagged places of one source that are kept one by one; the others stand under its file."""
ADDED_KINDS = frozenset({"price_ambiguous", "duplicate_lines"})
"""Flags that come up only where calls are new, so that reading a file again must not drop them."""
LARGEST_INT = 2**63 - 1
Item = Entry | SessionFact | Skip | Flag
Got = TypeVar("Got")


class Recorder:
    """Takes what readers yield, in order, and keeps it."""

    def __init__(
        self, duck: Duck, book: Book, now: datetime, open_sessions: int = OPEN_SESSIONS
    ) -> None:
        self.duck = duck
        self._open_sessions = open_sessions
        self.added = 0
        self.seen = 0
        self._now = now
        self._shelf = Shelf(duck)
        self._poster = Poster(book, now, self._shelf)
        self._rows = Rows()
        self._batch: list[Entry] = []
        self._pending: dict[int, int] = {}
        """Calls that are posted and not yet committed, each with its source."""
        self._answers: dict[int, int | None] = {}
        """Answer tokens of the calls of this batch that the ledger holds already."""
        self._grown: list[tuple[Entry, int]] = []
        """Calls that were read too early, with the answer that they have now."""
        self._facts: list[SessionFact] = []
        self.posted: list[Posted] | None = None
        """Where somebody wants them: the entries of the transaction under way, as posted."""
        self._source = 0
        self._file = ""
        self._form = ""
        self._size_bytes = 0
        self._before = (0, 0)
        self._read: dict[int, list[object]] = {}
        """Rows of the sources that were read since the last transaction."""
        self._again: set[str] = set()
        """Files whose earlier skips the next transaction drops."""
        self._flagged: list[tuple[str, str, str, int, str]] = []
        rows = duck.rows("SELECT coalesce(max(source), 0) FROM sources")
        self._last_source = int(str(rows[0][0]))

    def begin(self, file: str, form: str, size_bytes: int) -> None:
        """A new source starts."""
        self._last_source += 1
        self._source = self._last_source
        self._file, self._form, self._size_bytes = file, form, size_bytes
        self._before = (self.seen, self.added)
        self._again.add(file)

    def go_on(self, file: str, form: str, now: datetime) -> None:
        """A source that grows while it is read goes on, at the time `now`."""
        self._now = now
        self._poster.tick(now)
        rows = self.duck.rows(
            "SELECT source, size_bytes, entries, added FROM sources WHERE file = ? AND format = ?",
            [file, form],
        )
        if not rows:
            self.begin(file, form, 0)
            return
        self._source, self._size_bytes, entries, added = rows[0]
        self._file, self._form = file, form
        self._before = (self.seen - entries, self.added - added)

    def commit(self, along: Callable[[], None]) -> None:
        """Make what was taken durable, together with what `along` writes. More may follow."""
        self.end()
        self._flush(along)

    def take_all(self, items: Iterable[Item]) -> str | None:
        """Everything that a reader finds. Where it fails: why; what it found before is kept."""
        step = partial(next, iter(items), None)
        while True:
            try:
                item, fault = outlived(step)
            except BursarError as bad:
                return f"{bad.message}; {bad.mend}" if bad.mend else bad.message
            except OSError as bad:
                return f"cannot be read to its end: {bad.strerror or bad}"
            if fault is not None:
                return f"is read no further, by a fault in Bursar: {fault}; please report it"
            if item is None:
                return None
            self.take(item)

    def take(self, item: Item) -> None:
        """One thing that a reader found."""
        if isinstance(item, Entry):
            name = item.call.tags.session
            if name is not None and not name.isascii() and _storable(name) != name:
                tags = replace(item.call.tags, session=_storable(name))
                item = replace(item, call=replace(item.call, tags=tags))
            self._batch.append(item)
            if len(self._batch) >= BATCH:
                self._post()
        elif isinstance(item, SessionFact):
            self._facts.append(replace(item, session=_storable(item.session)))
        elif isinstance(item, Skip):
            self._again.add(item.file)
            self._rows.add("skips", item.file, item.line, item.reason, self._source)
        elif len(self._poster.flags) < MOST_PLACES:
            self._poster.flag(item.kind, item.where, item.what)
        else:
            self._poster.flag(item.kind, self._file, f"{item.where}: {item.what}")

    def end(self) -> None:
        """The current source is read to its end."""
        self._post()
        self._note_source()
        self._raise_flags()

    def close(self) -> None:
        """Everything becomes durable. Call it once, after the last source."""
        self._post()
        self._flush()

    # -- inside

    def _post(self) -> None:
        batch, self._batch = self._batch, []
        facts, self._facts = self._facts, []
        starts: dict[str, datetime | None] = {}
        for entry in batch:
            if entry.call.tags.session is not None:
                starts.setdefault(entry.call.tags.session, entry.call.at)
        for fact in facts:
            starts.setdefault(fact.session, fact.at)
        self._shelf.fetch(starts)
        ids = [call_id_of(entry.call.key) for entry in batch]
        known = self._known(ids)
        for entry, call_id in zip(batch, ids, strict=True):
            self.seen += 1
            if call_id not in known:
                known[call_id] = self._source
                self._add(entry, call_id)
            elif known[call_id] == self._source:
                self._duplicate(entry)
            else:
                self._poster.pass_by(entry)
                if grown(entry, self._answers.get(call_id)):
                    self._grown.append((entry, call_id))
        for fact in facts:
            self._shelf.session(fact.session).learn(fact)
            self._shelf.touch(fact.session)
        crowded = len(self._shelf) > self._open_sessions + OPEN_SESSIONS
        if crowded or len(self._pending) >= FLUSH_ROWS:
            self._flush()

    def _add(self, entry: Entry, call_id: int) -> None:
        self._pending[call_id] = self._source
        self.added += 1
        if entry.call.tags.session is not None:
            self._shelf.touch(entry.call.tags.session)
        posted = self._poster.post(entry, call_id)
        self._rows.add_posted(posted, self._source)
        if self.posted is not None:
            self.posted.append(posted)

    def _known(self, ids: list[int]) -> dict[int, int]:
        """Which of these calls are in the ledger or on the way to it, and from which source."""
        held = self.duck.rows(
            "SELECT call_id, MAX(source), MAX(output_tokens + reasoning_tokens) FROM attempts"
            " WHERE call_id IN (SELECT unnest(?::BIGINT[])) GROUP BY call_id",
            [ids],
        )
        self._answers = {call: tokens for call, _, tokens in held}
        known = {int(str(call)): int(str(source)) for call, source, _ in held}
        return known | {one: self._pending[one] for one in ids if one in self._pending}

    def _duplicate(self, entry: Entry) -> None:
        line = entry.origin.line if entry.origin else None
        place = f"{self._file}:{line}" if line else self._file
        self._poster.flag("duplicate_lines", self._file, f"{place} repeats an earlier call")

    def _flush(self, along: Callable[[], None] | None = None) -> None:
        """Commit everything that is pending, the changed sessions' blocks with it."""
        if self._source and self._source == self._last_source:
            self._note_source()
        self._raise_flags()
        with self.duck.transaction():
            self._shelf.put_back(self._rows)
            self._drop_earlier()
            for entry, call_id in self._grown:
                correct(self.duck, self._poster.book, entry, call_id, self._now)
            for row in self._read.values():
                self._rows.add("sources", *row)
            for kind, place, what, source, _ in self._flagged:
                self._rows.add("flags", kind, place, what, source)
            for table, columns in self._rows.take().items():
                self._append(table, columns)
            if along is not None:
                along()
        self._pending.clear()
        self._grown.clear()
        self._read.clear()
        self._again.clear()
        self._flagged.clear()
        self._shelf.give_up(self._open_sessions)

    def _note_source(self) -> None:
        """The current source as it stands now: its calls are never without it."""
        self._read[self._source] = [
            self._source,
            self._file,
            self._form,
            self._size_bytes,
            self._now,
            self.seen - self._before[0],
            self.added - self._before[1],
        ]

    def _raise_flags(self) -> None:
        for (kind, place), told in self._poster.flags.items():
            self._flagged.append((kind, place, told.text, self._source, self._file))
        self._poster.flags.clear()

    def _drop_earlier(self) -> None:
        """What an earlier reading of the same files said of them, and what is written anew."""
        self.duck.run(
            "DELETE FROM sources WHERE source IN (SELECT unnest(?::BIGINT[]))", [list(self._read)]
        )
        if self._again:
            self.duck.run(
                "DELETE FROM skips WHERE file IN (SELECT unnest(?::VARCHAR[]))"
                " AND source NOT IN (SELECT unnest(?::BIGINT[]))",
                [sorted(self._again), list(self._read)],
            )
        if not self._flagged:
            return
        kinds, places, whats, sources, files = zip(*self._flagged, strict=True)
        added = [kind in ADDED_KINDS for kind in kinds]
        self.duck.run(
            "DELETE FROM flags WHERE rowid IN (SELECT f.rowid FROM flags AS f"
            " JOIN (SELECT unnest(?::VARCHAR[]) AS kind, unnest(?::VARCHAR[]) AS place,"
            " unnest(?::VARCHAR[]) AS what, unnest(?::BIGINT[]) AS source,"
            " unnest(?::VARCHAR[]) AS file, unnest(?::BOOLEAN[]) AS added) AS u"
            " ON f.kind = u.kind AND f.place = u.place AND f.source <> u.source"
            " AND (f.what = u.what OR NOT u.added)"
            " JOIN sources AS s ON s.source = f.source AND s.file = u.file)",
            [list(kinds), list(places), list(whats), list(sources), list(files), added],
        )

    def _append(self, table: str, columns: Mapping[str, Sequence[object]]) -> None:
        try:
            self.duck.append(table, columns)
        except (UnicodeEncodeError, OverflowError):
            self.duck.append(
                table,
                {name: [_storable(one) for one in column] for name, column in columns.items()},
            )


def outlived(
    step: Callable[[], Got], passing: tuple[type[Exception], ...] = (BursarError, OSError)
) -> tuple[Got | None, str | None]:
    """What a step gives, or the kind and place of the fault in Bursar that ended it.

    The errors of `passing` are no faults, and are raised.
    """
    try:
        return step(), None
    except passing:
        raise
    except Exception as fault:  # noqa: BLE001 - one file, or one entry, must not cost the others
        last = extract_tb(fault.__traceback__)[-1]
        place = f"{PurePath(last.filename).name}:{last.lineno}"
        return None, f"{type(fault).__name__} at {place}: {str(fault)[:200]}"


def call_id_of(key: str) -> int:
    """A call's number: the one that its key carries, else a hash of the key."""
    number = id_of(key)
    return digest_of(key) if number is None else number


def _storable(value: Any) -> Any:
    """A value from a log that no database holds: half a character, a number beyond 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if type(value) is int and abs(value) > LARGEST_INT:
        return None
    return value
