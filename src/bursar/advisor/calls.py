"""One call in full: what was sent for it, what that cost, and what was done to it on its way."""

from __future__ import annotations

from bursar.advisor.questions import Row, dollars
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import load_sql
from bursar.ledger.schema import request_digest
from bursar.model.errors import NotFound

LARGEST_ID = 2**63
WHERE = ("at", "session", "step", "route", "tenant")
"""What the ledger knows of a call by its attempts; of one for which nothing was sent, nothing."""


def explained(duck: Duck, text: str) -> Row:
    """The call of a gateway's `x-bursar-call-id`, or of a provider's request id. Raises NotFound.

    `call_id`, `at`, `session`, `step`, `route`, `tenant`, `cost_usd` (None: unknown), `attempts`
    and `decisions`, outermost lever first. A call for which nothing was sent has no attempts and
    cost nothing.
    """
    call_id = _call_id(duck, text)
    attempts = duck.named(load_sql("call_attempts"), [call_id])
    decisions = duck.named(load_sql("call_decisions"), [call_id])
    if not attempts and not decisions:
        raise NotFound(
            f"there is no call {text!r}",
            mend="give the x-bursar-call-id of an answer, or the provider's request id; what has "
            "just ended takes a moment to get here",
        )
    first = attempts[0] if attempts else dict.fromkeys(WHERE)
    costs = [row["cost_nano"] for row in attempts]
    known = [cost for cost in costs if cost is not None]
    at = first["at"]
    call = {
        "call_id": str(call_id),
        "at": None if at is None else at.isoformat(),
        **{name: first[name] for name in WHERE[1:]},
        "cost_nano": sum(known) if len(known) == len(costs) else None,
    }
    told = ("call_id", *WHERE)
    return {
        **dollars(call),
        "attempts": [
            dollars({name: value for name, value in row.items() if name not in told})
            for row in attempts
        ],
        "decisions": decisions,
    }


def _call_id(duck: Duck, text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) < LARGEST_ID:
        return int(text)
    found = duck.rows(
        "SELECT call_id FROM attempts WHERE request_digest = ? ORDER BY call_id LIMIT 1",
        [request_digest(text)],
    )
    return int(str(found[0][0])) if found else -1
