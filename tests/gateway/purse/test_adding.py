"""Caps that are added while calls go on: they act soon, and every call counts once."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.gateway.purse.force import InForce
from bursar.model.call import Tags
from bursar.simulator.server import Simulator
from bursar.state.budgets import Rule, Rules
from bursar.state.claims import Caps, Who
from state.redis.rig import a_server
from tests.gateway.purse.accounts import caps_of, standings
from tests.gateway.purse.storm import Gang
from tests.gateway.rig import TENANT, Rig, chat_body, running, settings_for, until
from tests.gateway.workers import Line, stopped

MINI = "gpt-4o-mini"
ANN = {"x-bursar-user": "ann"}
WHO = [Who(Tags(tenant=TENANT, user="ann"), "tests", "default", MINI, "openai")]
ACTS = re.compile(r"bursar: (\S+): acts in ([0-9.]+) s")
NAMED = [Caps(Rules(rules=(Rule(kind="budgets", name=str(n)),))) for n in range(5)]


# -- laws


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 40)), max_size=8))
def test_caps_follow_one_another_in_the_order_in_which_they_were_taken(
    taken: list[tuple[int, int]],
) -> None:
    """Whatever their moments: a cap that counts nothing new never goes before one that does."""
    now_ms = 1_000
    force = InForce(NAMED[0], lambda: now_ms)
    seen = [NAMED[0]]
    for which, ahead_ms in taken:
        if ahead_ms < 0:
            force.follow(NAMED[which])
        else:
            force.take(NAMED[which], now_ms + ahead_ms)
        now_ms += 3
        seen.append(force.now())
    now_ms += 1_000
    assert force.now() is (NAMED[taken[-1][0]] if taken else NAMED[0])
    order = [NAMED[0], *(NAMED[which] for which, _ in taken)]
    place = 0
    for one in seen:
        place = next(n for n in range(place, len(order)) if order[n] is one)


# -- in the running gateway


def _plain(sim: Simulator, **more: Any) -> dict[str, Any]:
    return settings_for(sim, listen={"workers": 2}, **more)


def _capped(sim: Simulator, **more: Any) -> dict[str, Any]:
    found = _plain(sim, **more)
    return {**found, "budgets": {"people": {"each": "user", "limit": ["$1/day", "1k calls/24h"]}}}


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "memory":
        yield ""
        return
    with a_server() as server:
        yield server.url


def _agrees(rig: Rig, settings: dict[str, Any], calls: int, redis: str) -> bool:
    """Whether the accounts have so many calls, each once."""
    sql = "SELECT sum(cost_nano)::BIGINT AS nano, count(*) AS n FROM attempts"
    (row,) = rig.rows(sql)
    try:
        told = standings(rig.home, caps_of(settings), WHO, redis)
    except (OSError, AssertionError):
        return False
    posted = {one.account.split("/")[1]: (one.posted, one.held) for one in told.values()}
    return row["n"] == calls and posted == {"usd": (row["nano"], 0), "calls": (calls, 0)}


def test_a_worker_that_hears_of_a_cap_late_counts_its_calls_from_before(
    tmp_path: Path, store: str
) -> None:
    """It was stopped, and has ten calls waiting, which it carries before it reads the settings."""
    more: dict[str, Any] = {"state": {"store": store}} if store else {}

    def plain(sim: Simulator) -> dict[str, Any]:
        return _plain(sim, **more)

    with running(tmp_path, plain) as rig:
        gang = Gang(rig, ("keeper", "worker 0", "worker 1"))
        own = Line(rig, gang, 0)
        lines = [Line(rig, gang, 1) for _ in range(10)]
        for one in (own, *lines):
            assert one.chat("before", ANN).status == 200
        settings = _capped(rig.sim, **more)
        with stopped(gang.pids["worker 1"]):
            rig.write(settings)
            until(lambda: ACTS.search(rig.log()), rig.log)
            time.sleep(1.5)
            assert own.chat("counted", ANN).status == 200
            for one in lines:
                one.send(chat_body("waits"), ANN)
        for one in lines:
            assert one.answer().status == 200
            one.close()
        assert own.chat("counted", ANN).status == 200
        own.close()
        until(
            lambda: _agrees(rig, settings, 23, store),
            lambda: f"{standings(rig.home, caps_of(settings), WHO, store)}; {rig.log()}",
        )


def test_the_gateway_says_when_a_new_cap_acts(tmp_path: Path) -> None:
    """And it acts, on what was spent before as well; another limit acts on the next call."""
    with running(tmp_path, _plain) as rig:
        for _ in range(3):
            assert rig.chat("before", ANN).status == 200
        settings = _plain(rig.sim)
        settings["budgets"] = {"people": {"each": "user", "limit": "3 calls/day"}}
        rig.write(settings)
        said = until(lambda: ACTS.search(rig.log()), rig.log)
        assert said[1] == "budgets.people"
        until(lambda: rig.chat("after", ANN).status == 402, rig.log)
        settings["budgets"]["people"]["limit"] = "1k calls/day"
        rig.write(settings)
        until(lambda: rig.chat("more", ANN).status == 200, rig.log)
        assert len(ACTS.findall(rig.log())) <= 2, (
            "once for each worker at most, and not for a raise"
        )
