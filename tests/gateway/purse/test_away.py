"""Rates and readiness while the store is away, and after it has lost its counts; on real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.gateway.purse.local import LocalShare, modes_of
from bursar.state.budgets import Rule, Rules, Speed
from bursar.state.claims import Caps, Drawn, Mark
from bursar.state.terms import Ask, Rate
from state.redis.rig import Server, a_server
from tests.gateway.purse.storm import Gang
from tests.gateway.rig import Answered, Rig, running, settings_for, until
from tests.gateway.workers import stopped

BURST = 12
PERIOD_S = 60
MINUTE_US = 60_000_000


@pytest.fixture(name="server")
def server_fixture() -> Iterator[Server]:
    with a_server() as one:
        yield one


# -- laws


def _ask(number: int, at_ms: int, fail: str, burst: int) -> tuple[Ask, Drawn]:
    rate = Rate("all", 1, burst, MINUTE_US)
    speed = Speed(unit="calls", burst=burst, period_us=MINUTE_US)
    rule: Any = Rule(kind="rates", name="all", speeds=(speed,), fail=fail)  # type: ignore[arg-type]
    drawn = Drawn((), (rate,), (), (Mark(rule, speed, burst, ()),))
    return Ask(f"{number}.0", at_ms, 1_000, (), (rate,)), drawn


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4_000)), max_size=80),
    st.integers(1, 200),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_all_workers_of_all_machines_together_keep_the_speed_and_have_no_burst(
    asks: list[tuple[int, int]], burst: int, workers: int, nodes: int
) -> None:
    now_ms = 1_000_000
    shares = [LocalShare(lambda: now_ms) for _ in range(workers * nodes)]
    for one in shares:
        one.percent, one.workers, one.nodes = 2, workers, nodes
        one.away()
    passed = 0
    for number, (which, pause_ms) in enumerate(asks):
        now_ms += pause_ms
        ask, drawn = _ask(number, now_ms, "local", burst)
        passed += shares[which % len(shares)].reserve(ask, drawn) is None
    assert passed <= burst * (now_ms - 1_000_000) / (PERIOD_S * 1_000)


def test_a_worker_without_a_share_lets_nothing_pass_a_rate_and_an_open_rate_is_none() -> None:
    """Memory that is lost is in nobody's share: a rate alone does not let calls through either."""
    now_ms = 1_000_000
    share = LocalShare(lambda: now_ms)
    share.away()
    now_ms += 3_600_000
    assert share.reserve(*_ask(1, now_ms, "local", 600)) is not None
    share.percent = 2
    assert share.reserve(*_ask(2, now_ms, "local", 600)) is None
    share.percent = 0
    assert share.reserve(*_ask(3, now_ms, "open", 600)) is None


def test_how_many_caps_do_what_while_the_store_is_away() -> None:
    fails: tuple[Any, ...] = ("local", "open", "local", "closed")
    rules = tuple(Rule(kind="budgets", name=str(n), fail=one) for n, one in enumerate(fails))
    caps = Caps(Rules(rules=rules))
    assert modes_of(caps, 2) == {"closed": 1, "local": 2, "open": 1}
    assert modes_of(caps, 0) == {"closed": 3, "open": 1}
    assert modes_of(Caps(Rules()), 0) == {}


# -- in the running gateway


def _passes(rig: Rig, calls: int, **headers: str) -> int:
    statuses = [rig.chat("quick", headers).status for _ in range(calls)]
    assert set(statuses) <= {200, 429, 503}, statuses
    return statuses.count(200)


def _free(since_s: float) -> int:
    """What became free since then, rounded up."""
    return int(BURST * (time.monotonic() - since_s) / PERIOD_S) + 1


def test_rates_of_a_lost_store_grant_one_burst_more(tmp_path: Path, server: Server) -> None:
    """Used up, away for a while, and back without its counts: two bursts in all, not three."""

    def settings(sim: Any) -> dict[str, Any]:
        state = {"store": server.url}
        return settings_for(sim, state=state, rates={"all": {"limit": f"{BURST} calls/min"}})

    with running(tmp_path, settings) as rig:
        since_s = time.monotonic()
        assert BURST <= _passes(rig, BURST + 4) <= BURST + _free(since_s)
        server.kill()
        until(lambda: _ready(rig)["status"] != "ready", rig.log)
        away = _passes(rig, 2 * BURST)
        assert away <= _free(since_s)
        server.start()
        until(lambda: _ready(rig)["status"] == "ready", rig.log)
        after = _passes(rig, BURST + 4)
        assert after >= BURST - 1
        assert away + after <= BURST + _free(since_s)


def _ready(rig: Rig) -> dict[str, Any]:
    found = rig.get("/ready")
    told = found.json()
    assert (found.status == 503) == (told["status"] == "shut"), told
    return told


@pytest.mark.parametrize(
    ("fails", "status", "caps"),
    [
        (("closed", "open"), "shut", {"closed": 1, "open": 1}),
        (("local", "open"), "degraded", {"local": 1, "open": 1}),
    ],
)
def test_ready_says_that_the_store_is_away_as_each_cap_says(
    tmp_path: Path, server: Server, fails: tuple[str, str], status: str, caps: dict[str, int]
) -> None:
    """And that it is back, also where it has lost its counts."""
    budgets = {
        f"b{n}": {"limit": "$5/day", "fail": fail, "where": {"tags": {"team": f"b{n}"}}}
        for n, fail in enumerate(fails)
    }

    def settings(sim: Any) -> dict[str, Any]:
        return settings_for(sim, state={"store": server.url}, budgets=budgets)

    with running(tmp_path, settings) as rig:
        assert _ready(rig) == {"status": "ready"}
        assert rig.chat("before", {"x-bursar-team": "b0"}).status == 200
        server.kill()
        told = until(lambda: _when(rig, status), rig.log)
        assert told["caps"] == caps
        assert told["reason"]
        assert rig.chat("any", {"x-bursar-team": "b1"}).status == 200
        assert _as_said(rig.chat("any", {"x-bursar-team": "b0"}), status)
        server.start()
        until(lambda: _when(rig, "ready"), rig.log)
        assert rig.chat("after", {"x-bursar-team": "b0"}).status == 200


def _when(rig: Rig, status: str) -> dict[str, Any] | None:
    told = _ready(rig)
    return told if told["status"] == status else None


def _as_said(found: Answered, status: str) -> bool:
    return found.status == (503 if status == "shut" else 200)


def test_who_was_never_heard_of_has_a_share_of_the_limit_as_well(
    tmp_path: Path, server: Server
) -> None:
    """Each call costs $0.0006; $0.002, the share of $0.10, pays for three and a short one."""
    budgets = {"people": {"each": "user", "limit": "$0.10/day"}}

    def settings(sim: Any) -> dict[str, Any]:
        return settings_for(sim, state={"store": server.url}, budgets=budgets)

    def calls(user: str, count: int) -> list[int]:
        headers = {"x-bursar-user": user, "x-simulate": "none; output_tokens=1000"}
        return [rig.chat("any", headers, max_tokens=1_000).status for _ in range(count)]

    with running(tmp_path, settings) as rig:
        assert calls("ann", 1) == [200]
        server.kill()
        until(lambda: _when(rig, "degraded"), rig.log)
        for user in ("ann", "ben"):
            before = len(rig.paid())
            statuses = calls(user, 6)
            assert (statuses[:3], statuses[4:]) == ([200] * 3, [503] * 2)
            assert sum(line.cost_nano or 0 for line in rig.paid()[before:]) <= 2_000_000


def test_ready_says_that_the_ledger_has_not_told_yet(tmp_path: Path) -> None:
    """Without its ledger a new store stays shut, and says why: the purse was killed with it."""
    budgets = {"people": {"each": "user", "limit": "$5/day"}}

    def settings(sim: Any) -> dict[str, Any]:
        return settings_for(sim, listen={"workers": 2}, budgets=budgets)

    with running(tmp_path, settings) as rig:
        assert rig.chat("before").status == 200
        gang = Gang(rig)
        with stopped(gang.pids["keeper"]):
            gang.kill("purse")
            told = until(lambda: _when(rig, "shut"), rig.log)
            assert told["caps"] == {"closed": 1}, "local is closed where the store is memory"
            assert told["reason"]
            users = [None, *(f"unheard of {n}" for n in range(8))]
            found = [rig.chat("any", {"x-bursar-user": one} if one else {}) for one in users]
            assert {one.status for one in found} == {503}
        until(lambda: _when(rig, "ready"), rig.log)
        until(lambda: rig.chat("after").status == 200, rig.log)
