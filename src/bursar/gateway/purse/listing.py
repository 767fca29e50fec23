"""What `bursar budgets` says of each account: from the workers' snapshots, or else the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bursar.gateway.purse.accounting import WALL, carried_of, groups_of, parts_of
from bursar.gateway.purse.books import Question
from bursar.gateway.purse.limits import limit_for, places_of, scope_of
from bursar.gateway.purse.thresholds import moment
from bursar.gateway.purse.views import View
from bursar.gateway.settings.caps_bounding import AnswerPico, Ground, over_of, over_text
from bursar.gateway.settings.structs import Settings
from bursar.model.money import usd
from bursar.state.budgets import Limit, Rule
from bursar.state.claims import Caps, window_name
from bursar.state.windows import place, resets_ms

NO_LIMIT = frozenset({"rates"})
"""Caps that keep no account that could be listed."""
COUNTED = ("calls", "refusals", "judged", "false_refusals", "cuts")
"""What workers count by themselves."""
UNKNOWN = (
    *("spent", "held", "suspect", "left", "resets", *COUNTED),
    *("since", "worst_over", "at"),
)
Amount = str | int | None
"""Dollars as an exact decimal string; tokens, calls or milliseconds as a number."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One account, said."""

    cap: str
    of: dict[str, str | None]
    """Whose account; empty where all calls share one, and where none was used lately."""
    unit: str
    window: str
    limit: Amount
    """None: it is only counted."""
    spent: Amount
    """None: not used lately, so nobody knows."""
    held: Amount
    suspect: Amount
    left: Amount
    resets: str | None
    """When the window ends; None where it rolls or never does."""
    calls: int | None
    refusals: int | None
    judged: int | None
    false_refusals: int | None
    cuts: int | None
    since: str | None
    """Since when these five are counted."""
    worst_over: Amount
    """The most by which it has exceeded its limit."""
    most_over: Amount
    """The most by which it could; None: there is no bound."""
    because: str
    hard: bool
    at: str | None
    """Of these figures; None: no account of this limit was used lately."""


class Known(msgspec.Struct, frozen=True):
    """What is known of accounts."""

    views: tuple[View, ...]
    now_ms: int
    running: bool
    """Whether a gateway says so: only then is it known what is held."""


def lines_of(
    settings: Settings, caps: Caps, known: Known, answer_pico: AnswerPico
) -> tuple[Line, ...]:
    """A line for each account that is known, and one for each limit of which none is."""
    ground = Ground(settings=settings, rules=caps.rules, answer_pico=answer_pico)
    by_place: dict[str, list[View]] = {}
    for view in known.views:
        by_place.setdefault(view.account.partition("|")[0], []).append(view)
    found: list[Line] = []
    for name, (rule, like) in places_of(caps).items():
        if rule.kind in NO_LIMIT:
            continue
        here = [
            _line(view, rule, limit, ground, known)
            for view in by_place.get(name, ())
            if (limit := limit_for(caps, rule, like, view.scope)) is not None
        ]
        found += here or _unused(rule, like, ground)
    return tuple(found)


def _line(view: View, rule: Rule, limit: Limit, ground: Ground, known: Known) -> Line:
    now_ms = known.now_ms
    over = over_of(rule, limit, ground)
    ended = view.resets_ms is not None and view.resets_ms <= now_ms
    amount = limit.at(now_ms, [value for _, value in view.scope])
    spent, held, suspect = (0, 0, 0) if ended else (view.posted, view.held, view.suspect)
    fixed = bool(place(limit.window, now_ms).until) and limit.window.unit != "rolling"
    resets = resets_ms(limit.window, now_ms) if fixed else None
    unit = view.unit
    return Line(
        cap=view.cap,
        of=dict(view.scope),
        unit=unit,
        window=view.window,
        limit=_said(unit, amount),
        spent=_said(unit, spent),
        held=_said(unit, held) if known.running else None,
        suspect=_said(unit, suspect) if known.running else None,
        left=_said(unit, None if amount is None else amount - spent - held - suspect),
        resets=None if resets is None else moment(resets),
        **{name: _counted(view, name, ended=ended) for name in COUNTED},
        since=moment(now_ms if ended else view.since_ms) if view.since_ms else None,
        worst_over=_said(unit, view.worst_over if view.since_ms else None),
        most_over=_said(unit, over.nano),
        because=over_text(over, limit.unit),
        hard=rule.hard,
        at=moment(view.at_ms) if view.at_ms else None,
    )


def _counted(view: View, name: str, *, ended: bool) -> int | None:
    """None: no worker has counted."""
    if not view.since_ms:
        return None
    return 0 if ended else getattr(view, name)


def _unused(rule: Rule, like: tuple[str, str], ground: Ground) -> Iterator[Line]:
    """Limits of which no account was used lately, those of tiers too."""
    for limit in rule.all_limits:
        if (limit.unit, window_name(limit.window)) != like:
            continue
        over = over_of(rule, limit, ground)
        yield Line(
            cap=rule.title,
            of={},
            unit=limit.unit,
            window=like[1],
            limit=_said(limit.unit, limit.amount),
            **dict.fromkeys(UNKNOWN),
            most_over=_said(limit.unit, over.nano),
            because=over_text(over, limit.unit),
            hard=rule.hard,
        )


def _said(unit: str, amount: int | None) -> Amount:
    return usd(amount) if unit == "usd" and amount is not None else amount


# -- from the ledger


def questions_of(caps: Caps, now_ms: int) -> tuple[Question, ...]:
    """What to ask a ledger of what is spent in the windows of now."""
    return tuple(part.question for part in parts_of(caps, groups_of(caps), now_ms))


def views_of_ledger(
    caps: Caps, answers: Sequence[Sequence[Any]], now_ms: int, before: Mapping[str, View]
) -> tuple[View, ...]:
    """The accounts as a ledger knows them. `before`: as the workers last saw them, for what no
    ledger knows."""
    groups = groups_of(caps)
    carried = carried_of(caps, groups, parts_of(caps, groups, now_ms), answers)
    places = places_of(caps)
    sums: dict[str, int] = {}
    born: dict[str, int] = {}
    for one in carried:
        rule, like = places[one.account.partition("|")[0]]
        limit = limit_for(caps, rule, like, scope_of(one.account))
        if limit is not None and one.slot >= place(limit.window, now_ms).since:
            sums[one.account] = sums.get(one.account, 0) + one.posted
            born[one.account] = min(born.get(one.account, now_ms), one.born_ms or now_ms)
    alone = {
        name: 0
        for name, (rule, like) in places.items()
        if not rule.each and limit_for(caps, rule, like, ()) is not None
    }
    return tuple(
        _of_ledger(before.get(name), caps, (name, posted), (born.get(name), now_ms))
        for name, posted in {**alone, **sums}.items()
    )


def _of_ledger(
    before: View | None, caps: Caps, spent: tuple[str, int], times: tuple[int | None, int]
) -> View:
    """`spent`: the account and what is posted; `times`: when it was first used, and now."""
    (name, posted), (born_ms, now_ms) = spent, times
    rule, (unit, window) = places_of(caps)[name.partition("|")[0]]
    if unit == WALL:
        posted = now_ms - (born_ms or now_ms)
    known = before or View(account=name, cap=rule.title, unit=unit, window=window)
    return msgspec.structs.replace(
        known, scope=scope_of(name), at_ms=now_ms, posted=posted, held=0, suspect=0
    )
