"""Redis as a store: what only this one promises, and an example of each step."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from bursar.model.errors import BadInput
from bursar.state.redis import RedisStore
from bursar.state.terms import (
    Ask,
    Carried,
    Claim,
    Denial,
    Rate,
    Settled,
    Standing,
    StoreLost,
)
from state.redis.rig import Server, a_server, a_store, run, whole_store

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
DOLLAR, CENT = 10**9, 10**7


def ask(key: str, *claims: Claim, at_ms: int = NOW_MS, **words: Any) -> Ask:
    return Ask(key, at_ms, 60_000, claims, **words)


async def one(store: RedisStore, claim: Claim) -> Standing:
    return (await store.standings((claim,)))[0]


def test_each_step(server: Server) -> None:
    async def steps() -> None:
        store = a_store(server)
        claim = Claim("month|acme", 30, 100)
        assert not await store.is_whole()
        with pytest.raises(StoreLost, match="waits"):
            await store.reserve(ask("early.1", claim))
        await store.rebuild("node", (Carried("month|acme", 0, 20, 5),), ("old.1",), NOW_MS)
        await store.rebuild("node", (Carried("month|acme", 0, 20, 5),), ("old.1",), NOW_MS)
        assert await store.is_whole()
        await store.restore(ask("old.1", claim))
        await store.restore(ask("before.1", claim))
        assert await store.reserve(ask("a.1", claim)) is None
        assert await store.reserve(ask("a.1", claim)) is None
        denial = Denial("limit", 0, 100, posted=20, held=60)
        assert await store.reserve(ask("b.1", claim)) == denial
        assert await store.extend("a.1", (20,), NOW_MS) is None
        assert await store.extend("a.1", (1,), NOW_MS) == Denial("limit", 0, 100, 20, 80)
        assert await store.extend("c.1", (1,), NOW_MS) == Denial("age", 0)
        assert await store.extend("a.1", (-15,), NOW_MS) is None
        assert await store.extend("a.1", (16,), NOW_MS) == Denial("limit", 0, 100, 20, 65)
        assert await store.extend("a.1", (15,), NOW_MS) is None
        assert await store.settle("a.1", (60,), NOW_MS) == Settled(True, (10,), (110,))
        assert await store.settle("a.1", (60,), NOW_MS) == Settled(False)
        await store.renew(("before.1",), NOW_MS + 50_000)
        assert await store.sweep(NOW_MS + 60_000) == 0
        assert await store.sweep(NOW_MS + 110_000) == 1
        assert await one(store, claim) == Standing("month|acme", 80, 0, 30, 80, 10, 5)
        assert await store.void("before.1", NOW_MS)
        assert not await store.void("before.1", NOW_MS)
        assert await one(store, claim) == Standing("month|acme", 80, 0, 0, 80, 10, 5)

    run(steps())


def test_a_late_word_makes_no_lease_shorter(server: Server) -> None:
    async def steps() -> None:
        store = await whole_store(server)
        claim = Claim("a", 1, None)
        await store.reserve(ask("a.1", claim))
        await store.renew(("a.1",), NOW_MS + 30_000)
        await store.renew(("a.1", "nobody.1"), NOW_MS)
        assert await store.sweep(NOW_MS + 89_999) == 0
        assert await store.sweep(NOW_MS + 90_000) == 1
        # Nor that of one which was suspect already.
        await store.renew(("a.1",), NOW_MS)
        assert (await one(store, claim)).held == 1
        assert await store.sweep(NOW_MS + 89_999) == 0
        assert await store.sweep(NOW_MS + 90_000) == 1
        assert (await one(store, claim)).suspect == 1

    run(steps())


def test_rates(server: Server) -> None:
    async def steps() -> None:
        store = await whole_store(server)
        rate = (Rate("key", 2, 3, 60_000_000),)
        assert await store.reserve(ask("a.1", rates=rate)) is None
        assert await store.reserve(ask("b.1", rates=rate)) == Denial("rate", 0, retry_ms=20_000)
        assert await store.reserve(ask("b.1", rates=rate, at_ms=NOW_MS + 20_000)) is None
        never = (Rate("other", 4, 3, 1_000),)
        assert await store.reserve(ask("c.1", rates=never)) == Denial("rate", 0)

    run(steps())


def test_a_workers_end_makes_what_it_held_suspect(server: Server) -> None:
    async def steps() -> None:
        store = await whole_store(server)
        claim = Claim("all", 1, None)
        asks = [ask(f"{n}.1", claim, owner=f"worker {n % 3}") for n in range(1_600)]
        await asyncio.gather(*map(store.reserve, asks))
        assert await store.abandon("worker 1", NOW_MS) == 533
        assert await store.abandon("worker 1", NOW_MS) == 0
        assert (await one(store, claim)).suspect == 533
        assert await store.sweep(NOW_MS + 60_000) == 1_600 - 533

    run(steps())


def test_integers_stay_exact_beyond_what_lua_can_count(server: Server) -> None:
    async def steps() -> None:
        store = await whole_store(server)
        most = 2**53 - 1
        spent = 0
        for number, amount in enumerate((most, most - 1, 3, 5, most)):
            await store.reserve(ask(f"{number}.1", Claim("seen", amount, None)))
            settled = await store.settle(f"{number}.1", (amount,), NOW_MS)
            spent += amount
            assert settled == Settled(True, (0,), (spent,))
        assert (await one(store, Claim("seen", 0, None))).total == spent
        full = await store.reserve(ask("x.1", Claim("seen", 0, most)))
        assert full == Denial("limit", 0, most, posted=spent)

    run(steps())


@pytest.mark.parametrize(
    "claim",
    [
        Claim("a", 2**53, None),
        Claim("a", 1, 2**53),
        Claim("a", -1, None),
        Claim("a", 1, -1),
        Claim("a", 1, 1, slot=10**13),
    ],
)
def test_what_cannot_be_counted_exactly_is_refused(server: Server, claim: Claim) -> None:
    async def steps() -> None:
        store = await whole_store(server)
        with pytest.raises(BadInput, match="cannot be counted exactly"):
            await store.reserve(ask("a.1", claim))

    run(steps())


def test_names_of_callers_do_not_reach_the_server(server: Server) -> None:
    """Nor can they mean anything there."""
    names = ["tenant=ac me\r\nFLUSHALL\r\n", "}{bursar:x}:life", "p0", "*", "\ud800", "x" * 10_000]
    before = set(server.say("KEYS", "*"))

    async def steps() -> None:
        store = await whole_store(server, name="named")
        for number, name in enumerate(names):
            claim = Claim(name, number + 1, 100)
            for key in (f"{name}.1", f"call-{number}.1"):
                wanted = Ask(key, NOW_MS, 60_000, (claim,), (Rate(name, 1, 9, 1_000),), name)
                assert await store.reserve(wanted) is None
            assert (await one(store, claim)).held == 2 * (number + 1)

    run(steps())
    keys = set(server.say("KEYS", "*")) - before
    assert all(key.startswith("{bursar:named}:") and len(key) < 100 for key in keys)
    assert any("call-3.1" in key for key in keys)
    held = "".join(keys)
    for key in keys:
        if server.say("TYPE", key) == "hash":
            held += "".join(server.say("HGETALL", key))
    assert not [name for name in ("ac me", "FLUSHALL", "xxxx") if name in held]


def test_what_can_no_longer_count_expires(server: Server) -> None:
    """Everything has its end, but accounts and open reservations of windows that have none."""
    name = "expiring"

    async def steps() -> None:
        store = await whole_store(server, name=name)
        ends = Claim("ends", 1, None, slot=NOW_MS, since=NOW_MS, until=NOW_MS + 3_600_000)
        rolls = Claim("rolls", 1, None, NOW_MS, NOW_MS - 59_000, 1_000, NOW_MS + 60_000)
        never = Claim("never", 1, None)
        flight = Claim("flight", 1, 5)
        rate = (Rate("key", 1, 3, 60_000_000),)
        await store.reserve(ask("a.1", ends, rolls, rates=rate))
        await store.reserve(ask("b.1", flight))
        await store.settle("b.1", (0,), NOW_MS)
        await store.reserve(ask("c.1", never))

    run(steps())
    left: list[tuple[str, int]] = []
    for key in server.say("KEYS", f"{{bursar:{name}}}:*"):
        kind = key.split(":")[3] if key.count(":") > 2 else key.rsplit(":", 1)[1]
        left.append((kind, round(server.say("PTTL", key) / 3_600_000)))
    assert sorted(left) == [
        ("a", -0), ("a", 24), ("a", 24), ("a", 25), ("c", 32 * 24), ("g", 24), ("leases", 0),
        ("life", 0), ("r", 0), ("r", 24), ("r", 25),
    ]  # fmt: skip


def test_one_slot_of_a_cluster_holds_everything() -> None:
    with a_server("--cluster-enabled", "yes", "--save", "", "--port", "0") as server:
        assert server.say("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == "OK"

        async def steps() -> None:
            await asyncio.sleep(0)
            store = a_store(server)
            for _ in range(500):
                try:
                    await store.rebuild("node", (), (), NOW_MS)
                    break
                except StoreLost:
                    await asyncio.sleep(0.02)
            claims = [Claim(f"account {n}", 1, 10) for n in range(20)]
            assert await store.reserve(ask("a.1", *claims)) is None
            assert await store.settle("a.1", (2,) * 20, NOW_MS) == Settled(
                True, (0,) * 20, (2,) * 20
            )

        run(steps())


def test_two_installations_on_one_server_do_not_meet(server: Server) -> None:
    async def steps() -> None:
        one_store, other = await whole_store(server), await whole_store(server)
        claim = Claim("a", 5, 5)
        assert await one_store.reserve(ask("a.1", claim)) is None
        assert await other.reserve(ask("a.1", claim)) is None

    run(steps())


def test_two_nodes_make_the_same_key(server: Server) -> None:
    """Keys are numbers made from the time, and two nodes may begin in the same second."""

    async def steps() -> None:
        mine = await whole_store(server, name="alike", node="one", nodes=1)
        theirs = a_store(server, name="alike", node="two", nodes=1)
        claim = Claim("a", 5, 12)
        call = ask("383079564939763736.0", claim)
        assert await mine.reserve(call) is None
        assert await mine.reserve(call) is None
        assert await theirs.reserve(call) is None
        assert (await one(mine, claim)).held == 10
        assert await mine.reserve(ask("b.0", claim)) is not None
        assert await theirs.settle(call.key, (4,), NOW_MS) == Settled(True, (0,), (9,))
        assert await mine.settle(call.key, (7,), NOW_MS) == Settled(True, (0,), (11,))
        assert (await one(theirs, claim)).posted == 11

    run(steps())


def test_a_suspect_is_known_to_its_own_node_alone(server: Server) -> None:
    async def steps() -> None:
        mine = await whole_store(server, name="suspected", node="one", nodes=1)
        theirs = a_store(server, name="suspected", node="two", nodes=1)
        claim = Claim("a", 5, 12)
        assert await mine.reserve(ask("7.0", claim, owner="one/0/3")) is None
        assert await mine.abandon("one/0/3", NOW_MS) == 1
        assert [found.key for found in await mine.suspects(9)] == ["7.0"]
        (seen,) = await theirs.suspects(9)
        assert seen.key != "7.0"
        assert not await theirs.void("7.0", NOW_MS)
        assert (await one(theirs, claim)).suspect == 5
        assert await mine.void("7.0", NOW_MS)

    run(steps())


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "redis://:secret@localhost:port/0",
        "redis://:se/cret@localhost:6379/0",
        "redis://localhost?no_such_option=secret",
        "localhost:6379",
        "",
    ],
)
def test_an_address_that_cannot_be_read(url: str) -> None:
    with pytest.raises(BadInput, match="address of Redis") as bad:
        RedisStore(url)
    assert "secret" not in str(bad.value)
    assert "redis://host" in bad.value.mend


def test_a_name_that_is_none() -> None:
    with pytest.raises(BadInput, match="cannot name"):
        RedisStore("redis://localhost", name="a}b")


def test_without_the_extra_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from bursar.state.redis import RedisStore\n"
        "try: RedisStore('redis://localhost')\n"
        "except Exception as bad: print(type(bad).__name__, bad)"
    )
    words = [sys.executable, "-c", code]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.startswith("BadInput")
    assert "pip install 'bursar[redis]'" in said
