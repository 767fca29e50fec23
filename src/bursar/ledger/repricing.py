"""Prices the whole ledger again: from its own usage and prompts, with another book or overlay.

Every attempt is priced from the counts it holds, and every session is followed again in the order
in which it was first followed, so parts and blocks add up to the new costs as exactly as to the
old. Pricing back with the old book therefore gives the old ledger. What was changed is kept in
`repricings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from bursar.ledger.blocks import SessionBlocks
from bursar.ledger.costing import cost_of
from bursar.ledger.engines.duck import Duck
from bursar.ledger.posting import charge_of
from bursar.ledger.rows import Rows, cost_basis, list_input_nano
from bursar.ledger.schema import TABLES, added_of
from bursar.ledger.shelf import life_of
from bursar.model.entry import Attempt
from bursar.model.usage import Basis, Usage
from bursar.price.book import Book

CHUNK = 20_000
"""Attempts in memory at once; a session is never split."""
Row = dict[str, Any]


class Repriced(msgspec.Struct, frozen=True, kw_only=True):
    """What a repricing changed. Costs in nanodollars."""

    attempts: int
    changed: int
    before_nano: int
    after_nano: int
    book: str


def reprice(duck: Duck, book: Book, now: datetime) -> Repriced:
    """Price every attempt again, in one transaction."""
    attempts = changed = before = after = 0
    with duck.transaction():
        for group in _sessions(duck):
            rows = Rows()
            blocks = _blocks(duck, group[0])
            for row in group:
                old = row["cost_nano"]
                attempt = _reprice_row(row, book, blocks, rows)
                attempts += 1
                changed += old != attempt.cost_nano
                before, after = before + (old or 0), after + (attempt.cost_nano or 0)
            _replace(duck, group, blocks, rows)
        duck.append(
            "repricings",
            {
                "at": [now],
                "book": [book.version],
                "attempts": [attempts],
                "changed": [changed],
                "before_nano": [before],
                "after_nano": [after],
            },
        )
    return Repriced(
        attempts=attempts,
        changed=changed,
        before_nano=before,
        after_nano=after,
        book=book.version,
    )


def _sessions(duck: Duck) -> Iterator[list[Row]]:
    """The attempts of one session (or of one call without a session) after the other."""
    names = duck.rows(
        "SELECT DISTINCT COALESCE(session, -call_id) AS session FROM attempts ORDER BY 1"
    )
    for start in range(0, len(names), CHUNK // 20):
        numbers = [name[0] for name in names[start : start + CHUNK // 20]]
        rows = duck.named(
            "SELECT * FROM attempts WHERE COALESCE(session, -call_id) IN"
            " (SELECT unnest(?::BIGINT[])) ORDER BY COALESCE(session, -call_id),"
            " place NULLS FIRST, step, n, call_id",
            [numbers],
        )
        group: list[Row] = []
        for row in rows:
            if group and _owner(group[0]) != _owner(row):
                yield group
                group = []
            group.append(row)
        if group:
            yield group


def _owner(row: Row) -> int:
    return row["session"] if row["session"] is not None else -row["call_id"]


def _blocks(duck: Duck, row: Row) -> SessionBlocks:
    held = duck.named("SELECT * FROM blocks WHERE session = ? ORDER BY block", [_owner(row)])
    blocks = SessionBlocks()
    blocks.reset([life_of(one) for one in held])
    return blocks


def _reprice_row(row: Row, book: Book, blocks: SessionBlocks, rows: Rows) -> Attempt:
    """One attempt at the new prices; its parts go to `rows`."""
    attempt, rates = _priced(row, book)
    charge = charge_of(attempt, rates)
    if row["added"] is not None:
        sent = blocks.resend(row["kept"], added_of(row["kept"], row["added"]), charge)
    elif attempt.usage is not None:
        sent = SessionBlocks().send((), None, charge, row["step"])
    else:
        sent = None
    row.update(
        cost_nano=attempt.cost_nano,
        cost_basis=cost_basis(attempt, rates),
        unpriced=attempt.unpriced_reason,
        price_version=attempt.price_version,
        list_input_nano=list_input_nano(attempt, rates),
    )
    rows.add("attempts", *(row[name] for name in TABLES["attempts"]))
    rows.add_parts(row["call_id"], row["n"], sent)
    return attempt


def _priced(row: Row, book: Book) -> tuple[Attempt, Any]:
    """The attempt of a row with the cost that the book gives it."""
    other = msgspec.json.decode(row["other_units"] or "{}", type=dict[str, int])
    attempt = Attempt(
        n=row["n"],
        provider=row["provider"],
        model=row["model"],
        price_class=row["price_class"],
        basis=Basis(row["usage_basis"] or row["cost_basis"] or Basis.MEASURED),
        cost_nano=row["cost_nano"],
        unpriced_reason=row["unpriced"],
        price_version=row["price_version"],
    )
    if row["input_tokens"] is None:
        return attempt, None
    usage = Usage(
        input=row["input_tokens"],
        cache_read=row["cache_read_tokens"],
        cache_write_5m=row["cache_write_5m_tokens"],
        cache_write_1h=row["cache_write_1h_tokens"],
        output=row["output_tokens"],
        reasoning=row["reasoning_tokens"],
        other=other,
    )
    parts = msgspec.json.decode(row["iterations"] or "[]", type=tuple[Attempt, ...])
    counted = msgspec.structs.replace(attempt, usage=usage, parts=parts)
    cost, rates, reason = cost_of(book, counted, row["at"], row["provider"], row["model"])
    priced = msgspec.structs.replace(
        counted,
        cost_nano=cost,
        unpriced_reason=reason if cost is None else None,
        price_version=rates.version if rates is not None and cost is not None else None,
    )
    return priced, rates if cost is not None else None


def _replace(duck: Duck, group: list[Row], blocks: SessionBlocks, rows: Rows) -> None:
    ids = [row["call_id"] for row in group]
    for table in ("attempts", "parts"):
        duck.run(f"DELETE FROM {table} WHERE call_id IN (SELECT unnest(?::BIGINT[]))", [ids])
    if blocks.lives:
        duck.run("DELETE FROM blocks WHERE session = ?", [_owner(group[0])])
        rows.add_session(_owner(group[0]), blocks)
    for table, columns in rows.take().items():
        duck.append(table, columns)
