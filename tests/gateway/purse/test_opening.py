"""Which store a worker counts in, and what it may spend without it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bursar.gateway.purse.local import LocalShare
from bursar.gateway.purse.opening import Gate, give_share, has_caps, shares_purse, store_of
from bursar.gateway.purse.sharing import SharedStore
from bursar.gateway.settings import Settings
from bursar.gateway.settings.reading import parse_settings
from bursar.model.errors import BadInput
from bursar.state.budgets import Limit, Rule
from bursar.state.claims import Drawn, Mark
from bursar.state.memory import Memory
from bursar.state.redis import RedisStore
from bursar.state.terms import Ask, Claim, StoreLost

REDIS = "redis://127.0.0.1:6379/0"


def _settings(**given: Any) -> Settings:
    return parse_settings(msgspec.json.encode(given), "settings", {})


def _store(given: Settings, workers: int, **environ: str) -> Any:
    return store_of(given, environ, Path("/nowhere"), "here/0/1", workers)


def test_memory_is_each_workers_own_where_there_is_one_and_shared_where_there_are_more() -> None:
    assert isinstance(_store(_settings(), 1), Memory)
    assert isinstance(_store(_settings(), 2), SharedStore)
    assert not shares_purse(_settings(), 1)
    assert shares_purse(_settings(), 2)
    assert not has_caps(_settings())
    assert has_caps(_settings(rates={"all": {"limit": "9 calls/s"}}))


def test_redis_is_named_as_it_is_or_by_a_reference(tmp_path: Path) -> None:
    pytest.importorskip("redis", reason="redis is not installed")
    (tmp_path / "url").write_text(REDIS)
    for named in (REDIS, "env:REDIS_URL", f"file:{tmp_path / 'url'}"):
        given = _settings(state={"store": named})
        assert isinstance(_store(given, 2, REDIS_URL=REDIS), RedisStore)
        assert not shares_purse(given, 2)
    with pytest.raises(BadInput, match="env:REDIS_URL is not there"):
        _store(_settings(state={"store": "env:REDIS_URL"}), 2)


def _admitted(away: LocalShare, limit: int) -> int:
    """How many calls of 1 pass without the store."""
    mark = Mark(Rule(kind="budgets", name="all"), Limit(unit="usd", amount=limit), limit, ())
    count = 0
    while True:
        claims = (Claim("all", 1, limit),)
        ask = Ask(f"{count}.0", 1, 1_000, claims)
        if away.reserve(ask, Drawn(claims, (), (mark,), ())) is not None:
            return count
        count += 1


def test_the_share_of_a_machine_is_split_among_its_workers() -> None:
    given = _settings(state={"store": REDIS, "local_share": "2%"})
    for workers, most in ((1, 200), (3, 66), (8, 25)):
        away = LocalShare(lambda: 1)
        give_share(away, given.state, workers)
        assert _admitted(away, 10_000) == most
    away = LocalShare(lambda: 1)
    give_share(away, _settings().state, 2)
    assert _admitted(away, 10_000) == 0, "memory that is gone is in nobody's share"


def test_behind_a_shut_gate_the_store_is_away() -> None:
    async def run() -> None:
        gate = Gate(Memory())
        ask = Ask("1.0", 1, 1_000, (Claim("all", 1, 10),))
        gate.shut = "not yet"
        for step in (gate.reserve(ask), gate.settle("1.0", (1,), 1), gate.void("1.0", 1)):
            with pytest.raises(StoreLost, match="not yet"):
                await step
        gate.shut = ""
        assert await gate.reserve(ask) is None

    asyncio.run(run())
