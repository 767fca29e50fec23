"""What the ledger knows, as the accounts of a store: by rule, limit, window and scope.

The ledger groups its calls by all scopes that any cap looks at; what each group counts in is then
asked of the same code that counts calls, so that both agree on every account.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from bursar.gateway.purse.books import Question
from bursar.ledger.counting import MODEL as MODEL_WORD
from bursar.ledger.counting import PROVIDER as PROVIDER_WORD
from bursar.ledger.counting import ROUTE as ROUTE_WORD
from bursar.ledger.counting import Stretch, counts_sql
from bursar.state.budgets import MODEL, PROVIDER, ROUTE, Limit, Rule
from bursar.state.claims import Caps, accounts_of, window_name
from bursar.state.terms import Carried
from bursar.state.windows import Window, place

WORDS = {MODEL: MODEL_WORD, PROVIDER: PROVIDER_WORD, ROUTE: ROUTE_WORD}
AT_ONCE, WALL = "at_once", "wall"


class Span(msgspec.Struct, frozen=True):
    """Of which calls a question is."""

    before_ms: int = 0
    """From before it; 0: until now."""
    since_ms: int = 0
    incarnation: int | None = None
    """Of this life of a worker; None: of all."""


ALL = Span()


class Part(msgspec.Struct, frozen=True):
    """One window, and the question that tells what was spent in it."""

    window: Window
    step_ms: int
    question: Question


def groups_of(caps: Caps) -> dict[str, Window]:
    """Everything that is counted over time, by names that change when what is counted does."""
    return {
        group_of(rule, limit): limit.window
        for rule in caps.rules
        for limit in rule.all_limits
        if limit.unit != AT_ONCE
    }


def titles_of(caps: Caps, groups: Collection[str], most: int = 5) -> str:
    """The caps of some groups, by their names in the settings."""
    known = {
        rule.title: None
        for rule in caps.rules
        for limit in rule.all_limits
        if group_of(rule, limit) in groups
    }
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return f"{', '.join(list(known)[:most])}{more}"


def words_of(caps: Caps) -> list[str]:
    """All scopes that caps look at, as the ledger's questions call them."""
    return [WORDS.get(one, one) for one in caps.scopes]


def group_of(rule: Rule, limit: Limit) -> str:
    """The beginning of a limit's accounts, and their scopes."""
    return f"{rule.title}/{limit.unit}/{window_name(limit.window)}|{'|'.join(rule.each)}"


def parts_of(caps: Caps, groups: Collection[str], at_ms: int, span: Span = ALL) -> tuple[Part, ...]:
    """What to ask, at a moment."""
    known = groups_of(caps)
    scopes = words_of(caps)
    parts: list[Part] = []
    for window in dict.fromkeys(known[one] for one in groups if one in known):
        here = place(window, at_ms)
        ends = [one for one in (0 if here.step else here.until, span.before_ms) if one]
        stretch = Stretch(
            from_ms=max(here.since, span.since_ms),
            until_ms=min(ends, default=0),
            slot=here.slot,
            step_ms=here.step,
            incarnation=span.incarnation,
        )
        parts.append(Part(window, here.step, counts_sql(scopes, stretch)))
    return tuple(parts)


def carried_of(
    caps: Caps, groups: Collection[str], parts: Sequence[Part], answers: Sequence[Sequence[Any]]
) -> tuple[Carried, ...]:
    """The answers, by account and slot."""
    sums: dict[tuple[str, int], list[int]] = {}
    born: dict[str, int] = {}
    wanted = _Wanted(caps, groups)
    for part, rows in zip(parts, answers, strict=True):
        for *values, slot, nano, tokens, calls, first_ms in rows:
            amounts = {"usd": nano, "tokens": tokens, "calls": calls, WALL: 0}
            for limit, account in wanted.accounts(tuple(values)):
                if limit.window != part.window:
                    continue
                found = sums.setdefault((account, slot), [0])
                found[0] += amounts[limit.unit]
                if limit.unit == WALL:
                    born[account] = min(first_ms, born.get(account, first_ms))
    return tuple(
        Carried(account, slot, posted, born.get(account))
        for (account, slot), (posted,) in sums.items()
    )


class _Wanted:
    """The accounts of sets of values, worked out once each."""

    def __init__(self, caps: Caps, groups: Collection[str]) -> None:
        self._caps = caps
        self._groups = frozenset(groups)
        self._known: dict[tuple[Any, ...], list[tuple[Limit, str]]] = {}

    def accounts(self, values: tuple[Any, ...]) -> list[tuple[Limit, str]]:
        found = self._known.get(values)
        if found is None:
            found = self._known[values] = [
                (limit, account)
                for rule, limit, account in accounts_of(self._caps, values)
                if group_of(rule, limit) in self._groups
            ]
        return found
