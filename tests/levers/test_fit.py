"""Bounds stand well above what answers need, and give way where answers reach them."""

from __future__ import annotations

import random

from msgspec.structs import replace

from bursar.levers.fit import Effort, MaxTokens, effort, max_tokens
from bursar.levers.ports import Lever
from bursar.model.block import Block, Kind, Role
from bursar.model.call import Call, Limits, Tags
from bursar.model.entry import Answer
from levers.world import Turn, World

BLOCKS = (Block(role=Role.USER, kind=Kind.USER, digest=1, tokens=10),)


class Speaker(World):
    """Answers as long as the turn says, unless the call's bound ends it."""

    async def send(self, call: Call) -> Answer:
        wanted = self.output_tokens
        bound = call.limits.max_tokens
        self.output_tokens = wanted if bound is None else min(wanted, bound)
        await super().send(call)
        return Answer(stop="max_tokens" if self.output_tokens < wanted else "end")


def turns(lengths: list[int], limits: Limits) -> list[Turn]:
    tags = Tags(route="r")
    call = Call(
        key="k",
        provider="anthropic",
        model="claude-sonnet-5",
        blocks=BLOCKS,
        tags=tags,
        limits=limits,
    )
    return [Turn(n * 1_000, call, tokens) for n, tokens in enumerate(lengths)]


def played(lever: Lever, lengths: list[int], asked: int | None = None) -> Speaker:
    world = Speaker()
    world.play(turns(lengths, Limits(max_tokens=asked)), [lever])
    return world


def test_nothing_is_bounded_before_enough_is_known() -> None:
    world = played(max_tokens(MaxTokens(least_answers=50)), [100] * 50)
    assert {one.limits.max_tokens for one in world.sent} == {None}


def test_the_bound_stands_above_the_longest() -> None:
    lengths = [random.Random(7).randrange(100, 800) for _ in range(300)]
    world = played(max_tokens(MaxTokens(least_answers=100)), lengths)
    bounds = [one.limits.max_tokens for one in world.sent[100:]]
    for n, bound in enumerate(bounds, 100):
        assert bound == 2 * max(lengths[:n])
    assert world.decisions[-1].tokens_after == bounds[-1]


def test_a_smaller_wish_of_the_client_stays() -> None:
    world = played(max_tokens(MaxTokens(least_answers=5)), [1_000] * 10, asked=1_500)
    assert {one.limits.max_tokens for one in world.sent} == {1_500}


def test_answers_that_reach_the_bound_lift_it_until_it_goes() -> None:
    """Law: truncation by our bound ends after a handful of answers, however long they get."""
    lengths = [100] * 50 + [50_000] * 20
    world = played(max_tokens(MaxTokens(least_answers=50, least_tokens=1)), lengths)
    bounds = [one.limits.max_tokens for one in world.sent[50:]]
    assert bounds[:4] == [200, 400, 800, 1_600]
    cut = sum(bound is not None and bound < 50_000 for bound in bounds)
    assert cut == 4
    assert bounds[-1] is None


def test_a_runaway_is_bounded() -> None:
    world = played(max_tokens(MaxTokens(least_answers=50)), [200] * 60 + [64_000])
    usage = world.attempts[-1].usage
    assert usage is not None
    assert usage.answer == 400


def effort_of(asked: str | None, lever: Lever) -> str | None:
    world = World()
    world.play(turns([1], Limits(effort=asked)), [lever])
    return world.sent[0].limits.effort


def test_effort() -> None:
    low = effort(Effort(most="low"))
    assert effort_of("high", low) == "low"
    assert effort_of("minimal", low) == "minimal"
    assert effort_of(None, low) is None
    assert effort_of(None, effort(Effort(most="low", unasked="set"))) == "low"
    assert effort_of("a word of tomorrow", low) == "a word of tomorrow"


def test_other_limits_stay() -> None:
    call = turns([1], Limits(effort="max", timeout_ms=5))[0]
    world = World()
    world.play([call], [effort(Effort(most="low"))])
    assert world.sent[0].limits == replace(call.call.limits, effort="low")
