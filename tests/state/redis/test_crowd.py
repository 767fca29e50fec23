"""Many at once, from two clients: what fits is admitted, to the last cent, and nothing more."""

from __future__ import annotations

import asyncio

import pytest

from bursar.state.terms import Ask, Claim, Rate
from state.redis.rig import NAMES, Server, a_store, run, whole_store

NOW_MS = 1_800_000_000_000
DOLLAR, CENT = 10**9, 10**7


@pytest.mark.parametrize("count", [10, 100, 1_000, 10_000])
def test_a_dollar_holds_a_hundred_cents(server: Server, count: int) -> None:
    async def burst() -> None:
        name = next(NAMES)
        stores = [await whole_store(server, name=name) for _ in range(2)]
        claims = tuple(
            Claim(account, CENT, DOLLAR, NOW_MS, NOW_MS - 59_000, 1_000, NOW_MS + 60_000)
            if account == "rolling"
            else Claim(account, CENT, DOLLAR)
            for account in ("tenant", "session", "rolling")
        )
        asks = [Ask(f"{number}.1", NOW_MS, 60_000, claims) for number in range(count)]
        answers = await asyncio.gather(
            *(stores[number % 2].reserve(one) for number, one in enumerate(asks))
        )
        granted = [one.key for one, denial in zip(asks, answers, strict=True) if denial is None]
        assert len(granted) == min(count, 100)
        held = await stores[0].standings(claims)
        assert [one.held for one in held] == [len(granted) * CENT] * 3
        # Each is settled twice, once by either.
        for store in (stores[0], stores[1]):
            settled = await asyncio.gather(
                *(store.settle(key, (CENT - 1,) * 3, NOW_MS) for key in granted)
            )
            assert [one.new for one in settled] == [store is stores[0]] * len(granted)
        after = await stores[1].standings(claims)
        assert [(one.posted, one.held, one.worst_over) for one in after] == [
            (len(granted) * (CENT - 1), 0, 0)
        ] * 3

    run(burst())


def test_a_rate_admits_its_burst(server: Server) -> None:
    async def burst() -> None:
        name = next(NAMES)
        stores = [await whole_store(server, name=name) for _ in range(2)]
        rate = (Rate("key", 1, 60, 60_000_000),)
        asks = [Ask(f"{number}.1", NOW_MS, 1_000, rates=rate) for number in range(300)]
        answers = await asyncio.gather(
            *(stores[number % 2].reserve(one) for number, one in enumerate(asks))
        )
        assert answers.count(None) == 60

    run(burst())


def test_a_caller_who_is_gone_holds_nothing(server: Server) -> None:
    """Cancelled before, during and after the round trip; none of it is left held."""

    async def burst() -> None:
        store = await whole_store(server)
        claim = Claim("a", 1, None)
        calls = [
            asyncio.ensure_future(store.reserve(Ask(f"{number}.1", NOW_MS, 60_000, (claim,))))
            for number in range(600)
        ]
        for number, call in enumerate(calls):
            if number % 50 == 0:
                await asyncio.sleep(0)
            if number % 2:
                call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        granted = sum(one is None for one in answers)
        assert granted == 300
        assert (await store.standings((claim,)))[0].held == granted
        # One by one: also when the answer is there and the caller has not yet seen it.
        for number in range(400):
            key = f"alone-{number}.1"
            call = asyncio.ensure_future(store.reserve(Ask(key, NOW_MS, 60_000, (claim,))))
            for _ in range(number % 40):
                await asyncio.sleep(0)
            call.cancel()
            granted += (await asyncio.gather(call, return_exceptions=True))[0] is None
        assert (await store.standings((claim,)))[0].held == granted

    run(burst())


def test_who_asks_again_and_goes_does_not_take_what_was_granted(server: Server) -> None:
    async def burst() -> None:
        store = await whole_store(server)
        claim = Claim("a", 1, None)
        wanted = Ask("same.1", NOW_MS, 60_000, (claim,))
        assert await store.reserve(wanted) is None
        for number in range(240):
            again = asyncio.ensure_future(store.reserve(wanted))
            for _ in range(number % 60):
                await asyncio.sleep(0)
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)
        assert (await store.standings((claim,)))[0].held == 1

    run(burst())


def test_too_many_waiting_are_turned_away(server: Server) -> None:
    async def burst() -> None:
        store = a_store(server, most_waiting=50)
        await store.rebuild("node", (), (), NOW_MS)
        asks = [Ask(f"{number}.1", NOW_MS, 60_000, (Claim("a", 1, None),)) for number in range(80)]
        answers = await asyncio.gather(*map(store.reserve, asks), return_exceptions=True)
        assert answers.count(None) == 50
        assert (await store.standings((Claim("a", 0, None),)))[0].held == 50

    run(burst())
