"""When an account is worth an event, by what the store says of it. Pure.

Spent is what is posted and what is suspect; what calls under way hold mostly comes back, and does
not count here. A threshold is passed anew where the limit became another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from bursar.gateway.purse.events import Event, Found, Kind, said
from bursar.gateway.purse.views import View
from bursar.state.budgets import Limit, Rule
from bursar.state.terms import Denial
from bursar.state.windows import Place

FORECAST_PERCENT = 10
"""Of a window must have passed before anything is said of its end."""
FORECAST_CALLS = 20
"""Of the account must have been settled in it, by all workers together."""
HOUR_MS = 3_600_000
MS_PER_S = 1_000


Others = Callable[[View], int]
"""How many calls of an account other workers have settled in its window."""


def nobody_else(_: View) -> int:
    """Of a worker alone."""
    return 0


def begin_of(limit: Limit, here: Place, at_ms: int) -> int:
    """Since when an event in this window is no news: its beginning, or one length ago."""
    if limit.window.unit == "rolling":
        return at_ms - limit.window.length_s * MS_PER_S
    return here.slot


def warnings_of(
    view: View, rule: Rule, limit: Limit, here: Place, node: str, others: Others = nobody_else
) -> Iterator[Found]:
    """Every share of the limit that is spent, and whether the rest will last."""
    if not view.limit:
        return
    spent = view.posted + view.suspect
    since_ms = begin_of(limit, here, view.at_ms)
    for percent in rule.warn_percent:
        if spent * 100 >= percent * view.limit:
            basis = f"{said(view.unit, spent)} is spent"
            yield Found(_event("warn", view, spent, percent, basis, node), since_ms)
    if rule.forecast and spent < view.limit:
        yield from _forecast(view, spent, here, node, others)


def _forecast(view: View, spent: int, here: Place, node: str, others: Others) -> Iterator[Found]:
    """The window's end, if things go on as they did since its beginning. Calendar windows alone: no
    other has an end."""
    assert view.limit is not None
    if here.step or not here.until:
        return
    passed_ms, length_ms = view.at_ms - here.slot, here.until - here.slot
    if passed_ms * 100 < FORECAST_PERCENT * length_ms:
        return
    expected = spent * length_ms // passed_ms
    if expected <= view.limit:
        return
    if view.calls < FORECAST_CALLS and view.calls + others(view) < FORECAST_CALLS:
        return
    full_ms = here.slot + view.limit * passed_ms // spent
    basis = (
        f"linear: {said(view.unit, spent)} in {passed_ms * 100 // length_ms}% of the window;"
        f" the limit is reached about {moment(full_ms)}"
    )
    yield Found(_event("forecast", view, expected, None, basis, node), here.slot)


def refusal_of(
    view: View, denial: Denial, since_ms: int, node: str, spent: str | None = None
) -> Found:
    """A call was refused. `spent`: of a task, what it has spent by all its ceilings."""
    level = denial.posted + denial.held + denial.suspect
    if denial.why == "age":
        level = view.posted
    if spent is not None:
        return Found(_event("runaway", view, level, None, f"it spent {spent}", node), since_ms)
    told = [f"spent {said(view.unit, denial.posted)}"]
    for name, amount in (("held by calls under way", denial.held), ("suspect", denial.suspect)):
        if amount:
            told.append(f"{name} {said(view.unit, amount)}")
    return Found(_event("refused", view, level, None, ", ".join(told), node), since_ms)


def large_of(
    route: str, tenant: str | None, sizes: tuple[int, int], at_ms: int, node: str
) -> Found:
    """A request of `sizes`: its tokens, and what counts as large. Once an hour for a tenant."""
    tokens, limit = sizes
    event = Event(
        kind="large",
        cap=f"routes.{route}",
        scope={"tenant": tenant},
        unit="tokens",
        limit=limit,
        level=tokens,
        percent=tokens * 100 // limit,
        begin_ms=None,
        resets_ms=None,
        at_ms=at_ms,
        basis=f"large_request_tokens is {limit}; told once an hour",
        node=node,
        key=f"large|{route}|{tenant or ''}",
    )
    return Found(event, at_ms - HOUR_MS)


def _event(kind: Kind, view: View, level: int, percent: int | None, basis: str, node: str) -> Event:
    share = percent
    if share is None and view.limit:
        share = level * 100 // view.limit
    threshold = "" if percent is None else percent
    return Event(
        kind=kind,
        cap=view.cap,
        scope=dict(view.scope),
        unit=view.unit,
        limit=view.limit,
        level=level,
        percent=share,
        begin_ms=view.begin_ms if view.resets_ms is not None else None,
        resets_ms=view.resets_ms,
        at_ms=view.at_ms,
        basis=basis,
        node=node,
        key=f"{view.account}|{kind}|{threshold}|{view.limit}",
    )


def moment(at_ms: int) -> str:
    """A time to the second, in UTC."""
    return datetime.fromtimestamp(at_ms // MS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
