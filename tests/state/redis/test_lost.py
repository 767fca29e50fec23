"""A server that goes away, forgets, stands still or goes back in time."""

from __future__ import annotations

import asyncio
import shutil
import time

import pytest

from bursar.state.redis import RedisStore
from bursar.state.terms import Ask, Carried, Claim, Settled, StoreLost
from state.redis.rig import Server, a_server, a_store, run, until_back, whole_store

NOW_MS = 1_800_000_000_000
DOLLAR, CENT = 10**9, 10**7
CLAIM = Claim("tenant", CENT, DOLLAR)
LOGGED = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
TIMEOUT_MS = 250


def ask(key: str) -> Ask:
    return Ask(key, NOW_MS, 60_000, (CLAIM,))


async def counts(store: RedisStore) -> tuple[int, int, int]:
    is_at = (await store.standings((CLAIM,)))[0]
    return is_at.posted, is_at.held, is_at.suspect


async def spend(store: RedisStore, first: int, count: int) -> None:
    """As many calls, each settled at a cent less one nanodollar."""
    for number in range(first, first + count):
        assert await store.reserve(ask(f"{number}.1")) is None
        assert (await store.settle(f"{number}.1", (CENT - 1,), NOW_MS)).new


def test_killed_with_a_log_it_comes_back_whole() -> None:
    async def steps(server: Server) -> None:
        store = await whole_store(server, nodes=1)
        await spend(store, 0, 20)
        assert await store.reserve(ask("open.1")) is None
        server.kill()
        with pytest.raises(StoreLost):
            await store.reserve(ask("lost.1"))
        server.start()
        assert await until_back(store)
        assert await counts(store) == (20 * (CENT - 1), CENT, 0)
        assert (await store.settle("open.1", (5,), NOW_MS)).new

    with a_server(*LOGGED) as server:
        run(steps(server))


@pytest.mark.parametrize("how", ["kill", "FLUSHALL", "DEL"])
def test_wiped_it_admits_nothing_until_it_was_told(how: str) -> None:
    """Then it is exact again, and what it knew twice counts once."""

    async def steps(server: Server) -> None:
        name = "wiped"
        stores = [await whole_store(server, name=name, nodes=1) for _ in range(2)]
        await spend(stores[0], 0, 20)
        assert await stores[0].reserve(ask("open.1")) is None
        assert await stores[1].reserve(ask("other.1")) is None
        if how == "kill":
            server.kill()
            server.start()
            for store in stores:
                await until_back(store)
        elif how == "FLUSHALL":
            assert server.say("FLUSHALL") == "OK"
        else:
            assert server.say("DEL", "{bursar:wiped}:life") == 1
        for store in stores:
            for _ in range(2):
                with pytest.raises(StoreLost):
                    await store.reserve(ask("new.1"))
                with pytest.raises(StoreLost):
                    await store.settle("open.1", (5,), NOW_MS)
            assert not await store.is_whole()
        carried = (Carried("tenant", 0, 20 * (CENT - 1), NOW_MS - 9),)
        done = tuple(f"{number}.1" for number in range(20))
        await stores[0].rebuild("node", carried, done, NOW_MS)
        await stores[0].restore(ask("open.1"))
        await stores[0].restore(ask("3.1"))
        assert await stores[0].is_whole()
        # The other one has worked with what is lost, so it must tell as well; told twice is once.
        with pytest.raises(StoreLost):
            await stores[1].settle("other.1", (5,), NOW_MS)
        assert not await stores[1].is_whole()
        await stores[1].rebuild("node", carried, done, NOW_MS)
        await stores[1].restore(ask("other.1"))
        assert await stores[1].settle("3.1", (CENT,), NOW_MS) == Settled(False)
        assert await counts(stores[1]) == (20 * (CENT - 1), 2 * CENT, 0)
        admitted = [
            number
            for number in range(100, 300)
            if await stores[number % 2].reserve(ask(f"{number}.1")) is None
        ]
        assert len(admitted) == (DOLLAR - 20 * (CENT - 1) - 2 * CENT) // CENT
        assert (await stores[0].settle("open.1", (7,), NOW_MS)).new

    with a_server() as server:
        run(steps(server))


def test_it_waits_for_as_many_nodes_as_there_are() -> None:
    async def steps(server: Server) -> None:
        stores = [a_store(server, name="shared", nodes=2) for _ in range(2)]
        for node, store in zip(("one", "two"), stores, strict=True):
            assert not await store.is_whole()
            with pytest.raises(StoreLost):
                await store.reserve(ask("a.1"))
            for _ in range(2):
                await store.rebuild(node, (Carried("tenant", 0, 3),), (), NOW_MS)
        for store in stores:
            assert await store.is_whole()
            assert await counts(store) == (6, 0, 0)

    with a_server() as server:
        run(steps(server))


def test_a_ledger_of_many_accounts_is_told_in_one_step() -> None:
    async def steps(server: Server) -> None:
        store = a_store(server)
        carried = tuple(Carried(f"session {number}", 0, number) for number in range(20_000))
        done = tuple(f"{number}.1" for number in range(20_000))
        await store.rebuild("node", carried, done, NOW_MS)
        claims = [Claim(f"session {number}", 0, None) for number in range(0, 20_000, 7)]
        told = await store.standings(claims)
        assert [one.posted for one in told] == list(range(0, 20_000, 7))
        assert await store.reserve(ask("19999.1")) is None
        assert await counts(store) == (0, 0, 0)

    with a_server() as server:
        run(steps(server))


def test_what_it_had_acknowledged_and_lacks_is_noticed() -> None:
    """A failover, or a restart, that lost the last writes: as if wiped, whoever comes first."""

    async def steps(server: Server) -> None:
        name = "older"
        writer = await whole_store(server, name=name, nodes=1)
        reader = await whole_store(server, name=name, nodes=1)
        await spend(writer, 0, 5)
        await counts(reader)
        assert server.say("SAVE") == "OK"
        shutil.copy(server.folder / "dump.rdb", server.folder / "older")
        await spend(writer, 5, 5)
        server.kill()
        shutil.copy(server.folder / "older", server.folder / "dump.rdb")
        server.start()
        # The reader had written nothing since, so to it all is well; the writer knows better.
        assert await until_back(reader)
        assert await counts(reader) == (5 * (CENT - 1), 0, 0)
        assert not await until_back(writer)
        with pytest.raises(StoreLost):
            await writer.reserve(ask("a.1"))
        with pytest.raises(StoreLost):
            await reader.reserve(ask("a.1"))
        for store in (writer, reader):
            told = (Carried("tenant", 0, 10 * (CENT - 1)),)
            await store.rebuild("node", told, (), NOW_MS)
            assert await store.is_whole()
            assert await counts(store) == (10 * (CENT - 1), 0, 0)

    with a_server() as server:
        run(steps(server))


def test_restarted_with_all_it_had_acknowledged_nothing_is_lost() -> None:
    async def steps(server: Server) -> None:
        store = await whole_store(server, nodes=1)
        await spend(store, 0, 5)
        assert server.say("SAVE") == "OK"
        server.kill()
        server.start()
        assert await until_back(store)
        assert await counts(store) == (5 * (CENT - 1), 0, 0)

    with a_server() as server:
        run(steps(server))


def test_it_stands_still() -> None:
    """Every call ends in time; the first ones by the timeout, all others at once. What the server
    still did with them when it went on is undone."""

    async def steps(server: Server) -> None:
        store = await whole_store(server, timeout_ms=TIMEOUT_MS)
        assert await store.reserve(ask("before.1")) is None
        server.pause()
        begun = time.perf_counter()
        lost = await asyncio.gather(
            *(store.reserve(ask(f"{number}.1")) for number in range(300)), return_exceptions=True
        )
        assert time.perf_counter() - begun < 2 * TIMEOUT_MS / 1000 + 1
        assert {type(one) for one in lost} == {StoreLost}
        begun = time.perf_counter()
        for number in range(100):
            with pytest.raises(StoreLost, match="did not answer in time"):
                await store.reserve(ask(f"{number}.2"))
        assert time.perf_counter() - begun < 0.5
        await asyncio.sleep(1)
        server.go_on()
        assert await until_back(store)
        assert await counts(store) == (0, CENT, 0)
        assert await store.reserve(ask("1.1")) is None
        assert await counts(store) == (0, 2 * CENT, 0)
        assert (await store.settle("before.1", (1,), NOW_MS)).new

    with a_server() as server:
        run(steps(server))


def test_it_is_slow_once() -> None:
    async def steps(server: Server) -> None:
        store = await whole_store(server, timeout_ms=TIMEOUT_MS)
        sleeping = asyncio.get_running_loop().run_in_executor(
            None, server.say, "DEBUG", "SLEEP", "0.8"
        )
        await asyncio.sleep(0.05)
        begun = time.perf_counter()
        with pytest.raises(StoreLost):
            await store.reserve(ask("a.1"))
        assert time.perf_counter() - begun < TIMEOUT_MS / 1000 + 0.4
        await sleeping
        assert await until_back(store)
        assert await counts(store) == (0, 0, 0)

    with a_server() as server:
        run(steps(server))


def test_nobody_is_there() -> None:
    async def steps() -> None:
        for url in ("redis://127.0.0.1:1/0", "unix:///no/such/socket"):
            store = RedisStore(url)
            begun = time.perf_counter()
            for _ in range(50):
                with pytest.raises(StoreLost, match="cannot be used"):
                    await store.reserve(ask("a.1"))
            assert time.perf_counter() - begun < 3
            await store.close()
            with pytest.raises(StoreLost, match="closed"):
                await store.reserve(ask("a.1"))

    run(steps())


def test_scripts_are_forgotten() -> None:
    async def steps(server: Server) -> None:
        store = await whole_store(server)
        await spend(store, 0, 2)
        assert server.say("SCRIPT", "FLUSH") == "OK"
        await spend(store, 2, 2)
        assert await counts(store) == (4 * (CENT - 1), 0, 0)

    with a_server() as server:
        run(steps(server))


def test_killed_again_and_again_under_load_no_hold_leaks_and_nothing_overshoots() -> None:
    async def steps(server: Server) -> None:
        stores = [await whole_store(server, name="load", nodes=1) for _ in range(2)]
        over = False
        posted = 0
        kept: list[tuple[RedisStore, str]] = []

        async def calls(number: int) -> None:
            nonlocal posted
            store, turn = stores[number % 2], 0
            while not over:
                turn += 1
                key = f"{number}-{turn}.1"
                try:
                    denial = await store.reserve(ask(key))
                except StoreLost:
                    await asyncio.sleep(0.002)
                    continue
                if denial is None:
                    kept.append((store, key))
                    await asyncio.sleep(0)
                else:
                    await asyncio.sleep(0.002)
                if len(kept) > 60:
                    await settle_one()

        async def settle_one() -> None:
            nonlocal posted
            store, key = kept.pop()
            while True:
                try:
                    settled = await store.settle(key, (1_000,), NOW_MS)
                except StoreLost:
                    await asyncio.sleep(0.002)
                    continue
                # False where the first one was done and its answer was lost.
                posted += 1_000
                assert not any(settled.over)
                return

        load = [asyncio.ensure_future(calls(number)) for number in range(40)]
        for _ in range(5):
            await asyncio.sleep(0.15)
            server.kill()
            server.start()
        over = True
        await asyncio.gather(*load)
        for store in stores:
            assert await until_back(store)
        assert await counts(stores[0]) == (posted, len(kept) * CENT, 0)
        while kept:
            await settle_one()
        assert await counts(stores[0]) == (posted, 0, 0)

    with a_server(*LOGGED) as server:
        run(steps(server))


def test_a_server_that_forgets_when_it_is_full_is_refused() -> None:
    async def steps(server: Server) -> None:
        store = a_store(server)
        with pytest.raises(StoreLost, match="forgets keys when it is full"):
            await store.is_whole()

    with a_server("--maxmemory", "50mb", "--maxmemory-policy", "volatile-lru") as server:
        run(steps(server))


def test_a_full_server_takes_nothing_on() -> None:
    async def steps(server: Server) -> None:
        store = await whole_store(server)
        server.say("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreLost):
            await store.reserve(ask("a.1"))
        server.say("CONFIG", "SET", "maxmemory", "0")
        assert await until_back(store)
        assert await counts(store) == (0, 0, 0)
        assert await store.reserve(ask("a.1")) is None

    with a_server() as server:
        run(steps(server))
