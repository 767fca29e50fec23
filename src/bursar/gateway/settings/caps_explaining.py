"""Caps in plain words, with the most by which each can be exceeded, and what to think twice about.

Said from the compiled rules, so that it is what the gateway counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from bursar.gateway.settings.amounts import amount_text, listed, span_text
from bursar.gateway.settings.caps import Where
from bursar.gateway.settings.caps_bounding import AnswerPico, Ground, over_of, over_text
from bursar.gateway.settings.caps_compiling import rules_of
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.tag_names import KEY
from bursar.state.budgets import MODEL, PROVIDER, Limit, Rule, Speed
from bursar.state.windows import Window

US_PER_S, MS_PER_S = 1_000_000, 1_000
PER = (("s", 1), ("min", 60), ("h", 3_600), ("day", 86_400))
PLACES = ("key", "route", "model", "provider", "tier")
SPENT = frozenset(("usd", "tokens"))
SURE = frozenset((KEY, MODEL, PROVIDER))
"""Scopes that a client cannot say of itself."""
UNKNOWN = {
    "share": "calls without {} share one account",
    "refuse": "a call without {} is refused (400)",
    "pass": "calls without {} are not counted",
}


class CapLimit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a cap, said."""

    limit: str
    over: str
    """By how much it can be exceeded, and why."""
    most_over: int | None
    """The same as a number, in nanodollars, tokens or calls; None: there is no bound."""


class Cap(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, the ceilings of a task, a rate or a limit on calls at once, said."""

    name: str
    """`budgets.tenants`."""
    says: str
    limits: tuple[CapLimit, ...]


def caps_told(settings: Settings, answer_pico: AnswerPico) -> tuple[Cap, ...]:
    """All caps, in the order of the file."""
    rules = rules_of(settings).rules
    ground = Ground(settings=settings, rules=rules, answer_pico=answer_pico)
    return tuple(_cap(rule, ground) for rule in rules)


def _cap(rule: Rule, ground: Ground) -> Cap:
    limits: list[CapLimit] = []
    for tier, held, speeds in (("", rule.limits, rule.speeds), *rule.tiers):
        whose = f"tier {tier}: " if tier else ""
        limits += [_limit(rule, whose, limit, ground) for limit in held]
        limits += [_speed(whose, speed) for speed in speeds]
    where: Where = getattr(ground.settings, rule.kind)[rule.name].where
    return Cap(name=rule.title, says="; ".join(_said(rule, where)), limits=tuple(limits))


def _limit(rule: Rule, whose: str, limit: Limit, ground: Ground) -> CapLimit:
    over = over_of(rule, limit, ground)
    return CapLimit(
        limit=", ".join([f"{whose}{_limit_text(limit)}", *_raises(limit)]),
        over=over_text(over, limit.unit),
        most_over=over.nano,
    )


def _speed(whose: str, speed: Speed) -> CapLimit:
    per = next((one for one, span_s in PER if span_s * US_PER_S == speed.period_us), None)
    return CapLimit(
        limit=f"{whose}{amount_text(speed.unit, speed.burst)}"
        f"/{per or span_text(speed.period_us // US_PER_S)}",
        over="is not exceeded: a call that comes too early is refused (429); once more as many"
        " pass at once where the store loses its counts",
        most_over=0,
    )


def _said(rule: Rule, where: Where) -> Iterator[str]:
    """Which calls, which accounts, and what happens."""
    yield f"each {listed(rule.each)}" if rule.each else "all calls together"
    tests = [(name, patterns) for name, patterns in where.tags.items()]
    tests += [(name, getattr(where, f"{name}s")) for name in PLACES if getattr(where, f"{name}s")]
    if tests:
        alike = [f"{name} is {listed(held, 'or')}" for name, held in tests]
        yield f"where {listed(alike)}"
    if rule.needs:
        yield UNKNOWN[rule.unknown].format(listed(rule.needs, "or"))
    if rule.kind == "budgets":
        warned = [f"{one}%" for one in rule.warn_percent]
        warned += ["forecast"] if rule.forecast else []
        yield f"warns at {listed(warned)}" if warned else "does not warn"
    if not rule.hard:
        yield "refuses nothing"
    if rule.wait_ms:
        yield f"a call waits for room up to {rule.wait_ms / MS_PER_S:g}s"


def _limit_text(limit: Limit) -> str:
    if limit.unit == "wall":
        return f"{span_text((limit.amount or 0) // MS_PER_S)} from first call to last"
    if limit.unit == "at_once":
        return f"{limit.amount} calls at once"
    if limit.amount is None:
        return f"no limit, counted {_window(limit.window)}"
    return f"{amount_text(limit.unit, limit.amount)} {_window(limit.window)}"


def _window(window: Window) -> str:
    if window.unit == "never":
        return "in all"
    if window.unit == "rolling":
        return f"in the last {span_text(window.length_s)}"
    zone = "" if window.zone == "UTC" else f" ({window.zone})"
    return f"a {window.unit}{zone}"


def _raises(limit: Limit) -> list[str]:
    found: list[str] = []
    for one in limit.raised:
        at = datetime.fromtimestamp(one.until_ms / MS_PER_S, tz=UTC).isoformat()
        whose = f" for {listed(sorted(one.of))}" if one.of else ""
        amount = amount_text(limit.unit, one.amount)
        found.append(f"{amount}{whose} until {at.replace('+00:00', 'Z')}")
    return found


# -- what to think twice about


def caps_warnings(settings: Settings) -> Iterator[str]:
    """What a person may not have meant."""
    rules = rules_of(settings).rules
    state, listen = settings.state, settings.listen
    if rules and state.store == "memory" and listen.workers > 1:
        yield (
            f"{listen.workers} workers share the counts of this machine alone; several machines"
            " need a Redis: state.store"
        )
    for rule in rules:
        yield from _of_rule(rule, settings)
    dollars = any(limit.unit == "usd" for rule in rules for limit in rule.all_limits)
    unpriced = [one.unpriced or settings.calls.unpriced for one in settings.routes]
    if dollars and "allow" in (*unpriced, settings.calls.unpriced):
        yield (
            "a model without a known price costs no budget: calls.unpriced: deny or assume_ceiling"
        )


def _of_rule(rule: Rule, settings: Settings) -> Iterator[str]:
    limits = rule.all_limits
    if rule.kind in ("budgets", "rates"):
        yield from _free(rule, settings)
    if not rule.hard:
        yield f"{rule.title} is not hard: it warns, and spending goes on"
    unlimited = settings.calls.max_output_tokens is None
    if unlimited and rule.hard and any(limit.unit in SPENT and limit.amount for limit in limits):
        yield (
            f"{rule.title}: nothing limits an answer, so one call may hold all that is left while"
            " it is under way: calls.max_output_tokens makes holds smaller and refusals fewer"
        )


def _free(rule: Rule, settings: Settings) -> Iterator[str]:
    """Scopes whose value a client chooses, and accounts that customers share by chance."""
    bound = bool(settings.keys) and all(one.tenant for one in settings.keys.values())
    sure = SURE | {"tenant"} if bound else SURE
    tags = [name for name, _ in rule.tests if name not in sure and " " not in name]
    counted = [name for name in rule.each if name not in sure]
    free = list(dict.fromkeys([*counted, *tags]))
    if free:
        yield (
            f"{rule.title} goes by {listed(free)}, which a client says of itself: another value"
            " has another account. A budget by key, or for all, has no such way out"
        )
    tenants = {one.tenant for one in settings.keys.values()}
    apart = {"tenant", KEY} & set(rule.each) or {"tenant", KEY} & {name for name, _ in rule.tests}
    if counted and len(tenants) > 1 and not apart:
        yield (
            f"{rule.title}: tenants with the same {listed(counted)} share an account; write"
            f" each: [tenant, {', '.join(counted)}]"
        )


def state_told(settings: Settings) -> str:
    """Where the counts are kept. An address that may hold a password is not shown."""
    state = settings.state
    if state.store == "memory":
        return "counted in memory, on this machine; told again by the ledger after a restart"
    nodes = f"{state.nodes} nodes" if state.nodes > 1 else "1 node"
    return f"counted in {state.store} as {state.name}, for {nodes}"
