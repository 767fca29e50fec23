"""A denial in words for whoever was refused: which cap, what of it is used, when there is room.

Amounts are told only where the account is the caller's own: what all tenants together have spent
is nobody's business among them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bursar.model.errors import Refused
from bursar.model.money import usd
from bursar.state.budgets import Limit
from bursar.state.claims import Drawn, Mark
from bursar.state.terms import Denial
from bursar.state.windows import resets_ms

OWN = frozenset({"tenant", "key", "user", "session", "team"})
"""Scopes whose accounts are the caller's own."""
NO_RETRY = (b"x-should-retry", b"false")
MS_PER_S = 1_000
CONCURRENCY_S = 1


def refused(drawn: Drawn, denial: Denial, at_ms: int) -> Refused:
    """The answer to a call that was denied."""
    if denial.why == "rate":
        return _too_fast(drawn.paces[denial.index], denial)
    mark = drawn.marks[denial.index]
    assert isinstance(mark.limit, Limit)
    if mark.limit.unit == "at_once":
        return _too_many(mark)
    return _spent(mark, mark.limit, denial, at_ms)


def away() -> Refused:
    """The store cannot be asked, and a cap says that nothing is admitted then."""
    return Refused(
        503,
        "budget_unknown",
        "what has been spent cannot be looked up just now",
        mend="try again in a moment",
        headers=((b"retry-after", b"1"),),
    )


def _spent(mark: Mark, limit: Limit, denial: Denial, at_ms: int) -> Refused:
    words = [f"{_place(mark)} is used up"]
    if _is_own(mark):
        words.append(_amounts(limit, denial))
    resets = resets_ms(limit.window, at_ms, denial.oldest)
    words.append("it is not reset" if resets is None else f"room from {_moment(resets)}")
    headers: list[tuple[bytes, bytes]] = [NO_RETRY]
    if resets is not None:
        headers.append((b"x-bursar-resets-at", _moment(resets).encode()))
    return Refused(
        402,
        "budget_exceeded",
        "; ".join(words),
        mend="wait for that, or ask whoever runs the gateway to raise it",
        headers=tuple(headers),
    )


def _amounts(limit: Limit, denial: Denial) -> str:
    unit = limit.unit
    if unit == "wall":
        return f"limit {(denial.limit or 0) // MS_PER_S} s since its first call"
    held = denial.held + denial.suspect
    told = f"limit {_said(unit, denial.limit)}, spent {_said(unit, denial.posted)}"
    return f"{told}, held by calls under way {_said(unit, held)}"


def _said(unit: str, amount: int | None) -> str:
    if unit == "usd":
        return f"${usd(amount or 0)}"
    return f"{amount or 0} {unit}"


def _too_fast(mark: Mark, denial: Denial) -> Refused:
    speed = mark.limit
    what = "" if isinstance(speed, Limit) else f" of {speed.burst} {speed.unit}"
    if denial.retry_ms is None:
        return Refused(
            413,
            "rate_exceeded",
            f"the call alone is beyond {_place(mark)}{what}",
            mend="send less at once",
            headers=(NO_RETRY,),
        )
    seconds = max(1, -(-denial.retry_ms // MS_PER_S))
    return Refused(
        429,
        "rate_exceeded",
        f"{_place(mark)}{what} is reached",
        mend=f"try again in {seconds} s",
        headers=(
            (b"retry-after", str(seconds).encode()),
            (b"retry-after-ms", str(denial.retry_ms).encode()),
            (b"x-should-retry", b"true"),
        ),
    )


def _too_many(mark: Mark) -> Refused:
    return Refused(
        429,
        "concurrency_exceeded",
        f"{_place(mark)}: as many calls are under way as may be",
        mend="try again when one of them has ended",
        headers=((b"retry-after", str(CONCURRENCY_S).encode()), (b"x-should-retry", b"true")),
    )


def _place(mark: Mark) -> str:
    told = ", ".join(f"{scope} {value or 'that is not named'}" for scope, value in mark.scope)
    return f"{mark.rule.title}{f' for {told}' if told else ''}"


def _is_own(mark: Mark) -> bool:
    return any(scope in OWN for scope, _ in mark.scope)


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // MS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
