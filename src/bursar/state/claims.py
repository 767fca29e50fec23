"""What one call takes from which account: rules and the call's scopes -> claims and rates.

Most of it depends only on the values of a few scopes (tags, key, model, ...), so it is worked out
once for each set of values and kept until the next window begins; a call then only fills in its
amounts. An account is named by rule, unit, window and scope, such as
`budgets.tenants/usd/month|tenant=acme`: never by the amount, so that another limit goes on with
the same count, and a rule that is taken away stops counting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import NamedTuple

import msgspec

from bursar.model.call import Tags
from bursar.model.errors import Refused
from bursar.state.budgets import (
    KEY,
    MODEL,
    PROVIDER,
    ROUTE,
    TIER,
    Limit,
    Rule,
    Rules,
    Speed,
)
from bursar.state.terms import Claim, Rate
from bursar.state.windows import Place, Window, placing

MOST_KEPT = 8_192
"""Sets of scope values that are remembered, about 1 KB each."""
FOREVER_MS = 1 << 62
PATHS = {KEY: "key", ROUTE: "route", MODEL: "model", PROVIDER: "provider"}
AMOUNTS = {"usd": 0, "tokens": 1, "calls": 2, "at_once": 3, "wall": 4}
"""Unit -> its place among a call's amounts."""
Values = tuple[object, ...]
Scope = tuple[tuple[str, str | None], ...]
"""Each scope with the call's value; None: it has none."""


class Who(msgspec.Struct, frozen=True, gc=False):
    """A call, as far as rules look at it."""

    tags: Tags
    key: str = ""
    """Id of the virtual key; empty where none is needed."""
    route: str = ""
    """The route of `bursar.yaml` that took it."""
    model: str | None = None
    """The model that the provider is asked for."""
    provider: str = ""
    """By its name in `bursar.yaml`."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Whose claim or rate it is."""

    rule: Rule
    limit: Limit | Speed
    amount: int | None
    """The limit that holds now, soft ones too; a denial and the thresholds are measured by it."""
    scope: Scope


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """All that a call takes."""

    claims: tuple[Claim, ...]
    rates: tuple[Rate, ...]
    marks: tuple[Mark, ...]
    """Of each claim, in their order."""
    paces: tuple[Mark, ...]
    """Of each rate."""


NOTHING = Drawn((), (), (), ())


class _Row(NamedTuple):
    """A claim but for its amount."""

    account: str
    unit: int
    limit: int | None
    slot: int
    since: int
    step: int
    until: int
    most_age_ms: int | None


class _Known(msgspec.Struct, gc=False):
    """What is known of one set of scope values, until the next window begins."""

    since_ms: int
    until_ms: int
    rows: tuple[_Row, ...]
    speeds: tuple[tuple[str, int, int, int], ...]
    """Account, place of its cost, burst, period."""
    marks: tuple[Mark, ...]
    paces: tuple[Mark, ...]
    refused: tuple[Rule, str] | None = None
    """The rule that refuses such a call, and the scope that it lacks."""


class Caps:
    """Rules, ready for calls. Made once for each state of the settings."""

    __slots__ = ("known", "places", "rules", "scopes", "tiers", "values_of")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules.rules
        self.tiers = rules.tiers
        self.scopes = _scopes(rules)
        self.values_of = _values_of(self.scopes)
        self.known: dict[Values, _Known] = {}
        self.places = {one: placing(one) for one in _windows(rules)}

    @property
    def tags(self) -> frozenset[str]:
        """Tags that rules look at. Their values must reach us as they are, however many."""
        return frozenset(self.scopes) - PATHS.keys()


def claims_of(caps: Caps, who: Who, hold_nano: int, hold_tokens: int, at_ms: int) -> Drawn:
    """What a call takes that may cost and hold so much. Raises Refused 400 for a missing scope.

    Rates come with the cost of a whole call; claims on calls and on calls at once with 1.
    """
    if not caps.rules:
        return NOTHING
    values = caps.values_of(who)
    known = caps.known.get(values)
    if known is None or not known.since_ms <= at_ms < known.until_ms:
        known = _work_out(caps, values, at_ms)
        if len(caps.known) >= MOST_KEPT:
            caps.known.clear()
        caps.known[values] = known
    if known.refused is not None:
        raise _lacking(*known.refused)
    amounts = (hold_nano, hold_tokens, 1, 1, 0)
    claims = [
        Claim(name, amounts[unit], limit, slot, since, step, until, age)
        for name, unit, limit, slot, since, step, until, age in known.rows
    ]
    rates = [Rate(key, amounts[unit], burst, us) for key, unit, burst, us in known.speeds]
    return Drawn(tuple(claims), tuple(rates), known.marks, known.paces)


def settled_amounts(marks: tuple[Mark, ...], cost_nano: int, tokens: int) -> tuple[int, ...]:
    """What each claim comes to when the call is over: for `Store.settle`."""
    amounts = (cost_nano, tokens, 1, 0, 0)
    return tuple([amounts[AMOUNTS[one.limit.unit]] for one in marks])


def more_amounts(marks: tuple[Mark, ...], nano: int, tokens: int) -> tuple[int, ...]:
    """So much more for each claim, while the call goes on: for `Store.extend`."""
    amounts = (nano, tokens, 0, 0, 0)
    return tuple([amounts[AMOUNTS[one.limit.unit]] for one in marks])


def accounts_of(caps: Caps, values: Values) -> Iterator[tuple[Rule, Limit, str]]:
    """Every limit that counts a call with these values of `caps.scopes`, and its account."""
    held = _held(caps, values)
    for rule in caps.rules:
        if not _fits(rule, held):
            continue
        if rule.unknown != "share" and any(held[one] is None for one in rule.needs):
            continue
        scope = tuple((one, held[one]) for one in rule.each)
        for limit in _of_tier(rule, held[TIER])[0]:
            yield rule, limit, account_of(rule, limit, scope)


def account_of(rule: Rule, limit: Limit, scope: Scope) -> str:
    """The account's name. No two that differ in rule, unit, window or scope share one."""
    return _named(f"{rule.title}/{limit.unit}/{window_name(limit.window)}", scope)


def _named(name: str, scope: Scope) -> str:
    return "|".join([name, *(f"{one}={_escaped(value)}" for one, value in scope)])


def window_name(window: Window) -> str:
    """Such as `month`, `month@Europe/Berlin` or `86400s`."""
    if window.unit == "rolling":
        return f"{window.length_s}s"
    return window.unit if window.zone == "UTC" else f"{window.unit}@{window.zone}"


def _escaped(value: str | None) -> str:
    """A value within an account's name; none at all stays empty, which no value is."""
    return (value or "").replace("%", "%25").replace("|", "%7C")


# -- scopes


def _scopes(rules: Rules) -> tuple[str, ...]:
    """All scopes that any rule looks at: the ones with a field of their own before the others."""
    found = {
        scope
        for rule in rules.rules
        for scope in (*(name for name, _ in rule.tests), *rule.each, *rule.needs)
    }
    if TIER in found or any(rule.tiers for rule in rules.rules):
        found.add("tenant")
    return tuple(sorted(found - {TIER}, key=lambda one: (_is_own(one), one)))


def _windows(rules: Rules) -> set[Window]:
    return {limit.window for rule in rules.rules for limit in rule.all_limits}


def _is_own(scope: str) -> bool:
    return scope not in PATHS and scope not in Tags.__struct_fields__


def _values_of(scopes: tuple[str, ...]) -> Callable[[Who], Values]:
    """A quick way from a call to its values of these scopes."""
    fixed = _getter([PATHS.get(one, f"tags.{one}") for one in scopes if not _is_own(one)])
    own = tuple(one for one in scopes if _is_own(one))
    if not own:
        return fixed

    def values(who: Who) -> Values:
        other = who.tags.other
        return (*fixed(who), *[other.get(one) for one in own])

    return values


def _getter(paths: list[str]) -> Callable[[Who], Values]:
    if len(paths) > 1:
        return attrgetter(*paths)
    if not paths:
        return lambda who: ()
    get = attrgetter(paths[0])
    return lambda who: (get(who),)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None or value == "" else str(value)


# -- what holds for a set of values


def _work_out(caps: Caps, values: Values, at_ms: int) -> _Known:
    """Rows and rates of all rules that apply, and how long they stay as they are."""
    held = _held(caps, values)
    span = [0, FOREVER_MS]
    rows: list[_Row] = []
    speeds: list[tuple[str, int, int, int]] = []
    marks: list[Mark] = []
    paces: list[Mark] = []
    for rule in caps.rules:
        if not _fits(rule, held):
            continue
        lacks = next((one for one in rule.needs if held[one] is None), None)
        if lacks is not None and rule.unknown == "pass":
            continue
        if lacks is not None and rule.unknown == "refuse":
            return _Known(0, FOREVER_MS, (), (), (), (), (rule, lacks))
        limits, paced = _of_tier(rule, held[TIER])
        scope = tuple((one, held[one]) for one in rule.each)
        for limit in limits:
            amount = limit.at(at_ms, [value for _, value in scope])
            here = caps.places[limit.window](at_ms)
            rows.append(_row(rule, limit, scope, here, (span, at_ms)))
            marks.append(Mark(rule, limit, amount, scope))
        for speed in paced:
            account = _named(f"{rule.title}/{speed.unit}/{speed.period_us}us", scope)
            speeds.append((account, AMOUNTS[speed.unit], speed.burst, speed.period_us))
            paces.append(Mark(rule, speed, speed.burst, scope))
    return _Known(span[0], span[1], tuple(rows), tuple(speeds), tuple(marks), tuple(paces))


def _held(caps: Caps, values: Values) -> dict[str, str | None]:
    """Each scope with the call's value, its tier too."""
    held = dict(zip(caps.scopes, map(_text, values), strict=True))
    tenant = held.get("tenant")
    held[TIER] = next((name for name, fits in caps.tiers if tenant and fits(tenant)), None)
    return held


def _fits(rule: Rule, held: dict[str, str | None]) -> bool:
    return all((value := held[name]) and fits(value) for name, fits in rule.tests)


def _of_tier(rule: Rule, tier: str | None) -> tuple[tuple[Limit, ...], tuple[Speed, ...]]:
    for name, limits, speeds in rule.tiers:
        if name == tier:
            return limits, speeds
    return rule.limits, rule.speeds


def _row(
    rule: Rule, limit: Limit, scope: Scope, here: Place, moment: tuple[list[int], int]
) -> _Row:
    """A limit's claim now; narrows the span in which it stays the same."""
    span, at_ms = moment
    begin, end = here.slot, here.until or FOREVER_MS
    if here.step:
        leaving = here.since + limit.window.length_s * 1000 - 1
        begin, end = max(begin, leaving), min(here.slot, leaving) + here.step
    for one in limit.raised:
        if at_ms < one.until_ms:
            end = min(end, one.until_ms)
        else:
            begin = max(begin, one.until_ms)
    span[0], span[1] = max(span[0], begin), min(span[1], end)
    amount = limit.at(at_ms, [value for _, value in scope]) if rule.hard else None
    aged = limit.unit == "wall"
    return _Row(
        account=account_of(rule, limit, scope),
        unit=AMOUNTS[limit.unit],
        limit=None if aged else amount,
        slot=here.slot,
        since=here.since,
        step=here.step,
        until=here.until,
        most_age_ms=amount if aged else None,
    )


def _lacking(rule: Rule, scope: str) -> Refused:
    header = f"x-bursar-{scope.replace('_', '-')}"
    return Refused(
        400,
        "tag_missing",
        f"{rule.title} limits each {scope}, and the call names none",
        mend=f"send the header {header}",
    )
