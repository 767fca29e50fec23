"""What holds in budgets, tasks, rates and concurrency beyond the type of each setting.

A cap that is not quite what its author meant is found out when the bill comes, so whatever could be
read in two ways is refused: a tag that nobody has heard of, two limits of one window, a raise that
fits no limit, a password in plain sight.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from bursar.gateway.settings.amounts import CALENDAR, NEVER, Amounts
from bursar.gateway.settings.caps import Budget, Concurrency, RateRule, State, Task, Where
from bursar.gateway.settings.checking import (
    DEFAULT_ROUTE,
    NAME,
    REFERENCE,
    Checked,
    Wrong,
    check_known,
    check_name,
    check_patterns,
    check_positive,
    check_tag_name,
)
from bursar.gateway.settings.structs import Calls, Route, Settings
from bursar.gateway.settings.tag_names import FIELDS
from bursar.gateway.settings.yaml_text import Path
from bursar.model.errors import BadInput
from bursar.state.budgets import KEY, MODEL, PROVIDER
from bursar.state.windows import zone_of

MOST = {"budgets": 200, "tasks": 100, "rates": 200, "concurrency": 200, "tiers": 50}
NO_TAGS = {KEY: "keys", MODEL: "models", PROVIDER: "providers"}
"""Scopes that have a place of their own in `where`."""
SCHEMES = frozenset(("redis", "rediss", "unix"))
STORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PACES = frozenset(("second", "minute", "hour", "day"))
A_WINDOW = f"one of {', '.join(CALENDAR)}, {NEVER}, or a span such as 24h"
SHORTEST_S = 60
TOKENS = (
    "max_prompt_tokens",
    "max_output_tokens",
    "default_output_tokens",
    "least_output_tokens",
    "large_request_tokens",
)


def check_caps(settings: Settings) -> None:
    """Raises the first thing that is wrong."""
    wrong = next(_wrongs(settings), None)
    if wrong is not None:
        raise wrong


def _wrongs(settings: Settings) -> Iterator[Wrong]:
    yield from _tokens(settings.calls, ("calls",))
    for number, route in enumerate(settings.routes):
        yield from _tokens(route, ("routes", number))
    known = _Known(settings)
    for part, most in MOST.items():
        entries = getattr(settings, part)
        if len(entries) > most:
            yield Wrong((part,), f"has more than {most} entries", "remove some")
        for name in entries:
            yield from check_name(NAME, name, (part, name))
    for name, patterns in settings.tiers.items():
        yield from check_patterns(patterns, ("tiers", name))
    for name, budget in settings.budgets.items():
        yield from _budget(budget, known, ("budgets", name))
    for name, task in settings.tasks.items():
        yield from _task(task, known, ("tasks", name))
    for name, rate in settings.rates.items():
        yield from _rate(rate, known, ("rates", name))
    for name, one in settings.concurrency.items():
        yield from known.scope(one, ("concurrency", name))
    yield from _state(settings.state)


def _tokens(one: Calls | Route, path: Path) -> Checked:
    yield from check_positive(one, TOKENS, path)
    most, usual = one.max_output_tokens, one.default_output_tokens
    if most is not None and usual is not None and usual > most:
        place = (*path, "default_output_tokens")
        yield Wrong(place, f"is above max_output_tokens ({most})", "lower it")


class _Known:
    """What the rest of the file names."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.routes = {DEFAULT_ROUTE, *(one.name for one in settings.routes)}
        rules = settings.tags
        self.tags = {
            *FIELDS,
            *rules.required,
            *rules.defaults,
            *rules.allowed,
            *rules.headers.values(),
            *rules.many_values,
            *(tag for one in settings.keys.values() for tag in one.tags),
            *(tag for one in settings.routes for tag in one.when.tags),
        }

    def scope(self, one: Budget | RateRule | Concurrency, path: Path) -> Checked:
        """Everything that says which calls are meant, and which account each counts in."""
        yield from self.where(one.where, (*path, "where"))
        for name in one.each:
            if name not in NO_TAGS:
                yield from self.tag(name, (*path, "each"))
        if len(set(one.each)) < len(one.each):
            yield Wrong((*path, "each"), "names a scope twice", "keep one")
        if one.unknown != "share" and not one.each:
            yield Wrong((*path, "unknown"), "has no meaning without each", "add each, or remove it")
        yield from check_known(one.tiers, self.settings.tiers, (*path, "tiers"), "tier")

    def where(self, where: Where, path: Path) -> Checked:
        settings = self.settings
        for name, patterns in where.tags.items():
            place = (*path, "tags", name)
            if name in NO_TAGS:
                yield Wrong(place, "is no tag", f"write it as where.{NO_TAGS[name]}")
            yield from self.tag(name, place)
            yield from check_patterns(patterns, place)
        yield from check_known(where.keys, settings.keys, (*path, "keys"), "key")
        yield from check_known(where.routes, self.routes, (*path, "routes"), "route")
        yield from check_known(
            where.providers, settings.providers, (*path, "providers"), "provider"
        )
        yield from check_known(where.tiers, settings.tiers, (*path, "tiers"), "tier")
        yield from check_patterns(where.models, (*path, "models"))

    def tag(self, name: str, path: Path) -> Checked:
        yield from check_tag_name(name, path)
        if name in self.tags:
            return
        close = difflib.get_close_matches(name, [*self.tags, *NO_TAGS], n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        yield Wrong(
            path,
            f"names the tag {name!r}, which nothing in this file speaks of",
            f"{hint}A tag of your own must stand under tags, such as tags.many_values",
        )


def _budget(one: Budget, known: _Known, path: Path) -> Checked:
    yield from known.scope(one, path)
    try:
        zone_of(one.timezone)
    except BadInput as bad:
        yield Wrong((*path, "timezone"), bad.message, bad.mend)
    if one.every is not None:
        yield from _window(one.every, (*path, "every"))
    limits: Mapping[str, Amounts] = {"limit": one.limit or Amounts()}
    limits = {**limits, **{f"tiers.{tier}": given for tier, given in one.tiers.items()}}
    for place, given in limits.items():
        yield from _limits(given, one, (*path, *place.split(".", 1)))
    if one.limit is None and one.every is None and not one.tiers:
        yield Wrong(path, "has neither limit nor every", "add limit: $500/month")
    for number, raised in enumerate(one.raises):
        yield from _raise(raised.to, one, (*path, "raise", number, "to"))
        if raised.of and not one.each:
            where = (*path, "raise", number, "of")
            yield Wrong(where, "has no meaning without each", "remove it")


def _limits(given: Amounts, one: Budget, path: Path) -> Checked:
    seen: set[tuple[str, str]] = set()
    for amount in given:
        every = amount.every or one.every
        if every is None:
            mend = f"write {amount}/month, or every: {NEVER} for one that is not reset"
            yield Wrong(path, f"{amount} has no window", mend)
            return
        yield from _window(every, path)
        if (amount.unit, every) in seen:
            yield Wrong(path, f"has two limits in {amount.unit} for {every}", "keep the smaller")
        seen.add((amount.unit, every))


def _window(every: str, path: Path) -> Checked:
    span_s = getattr(every, "span_s", 0)
    if every not in (*CALENDAR, NEVER) and span_s < SHORTEST_S:
        yield Wrong(path, f"{every} is too short for a budget", f"{A_WINDOW}; or use rates")


def _raise(to: Amounts, one: Budget, path: Path) -> Checked:
    for amount in to:
        fits = fitting(amount.unit, amount.every, one)
        if len(fits) != 1:
            what = "fits none of the limits" if not fits else "fits several of the limits"
            yield Wrong(path, f"{amount} {what}", "write it like the limit, as in $800/month")
        elif amount.amount <= fits[0][0]:
            yield Wrong(path, f"{amount} is not above the limit", "raise it, or remove it")


def fitting(unit: str, every: str | None, one: Budget) -> list[tuple[int, str]]:
    """Amount and window of the limits that a raise may mean."""
    return [
        (given.amount, window)
        for given in one.limit or ()
        if (window := given.every or one.every) is not None
        and given.unit == unit
        and every in (None, window)
    ]


def _task(one: Task, known: _Known, path: Path) -> Checked:
    yield from known.where(one.where, (*path, "where"))
    if (one.dollars, one.tokens, one.steps, one.wall_s) == (None, None, None, None):
        yield Wrong(path, "has no ceiling", "add dollars, tokens, steps or wall")


def _rate(one: RateRule, known: _Known, path: Path) -> Checked:
    yield from known.scope(one, path)
    places: dict[Path, Amounts] = {(*path, "limit"): one.limit}
    places |= {(*path, "tiers", tier): given for tier, given in one.tiers.items()}
    for place, given in places.items():
        seen: set[tuple[str, str]] = set()
        for amount in given:
            if amount.unit == "usd":
                yield Wrong(place, f"{amount} is no speed", "write it as a budget, every: minute")
            if amount.every is None:
                yield Wrong(place, f"{amount} has no time", f"write {amount}/min")
            elif amount.every not in PACES and not getattr(amount.every, "span_s", 0):
                yield Wrong(place, f"{amount} is no speed", "per s, min, h, day or a span of 10s")
            if amount.amount < 1:
                yield Wrong(place, f"{amount} lets nothing through", "a budget of 0 calls says so")
            if (amount.unit, str(amount.every)) in seen:
                yield Wrong(place, f"has two limits in {amount.unit}/{amount.every}", "keep one")
            seen.add((amount.unit, str(amount.every)))


def _state(one: State) -> Checked:
    path = ("state",)
    if one.store != "memory" and not REFERENCE.fullmatch(one.store):
        yield from _address(one.store, (*path, "store"))
    for field, name in (("name", one.name), ("node", one.node)):
        if name is not None and not STORE_NAME.fullmatch(name):
            yield Wrong((*path, field), "is no name", "use letters, digits, . _ -, at most 64")
    if not 1 <= one.nodes <= 1_000:
        yield Wrong((*path, "nodes"), "is out of range", "1 to 1000")
    if one.nodes > 1 and one.store == "memory":
        mend = "name a Redis that they share, or nodes: 1"
        yield Wrong((*path, "store"), f"is memory, which {one.nodes} nodes cannot share", mend)
    if one.local_share > 100:
        yield Wrong((*path, "local_share"), "is more than all", "1% to 100%")


def _address(text: str, path: Path) -> Checked:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in SCHEMES and parts.port != 0 and bool(parts.hostname or parts.path)
    except ValueError:
        fits = False
    if "@" in text:
        mend = "write env:NAME or file:/path with the address; take that password for leaked"
        yield Wrong(path, "holds a user or a password (not shown)", mend)
    elif not fits or not text.isprintable():
        yield Wrong(path, "is no store", "memory, redis://HOST:PORT/0, env:NAME or file:/path")


__all__ = ["check_caps", "fitting"]
