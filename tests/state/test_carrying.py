"""What a ledger tells beside the counts, and who is suspect: the same laws in memory and Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.state.memory import Memory
from bursar.state.redis import RedisStore
from bursar.state.terms import Ask, Carried, Claim, Store
from state.redis.rig import NAMES, Server, a_server

SLOTS = (0, 60_000)
TOLD = st.lists(
    st.tuples(
        st.sampled_from(("north", "south")),
        st.sampled_from(("a", "b")),
        st.sampled_from(SLOTS),
        st.integers(0, 50),
    ),
    max_size=12,
)


def _both(law: Callable[[Store], Awaitable[None]], server: Server) -> None:
    async def run() -> None:
        await law(Memory())
        store = RedisStore(server.url, name=next(NAMES), nodes=0, timeout_ms=5_000)
        await law(store)
        await store.close()

    asyncio.run(run())


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=TOLD, own=st.integers(0, 9))
def _last_word(server: Server, told: list[tuple[str, str, int, int]], own: int) -> None:
    async def law(store: Store) -> None:
        claims = [Claim(name, own, None, slot) for name in "ab" for slot in SLOTS]
        for number, claim in enumerate(claims):
            await store.reserve(Ask(f"{number}.0", 1, 1_000, (claim,)))
            await store.settle(f"{number}.0", (own,), 1)
        last: dict[tuple[str, str, int], int] = {}
        for teller, name, slot, posted in told:
            await store.carry(teller, (Carried(name, slot, posted),), 1)
            last[teller, name, slot] = posted
        found = await store.standings(tuple(claims))
        for claim, one in zip(claims, found, strict=True):
            beside = sum(
                posted
                for (_, name, slot), posted in last.items()
                if (name, slot) == (claim.account, claim.slot)
            )
            assert one.posted == own + beside

    _both(law, server)


def test_the_last_word_of_each_teller_counts_beside_what_was_reserved() -> None:
    with a_server() as server:
        _last_word(server)


def test_a_suspect_is_told_until_it_is_settled_voided_or_heard_of() -> None:
    async def law(store: Store) -> None:
        for number in range(4):
            owner = "gone" if number < 3 else "here"
            claims = (Claim("a", 5, None), Claim("b", number, None))
            ask = Ask(f"{number}.0", 1, 1_000, claims, owner=owner, note=f"uc {number}")
            await store.reserve(ask)
        assert await store.suspects(10) == []
        await store.extend("1.0", (2, 3), 1)
        assert await store.abandon("gone", 1) == 3
        found = {one.key: (one.note, one.amounts) for one in await store.suspects(10)}
        assert found == {
            "0.0": ("uc 0", (5, 0)),
            "1.0": ("uc 1", (7, 4)),
            "2.0": ("uc 2", (5, 2)),
        }
        assert len(await store.suspects(2)) == 2
        await store.settle("0.0", (1, 1), 2)
        await store.void("1.0", 2)
        await store.renew(("2.0",), 2)
        assert await store.suspects(10) == []

    with a_server() as server:
        _both(law, server)
