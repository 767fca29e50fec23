"""What was spent is known again after a restart: account by account, to the nanodollar."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.gateway.purse.books import SOCKET as BOOKS
from bursar.gateway.purse.opening import SOCKET
from bursar.gateway.purse.purse import Purse
from bursar.ledger.counting import lengths_sql
from bursar.ledger.journal.remote import kept_ledger
from bursar.model.call import Tags
from bursar.price.book import load_book
from bursar.simulator.server import Simulator
from bursar.state.claims import Who
from bursar.state.memory import Memory
from bursar.state.terms import Standing
from tests.gateway.purse.accounts import caps_of, standings
from tests.gateway.purse.storm import Gang
from tests.gateway.rig import TENANT, Rig, message_body, running, settings_for, until

SQL = "SELECT call_id, epoch_ms(a.at) AS ms, cost_nano, outcome FROM attempts AS a ORDER BY 2"
MINI = "gpt-4o-mini"
CAPS: dict[str, Any] = {
    "listen": {"workers": 2},
    "tiers": {"gold": [TENANT]},
    "tags": {"many_values": ["region"]},
    "routes": [{"name": "triage", "when": {"tags": {"route": "triage"}}}],
    "budgets": {
        "all": {"limit": ["$5/day", "$50/month", "$9/24h"], "timezone": "Asia/Kolkata"},
        "ever": {"limit": ["$100", "1M tokens", "500 calls"], "every": "never"},
        "tenants": {"each": "tenant", "limit": "$7/day", "tiers": {"gold": "$8/day"}},
        "people": {"each": ["user", "tenant"], "limit": "90k tokens/day"},
        "keys": {"each": "key", "limit": "400 calls/week"},
        "models": {"each": "model", "limit": "$5/day"},
        "providers": {"each": "provider", "limit": "300 calls/7d"},
        "triage": {"where": {"routes": "triage"}, "limit": "$3/day"},
        "regions": {"each": "region", "limit": "$3/hour", "unknown": "pass"},
        "mini": {"where": {"models": "gpt-4o-m*"}, "limit": "100 calls/year"},
        "near": {"where": {"providers": "nearby"}, "limit": "$3/quarter"},
        "again": {"each": "is_retry", "limit": "$3/day"},
        "soft": {"limit": "$0.000001/day", "hard": False},
        "counted": {"every": "day"},
    },
    "tasks": {
        "agents": {"dollars": "$2", "tokens": "50k", "steps": 40, "wall": "30m"}
        | {"where": {"tags": {"team": "agents"}}},
    },
    "concurrency": {"keys": {"each": "key", "limit": 20}},
    "rates": {"keys": {"each": "key", "limit": "600 calls/min"}},
}


def _settings(sim: Simulator) -> dict[str, Any]:
    found = settings_for(sim, **CAPS)
    found["providers"]["nearby"] = {
        "base_url": sim.openai_url,
        "private": True,
        "key": "env:OPENAI_API_KEY",
        "prices": "openai",
    }
    found["models"].append({"match": "nearby-mini", "provider": "nearby", "model": MINI})
    found["calls"] = {"unpriced": "allow"}
    return found


def _who(model: str, provider: str, way: str = "default", **tags: Any) -> Who:
    return Who(Tags(tenant=TENANT, **tags), "tests", way, model, provider)


WHOS = [
    _who(MINI, "openai", user="ann"),
    _who(MINI, "openai", user="ben", other={"region": "eu|west"}),
    _who(MINI, "nearby"),
    _who(MINI, "openai", "triage", user="ann", route="triage"),
    _who("claude-sonnet-4-6", "anthropic", user="ann"),
    _who(MINI, "openai", team="agents", session="one"),
    _who(MINI, "openai", team="agents", session="auto-two"),
    _who(MINI, "openai", is_retry=True),
    _who("unheard-of", "openai", user="ann"),
]


def _calls(rig: Rig) -> None:
    rig.chat("one", {"x-bursar-user": "ann"})
    rig.chat("two", {"x-bursar-user": "ben", "x-bursar-region": "eu|west"})
    rig.chat("three", model="nearby-mini")
    rig.chat("four", {"x-bursar-user": "ann", "x-bursar-route": "triage"}, stream=True)
    rig.post("/v1/messages", message_body("five"), {"x-bursar-user": "ann"})
    for session in ("one", "auto-two", "one"):
        rig.chat("six", {"x-bursar-team": "agents", "x-bursar-session": session})
    rig.chat("seven", {"x-bursar-is-retry": "true"})
    rig.chat("nine", {"x-bursar-user": "ann"}, model="unheard-of")
    for fault in ("error=500", "garbage", "no_usage", "absurd=huge", "cut=2", "error_event=2"):
        for stream in (False, True):
            try:
                rig.chat(
                    f"ten {fault}", {"x-simulate": fault, "x-bursar-user": "ann"}, stream=stream
                )
            except OSError:
                continue
            except http.client.HTTPException:
                continue


def _same(before: dict[str, Standing], after: dict[str, Standing]) -> None:
    assert before.keys() == after.keys()
    for name, was in before.items():
        now = after[name]
        assert (now.posted, now.held, now.suspect) == (was.posted, was.held, was.suspect), name
        if "/wall/" in name:
            assert now.born_ms == was.born_ms, name


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("rebuilding"), _settings) as one:
        yield one


def test_every_account_is_the_same_after_a_restart(rig: Rig) -> None:
    caps = caps_of(_settings(rig.sim))
    assert {len(standings(rig.home, caps, WHOS)) > 30}
    _calls(rig)
    before = until(lambda: _settled(rig), rig.log)
    assert before["budgets.counted/usd/day"].posted > 0
    assert before["tasks.agents/calls/2592000s|session=one|tenant=acme"].posted == 2
    assert before["budgets.triage/usd/day"].posted > 0
    assert before["budgets.near/usd/quarter"].posted > 0
    _check_lengths(rig)
    assert rig.stop() == 0
    rig.log_file.unlink()
    rig.start(_settings(rig.sim))
    _same(before, standings(rig.home, caps, WHOS))


def _check_lengths(rig: Rig) -> None:
    """The lengths that the next start begins with: of whole answers, by kind of call."""
    ledger = until(lambda: kept_ledger(rig.home / BOOKS, rig.home / "ledger.duckdb"), rig.log)
    told = ledger.rows(*lengths_sql(2))
    ledger.close()
    kinds = [tuple(row[:3]) for row in told]
    assert ("triage", MINI, False) in kinds
    assert ("default", "claude-sonnet-4-6", False) in kinds
    assert kinds.count(("default", MINI, False)) == 2, "the latest two"
    purse = Purse(Memory(), load_book(), "one")
    purse.know_lengths(("default", MINI, False), [40] * 50)
    assert purse._lengths_of(("default", MINI, False))[0].quantile(0.95, 16_000) < 50


def _settled(rig: Rig) -> dict[str, Standing] | None:
    """Once nothing is under way."""
    found = standings(rig.home, caps_of(_settings(rig.sim)), WHOS)
    return None if any(one.held for one in found.values()) else found


def _plain(sim: Simulator) -> dict[str, Any]:
    return settings_for(sim, listen={"workers": 2})


def test_a_cap_that_is_added_counts_what_was_spent_before_it(tmp_path: Path) -> None:
    """Also a call that is under way when the cap comes, and those of the next moments."""
    who = [_who(MINI, "openai", user="ann")]
    with running(tmp_path, _plain) as rig:
        for _ in range(3):
            assert rig.chat("before", {"x-bursar-user": "ann"}).status == 200
        assert not (rig.home / SOCKET).exists(), "nothing to count, so no process for it"
        slow = {"x-bursar-user": "ann", "x-simulate": "none; latency_ms=6000"}
        under_way = threading.Thread(target=rig.chat, args=("slow", slow))
        under_way.start()
        settings = _plain(rig.sim) | {"budgets": {"people": {"each": "user", "limit": "$1/day"}}}
        rig.write(settings)
        for _ in range(40):
            assert rig.chat("meanwhile", {"x-bursar-user": "ann"}).status == 200
            time.sleep(0.1)
        under_way.join()
        caps = caps_of(settings)

        def agrees() -> bool:
            (row,) = rig.rows("SELECT sum(cost_nano)::BIGINT AS nano, count(*) AS n FROM attempts")
            try:
                (found,) = standings(rig.home, caps, who).values()
            except (OSError, AssertionError):
                return False
            return row["n"] == 44 and (found.posted, found.held) == (row["nano"], 0)

        until(agrees, lambda: f"{standings(rig.home, caps, who)}; {rig.rows(SQL)} {rig.log()}")
        settings["budgets"]["people"]["limit"] = "$0.000001/day"
        rig.write(settings)
        until(lambda: rig.chat("no more", {"x-bursar-user": "ann"}).status == 402, rig.log)


def test_only_the_keeper_loads_the_database(rig: Rig) -> None:
    assert rig.chat("any").status == 200
    loaded = {
        role: "duckdb" in Path(f"/proc/{pid}/maps").read_text()
        for role, pid in Gang(rig).pids.items()
    }
    assert loaded == {"keeper": True, "purse": False, "worker 0": False, "worker 1": False}
