"""What an attempt is booked at: one rule for the ledger and for the caps that count against it.

An attempt that the provider counted is priced from its counts. One that nobody counted, but whose
texts are known, is priced from estimated tokens and says "modelled". One that failed before any
work is booked at zero and says "assumed". Everything else stays unpriced, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from bursar.model.call import Call
from bursar.model.entry import UNREADABLE, Answer, Attempt
from bursar.model.money import pico_to_nano
from bursar.model.usage import Basis, Usage
from bursar.price.book import Book
from bursar.price.rates import Line, Priced, Rates


def counted(attempt: Attempt, call: Call, answer: Answer | None, kept_tokens: int = 0) -> Attempt:
    """The attempt with an estimated usage where nobody counted and the texts are known.

    `kept_tokens`: of the blocks that the call takes over from the one before (`Call.kept`).
    """
    if attempt.usage is not None or is_refused(attempt) or call.blocks is None:
        return attempt
    if _is_unknowable(attempt, answer):
        return attempt
    output = sum([one.tokens or 0 for one in answer.blocks]) if answer else 0
    prompt = kept_tokens + sum([one.tokens or 0 for one in call.blocks])
    if not prompt and not output:
        return attempt
    return replace(attempt, usage=Usage(input=prompt, output=output), basis=Basis.MODELLED)


def priced(book: Book, attempt: Attempt, call: Call) -> tuple[Attempt, Rates | None]:
    """A counted attempt with its cost, or with the reason why it has none."""
    provider, model = attempt.provider or call.provider, attempt.model or call.model
    if provider is not None:
        provider = book.provider_id(provider)
        if provider != attempt.provider:
            attempt = replace(attempt, provider=provider)
    if attempt.usage is None:
        if is_refused(attempt):
            return replace(attempt, cost_nano=0, basis=Basis.ASSUMED), None
        reason = attempt.unpriced_reason or "nobody counted its tokens"
        return replace(attempt, unpriced_reason=reason), None
    cost, rates, reason = cost_of(book, attempt, call.at, provider, model)
    if cost is None:
        return replace(attempt, cost_nano=None, unpriced_reason=reason), None
    assert rates is not None
    provider = provider or rates.provider
    return replace(attempt, provider=provider, cost_nano=cost, price_version=rates.version), rates


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


def is_refused(attempt: Attempt) -> bool:
    """Answered with an error before any counted work."""
    return attempt.status is not None and attempt.status >= 400 and attempt.usage is None


def _is_unknowable(attempt: Attempt, answer: Answer | None) -> bool:
    """Nobody saw how it ended: whether, and for what, it was billed cannot even be estimated."""
    unseen = answer is not None and (answer.status == "left" or answer.stop == UNREADABLE)
    return unseen and attempt.unpriced_reason is not None
