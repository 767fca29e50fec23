"""Whatever is killed whenever: holds come back, and what was counted is what was spent."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bursar.ledger.schema import request_digest
from bursar.model.call import Tags
from bursar.simulator.server import Simulator
from bursar.state.claims import Who
from bursar.state.terms import Standing, StoreLost
from state.redis.rig import Server, a_server
from tests.gateway.purse.accounts import caps_of, standings
from tests.gateway.purse.storm import PAUSE_S, ROLES, Clients, Gang
from tests.gateway.rig import TENANT, Rig, running, settings_for, until

LIMIT = "$5.00"
MINI = "gpt-4o-mini"
USERS = [
    Who(Tags(tenant=TENANT, user=f"user {n}"), "tests", "default", MINI, "openai") for n in range(3)
]
SEEDS = int(os.environ.get("BURSAR_KILL_SEEDS", "2"))
"""Ten kills each; 20 of them make 200."""


def _settings(sim: Simulator, limit: str = LIMIT, **more: Any) -> dict[str, Any]:
    return settings_for(
        sim,
        listen={"workers": 2},
        budgets={
            "all": {"limit": [f"{limit}/day", "5M tokens/24h", "100k calls/day"]},
            "people": {"each": "user", "limit": f"{limit}/day"},
        },
        concurrency={"all": {"limit": 500}},
        **more,
    )


def _quiet(rig: Rig, caps: Any, redis: str = "") -> dict[str, Standing] | None:
    """All accounts, once nothing is held and nothing is suspect."""
    try:
        found = standings(rig.home, caps, USERS, redis)
    except (OSError, AssertionError, StoreLost):
        return None
    return None if any(one.held or one.suspect for one in found.values()) else found


def _told(rig: Rig, caps: Any, redis: str) -> str:
    found = standings(rig.home, caps, USERS, redis)
    left = [one for one in found.values() if one.held or one.suspect]
    return f"{left}; {rig.log()}"


ONE_BY_ONE = ("worker 0", "purse", "worker 1", "keeper", "worker 0")


def _storm(rig: Rig, roles: Sequence[str], seed: int) -> Clients:
    """No process dies so often in a row that the supervisor gives it up, or waits for long."""
    chance, gang = random.Random(seed), Gang(rig)
    clients = Clients(rig, 8, seed)
    for role in roles:
        time.sleep(chance.uniform(0.1, 2 * PAUSE_S))
        gang.kill(role)
    time.sleep(1)
    clients.end()
    return clients


def _check(
    rig: Rig, clients: Clients, settings: dict[str, Any], server: Server | None = None
) -> None:
    """`server`: the Redis that counts; wiped here before the restart."""
    caps, redis = caps_of(settings), "" if server is None else server.url
    before = until(lambda: _quiet(rig, caps, redis), lambda: _told(rig, caps, redis))
    rows = rig.rows("SELECT request_digest, cost_nano, outcome FROM attempts")
    by_digest = {row["request_digest"]: row["cost_nano"] for row in rows}
    billed = {request_digest(line.request_id): line.cost_nano for line in rig.paid()}
    for answer in clients.paid:
        digest = request_digest(answer.header("x-request-id"))
        assert by_digest[digest] == billed[digest], "an answer that was given is booked as billed"
    known = sum(row["cost_nano"] or 0 for row in rows)
    posted = before["budgets.all/usd/day"].posted
    assert posted >= known
    assert posted >= sum(billed.values()), "what nobody counted counts at what it held"
    people = sum(one.posted for name, one in before.items() if name.startswith("budgets.people/"))
    assert people == posted
    assert before["budgets.all/calls/day"].posted == len(rows)
    assert rig.stop() == 0
    rig.log_file.unlink()
    if server is not None:
        server.say("FLUSHALL")
    rig.start(settings)
    after = until(lambda: _quiet(rig, caps, redis), rig.log)
    assert {name: one.posted for name, one in after.items()} == {
        name: one.posted for name, one in before.items()
    }


def test_after_kills_nothing_is_held_and_all_books_agree(tmp_path: Path) -> None:
    with running(tmp_path, _settings) as rig:
        clients = _storm(rig, ONE_BY_ONE, seed=5)
        assert len(clients.paid) > 5
        (left,) = rig.rows("SELECT count(*) AS calls FROM attempts WHERE outcome = 'left'")
        assert left["calls"] >= 2, "of calls whose worker was killed"
        _check(rig, clients, _settings(rig.sim))


def test_kills_never_let_more_through_than_the_limit(tmp_path: Path) -> None:
    """About a hundred calls fit, and each process is killed at least once among them."""
    limit_nano = 4_000_000

    def tight(sim: Simulator) -> dict[str, Any]:
        return _settings(sim, "$0.004")

    with running(tmp_path, tight) as rig:
        clients = _storm(rig, random.Random(11).sample(ROLES * 3, 8), seed=11)
        assert any(one.status == 402 for one in clients.answers)
        _check(rig, clients, tight(rig.sim))
        assert limit_nano // 2 < sum(line.cost_nano or 0 for line in rig.paid()) <= limit_nano


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_after_200_kills_the_same(tmp_path: Path, seed: int) -> None:
    with running(tmp_path, _settings) as rig:
        clients = _storm(rig, random.Random(seed).sample(ROLES * 3, 10), seed)
        _check(rig, clients, _settings(rig.sim))


@pytest.mark.parametrize(
    ("keeps", "later_s"),
    [
        ("yes", 1.5),
        ("no", 0.3),
        *(pytest.param("no", 0.1 * n, marks=pytest.mark.slow) for n in (1, 6, 9, 12, 15, 18)),
    ],
)
def test_redis_is_killed_and_comes_back(tmp_path: Path, keeps: str, later_s: float) -> None:
    """With nothing that it had counted, or with all of it; a worker dies while it is told."""
    with a_server("--save", "", "--appendonly", keeps, "--appendfsync", "always") as server:

        def counted(sim: Simulator) -> dict[str, Any]:
            return _settings(sim, state={"store": server.url})

        with running(tmp_path, counted) as rig:
            gang = Gang(rig, ("keeper", "worker 0", "worker 1"))
            clients = Clients(rig, 6, seed=3)
            time.sleep(1.5)
            server.kill()
            time.sleep(0.7)
            server.start()
            time.sleep(later_s)
            gang.kill("worker 1")
            time.sleep(2.5)
            clients.end()
            assert clients.paid
            _check(rig, clients, counted(rig.sim), server)
