"""Whatever is asked of it, Redis answers what memory answers.

Steps are drawn from a small world, so that keys meet again, limits are near, windows roll on and
back, and leases end; both stores take them one by one.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.state.memory import Memory
from bursar.state.redis import RedisStore
from bursar.state.terms import Ask, Carried, Claim, Rate, StoreLost
from state.redis.rig import NAMES, Server, a_loop

START_MS = 2_051_222_000_000
STEP_MS = 1_000
LENGTH_MS = 6 * STEP_MS
KEYS = st.sampled_from([f"call-{number}.1" for number in range(9)])
ACCOUNTS = ("day|a", "never|a", "roll|a", "roll|b", "open|a", "task|a")
AMOUNT = st.sampled_from((0, 1, 2, 3, 5, 8, 20))
LIMIT = st.sampled_from((None, 0, 5, 10, 20, 20, 40))
MORE = st.lists(AMOUNT, min_size=6, max_size=6)
Call = tuple[str, tuple[Any, ...]]
Step = tuple[int, str, tuple[Any, ...]]
"""When, which, with what."""


def claim_of(account: str, at_ms: int, amount: int, limit: int | None) -> Claim:
    kind, spare = account.split("|")[0], amount % 4
    if kind == "roll":
        slot = at_ms - at_ms % STEP_MS
        since = at_ms - LENGTH_MS + 1
        since -= since % STEP_MS
        until = slot + STEP_MS + LENGTH_MS - 1
        return Claim(account, amount, limit, slot, since, STEP_MS, until, spare=spare)
    if kind == "day":
        slot = at_ms - at_ms % 10_000
        return Claim(account, amount, limit, slot, slot, 0, slot + 10_000, spare=spare)
    if kind == "task":
        return Claim(account, amount, limit, most_age_ms=9_000)
    return Claim(account, amount, None if kind == "open" else limit)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    at_ms = START_MS
    steps: list[Step] = []
    for _ in range(draw(st.integers(4, 45))):
        at_ms += draw(st.sampled_from((0, 0, 1, 7, 400, 1_000, 2_500, 7_000, -600, -3_000)))
        key = draw(KEYS)
        name = draw(
            st.sampled_from(
                "reserve reserve reserve reserve settle settle settle extend extend void renew"
                " sweep restore standings abandon carry suspects".split()
            )
        )
        claims = [
            claim_of(one, at_ms, draw(AMOUNT), draw(LIMIT))
            for one in draw(
                st.lists(st.sampled_from(ACCOUNTS), unique=True, min_size=1, max_size=6)
            )
        ]
        if name in ("reserve", "restore"):
            rates = draw(
                st.lists(st.sampled_from((Rate("r", 1, 3, 7_000_001), Rate("t", 4, 9, 10**6))))
            )
            owner = draw(st.sampled_from(("", "worker 1")))
            lease_ms = draw(st.sampled_from((1, 900, 5_000)))
            note = draw(st.sampled_from(("", "ab worker 1")))
            ask = Ask(key, at_ms, lease_ms, tuple(claims), tuple(rates), owner, note)
            steps.append((at_ms, name, (ask,)))
        elif name in ("settle", "extend"):
            steps.append((at_ms, name, (key, tuple(draw(MORE)), at_ms)))
        elif name == "standings":
            steps.append((at_ms, name, (tuple(claims),)))
        elif name == "suspects":
            steps.append((at_ms, name, (100,)))
        elif name == "carry":
            born_ms = draw(st.sampled_from((None, at_ms - 500)))
            told = tuple(Carried(one.account, one.slot, one.amount, born_ms) for one in claims)
            teller = draw(st.sampled_from(("one", "other")))
            steps.append((at_ms, name, (teller, told, at_ms)))
        else:
            given_ = {"void": (key, at_ms), "renew": ((key, "call-1.1"), at_ms), "sweep": (at_ms,)}
            steps.append((at_ms, name, given_.get(name, ("worker 1", at_ms))))
    return steps


async def answer(store: Any, step: Call) -> Any:
    name, words = step
    try:
        said = await getattr(store, name)(*words)
        return set(said) if name == "suspects" else said
    except (StoreLost, ValueError) as bad:
        return type(bad)


def all_standings(at_ms: int) -> Call:
    claims = [claim_of(account, at_ms, 0, None) for account in ACCOUNTS]
    return ("standings", (tuple(claims),))


async def compare(redis: RedisStore, memory: Memory, steps: list[Step]) -> None:
    widths: dict[str, int] = {}
    for at_ms, name, words in steps:
        if name in ("settle", "extend"):
            # As many amounts as the reservation has claims, which only the history knows.
            words = (words[0], words[1][: widths.get(words[0], 0)], words[2])
        step = (name, words)
        was = await answer(memory, step)
        if name in ("reserve", "restore") and words[0].key not in widths and was is None:
            widths[words[0].key] = len(words[0].claims)
        assert await answer(redis, step) == was, step
        look = all_standings(at_ms)
        assert await answer(redis, look) == await answer(memory, look), step


@pytest.fixture(name="loop", scope="module")
def _loop() -> Any:
    with a_loop() as loop:
        yield loop


@settings(
    max_examples=320,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=histories(), told=st.booleans())
def test_answers_are_those_of_memory(
    server: Server, loop: asyncio.AbstractEventLoop, steps: list[Step], told: bool
) -> None:
    async def both() -> None:
        nodes = ("one", "two") if told else ()
        redis = RedisStore(server.url, name=next(NAMES), nodes=len(nodes), timeout_ms=5_000)
        memory = Memory(nodes)
        try:
            for place, node in enumerate(nodes):
                carried = (
                    Carried("roll|a", START_MS - 1_000 * place, 3, START_MS - 5_000),
                    Carried("task|a", 0, 2, START_MS - 4_000 * place),
                    Carried("day|a", START_MS - START_MS % 10_000, 1),
                )
                middle = len(steps) * (place + 1) // 3
                await compare(redis, memory, steps[:middle])
                del steps[:middle]
                told_ = ("rebuild", (node, carried, (f"call-{place}.1",), START_MS))
                assert await answer(redis, told_) == await answer(memory, told_)
                assert await redis.is_whole() == await memory.is_whole()
            await compare(redis, memory, steps)
        finally:
            await redis.close()

    loop.run_until_complete(both())
