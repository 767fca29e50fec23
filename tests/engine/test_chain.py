"""Levers stand around one another in one order, live as in replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from bursar.engine.chain import at_once, run
from bursar.engine.policy import MAKERS, Levers, Market, lever_of, wishes_of
from bursar.levers.fit import Effort
from bursar.levers.order import ORDER
from bursar.levers.ports import Lever, Next, Ports, gate, rewrite
from bursar.levers.prompt_cache import PromptCache
from bursar.model.call import Call
from bursar.model.entry import Answer
from bursar.model.errors import Refused
from levers.world import BOOK, RULES, World

CALL = Call(key="k", provider="anthropic", model="claude-sonnet-5", blocks=())


def trace(name: str, told: list[str]) -> Lever:
    async def lever(call: Call, ports: Ports, then: Next) -> Answer:
        told.append(f"{name} in")
        answer = await then(call)
        told.append(f"{name} out")
        return answer

    return lever


def test_the_first_is_outermost() -> None:
    told: list[str] = []
    at_once(run([trace("a", told), trace("b", told)], CALL, World()))
    assert told == ["a in", "b in", "b out", "a out"]


def test_none_is_the_call_itself() -> None:
    world = World()
    at_once(run([], CALL, world))
    assert world.sent[0] is CALL


@pytest.mark.parametrize("drive", [at_once, asyncio.run])
def test_without_a_loop_as_with_one(drive: Callable[..., Answer]) -> None:
    """Law: sync = async."""

    def renamed(call: Call, ports: Ports) -> Call:
        return msgspec.structs.replace(call, model="claude-haiku-4-5")

    world = World()
    assert drive(run([rewrite("r", renamed)], CALL, world)) == Answer()
    assert world.sent[0].model == "claude-haiku-4-5"


def test_what_waits_needs_a_loop() -> None:
    async def waits(call: Call, ports: Ports, then: Next) -> Answer:
        await asyncio.sleep(0)
        return await then(call)

    with pytest.raises(RuntimeError, match="waits"):
        at_once(run([waits], CALL, World()))


def test_a_fault_of_a_lever_harms_no_call() -> None:
    def broken(call: Call, ports: Ports) -> Call:
        raise ZeroDivisionError

    world = World()
    at_once(run([rewrite("r", broken), rewrite("g", broken)], CALL, world))
    assert world.sent[0] is CALL
    assert [one.lever for one in world.decisions] == ["r", "g"]
    assert "ZeroDivisionError" in world.decisions[0].why


def test_a_refusal_ends_it() -> None:
    def no(call: Call, ports: Ports) -> None:
        raise Refused(422, "no", "no")

    world = World()
    with pytest.raises(Refused):
        at_once(run([gate("g", no)], CALL, world))
    assert not world.sent


def test_every_lever_has_its_place_and_its_settings() -> None:
    names = [one.name for one in msgspec.structs.fields(Levers)]
    assert sorted(ORDER) == sorted(MAKERS)
    assert set(names) - set(ORDER) == {"response_cache"}, "it stands before the chain"


@pytest.mark.parametrize(
    "wrong",
    [
        {"lean_context": {"keep_turns": -3}},
        {"response_cache": {"ttl_s": 0}},
        {"max_tokens": {"times": 0.5}},
        {"prompt_cache": {"most_lost_tokens": -1}},
        {"model_route": {"rules": [{"to": "m", "prompt_below": 0}]}},
        {"no_progress": {"repeats": 1}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match="or more"):
        msgspec.convert(wrong, Levers)


def test_levers_come_in_their_order() -> None:
    levers = Levers(prompt_cache=PromptCache(), effort=Effort(most="low"))
    assert [name for name, _ in wishes_of(levers)] == ["effort", "prompt_cache"]
    assert wishes_of(Levers()) == []
    market = Market(BOOK, RULES)
    assert all(callable(lever_of(name, wish, market)) for name, wish in wishes_of(levers))
