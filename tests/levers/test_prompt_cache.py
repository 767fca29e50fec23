"""Marks pay: near the best on real sessions, and a bounded loss on any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.levers.prompt_cache import PromptCache, prompt_cache
from bursar.model.block import Block, Kind, Mark, Role
from bursar.model.call import Call, Tags
from levers.best import least_nano
from levers.real import CLAUDE, claude_turns, clinic_turns
from levers.world import BOOK, RULES, Turn, World

POINTS = 0.03
MODEL = "claude-sonnet-5"
ROUTE_A = Tags(route="a")


def played(
    turns: list[Turn], wish: PromptCache | None = None, *, is_forgetful: bool = False
) -> tuple[int, World]:
    world = World(is_forgetful=is_forgetful)
    levers = [] if wish is None else [prompt_cache(wish, BOOK, RULES)]
    return world.play(turns, levers), world


@pytest.mark.parametrize("name", CLAUDE)
def test_claude_code_near_the_best(name: str, shared_data: Callable[[str], Path]) -> None:
    turns = claude_turns(shared_data("claude_code_real") / name)
    without, _ = played(turns)
    ours, _ = played(turns, PromptCache())
    best = least_nano(turns)
    assert best <= ours
    assert (ours - best) / without <= POINTS


def test_agentclinic_near_the_best(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("whissle_medical") / "agentclinic_ac_override_100"
    cases = list(clinic_turns(folder))
    turns = [turn for case in cases for turn in case]
    without, _ = played(turns)
    ours, _ = played(turns, PromptCache())
    best = sum(map(least_nano, cases))
    assert (ours - best) / without <= POINTS


@st.composite
def sessions(draw: st.DrawFn) -> list[Turn]:
    """Sessions of any kind, beside one another: growing, broken, alone, quick and slow."""
    turns: list[Turn] = []
    digest = 100
    for session in range(draw(st.integers(1, 6))):
        at_ms = draw(st.integers(0, 7_200_000))
        system = block(Role.SYSTEM, draw(st.integers(1, 3)), draw(st.integers(100, 9_000)))
        blocks: tuple[Block, ...] = (system,)
        for _ in range(draw(st.integers(1, 8))):
            if draw(st.integers(0, 9)) == 0:
                blocks = (system,)
            for _ in range(draw(st.integers(1, 30))):
                digest += 1
                blocks += (block(Role.USER, digest, draw(st.integers(1, 3_000))),)
            tags = Tags(session=str(session), route=draw(st.sampled_from(("a", "b"))))
            turns.append(Turn(at_ms, call_of(blocks, tags)))
            at_ms += draw(st.sampled_from((1_000, 60_000, 299_000, 301_000, 3_000_000, 9_000_000)))
    return sorted(turns, key=lambda turn: turn.at_ms)


def block(role: Role, digest: int, tokens: int) -> Block:
    kind = Kind.SYSTEM if role is Role.SYSTEM else Kind.USER
    return Block(role=role, kind=kind, digest=digest, tokens=tokens)


def call_of(blocks: tuple[Block, ...], tags: Tags = ROUTE_A) -> Call:
    return Call(key="k", provider="anthropic", model=MODEL, blocks=blocks, tags=tags)


@given(turns=sessions(), most=st.sampled_from((0, 1_000, 20_000)), is_forgetful=st.booleans())
def test_a_loss_is_bounded(turns: list[Turn], most: int, is_forgetful: bool) -> None:
    """Law: no more is lost on a route and model than was said, whatever the calls are."""
    without, _ = played(turns, is_forgetful=is_forgetful)
    ours, world = played(turns, PromptCache(most_lost_tokens=most), is_forgetful=is_forgetful)
    plain = BOOK.rates("anthropic", MODEL).input or 0
    routes = {turn.call.tags.route for turn in turns}
    allowed = len(routes) * 2 * most * plain / 1_000
    assert ours - without <= allowed
    for sent, turn in zip(world.sent, turns, strict=True):
        assert [replace(b, mark=Mark.NONE) for b in sent.blocks or ()] == list(
            turn.call.blocks or ()
        )


def test_a_provider_that_reads_nothing_back() -> None:
    """What the provider reports counts more than how often prefixes come again."""
    turns = [
        Turn(n * 10_000, call_of((block(Role.SYSTEM, 1, 9_000), block(Role.USER, n + 10, 50))))
        for n in range(500)
    ]
    without, _ = played(turns, is_forgetful=True)
    ours, world = played(turns, PromptCache(most_lost_tokens=20_000), is_forgetful=True)
    plain = BOOK.rates("anthropic", MODEL).input or 0
    assert 0 < ours - without <= 2 * 20_000 * plain / 1_000
    assert "withdrawn" in world.decisions[-1].why


def test_marks_of_the_client_stay() -> None:
    blocks = (replace(block(Role.SYSTEM, 1, 9_000), mark=Mark.H1), block(Role.USER, 2, 10))
    _, world = played([Turn(0, call_of(blocks))], PromptCache())
    assert world.sent[0].blocks == blocks
    assert world.decisions[0].verdict == "pass"


def test_single_calls_lose_their_marks() -> None:
    """A route on which nothing ever comes again: the premium ends soon."""
    turns = [Turn(n * 60_000, call_of((block(Role.USER, n + 1, 5_000),))) for n in range(100)]
    _, world = played(turns, PromptCache())
    marked = [any(b.mark is not Mark.NONE for b in one.blocks or ()) for one in world.sent]
    assert any(marked[:5])
    assert not any(marked[30:])


def test_an_hour_where_calls_are_rare() -> None:
    """Every twenty minutes: five minutes never suffice, an hour does."""
    blocks = (block(Role.SYSTEM, 1, 50_000),)
    turns = [
        Turn(n * 1_200_000, call_of((*blocks, block(Role.USER, n + 10, 20)))) for n in range(60)
    ]
    without, _ = played(turns)
    ours, world = played(turns, PromptCache())
    last = world.sent[-1].blocks
    assert last is not None
    assert last[0].mark is Mark.H1
    assert ours < without * 0.4
