"""From the name of an account back to the limit that holds for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bursar.state.budgets import Limit, Rule
from bursar.state.claims import Caps, Scope, account_of, window_name

TENANT = "tenant"


def scope_of(account: str) -> Scope:
    """The scopes that an account's name tells, with their values."""
    _, *parts = account.split("|")
    found: list[tuple[str, str | None]] = []
    for part in parts:
        name, _, value = part.partition("=")
        plain = value.replace("%7C", "|").replace("%25", "%")
        found.append((name, plain or None))
    return tuple(found)


def limit_for(caps: Caps, rule: Rule, like: tuple[str, str], scope: Scope) -> Limit | None:
    """The limit of a unit and a window (`like`) for an account: that of its tenant's tier. Where
    the account is not a tenant's, or its tier not known, that of all others, then of any tier."""
    if tuple(name for name, _ in scope) != rule.each:
        return None
    tenant = dict(scope).get(TENANT)
    tier = next((name for name, fits in caps.tiers if tenant and fits(tenant)), None)
    own = [limits for name, limits, _ in rule.tiers if name == tier]
    for limits in (*own, rule.limits, rule.all_limits):
        for limit in limits:
            if (limit.unit, window_name(limit.window)) == like:
                return limit
    return None


def places_of(caps: Caps) -> dict[str, tuple[Rule, tuple[str, str]]]:
    """Beginning of an account's name -> its rule, and the unit and window of its limit."""
    return {name: (rule, like) for name, rule, like in _places(caps)}


def _places(caps: Caps) -> Iterator[tuple[str, Rule, tuple[str, str]]]:
    for rule in caps.rules:
        for limit in _alone(rule.all_limits):
            yield (
                account_of(rule, limit, ()),
                rule,
                (limit.unit, str(window_name(limit.window))),
            )


def _alone(limits: Sequence[Limit]) -> Iterator[Limit]:
    """One limit for each unit and window."""
    yield from {(one.unit, one.window): one for one in limits}.values()
