"""What a worker keeps an eye on: bounded, exact, put together, and gone on with after a restart."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from bursar.extras import prometheus
from bursar.gateway.purse.gauges import ALL, MOST_NAMED, cap_families
from bursar.gateway.purse.leaving import begin_watch
from bursar.gateway.purse.limits import limit_for, places_of, scope_of
from bursar.gateway.purse.views import SUFFIX, Snapshot, View, found_views, leave_views, seen_in
from bursar.gateway.purse.watch import MOST, Watch
from bursar.gateway.tally import Tally
from bursar.state.claims import account_of
from bursar.state.memory import Memory
from bursar.state.terms import Claim, Denial, Standing, StoreLost
from tests.gateway.purse.watched import DAY_MS, NANO, Held, World, caps_of

CAPS = """
tiers: {gold: ["gold-*"]}
budgets:
  all: {limit: $1_000/day}
  tenants: {each: tenant, limit: [$1/day, $10/month], tiers: {gold: $5/day}}
tasks: {agents: {steps: 5}}
"""


def _views(world: World, cap: str = "budgets.tenants") -> dict[str, View]:
    return {one.account: one for one in world.watches[0].views() if one.cap == cap}


def test_accounts_are_as_the_store_has_them(tmp_path: Path) -> None:
    world = World(tmp_path, CAPS)
    world.look()
    assert [one.cap for one in world.watches[0].views()] == ["budgets.all"], "used or not"
    world.spend(NANO // 4, tenant="a", session="s")
    held = world.hold(NANO // 2, tenant="a", session="s")
    world.look()
    day = _views(world)["budgets.tenants/usd/day|tenant=a"]
    assert (day.posted, day.held, day.suspect, day.left) == (NANO // 4, NANO // 2, 0, NANO // 4)
    assert (day.limit, day.calls, day.refusals) == (NANO, 1, 0)
    assert isinstance(held, Held)
    assert isinstance(world.hold(NANO, tenant="a", session="s"), Denial)
    asyncio.run(world.store.sweep(world.now_ms + 61_000))
    world.look()
    day = _views(world)["budgets.tenants/usd/day|tenant=a"]
    assert (day.held, day.suspect, day.refusals) == (0, NANO // 2, 1)


def test_counts_begin_anew_with_the_window_and_what_nobody_touches_is_looked_at_too(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, CAPS)
    world.spend(NANO, tenant="a", session="s")
    assert isinstance(world.hold(NANO, tenant="a", session="s"), Denial)
    world.look()
    world.now_ms += DAY_MS
    world.look()
    views = _views(world)
    day, month = (
        views["budgets.tenants/usd/day|tenant=a"],
        views["budgets.tenants/usd/month|tenant=a"],
    )
    assert (day.posted, day.calls, day.refusals) == (0, 0, 0)
    assert (month.posted, month.calls) == (NANO, 1)


def test_sessions_do_not_push_out_tenants(tmp_path: Path) -> None:
    world = World(tmp_path, CAPS)
    for number in range(20):
        world.spend(1, tenant=f"t{number}", session="first")
    for number in range(MOST + 100):
        world.spend(1, tenant="busy", session=f"s{number}")
        if number % 400 == 0:
            world.look()
    for _ in range(10):
        world.look()
    views = world.watches[0].views()
    assert len(views) == MOST
    assert len([one for one in views if one.cap == "budgets.tenants"]) == 42
    sessions = [dict(one.scope)["session"] for one in views if one.cap == "tasks.agents"]
    assert sessions[0] == f"s{MOST + 99}", "the last used first"
    assert "s0" not in sessions


def test_a_cap_that_is_gone_is_forgotten_and_another_limit_is_seen_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, CAPS)
    world.spend(NANO, tenant="a", session="s")
    world.look()
    world.take("budgets: {tenants: {each: tenant, limit: $7/day}}")
    world.look()
    (view,) = world.watches[0].views()
    assert (view.account, view.limit, view.posted) == (
        "budgets.tenants/usd/day|tenant=a",
        7 * NANO,
        NANO,
    )


def test_a_store_that_is_away_costs_nothing_but_freshness(tmp_path: Path) -> None:
    class Away(Memory):
        async def standings(self, claims: tuple[Claim, ...]) -> list[Standing]:
            raise StoreLost("away")

    world = World(tmp_path, CAPS)
    world.spend(NANO // 2, tenant="a", session="s")
    near, world.store = world.store, Away()
    with pytest.raises(StoreLost):
        world.look()
    world.store = near
    assert [one.kind for one in world.look()] == ["warn"]


def test_a_worker_goes_on_from_what_another_left(tmp_path: Path) -> None:
    world = World(tmp_path, CAPS)
    world.spend(NANO // 4, tenant="a", session="s")
    assert isinstance(world.hold(NANO, tenant="a", session="s"), Denial)
    world.look()
    place = tmp_path / f"worker-0{SUFFIX}"
    leave_views(Snapshot(views=world.watches[0].views()), place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    again = Watch(lambda: world.now_ms)
    leave = begin_watch(again, place, world.caps, tmp_path / "bursar.yaml", world.lines.append)
    asyncio.run(again.look(world.store, {}))
    leave()
    left = found_views(place)
    assert left.settings == str(tmp_path / "bursar.yaml")
    (day,) = [one for one in left.views if "tenants/usd/day" in one.account]
    assert (day.calls, day.refusals, day.posted) == (1, 1, NANO // 4)
    stamp = place.stat().st_ino
    leave()
    assert place.stat().st_ino == stamp, "nothing new"


def test_a_broken_snapshot_is_none(tmp_path: Path) -> None:
    (tmp_path / f"worker-0{SUFFIX}").write_bytes(b"\xc1")
    assert seen_in(tmp_path).views == ()
    assert not seen_in(tmp_path / "none").is_alive(0)


def test_workers_are_put_together(tmp_path: Path) -> None:
    """Counts of the store are not added up; what each counts by itself is."""
    world = World(tmp_path, CAPS, workers=2)
    for worker in (0, 1):
        world.spend(NANO // 4, worker, tenant="a", session="s")
        assert isinstance(world.hold(NANO, worker, tenant="a", session="s"), Denial)
    world.look()
    for worker, watch in enumerate(world.watches):
        leave_views(Snapshot(views=watch.views()), tmp_path / f"worker-{worker}{SUFFIX}")
    (day,) = [one for one in seen_in(tmp_path).views if "tenants/usd/day" in one.account]
    assert (day.posted, day.calls, day.refusals) == (NANO // 2, 2, 2)


@pytest.mark.parametrize("tenant", ["a", "gold-1", "a|b%7C=c", None])
def test_an_account_tells_its_scope_and_its_limit(tenant: str | None) -> None:
    caps = caps_of(CAPS)
    rule = caps.rules[1]
    scope = (("tenant", tenant),)
    name = account_of(rule, rule.limits[0], scope)
    assert scope_of(name) == scope
    found, like = places_of(caps)[name.partition("|")[0]]
    assert found is rule
    limit = limit_for(caps, rule, like, scope)
    assert limit is not None
    assert limit.amount == (5 if tenant == "gold-1" else 1) * NANO


def test_gauges_are_bounded_and_say_a_sum_where_there_are_many() -> None:
    def view(tenant: str, cap: str) -> View:
        return View(
            account=f"{cap}|{tenant}",
            cap=cap,
            scope=(("tenant", tenant),),
            unit="usd",
            window="day",
            limit=NANO,
            posted=NANO // 2,
        )

    few = [view(str(one), "budgets.few") for one in range(MOST_NAMED)]
    many = [view(str(one), "budgets.many") for one in range(MOST_NAMED + 1)]
    families: list[Any] = list(cap_families(prometheus(), [*few, *many], 1_000))
    (posted,) = [one for one in families if one.name == "bursar_cap_posted"]
    shown = {(one.labels["cap"], one.labels["scope"]): one.value for one in posted.samples}
    assert len(shown) == MOST_NAMED + 1
    assert shown["budgets.few", "tenant=3"] == 0.5
    assert shown["budgets.many", ALL] == (MOST_NAMED + 1) / 2
    families = list(cap_families(prometheus(), [*few, *many], 3))
    assert all(len(one.samples) == 3 for one in families)


def test_cuts_and_waits_are_counted_by_their_cap(tmp_path: Path) -> None:
    world = World(tmp_path, CAPS)
    tally = Tally()
    watch = world.watches[0] = Watch(lambda: world.now_ms, tally)
    held = world.hold(NANO // 2, tenant="a", session="s")
    assert isinstance(held, Held)
    (index,) = [n for n, one in enumerate(held.drawn.claims) if "tenants/usd/day" in one.account]
    watch.cut(held.drawn, index)
    watch.cut(held.drawn, None)
    watch.waited(held.drawn.marks[index], 1_200)
    asyncio.run(watch.look(world.store, {}))
    assert _views(world)["budgets.tenants/usd/day|tenant=a"].cuts == 1
    assert tally.counts.cap_cuts == {("budgets.tenants",): 1, ("away",): 1}
    assert tally.counts.cap_wait_ms["budgets.tenants",][-2:] == [1_200, 1]
