"""Laws of claims: each call counts where it should, under one name, at the limit of the moment."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.model.call import Tags
from bursar.model.errors import Refused
from bursar.state.budgets import (
    KEY,
    MODEL,
    PROVIDER,
    ROUTE,
    TIER,
    Limit,
    Raised,
    Rule,
    Rules,
    Speed,
)
from bursar.state.claims import Caps, Drawn, Who, claims_of, more_amounts, settled_amounts
from bursar.state.windows import Window, place

NOW = 1_800_000_000_000
MONTH = Window("month")
USD = Limit(unit="usd", amount=500, window=MONTH)


def caps_of(*rules: Rule, **more: object) -> Caps:
    return Caps(Rules(rules=rules, **more))  # type: ignore[arg-type]


def budget(name: str = "b", **more: object) -> Rule:
    more.setdefault("limits", (USD,))
    return Rule(kind="budgets", name=name, **more)  # type: ignore[arg-type]


def drawn(caps: Caps, who: Who, at_ms: int = NOW) -> Drawn:
    return claims_of(caps, who, 70, 30, at_ms)


def accounts(caps: Caps, who: Who, at_ms: int = NOW) -> list[str]:
    return [one.account for one in drawn(caps, who, at_ms).claims]


texts = st.text("ab|%=/", min_size=1, max_size=4)
maybe = st.none() | texts
whos = st.builds(
    Who,
    tags=st.builds(
        Tags,
        tenant=maybe,
        user=maybe,
        session=maybe,
        is_retry=st.booleans(),
        other=st.dictionaries(st.sampled_from(["own", "x"]), texts, max_size=2),
    ),
    key=st.just("") | texts,
    route=texts,
    model=maybe,
    provider=texts,
)
scopes = st.sampled_from(["tenant", "user", "session", "own", "x", KEY, MODEL, PROVIDER])
eaches = st.sets(scopes, max_size=3).map(lambda names: tuple(sorted(names)))


def value_of(who: Who, scope: str) -> str | None:
    others = {KEY: who.key or None, MODEL: who.model, PROVIDER: who.provider, ROUTE: who.route}
    if scope in others:
        return others[scope]
    fields = {"tenant": who.tags.tenant, "user": who.tags.user, "session": who.tags.session}
    return fields[scope] if scope in fields else who.tags.other.get(scope)


@given(whos, whos, eaches)
def test_two_calls_share_an_account_just_when_their_scopes_agree(
    one: Who, two: Who, each: tuple[str, ...]
) -> None:
    caps = caps_of(budget(each=each))
    same = all(value_of(one, scope) == value_of(two, scope) for scope in each)
    assert (accounts(caps, one) == accounts(caps, two)) is same


@given(whos, eaches, eaches)
def test_accounts_of_other_scopes_are_others(
    who: Who, each: tuple[str, ...], other: tuple[str, ...]
) -> None:
    found = [accounts(caps_of(budget(each=one)), who) for one in (each, other)]
    assert (found[0] == found[1]) is (each == other)


@given(whos, scopes, st.sets(texts, max_size=3))
def test_a_rule_applies_just_where_its_tests_fit(who: Who, scope: str, fits: set[str]) -> None:
    caps = caps_of(budget(tests=((scope, fits.__contains__),)))
    assert bool(accounts(caps, who)) is (value_of(who, scope) in fits)


@given(whos, st.lists(whos, max_size=5), eaches)
def test_what_was_asked_before_changes_nothing(
    who: Who, before: list[Who], each: tuple[str, ...]
) -> None:
    caps = caps_of(budget(each=each), budget("c", each=(MODEL,), limits=(USD, USD)))
    for number, one in enumerate(before):
        drawn(caps, one, NOW + number * 40 * 86_400_000)
    fresh = caps_of(*caps.rules)
    assert drawn(caps, who) == drawn(fresh, who)


windows = st.sampled_from(
    [
        *(Window("minute"), Window("hour", 0, "Asia/Kathmandu"), Window("day", 0, "Europe/Berlin")),
        *(MONTH, Window("year"), Window("never")),
        *(Window("rolling", 60), Window("rolling", 61), Window("rolling", 3_599)),
        Window("rolling", 86_400),
    ]
)


@given(
    st.lists(windows, min_size=1, max_size=3),
    st.lists(st.integers(NOW - 200_000_000, NOW + 200_000_000) | st.integers(NOW, NOW + 9_000)),
)
def test_the_place_in_each_window_is_that_of_the_moment(
    kinds: list[Window], moments: list[int]
) -> None:
    limits = tuple(Limit(unit="tokens", amount=1, window=one) for one in kinds)
    caps = caps_of(budget(limits=limits))
    for at_ms in moments:
        found = [
            (one.slot, one.since, one.step, one.until)
            for one in drawn(caps, Who(Tags()), at_ms).claims
        ]
        assert found == [tuple(place(one, at_ms)) for one in kinds]


@pytest.mark.parametrize("length_s", [60, 61, 3_599])
def test_no_moment_of_a_rolling_window_is_late(length_s: int) -> None:
    window = Window("rolling", length_s)
    caps = caps_of(budget(limits=(Limit(unit="usd", amount=1, window=window),)))
    step = window.step_ms
    for at_ms in range(NOW, NOW + 3 * step, max(1, step // 500)):
        (found,) = drawn(caps, Who(Tags()), at_ms).claims
        assert (found.slot, found.since) == place(window, at_ms)[:2]


def test_a_value_cannot_be_written_so_that_it_names_another_account() -> None:
    caps = caps_of(budget(each=("tenant", "user")))
    whos = [Tags(tenant="a|user=b", user="c"), Tags(tenant="a", user="b|user=c")]
    whos += [Tags(tenant="a%7Cuser=b", user="c"), Tags(tenant="a|user=b|user=c")]
    assert len({account for one in whos for account in accounts(caps, Who(one))}) == 4


@given(st.lists(st.integers(NOW - 5, NOW + 5)), st.integers(NOW - 3, NOW + 3))
def test_a_raise_holds_until_its_end(moments: list[int], until_ms: int) -> None:
    raised = (Raised(900, until_ms, frozenset({"acme"})),)
    limit = Limit(unit="usd", amount=500, window=MONTH, raised=raised)
    caps = caps_of(budget(limits=(limit,), each=("tenant",)))
    for at_ms in moments:
        for tenant in ("acme", "globex", None):
            found = drawn(caps, Who(Tags(tenant=tenant)), at_ms)
            want = 900 if at_ms < until_ms and tenant == "acme" else 500
            assert (found.claims[0].limit, found.marks[0].amount) == (want, want)


def test_amounts_by_unit() -> None:
    units = ("usd", "tokens", "calls", "at_once", "wall")
    caps = caps_of(budget(limits=tuple(Limit(unit=one, amount=9) for one in units)))
    found = drawn(caps, Who(Tags()))
    assert [one.amount for one in found.claims] == [70, 30, 1, 1, 0]
    assert [one.limit for one in found.claims] == [9, 9, 9, 9, None]
    assert [one.most_age_ms for one in found.claims] == [None, None, None, None, 9]
    assert settled_amounts(found.marks, 60, 20) == (60, 20, 1, 0, 0)
    assert more_amounts(found.marks, 5, 2) == (5, 2, 0, 0, 0)


def test_a_soft_budget_is_only_counted() -> None:
    found = drawn(caps_of(budget(hard=False)), Who(Tags()))
    assert (found.claims[0].limit, found.marks[0].amount) == (None, 500)


def test_a_limit_of_nothing_lets_nothing_through() -> None:
    found = drawn(caps_of(budget(limits=(Limit(unit="usd", amount=0),))), Who(Tags()))
    assert found.claims[0].limit == 0


def test_another_limit_goes_on_with_the_same_account() -> None:
    raised = budget(limits=(Limit(unit="usd", amount=900, window=MONTH),))
    assert accounts(caps_of(raised), Who(Tags())) == accounts(caps_of(budget()), Who(Tags()))


def test_no_two_limits_of_any_rules_share_an_account() -> None:
    units, kinds = ("usd", "tokens", "calls"), ("budgets", "tasks", "concurrency")
    spans = (MONTH, Window("month", 0, "Europe/Berlin"), Window("rolling", 60), Window("never"))
    limits = tuple(Limit(unit=u, amount=1, window=w) for u, w in product(units, spans))
    rules = [Rule(kind=k, name=n, limits=limits) for k, n in product(kinds, ("a", "b"))]
    found = accounts(caps_of(*rules), Who(Tags()))
    assert len(set(found)) == len(found) == 72


def test_rates_take_calls_and_tokens() -> None:
    speeds = (Speed("calls", 60, 60_000_000), Speed("tokens", 9, 1_000_000))
    caps = caps_of(Rule(kind="rates", name="r", speeds=speeds, each=(KEY,)))
    found = drawn(caps, Who(Tags(), key="k"))
    assert [(one.cost, one.burst, one.period_us) for one in found.rates] == [
        (1, 60, 60_000_000),
        (30, 9, 1_000_000),
    ]
    assert len({one.key for one in found.rates}) == 2
    assert all("key=k" in one.key for one in found.rates)
    assert [one.rule.title for one in found.paces] == ["rates.r", "rates.r"]


def test_a_tier_has_its_own_limits_in_the_same_account() -> None:
    gold = Limit(unit="usd", amount=9_000, window=MONTH)
    caps = caps_of(
        budget(each=("tenant",), tiers=(("gold", (gold,), ()),)),
        budget("only", tests=((TIER, {"gold"}.__contains__),)),
        tiers=(("gold", {"acme"}.__contains__), ("late", {"acme", "x"}.__contains__)),
    )
    rich, poor = drawn(caps, Who(Tags(tenant="acme"))), drawn(caps, Who(Tags(tenant="x")))
    assert [one.limit for one in rich.claims] == [9_000, 500]
    assert [one.limit for one in poor.claims] == [500]
    assert rich.claims[0].account.replace("acme", "x") == poor.claims[0].account
    assert [one.limit for one in drawn(caps, Who(Tags())).claims] == [500]


@pytest.mark.parametrize("unknown", ["share", "refuse", "pass"])
def test_a_call_that_does_not_say_who_it_is_for(unknown: str) -> None:
    caps = caps_of(budget(each=("user",), needs=("user",), unknown=unknown), budget("all"))
    if unknown == "refuse":
        for _ in range(2):
            with pytest.raises(Refused, match="each user") as caught:
                drawn(caps, Who(Tags()))
            assert (caught.value.status, caught.value.kind) == (400, "tag_missing")
            assert "x-bursar-user" in caught.value.mend
    else:
        found = accounts(caps, Who(Tags()))
        assert len(found) == {"share": 2, "pass": 1}[unknown]
    assert len(accounts(caps, Who(Tags(user="joe")))) == 2


def test_what_is_remembered_is_bounded() -> None:
    caps = caps_of(budget(each=("user",)))
    for number in range(20_000):
        drawn(caps, Who(Tags(user=str(number))))
    assert len(caps.known) <= 8_192
