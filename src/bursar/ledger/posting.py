"""Turns entries into priced rows: the one place where usage meets rates and blocks.

An attempt that the provider counted is priced from its counts. One that nobody counted, but whose
texts are known, is priced from estimated tokens and says "modelled". One that failed before any
work is booked at zero and says "assumed". Everything else stays unpriced, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from bursar.ledger.blocks import Sent, SessionBlocks
from bursar.ledger.rows import Posted
from bursar.ledger.shares import Charge
from bursar.ledger.shelf import Shelf
from bursar.model.entry import Attempt, Entry
from bursar.model.money import pico_to_nano
from bursar.model.usage import Basis, Usage
from bursar.price.book import Book
from bursar.price.rates import Line, Priced, Rates

FLAG_EXAMPLES = 3
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
        session, blocks = self._session(tags.session)
        step = tags.step_index if tags.step_index is not None else blocks.asked
        blocks.asked += 1
        attempts: list[tuple[Attempt, Rates | None, Sent | None]] = []
        for attempt in entry.attempts:
            counted = self._counted(entry, attempt, blocks)
            priced, rates = self._priced(counted, call.at, call.provider, call.model)
            sent = self._send(entry, priced, charge_of(priced, rates), blocks, step)
            attempts.append((priced, rates, sent))
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

    def _counted(self, entry: Entry, attempt: Attempt, blocks: SessionBlocks) -> Attempt:
        """The attempt with an estimated usage where nobody counted and the texts are known."""
        if attempt.usage is not None or _refused(attempt) or _unknowable(entry, attempt):
            return attempt
        call = entry.call
        answer = sum([one.tokens or 0 for one in entry.answer.blocks]) if entry.answer else 0
        if call.blocks is None:
            return attempt
        prompt = blocks.kept_tokens(call.kept) + sum([one.tokens or 0 for one in call.blocks])
        if not prompt and not answer:
            return attempt
        return msgspec.structs.replace(
            attempt, usage=Usage(input=prompt, output=answer), basis=Basis.MODELLED
        )

    def _priced(
        self, attempt: Attempt, at: datetime | None, provider: str | None, model: str | None
    ) -> tuple[Attempt, Rates | None]:
        provider, model = attempt.provider or provider, attempt.model or model
        if provider is not None:
            provider = self.book.provider_id(provider)
            if provider != attempt.provider:
                attempt = msgspec.structs.replace(attempt, provider=provider)
        if attempt.usage is None:
            if _refused(attempt):
                return msgspec.structs.replace(attempt, cost_nano=0, basis=Basis.ASSUMED), None
            reason = attempt.unpriced_reason or "nobody counted its tokens"
            return msgspec.structs.replace(attempt, unpriced_reason=reason), None
        cost, rates, reason = cost_of(self.book, attempt, at, provider, model)
        if cost is None:
            return msgspec.structs.replace(attempt, cost_nano=None, unpriced_reason=reason), None
        assert rates is not None
        if rates.ambiguous:
            self.flag("price_ambiguous", f"{provider}/{model}", rates.ambiguous)
        priced = msgspec.structs.replace(
            attempt,
            provider=provider or rates.provider,
            cost_nano=cost,
            price_version=rates.version,
        )
        return priced, rates

    def _check_time(self, entry: Entry) -> None:
        at = entry.call.at
        if at is not None and not EARLIEST <= at <= self._latest:
            place = entry.origin.file if entry.origin else entry.call.key
            self.flag("time_suspect", place, f"a call at {at.isoformat()}")


def cost_of(
    book: Book, attempt: Attempt, at: datetime | None, provider: str | None, model: str | None
) -> tuple[int | None, Rates | None, str | None]:
    """(cost, rates, reason without a cost). Iterations by other models are priced one by one."""
    assert attempt.usage is not None
    whole = book.cost_nano(provider, model, attempt.usage, at, attempt.price_class)
    if not attempt.parts:
        return whole
    priced = price_iterations(book, attempt.parts, at, provider, model)
    return priced.cost_nano, whole[1] or priced.rates, priced.unpriced_reason


def price_iterations(
    book: Book,
    parts: Sequence[Attempt],
    at: datetime | None,
    provider: str | None,
    model: str | None,
) -> Priced:
    """Each iteration at its own model's rates, summed before the one rounding."""
    lines: list[Line] = []
    versions: list[str] = []
    basis, rates = Basis.MEASURED, None
    for one in parts:
        if one.usage is None:
            continue
        priced = book.price(
            one.provider or provider, one.model or model, one.usage, at, one.price_class
        )
        if priced.cost_nano is None:
            return priced
        lines.extend(priced.lines)
        rates = rates or priced.rates
        if priced.version and priced.version not in versions:
            versions.append(priced.version)
        if priced.basis != Basis.MEASURED:
            basis = priced.basis
    return Priced(
        cost_nano=pico_to_nano(sum(line.cost_pico for line in lines)),
        lines=tuple(lines),
        version="; ".join(versions),
        basis=basis,
        rates=rates,
    )


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


def _unknowable(entry: Entry, attempt: Attempt) -> bool:
    """Nobody saw how it ended: whether, and for what, it was billed cannot even be estimated."""
    left = entry.answer is not None and entry.answer.status == "left"
    return left and attempt.unpriced_reason is not None


def _refused(attempt: Attempt) -> bool:
    """Answered with an error before any counted work."""
    return attempt.status is not None and attempt.status >= 400 and attempt.usage is None
