"""What `bursar.yaml` may say of caps: budgets, ceilings of tasks, rates, concurrency, their store.

The text under a field is the reference, as in `structs`. A cap is a name, the calls that it is for
(`where`), what has an account of its own (`each`), and a limit.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from bursar.gateway.settings.amounts import Amounts, Count, Every, Money, Percent, Words
from bursar.gateway.settings.values import Moment, Seconds

NONE = Words()
FailMode = Literal["closed", "local", "open"]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: nothing that is not known may stand in the file."""


class Where(Part, frozen=True, kw_only=True):
    """Which calls. All that is stated must fit; one text or a list of them, of which one fits."""

    tags: dict[str, Words] = {}
    """Tag -> patterns on its value. A missing tag does not fit."""
    keys: Words = NONE
    """Ids of virtual keys."""
    routes: Words = NONE
    """Routes (`routes`, by name, or `default`) that take the call."""
    models: Words = NONE
    """Patterns on the model that the provider is asked for."""
    providers: Words = NONE
    """Providers that answer."""
    tiers: Words = NONE
    """Tiers (`tiers`, by name) that the tenant is of."""


class Raise(Part, frozen=True, kw_only=True):
    """Another limit for some time."""

    to: Amounts
    """The amount that holds until then. Where the budget has several limits, with its window, as in
    `$800/month`."""
    until: Moment
    """When the usual limit holds again."""
    of: Words = NONE
    """Values of `each` whose accounts are meant, such as one tenant. Default: all."""


class Budget(Part, frozen=True, kw_only=True):
    """One budget, by its name. All budgets that fit a call must have room for it."""

    limit: Amounts | None = None
    """`$500`, `2M tokens`, `1_000 calls`, or a list, each with its own window: `[$50/day,
    $500/month]`. 0 refuses every call. Default: it is only counted, in dollars."""
    every: Every | None = None
    """Window of a limit that names none: `minute`, `hour`, `day`, `week` (from Monday), `month`,
    `quarter`, `year`, `never` (paid in advance, not reset), or a span that ends now: `24h`, `30d`.
    A span forgets what was spent up to a sixtieth of its length late, never early."""
    timezone: str = "UTC"
    """In which the periods begin, such as `Europe/Berlin`."""
    where: Where = Where()
    """The calls that it is for. Default: all."""
    each: Words = NONE
    """An account for each `tenant`, `team`, `user`, `session` or other tag, `key`, `model` or
    `provider`, or each set of several: `[tenant, user]`. Default: one account for all."""
    tiers: dict[str, Amounts] = {}
    """Tier -> its limits, instead of `limit`."""
    unknown: Literal["share", "refuse", "pass"] = "share"
    """A call that lacks a value of `each`: all such calls `share` one account, or it is refused
    (400 tag_missing), or the budget does not see it."""
    hard: bool = True
    """False: nothing is refused; it is counted, and events are raised."""
    warn: tuple[Percent, ...] = (Percent(50), Percent(80), Percent(100))
    """Shares of the limit at which an event is raised, once in each window."""
    forecast: bool = True
    """An event when the limit will be passed before the window ends, at the pace since its
    beginning. Windows that roll or never end have none."""
    fail: FailMode = "local"
    """When the store is away: `closed` refuses (503), `local` lets each node spend its own share
    (`state.local_share`), `open` lets everything pass. With `store: memory`, `local` is
    `closed`."""
    streams: Literal["cut", "limit", "let_run"] = "cut"
    """A stream whose cost reaches the limit is `cut`, or may run to its end and exceed it
    (`let_run`). `limit`: none is cut, for `max_tokens` of each is brought down to what is held for
    it, as with answers that are not streamed. That relies on no provider's haste to stop, and
    refuses far more calls in a burst."""
    clamp: bool = True
    """Near the limit, `max_tokens` is brought down to what is left, so that a call fits that
    otherwise would not. False: never; each call holds the most that it may cost."""
    wait_s: Seconds | None = msgspec.field(name="wait", default=None)
    """How long a call may wait for room before it is refused. Default: not at all."""
    raises: tuple[Raise, ...] = msgspec.field(name="raise", default=())
    """Other limits for some time. The first that fits counts."""


class Task(Part, frozen=True, kw_only=True):
    """Ceilings of one task, by the name of the rule: of each session, within its tenant. What is
    older than 30 days no longer counts. Above, 402."""

    where: Where = Where()
    """The calls that it is for. Default: all."""
    dollars: Money | None = None
    """Most that it may cost, such as `$2`."""
    tokens: Count | None = None
    """Most tokens, of prompts and answers together, such as `500k`."""
    steps: Count | None = None
    """Most calls."""
    wall_s: Seconds | None = msgspec.field(name="wall", default=None)
    """Longest time from its first call to the beginning of its last."""
    unknown: Literal["share", "refuse", "pass"] = "refuse"
    """A call that names no session: it is refused (400 tag_missing), or all such calls of a tenant
    `share` the ceilings of one task, or it has none."""
    fail: FailMode = "local"
    """As with a budget."""


class RateRule(Part, frozen=True, kw_only=True):
    """How fast calls may come, by the name of the rule. Above, 429 with `retry-after`."""

    limit: Amounts
    """`60 calls/min`, `100k tokens/min`, `10 calls/s`, or a list. So many at once, and each is free
    again after its part of the time."""
    where: Where = Where()
    """The calls that it is for. Default: all."""
    each: Words = NONE
    """As with a budget: each `key`, `tenant`, `user` and so on. Default: all calls together."""
    tiers: dict[str, Amounts] = {}
    """Tier -> its limits, instead of `limit`."""
    unknown: Literal["share", "refuse", "pass"] = "share"
    """As with a budget."""
    wait_s: Seconds | None = msgspec.field(name="wait", default=None)
    """How long a call may wait for its turn before it is refused. Default: not at all."""
    fail: FailMode = "local"
    """As with a budget."""


class Concurrency(Part, frozen=True, kw_only=True):
    """How many calls may be under way, by the name of the rule. Above, 429."""

    limit: Count
    """Most calls at once."""
    where: Where = Where()
    """The calls that it is for. Default: all."""
    each: Words = NONE
    """As with a budget: each `key`, `tenant`, `provider` and so on. Default: all calls together."""
    tiers: dict[str, Count] = {}
    """Tier -> its limit, instead of `limit`."""
    unknown: Literal["share", "refuse", "pass"] = "share"
    """As with a budget."""
    wait_s: Seconds | None = msgspec.field(name="wait", default=None)
    """How long a call may wait for room before it is refused. Default: not at all."""
    fail: FailMode = "local"
    """As with a budget."""


class State(Part, frozen=True, kw_only=True):
    """Where the counts of budgets, rates and calls under way are kept. Holds from the next start
    on."""

    store: str = "memory"
    """`memory`: on this machine, for all its workers. Or Redis or Valkey, for many machines:
    `redis://HOST:PORT/DB` (`rediss` for TLS, `unix:///path`), or, where it has a password,
    `env:NAME` or `file:/path` with such an address."""
    name: str = "bursar"
    """Of this installation in the store. Gateways with one name share their counts."""
    node: str | None = None
    """Of this machine in the store, the same after a restart. Default: its host name."""
    nodes: int = 1
    """How many machines share the store, at least. A store that lost its counts admits nothing
    before as many have told it what their ledgers hold."""
    local_share: Percent = Percent(2)
    """What a machine may spend of each limit while the store is away, where `fail` is `local`. Of a
    rate, each worker of `nodes` machines has its even part of the speed instead, and no burst."""
    timeout_s: Seconds = msgspec.field(name="timeout", default=Seconds(0.25))
    """Until the store has answered; after twice that it counts as away."""
