"""How a call that has ended stands in the books: its attempt, its answer, what was done to it.

Nothing is decided here but words: which outcome it had, and what its counts rest on. An answer of
status 200 that is empty or no JSON has an outcome and a stop of its own, and no price: whether a
model ever worked for it, nobody can say.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from bursar.dialects.lens import Reading
from bursar.dialects.quick import Settled
from bursar.gateway.kit import Kit
from bursar.gateway.order import Order
from bursar.gateway.purse.reserved import Reserved, Spent
from bursar.ledger.costing import counted, is_refused, priced
from bursar.ledger.holding import counted_as_held
from bursar.model.entry import LENS, UNREADABLE, Answer, Attempt, Decision
from bursar.model.errors import LedgerError
from bursar.model.usage import Basis, Usage

BAD = 400
FAILED_STOP = "error"
"""How an answer ends that is an error, whatever its status says."""
MAX_TOKENS = "max_tokens"
BUDGET = "budget"
SPENT = "spent"
"""The fate of a stream that was cut by a budget."""
NOTHING_COUNTED = Usage()
"""No answer costs no token at all: a provider that says so has not counted."""
NOTHING = Settled(reading=None, usage=None, reason=None)
EMPTY = Settled(reading=None, usage=None, reason="empty", why="the answer is empty")
PARTIAL = "partial"
"""Why nothing can be read of an answer of which only a part was kept."""
UNREAD = {
    "empty": "the provider answered with nothing at all",
    UNREADABLE: "the provider's answer is neither JSON nor a known stream",
}
"""Why an answer that says nothing has no price."""
CROSSING = "crossing"
"""Stands behind what was changed in a call that went over in another dialect."""
MOST_NOTES = 20
"""What a crossing changed, one by one; the others are counted."""


def settled_answer(found: Settled, *, complete: bool) -> Settled:
    """The same, with no usage of zero, and with a reason where a whole answer says nothing."""
    if found.usage == NOTHING_COUNTED:
        return replace(found, usage=None, reason="implausible", suspects=())
    if not complete:
        return replace(found, reason=PARTIAL) if found.reading is None else found
    if found.reading is None or _says_nothing(found.reading):
        return replace(found, reading=None, reason=UNREADABLE)
    return found


def _says_nothing(reading: Reading) -> bool:
    """A stream without a single event that is known."""
    silent = reading.usage is None and reading.stop is None and not reading.answer_blocks
    return silent and reading.truncated


def attempt_of(blank: Attempt, found: Settled, *, cut: bool) -> Attempt:
    """The attempt with what was read of its answer."""
    reading, usage = found.reading, found.usage
    if reading is None:
        why = UNREAD.get(found.reason or "")
        return blank if why is None else replace(blank, unpriced_reason=why)
    basis = Basis.MEASURED
    if usage is not None and (cut or reading.truncated):
        usage, basis = _at_least(usage, reading), Basis.MODELLED
    return replace(
        blank,
        model=reading.model or blank.model,
        usage=usage,
        basis=basis,
        price_class=reading.price_class,
        parts=reading.iterations if basis is Basis.MEASURED else (),
        provider_request_id=blank.provider_request_id or reading.response_id,
    )


def answer_of(found: Settled, attempt: Attempt, fate: str) -> Answer:
    """What the client got. `fate`: how it went on our side."""
    reading, unread = found.reading, attempt.unpriced_reason is not None
    failed = unread or (reading is not None and reading.stop == FAILED_STOP)
    status = _outcome("failed" if failed and fate == "ok" else fate, attempt.status)
    if reading is None:
        return Answer(status=status, stop=UNREADABLE if unread else None)
    return Answer(
        blocks=reading.answer_blocks,
        tool_uses=reading.tool_uses,
        stop=reading.stop,
        status=status,
    )


def _outcome(fate: str, status: int | None) -> str:
    if fate in ("left", "cut"):
        return "left"
    if fate == SPENT:
        return "refused"
    return "ok" if fate == "ok" and status is not None and status < BAD else "failed"


def _at_least(usage: Usage, reading: Reading) -> Usage:
    """A stream that was cut counted its answer too early: what came through was paid at least."""
    seen = sum(block.tokens or 0 for block in reading.answer_blocks)
    return replace(usage, output=max(usage.output, seen - usage.reasoning))


def decisions_of(
    order: Order, found: Settled, held: Reserved | None, fate: str, spent: Spent
) -> tuple[Decision, ...]:
    """What was done to the call on its way, and what is odd about its usage."""
    if not (order.changes or order.decisions or found.suspects) and held is None:
        return ()
    return (
        *order.decisions,
        *_budgeted(held, fate, spent),
        *_changes(order),
        *(Decision(lever=LENS, verdict="pass", why=w) for w in found.suspects),
    )


def _budgeted(held: Reserved | None, fate: str, spent: Spent) -> Iterator[Decision]:
    """What the call's caps did to it."""
    hold = None if held is None else held.hold
    if hold is not None and hold.max_tokens is not None:
        why = f"the answer is limited to {hold.max_tokens} tokens, which its hold pays"
        yield Decision(lever=BUDGET, verdict="rewrote", why=why)
    if fate == SPENT:
        yield Decision(lever=BUDGET, verdict="refused", why="the stream was cut: no more is paid")
    counts = None if held is None else held.at_least(spent)
    if counts is not None:
        yield counted_as_held(*counts)


def _changes(order: Order) -> Iterator[Decision]:
    told = order.changes[:MOST_NOTES]
    for why in told:
        yield Decision(lever=CROSSING, verdict="rewrote", why=why)
    if more := len(order.changes) - len(told):
        yield Decision(lever=CROSSING, verdict="rewrote", why=f"and {more} more changes")


async def record(
    kit: Kit,
    order: Order,
    attempts: tuple[Attempt, ...],
    answer: Answer,
    decisions: tuple[Decision, ...],
) -> None:
    """Put the end of a call into the journal. Returns once that is durable, or cannot be."""
    outcomes = order.asking.tool_outcomes
    try:
        await kit.journal.end(order.call.key, attempts, answer, outcomes, decisions)
    except LedgerError:
        # The client gets its answer. The journal holds the record and tries again.
        kit.tally.add("undurable", (order.plan.provider.name,))


def booked_as(kit: Kit, order: Order, attempt: Attempt, answer: Answer) -> Attempt:
    """The attempt with the cost that the ledger will book, by the same rule."""
    return priced(kit.book, counted(attempt, order.call, answer), order.call)[0]


def spent_of(attempt: Attempt, answer: Answer) -> Spent:
    """What a booked attempt takes from the caps."""
    usage = attempt.usage
    if usage is None:
        return Spent(cost_nano=attempt.cost_nano, tokens=0 if is_refused(attempt) else None)
    whole = answer.status == "ok" and answer.stop != MAX_TOKENS
    return Spent(
        cost_nano=attempt.cost_nano,
        tokens=usage.prompt + usage.answer,
        prompt_tokens=usage.prompt if attempt.basis is Basis.MEASURED else None,
        answer_tokens=usage.answer if attempt.basis is Basis.MEASURED else None,
        whole=whole,
        partial=attempt.basis is Basis.MODELLED,
    )


def count(kit: Kit, order: Order, attempt: Attempt) -> None:
    """For the metrics page: an attempt as it was booked."""
    provider, model = attempt.provider or "", attempt.model or ""
    cost = attempt.cost_nano if attempt.usage is not None else None
    tally = kit.tally
    labels = tally.labels(order.call.tags, provider, model)
    tally.call(labels, attempt.status or 0, attempt.usage, cost)
    tally.took("duration_ms", (provider,), attempt.total_ms or 0)
    if attempt.first_byte_ms is not None:
        tally.took("first_byte_ms", (provider,), attempt.first_byte_ms)
    usage = attempt.usage
    if usage is not None and usage.prompt > order.plan.route.large_request_tokens:
        route = order.plan.route
        tally.add("large", (route.name,))
        kit.purse.watch.large(
            route.name, order.call.tags.tenant, usage.prompt, route.large_request_tokens
        )
