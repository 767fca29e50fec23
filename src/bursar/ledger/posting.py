"""Turns entries into priced rows: the one place where usage meets rates and blocks.

What an attempt is booked at stands in `costing`; here its cost is laid over the blocks of its
session's prompt.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from bursar.ledger.blocks import Sent, SessionBlocks
from bursar.ledger.costing import counted, priced
from bursar.ledger.rows import Posted
from bursar.ledger.shares import Charge
from bursar.ledger.shelf import Shelf
from bursar.model.entry import LENS, Attempt, Entry
from bursar.price.book import Book
from bursar.price.rates import Rates

FLAG_EXAMPLES = 3
SUSPECT = "usage_suspect"
EARLIEST = datetime(2018, 1, 1)
"""No provider billed tokens before."""


class Told(msgspec.Struct, kw_only=True):
    """What was said of one place: the first few things, and how many there were."""

    whats: list[str] = []
    count: int = 0

    @property
    def text(self) -> str:
        more = self.count - len(self.whats)
        return "; ".join(self.whats) + (f"; and {more} more" if more else "")


class Poster:
    """Prices entries and follows their sessions' prompts."""

    def __init__(self, book: Book, now: datetime, shelf: Shelf) -> None:
        self.book = book
        self.now = now
        self.flags: dict[tuple[str, str], Told] = {}
        self._shelf = shelf
        self._latest = now + timedelta(days=2)

    def post(self, entry: Entry, call_id: int) -> Posted:
        """Price one entry. Order matters inside a session: a prompt continues the one before."""
        call, tags = entry.call, entry.call.tags
        self._check_time(entry)
        for one in entry.decisions:
            if one.lever == LENS:
                why = one.why.removeprefix(f"{SUSPECT}: ")
                self.flag(SUSPECT, f"{call.provider}/{call.model}", why)
        session, blocks = self._session(tags.session)
        step = tags.step_index if tags.step_index is not None else blocks.asked
        blocks.asked += 1
        attempts: list[tuple[Attempt, Rates | None, Sent | None]] = []
        for attempt in entry.attempts:
            kept_tokens = blocks.kept_tokens(call.kept)
            booked, rates = priced(
                self.book, counted(attempt, call, entry.answer, kept_tokens), call
            )
            if rates is not None and rates.ambiguous:
                place = f"{booked.provider}/{booked.model or call.model}"
                self.flag("price_ambiguous", place, rates.ambiguous)
            sent = self._send(entry, booked, charge_of(booked, rates), blocks, step)
            attempts.append((booked, rates, sent))
        return Posted(
            entry=entry,
            call_id=call_id,
            session=session,
            step=step,
            blocks=blocks,
            attempts=tuple(attempts),
        )

    def _send(
        self, entry: Entry, attempt: Attempt, charge: Charge, blocks: SessionBlocks, step: int
    ) -> Sent | None:
        """Follow one attempt. A retry of the same call sends the same prompt again."""
        call = entry.call
        if call.blocks is None:
            return SessionBlocks().send((), None, charge, step) if attempt.usage else None
        if attempt.n == entry.attempts[0].n:
            return blocks.send(call.blocks, call.kept, charge, step)
        return blocks.send((), len(blocks.path), charge, step)

    def tick(self, now: datetime) -> None:
        """The present has moved on."""
        self.now = now
        self._latest = now + timedelta(days=2)

    def pass_by(self, entry: Entry) -> None:
        """Follow an entry that the ledger holds already, so that the next one finds its prompt."""
        call = entry.call
        self._check_time(entry)
        if call.tags.session is not None and entry.attempts:
            blocks = self._shelf.session(call.tags.session).blocks
            if call.blocks is not None:
                blocks.pass_by(call.blocks, call.kept)

    def flag(self, kind: str, place: str, what: str) -> None:
        told = self.flags.setdefault((kind, place), Told())
        told.count += 1
        if len(told.whats) < FLAG_EXAMPLES:
            told.whats.append(what)

    def _session(self, name: str | None) -> tuple[int | None, SessionBlocks]:
        if name is None:
            return None, SessionBlocks()
        session = self._shelf.session(name)
        return session.number, session.blocks

    def _check_time(self, entry: Entry) -> None:
        at = entry.call.at
        if at is not None and not EARLIEST <= at <= self._latest:
            place = entry.origin.file if entry.origin else entry.call.key
            self.flag("time_suspect", place, f"a call at {at.isoformat()}")


def charge_of(attempt: Attempt, rates: Rates | None) -> Charge:
    """The attempt's bill as ranges of its prompt."""
    usage = attempt.usage
    if usage is None:
        return Charge(cost_nano=attempt.cost_nano)
    written = usage.cache_write_5m + usage.cache_write_1h
    if rates is None or attempt.cost_nano is None:
        return Charge(
            read_tokens=usage.cache_read,
            written_tokens=written,
            plain_tokens=usage.input,
            answer_tokens=usage.answer,
        )
    plain = rates.input or 0
    read = plain if rates.cache_read is None else rates.cache_read
    write_5m = plain if rates.cache_write_5m is None else rates.cache_write_5m
    write_1h = write_5m if rates.cache_write_1h is None else rates.cache_write_1h
    read_pico = usage.cache_read * read
    written_pico = usage.cache_write_5m * write_5m + usage.cache_write_1h * write_1h
    plain_pico = usage.input * plain
    prompt_pico = read_pico + written_pico + plain_pico
    return Charge(
        read_tokens=usage.cache_read,
        written_tokens=written,
        plain_tokens=usage.input,
        answer_tokens=usage.answer,
        read_pico=read_pico,
        written_pico=written_pico,
        plain_pico=plain_pico,
        answer_pico=max(0, attempt.cost_nano * 1000 - prompt_pico),
        cost_nano=attempt.cost_nano,
    )
