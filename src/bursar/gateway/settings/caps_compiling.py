"""Budgets, tasks, rates and concurrency as written -> the rules that calls are counted by."""

from __future__ import annotations

from typing import Any

from bursar.gateway.settings.amounts import Amounts, Every, Words
from bursar.gateway.settings.caps import Budget, Concurrency, Raise, RateRule, Task, Where
from bursar.gateway.settings.caps_checking import fitting
from bursar.gateway.settings.structs import Settings
from bursar.gateway.settings.values import any_of
from bursar.state.budgets import (
    KEY,
    MODEL,
    NEVER,
    PROVIDER,
    ROUTE,
    TIER,
    Fits,
    Limit,
    Raised,
    Rule,
    Rules,
    Speed,
)
from bursar.state.windows import Window

MS_PER_S, US_PER_S = 1_000, 1_000_000
PACE_S = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
SESSION, TENANT = "session", "tenant"
TASK = Window("rolling", 30 * 86_400)
"""The count of a task. Not for ever, since sessions are without number and each is an account."""
USUAL_TOTAL_S = 3_600
MOST_UNDER_WAY_S = 30 * 86_400


def rules_of(settings: Settings) -> Rules:
    """The rules of checked settings, in the order of the file."""
    rules = [_budget(name, one) for name, one in settings.budgets.items()]
    rules += [_task(name, one) for name, one in settings.tasks.items()]
    under_way = Window("rolling", 2 * longest_call_s(settings))
    rules += [_concurrency(name, one, under_way) for name, one in settings.concurrency.items()]
    rules += [_rate(name, one) for name, one in settings.rates.items()]
    tiers = [(name, _test(patterns)) for name, patterns in settings.tiers.items()]
    return Rules(rules=tuple(rules), tiers=tuple(tiers))


def longest_call_s(settings: Settings) -> int:
    """How long a call may be under way. Twice that is the window of concurrency: what was never
    heard of again takes up no place for ever."""
    holders = (settings.calls, *settings.routes, *settings.providers.values())
    stated = [one.timeouts.total_s or 0.0 for one in holders]
    return min(MOST_UNDER_WAY_S, max(USUAL_TOTAL_S, *map(round, stated)))


def _budget(name: str, one: Budget) -> Rule:
    each = tuple(sorted(one.each))
    return Rule(
        kind="budgets",
        name=name,
        tests=_tests(one.where),
        each=each,
        limits=_limits(one, one.limit, one.raises),
        tiers=tuple((tier, _limits(one, given, ()), ()) for tier, given in one.tiers.items()),
        unknown=one.unknown,
        needs=each,
        hard=one.hard,
        warn_percent=tuple(map(int, one.warn)),
        forecast=one.forecast,
        fail=one.fail,
        cuts=one.streams != "let_run",
        limits_streams=one.streams == "limit",
        clamps=one.clamp,
        wait_ms=_ms(one.wait_s),
    )


def _limits(one: Budget, given: Amounts | None, raises: tuple[Raise, ...]) -> tuple[Limit, ...]:
    if given is None:
        if one.limit is None and one.every is not None:
            return (Limit(unit="usd", amount=None, window=window_of(one.every, one.timezone)),)
        return ()
    found: list[Limit] = []
    for amount in given:
        every = amount.every or one.every
        assert every is not None
        found.append(
            Limit(
                unit=amount.unit,
                amount=amount.amount,
                window=window_of(every, one.timezone),
                raised=tuple(_raised(one, raises, amount.unit, every)),
            )
        )
    return tuple(found)


def _raised(one: Budget, raises: tuple[Raise, ...], unit: str, every: str) -> list[Raised]:
    return [
        Raised(to.amount, raised.until * MS_PER_S, frozenset(raised.of))
        for raised in raises
        for to in raised.to
        if to.unit == unit and fitting(to.unit, to.every, one)[0][1] == every
    ]


def window_of(every: Every, timezone: str) -> Window:
    """A window as the state layer knows it. Spans do not depend on a time zone."""
    if every.span_s:
        return Window("rolling", every.span_s)
    unit: Any = str(every)
    return NEVER if unit == NEVER.unit else Window(unit, 0, timezone)


def _task(name: str, one: Task) -> Rule:
    """A task is a session of a tenant: a session's name says nothing about whose it is."""
    stated = [
        ("usd", one.dollars),
        ("tokens", one.tokens),
        ("calls", one.steps),
        ("wall", None if one.wall_s is None else _ms(one.wall_s)),
    ]
    return Rule(
        kind="tasks",
        name=name,
        tests=_tests(one.where),
        each=(SESSION, TENANT),
        limits=tuple(
            Limit(unit=unit, amount=int(amount), window=TASK)  # type: ignore[arg-type]
            for unit, amount in stated
            if amount is not None
        ),
        unknown=one.unknown,
        needs=(SESSION,),
        fail=one.fail,
    )


def _rate(name: str, one: RateRule) -> Rule:
    each = tuple(sorted(one.each))
    return Rule(
        kind="rates",
        name=name,
        tests=_tests(one.where),
        each=each,
        speeds=_speeds(one.limit),
        tiers=tuple((tier, (), _speeds(given)) for tier, given in one.tiers.items()),
        unknown=one.unknown,
        needs=each,
        fail=one.fail,
        wait_ms=_ms(one.wait_s),
    )


def _speeds(given: Amounts) -> tuple[Speed, ...]:
    found: list[Speed] = []
    for amount in given:
        every = amount.every
        assert every is not None
        assert amount.unit != "usd"
        period_s = every.span_s or PACE_S[every]
        found.append(Speed(amount.unit, amount.amount, period_s * US_PER_S))
    return tuple(found)


def _concurrency(name: str, one: Concurrency, window: Window) -> Rule:
    each = tuple(sorted(one.each))

    def limits(most: int) -> tuple[Limit, ...]:
        return (Limit(unit="at_once", amount=int(most), window=window),)

    return Rule(
        kind="concurrency",
        name=name,
        tests=_tests(one.where),
        each=each,
        limits=limits(one.limit),
        tiers=tuple((tier, limits(most), ()) for tier, most in one.tiers.items()),
        unknown=one.unknown,
        needs=each,
        fail=one.fail,
        wait_ms=_ms(one.wait_s),
    )


def _tests(where: Where) -> tuple[tuple[str, Fits], ...]:
    exact = ((KEY, where.keys), (ROUTE, where.routes), (PROVIDER, where.providers))
    found = [(scope, frozenset(names).__contains__) for scope, names in exact if names]
    found += [(TIER, frozenset(where.tiers).__contains__)] if where.tiers else []
    found += [(MODEL, _test(where.models))] if where.models else []
    found += [(name, _test(patterns)) for name, patterns in where.tags.items()]
    return tuple(found)


def _test(patterns: Words) -> Fits:
    test = any_of(patterns)
    return test if test is not None else lambda text: False


def _ms(seconds: float | None) -> int:
    return 0 if seconds is None else max(1, round(seconds * MS_PER_S))
