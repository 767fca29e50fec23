"""What limits there are, compiled: frozen terms that the settings are turned into.

A rule applies to the calls that fit its tests, and counts them in one account for each value of
its scope (`each`), or in one for all. What a call takes from which account is worked out in
`claims`; when a window begins and ends, in `windows`. Nothing here knows of files or of a gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

import msgspec

from bursar.state.windows import Window

Fits = Callable[[str], bool]
"""A test on the value of a scope."""
Unit = Literal["usd", "tokens", "calls", "at_once", "wall"]
"""What is counted: nanodollars, tokens, calls (also the steps of a task), calls under way, age."""
Fail = Literal["closed", "local", "open"]
Kind = Literal["budgets", "tasks", "rates", "concurrency"]
Unknown = Literal["share", "refuse", "pass"]

KEY, MODEL, PROVIDER = "key", "model", "provider"
ROUTE, TIER = "route of the file", "tier of the file"
"""Scopes that are no tags; the tag `route` is another one than the routes of `bursar.yaml`."""


NEVER = Window("never")


class Raised(msgspec.Struct, frozen=True):
    """Another amount for some time."""

    amount: int
    until_ms: int
    of: frozenset[str] = frozenset()
    """Values of the scope whose accounts it is for. Empty: all."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """The most that an account may come to in a window."""

    unit: Unit
    amount: int | None
    """In the smallest unit: nanodollars for `usd`, ms for `wall`. None: only counted."""
    window: Window = NEVER
    raised: tuple[Raised, ...] = ()

    def at(self, at_ms: int, values: Collection[str | None] = ()) -> int | None:
        """The amount that holds at a moment for an account of these scope values."""
        for one in self.raised:
            if at_ms < one.until_ms and (not one.of or not one.of.isdisjoint(values)):
                return one.amount
        return self.amount


class Speed(msgspec.Struct, frozen=True):
    """The most in a period that begins with each call, at any moment."""

    unit: Literal["tokens", "calls"]
    burst: int
    period_us: int


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on the calls that fit."""

    kind: Kind
    name: str
    tests: tuple[tuple[str, Fits], ...] = ()
    """Scope -> test on its value; all must fit, and a value that is missing does not."""
    each: tuple[str, ...] = ()
    """Scopes with an account for each of their values, in the order of their names. Empty: one
    account for all."""
    limits: tuple[Limit, ...] = ()
    speeds: tuple[Speed, ...] = ()
    tiers: tuple[tuple[str, tuple[Limit, ...], tuple[Speed, ...]], ...] = ()
    """Tier -> what holds for its customers instead."""
    unknown: Unknown = "share"
    """When a call lacks a scope of `needs`: all such calls share one account, or are refused, or
    the rule does not apply to them."""
    needs: tuple[str, ...] = ()
    hard: bool = True
    """False: counted and warned of, and nothing is refused."""
    warn_percent: tuple[int, ...] = ()
    """Of the limit; passing one raises an event."""
    forecast: bool = False
    """An event when the limit will be passed before the window ends, as things go."""
    fail: Fail = "local"
    """When the store is away: nothing is admitted, this node spends its own share, or all is."""
    cuts: bool = True
    """A stream that the limit no longer pays for is cut; False: it runs to its end."""
    limits_streams: bool = False
    """No stream is cut: each is limited to what its hold pays, like any other answer."""
    clamps: bool = True
    """Near the limit the answer's bound is brought down to what is left."""
    wait_ms: int = 0
    """How long a call may wait for room before it is refused."""

    @property
    def title(self) -> str:
        """Its place in the settings, such as `budgets.tenants`."""
        return f"{self.kind}.{self.name}"

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """Those of every tier."""
        return (*self.limits, *(limit for _, held, _ in self.tiers for limit in held))


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    rules: tuple[Rule, ...] = ()
    tiers: tuple[tuple[str, Fits], ...] = ()
    """Tier -> test on the tenant; the first that fits."""
