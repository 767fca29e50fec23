"""Rules fit what they say, and a conversation keeps its model."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.levers.model_route import ModelRoute, Rule, model_route
from bursar.model.block import Block, Kind, Role, digest_of
from bursar.model.call import Call, Limits, Tags
from levers.world import Turn, World

DEAR, CHEAP = "claude-opus-5", "claude-sonnet-5"


def said(text: str, role: Role = Role.USER) -> Block:
    kind = Kind.USER if role is Role.USER else Kind.SYSTEM
    return Block(role=role, kind=kind, digest=digest_of(text), tokens=len(text), body=text)


TOOL = Block(role=Role.TOOL_SPEC, kind=Kind.TOOLS, digest=7, tokens=10, name="look")


def asked(*blocks: Block, **more: Any) -> Call:
    return Call(key="k", provider="anthropic", model=DEAR, blocks=blocks, **more)


def went(wish: ModelRoute, *calls: Call) -> list[str | None]:
    world = World()
    world.play([Turn(n, call) for n, call in enumerate(calls)], [model_route(wish)])
    return [one.model for one in world.sent]


@pytest.mark.parametrize(
    ("rule", "call", "fits"),
    [
        ({"prompt_below": 10}, asked(said("short")), True),
        ({"prompt_below": 5}, asked(said("short")), False),
        ({"tools": False}, asked(said("a")), True),
        ({"tools": False}, asked(TOOL, said("a")), False),
        ({"tools": True}, asked(TOOL, said("a")), True),
        ({"answer_below": 100}, asked(said("a"), limits=Limits(max_tokens=99)), True),
        ({"answer_below": 100}, asked(said("a"), limits=Limits(max_tokens=100)), False),
        ({"answer_below": 100}, asked(said("a")), False),
        ({"task_types": ("sort*",)}, asked(said("a"), tags=Tags(task_type="sorting")), True),
        ({"task_types": ("sort*",)}, asked(said("a")), False),
        ({"models": ("claude-opus-*",)}, asked(said("a")), True),
        ({"models": ("gpt-*",)}, asked(said("a")), False),
        ({"words": ("ÜBERSETZE",)}, asked(said("Bitte übersetze das")), True),
        ({"words": ("translate",)}, asked(said("translate"), said("no")), False),
        ({"without_words": ("why",)}, asked(said("Why is it so?")), False),
        ({"words": ("a",)}, asked(replace(said("a"), body=None)), False),
        ({"prompt_below": 10, "tools": True}, asked(said("short")), False),
    ],
)
def test_a_rule_fits_what_it_says(rule: dict[str, Any], call: Call, fits: bool) -> None:
    wish = ModelRoute(rules=(Rule(to=CHEAP, **rule),))
    assert went(wish, call) == [CHEAP if fits else DEAR]


def test_the_first_that_fits() -> None:
    rules = (Rule(to="a", tools=True), Rule(to=CHEAP, prompt_below=100), Rule(to="c", tools=False))
    assert went(ModelRoute(rules=rules), asked(said("x"))) == [CHEAP]


def test_a_conversation_keeps_its_model() -> None:
    wish = ModelRoute(rules=(Rule(to=CHEAP, prompt_below=20),))
    first = asked(said("begin"))
    later = asked(said("begin"), said("much more than twenty letters"))
    other = asked(said("much more than twenty letters"))
    assert went(wish, first, later, other) == [CHEAP, CHEAP, DEAR]
    assert went(replace(wish, sticky=False), first, later) == [CHEAP, DEAR]


def test_another_tenant_is_another_conversation() -> None:
    wish = ModelRoute(rules=(Rule(to=CHEAP, task_types=("t",)),))
    tags = Tags(tenant="a", session="s", task_type="t")
    ours = asked(said("x"), tags=tags)
    theirs = asked(said("x"), tags=Tags(tenant="b", session="s"))
    assert went(wish, ours, theirs) == [CHEAP, DEAR]


@given(tokens=st.lists(st.integers(0, 200), min_size=1, max_size=8), below=st.integers(1, 100))
def test_sticky_decides_once(tokens: list[int], below: int) -> None:
    """Law: within a conversation there is one model."""
    wish = ModelRoute(rules=(Rule(to=CHEAP, prompt_below=below),))
    first = replace(said("begin"), tokens=0)
    blocks = [first]
    calls: list[Call] = []
    for n, count in enumerate(tokens):
        blocks.append(replace(said(str(n)), tokens=count))
        calls.append(asked(*blocks))
    assert len(set(went(wish, *calls))) == 1


def test_a_rule_that_states_nothing_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="needs something"):
        msgspec.convert({"rules": [{"to": "m"}]}, ModelRoute)
