"""Rows as columns: what an entry looks like in each table, collected until it is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec

from bursar.ledger.blocks import Sent, SessionBlocks
from bursar.ledger.schema import TABLES, added_text, request_digest, short_digest
from bursar.model.block import Kind, Mark, Role
from bursar.model.call import Tags
from bursar.model.entry import Attempt, Entry
from bursar.model.usage import Basis, Usage
from bursar.price.rates import Rates

Columns = dict[str, list[object]]
WORDS: dict[str, str] = {one: one.value for words in (Role, Kind, Mark, Basis) for one in words}
"""Asking an enum for its value takes six times as long."""


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as the ledger will hold it."""

    entry: Entry
    call_id: int
    session: int | None
    step: int
    blocks: SessionBlocks
    attempts: tuple[tuple[Attempt, Rates | None, Sent | None], ...]


Tell = Callable[[Sequence[Posted]], None]
"""Hears of entries that are committed; must neither wait nor raise."""


class Rows:
    """Pending rows of every table."""

    def __init__(self) -> None:
        self._cells: dict[str, list[object]] = {table: [] for table in TABLES}
        """Of each table, row after row: a list per row would be a million things to look after."""

    def add(self, table: str, *values: object) -> None:
        """One row, in the order of the schema."""
        self._cells[table].extend(values)

    def take(self) -> dict[str, Columns]:
        """The tables that have rows, as columns; afterwards nothing is pending."""
        full = {table: cells for table, cells in self._cells.items() if cells}
        self._cells.update({table: [] for table in full})
        return {table: _columns(TABLES[table], cells) for table, cells in full.items()}

    def add_posted(self, posted: Posted, source: int) -> None:
        """Everything that one entry puts into the ledger, its session's blocks excepted.

        A call without a session keeps its blocks under its own negative id.
        """
        entry = posted.entry
        for attempt, rates, sent in posted.attempts:
            self._add_attempt(posted, attempt, source, rates, sent)
            self.add_parts(posted.call_id, attempt.n, sent)
        if posted.session is None and entry.call.blocks:
            self.add_session(-posted.call_id, posted.blocks)
        where = (posted.call_id, posted.session, posted.step)
        for use in entry.answer.tool_uses if entry.answer else ():
            self.add("tool_uses", *where, use.id, use.tool, use.arguments_digest)
        for out in entry.tool_outcomes:
            self.add(
                "tool_outcomes", *where, out.id, out.tool, out.result_digest, out.failed, out.tokens
            )
        for one in entry.decisions:
            self.add(
                "decisions",
                *where,
                one.lever,
                one.verdict,
                one.why,
                one.tokens_before,
                one.tokens_after,
            )

    def add_parts(self, call_id: int, n: int, sent: Sent | None) -> None:
        """What one attempt is made of."""
        for part in sent.parts if sent else ():
            self.add(
                "parts",
                call_id,
                n,
                WORDS[part.kind],
                part.tokens,
                part.carried_tokens,
                part.fresh_nano,
                part.carried_nano,
            )

    def _add_attempt(
        self, posted: Posted, attempt: Attempt, source: int, rates: Rates | None, sent: Sent | None
    ) -> None:
        call, answer, usage = posted.entry.call, posted.entry.answer, attempt.usage
        tags, origin = call.tags, posted.entry.origin
        uses = answer.tool_uses if answer else ()
        followed = sent if call.blocks is not None else None
        self.add(
            "attempts",
            posted.call_id,
            attempt.n,
            call.at,
            posted.session,
            posted.step,
            *_tag_cells(tags),
            attempt.provider or call.provider,
            attempt.model or call.model,
            call.model if call.model != (attempt.model or call.model) else None,
            attempt.price_class,
            call.dialect,
            uses[0].tool if uses else None,
            *_usage_cells(usage),
            msgspec.json.encode(attempt.parts).decode() if attempt.parts else None,
            WORDS[attempt.basis] if usage is not None else None,
            attempt.cost_nano,
            cost_basis(attempt, rates),
            attempt.recorded_cost_nano,
            attempt.unpriced_reason,
            attempt.price_version,
            list_input_nano(attempt, rates),
            attempt.status,
            answer.stop if answer else None,
            answer.status if answer else None,
            attempt.first_byte_ms,
            attempt.total_ms,
            attempt.is_retry or tags.is_retry,
            attempt.retry_cause or tags.retry_cause,
            short_digest(followed.prompt_digest) if followed else None,
            *_followed_cells(followed),
            call.limits.max_tokens,
            call.limits.effort,
            request_digest(attempt.provider_request_id),
            source,
            origin.line if origin else None,
        )

    def add_session(self, number: int, blocks: SessionBlocks) -> None:
        """The blocks of a session as they stand now."""
        add = self._cells["blocks"].extend
        for place, one in enumerate(blocks.fold()):
            block = one.block
            add(
                (
                    number,
                    place,
                    block.digest,
                    one.nth,
                    WORDS[block.role],
                    WORDS[block.kind],
                    block.name,
                    one.tokens,
                    block.size_bytes,
                    WORDS[block.mark],
                    one.first_step,
                    one.carries,
                    *one.nano,
                )
            )


def _columns(names: Collection[str], cells: list[object]) -> Columns:
    width = len(names)
    assert len(cells) % width == 0, "a row has more or fewer cells than its table"
    return {name: cells[place::width] for place, name in enumerate(names)}


def cost_basis(attempt: Attempt, rates: Rates | None) -> str | None:
    """The weaker of what the tokens and what the price rest on."""
    if attempt.cost_nano is None:
        return None
    if rates is not None and rates.basis is not Basis.MEASURED:
        return WORDS[rates.basis]
    return WORDS[attempt.basis]


def list_input_nano(attempt: Attempt, rates: Rates | None) -> int | None:
    """What the prompt would have cost without any cache."""
    if attempt.usage is None or rates is None or rates.input is None:
        return None
    return attempt.usage.prompt * rates.input // 1000


def _tag_cells(tags: Tags) -> tuple[object, ...]:
    """The columns of `TAG_COLUMNS`, then the other tags as JSON."""
    return (
        tags.tenant,
        tags.team,
        tags.cost_center,
        tags.application,
        tags.environment,
        tags.route,
        tags.workflow,
        tags.prompt_version,
        tags.user,
        tags.task_type,
        msgspec.json.encode(tags.other).decode() if tags.other else None,
    )


def _usage_cells(usage: Usage | None) -> tuple[object, ...]:
    """The columns of `USAGE_COLUMNS`, then the other units as JSON."""
    if usage is None:
        return (None,) * 7
    return (
        usage.prompt,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.output,
        usage.reasoning,
        msgspec.json.encode(usage.other).decode() if usage.other else None,
    )


def _followed_cells(sent: Sent | None) -> tuple[object, ...]:
    """What repeats, and how the session's prompt went on."""
    if sent is None:
        return (None,) * 4
    return (sent.repeated_tokens, sent.place, sent.kept, added_text(sent.kept, sent.added))
