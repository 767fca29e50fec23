"""The store behind a socket: under the laws of every store, and what its line promises."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from bursar.gateway.purse.host import Host, Served, bound
from bursar.gateway.purse.sharing import LENGTH, SharedStore
from bursar.state.terms import Ask, Claim, StoreLost
from state.machine import Subject, machine_of

LAWS = settings(
    max_examples=15,
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
NODE = "here"
KEPT = 40
"""Stores; a history makes fewer."""
CLAIM = Claim("all", 10, 100)


@asynccontextmanager
async def a_host(place: Path, *nodes: str) -> AsyncIterator[Host]:
    host = Host(*nodes)
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: Served(host), sock=bound(place)
    )
    try:
        yield host
    finally:
        server.close()
        for line in list(host.lines.values()):
            line.broken()
        await asyncio.sleep(0)


def _ask(number: int, amount: int = 10, owner: str = "one") -> Ask:
    return Ask(f"{number}.0", 1_000, 60_000, (Claim("all", amount, 100),), owner=owner)


async def _back(store: SharedStore) -> None:
    for _ in range(200):
        try:
            await store.is_whole()
        except StoreLost:
            await asyncio.sleep(0.02)
            continue
        return
    raise AssertionError("the line does not come back")


def test_laws(tmp_path: Path) -> None:
    loop, numbers = asyncio.new_event_loop(), count()
    made: list[tuple[SharedStore, asyncio.AbstractServer]] = []

    async def open_one(nodes: Sequence[str]) -> SharedStore:
        while len(made) > KEPT:
            store, server = made.pop(0)
            await store.close()
            server.close()
        host, place = Host(*nodes), tmp_path / f"sock{next(numbers)}"
        server = await loop.create_unix_server(lambda: Served(host), sock=bound(place))
        store = SharedStore(place, "machine")
        assert await store.open()
        made.append((store, server))
        return store

    def drive(step: Coroutine[Any, Any, Any]) -> Any:
        return loop.run_until_complete(asyncio.wait_for(step, 10))

    def make(nodes: Sequence[str]) -> SharedStore:
        return drive(open_one(nodes))

    run_state_machine_as_test(machine_of(Subject(make, drive)), settings=LAWS)
    for store, server in made:
        drive(store.close())
        server.close()
    drive(asyncio.sleep(0.01))
    loop.close()


def test_a_thousand_calls_at_once_hold_no_more_than_the_limit(tmp_path: Path) -> None:
    async def run() -> None:
        async with a_host(tmp_path / "sock") as host:
            stores = [SharedStore(tmp_path / "sock", f"worker {n}") for n in range(2)]
            assert all([await one.open() for one in stores])
            denials = await asyncio.gather(
                *(stores[number % 2].reserve(_ask(number)) for number in range(1_000))
            )
            assert sum(one is None for one in denials) == 10
            (found,) = host.counts.standings((CLAIM,))
            assert found.held == 100
            for one in stores:
                await one.close()

    asyncio.run(run())


def test_what_a_worker_held_is_suspect_as_soon_as_its_line_breaks(tmp_path: Path) -> None:
    async def run() -> None:
        async with a_host(tmp_path / "sock") as host:
            gone, stays = (SharedStore(tmp_path / "sock", owner) for owner in ("one", "two"))
            assert await gone.open()
            assert await stays.open()
            await gone.reserve(_ask(1))
            await stays.reserve(_ask(2, owner="two"))
            await gone.close()
            while host.count > 1:
                await asyncio.sleep(0.001)
            (found,) = await stays.standings((CLAIM,))
            assert (found.held, found.suspect) == (10, 10)
            assert [one.key for one in await stays.suspects(5)] == ["1.0"]
            again = SharedStore(tmp_path / "sock", "one")
            assert await again.open()
            await again.renew(("1.0",), 2_000)
            (found,) = await stays.standings((CLAIM,))
            assert (found.held, found.suspect) == (20, 0)
            await again.close()
            await stays.close()

    asyncio.run(run())


def test_a_purse_that_ends_is_away_at_once_and_strange_until_it_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        store = SharedStore(tmp_path / "sock", "one")
        assert not await store.open()
        with pytest.raises(StoreLost):
            await store.reserve(_ask(0))
        async with a_host(tmp_path / "sock", NODE):
            await _back(store)
            await store.rebuild(NODE, (), (), 1)
            assert await store.reserve(_ask(1)) is None
        with pytest.raises(StoreLost):
            await asyncio.wait_for(store.settle("1.0", (5,), 2), 0.5)
        async with a_host(tmp_path / "sock", NODE) as host:
            await _back(store)
            host.counts.rebuild(NODE, (), (), 1)
            assert not await store.is_whole(), "another worker has told, but not this one"
            with pytest.raises(StoreLost, match="told anew"):
                await store.settle("1.0", (5,), 2)
            await store.rebuild(NODE, (), (), 1)
            await store.restore(_ask(1))
            assert (await store.settle("1.0", (5,), 2)).new
        await store.close()

    asyncio.run(run())


def test_a_purse_that_hangs_is_away_after_its_time(tmp_path: Path) -> None:
    async def run() -> None:
        line = bound(tmp_path / "sock")
        line.listen()
        store = SharedStore(tmp_path / "sock", "one", timeout_s=0.1)
        assert not await asyncio.wait_for(store.open(), 1)
        await store.close()
        line.close()

    asyncio.run(run())


@pytest.mark.parametrize("raw", [b"\xff" * 8, LENGTH.pack(3) + b"abc", LENGTH.pack(2**31) + b"x"])
def test_what_is_no_step_ends_the_line_and_nothing_else(tmp_path: Path, raw: bytes) -> None:
    async def run() -> None:
        async with a_host(tmp_path / "sock"):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "sock"))
            writer.write(raw)
            assert await asyncio.wait_for(reader.read(), 2) == b""
            writer.close()
            store = SharedStore(tmp_path / "sock", "one")
            assert await store.open()
            assert await store.reserve(_ask(1)) is None
            with pytest.raises(ValueError, match="amounts"):
                await store.settle("1.0", (1, 2), 2)
            await store.close()

    asyncio.run(run())


def test_only_the_owner_may_open_it(tmp_path: Path) -> None:
    line = bound(tmp_path / "sock")
    assert stat.S_IMODE(os.stat(tmp_path / "sock").st_mode) == 0o600
    line.close()
