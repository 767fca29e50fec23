"""Circles are seen in the prompt itself, in every dialect, and nothing else is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dialects.quick import QuickReader
from bursar.levers.no_progress import NoProgress, circle_of, no_progress, steps_of
from bursar.model.call import Call
from bursar.model.entry import Answer
from bursar.model.errors import Refused
from levers.world import Turn, World

Used = tuple[str, str]
"""Arguments, result."""


def chat(steps: list[Used]) -> tuple[str, dict[str, Any]]:
    turns: list[dict[str, Any]] = [{"role": "user", "content": "find it"}]
    for n, (arguments, result) in enumerate(steps):
        use = {"name": "look", "arguments": json.dumps({"q": arguments})}
        calls = [{"id": f"c{n}", "type": "function", "function": use}]
        turns.append({"role": "assistant", "content": None, "tool_calls": calls})
        turns.append({"role": "tool", "tool_call_id": f"c{n}", "content": result})
    return "openai_chat", {"model": "gpt-5", "messages": turns}


def messages(steps: list[Used]) -> tuple[str, dict[str, Any]]:
    turns: list[dict[str, Any]] = [{"role": "user", "content": "find it"}]
    for n, (arguments, result) in enumerate(steps):
        use = {"type": "tool_use", "id": f"c{n}", "name": "look", "input": {"q": arguments}}
        said = {"type": "text", "text": f"step {n}"}
        back = {"type": "tool_result", "tool_use_id": f"c{n}", "content": result}
        turns.append({"role": "assistant", "content": [said, use]})
        turns.append({"role": "user", "content": [back]})
    return "anthropic_messages", {"model": "claude-sonnet-5", "messages": turns}


def converse(steps: list[Used]) -> tuple[str, dict[str, Any]]:
    turns: list[dict[str, Any]] = [{"role": "user", "content": [{"text": "find it"}]}]
    for n, (arguments, result) in enumerate(steps):
        use = {"toolUse": {"toolUseId": f"c{n}", "name": "look", "input": {"q": arguments}}}
        back = {"toolResult": {"toolUseId": f"c{n}", "content": [{"text": result}]}}
        turns.append({"role": "assistant", "content": [use]})
        turns.append({"role": "user", "content": [back]})
    return "bedrock_converse", {"messages": turns}


def asked(made: tuple[str, dict[str, Any]]) -> Call:
    dialect, body = made
    asking = QuickReader().asking(dialect, json.dumps(body).encode())
    return Call(key="k", dialect=dialect, model="claude-sonnet-5", blocks=asking.blocks)


DIALECTS = pytest.mark.parametrize("dialect", [chat, messages, converse])


@DIALECTS
def test_the_same_step_again_and_again_is_refused(dialect: Any) -> None:
    call = asked(dialect([("a", "1"), ("b", "nothing"), ("b", "nothing"), ("b", "nothing")]))
    world = World()
    with pytest.raises(Refused, match="no progress") as caught:
        world.play([Turn(0, call)], [no_progress(NoProgress())])
    assert caught.value.status == 422
    assert (b"x-should-retry", b"false") in caught.value.headers
    assert not world.sent
    assert world.decisions[0].verdict == "refused"


@DIALECTS
def test_another_result_is_progress(dialect: Any) -> None:
    steps_of_poll = [("status", "10 %"), ("status", "20 %"), ("status", "30 %")]
    call = asked(dialect([("a", "1"), *steps_of_poll]))
    assert len(steps_of(call.blocks or ())) == 4
    assert circle_of(steps_of(call.blocks or ()), 3, 4) == 0


@DIALECTS
def test_a_round_of_two(dialect: Any) -> None:
    call = asked(dialect([("x", "0"), *[("a", "1"), ("b", "2")] * 3]))
    assert circle_of(steps_of(call.blocks or ()), 3, 4) == 2


def test_note_lets_it_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    async def send(call: Call) -> Answer:
        world.sent.append(call)
        return Answer()

    monkeypatch.setattr(world, "send", send)
    call = asked(chat([("b", "n")] * 3))
    world.play([Turn(0, call)], [no_progress(NoProgress(action="note"))])
    assert len(world.sent) == 1
    assert "same step 3 times" in world.decisions[0].why


@given(
    head=st.lists(st.integers(0, 3), max_size=6),
    ring=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    repeats=st.integers(2, 4),
)
def test_a_round_is_found_however_long(head: list[int], ring: list[int], repeats: int) -> None:
    steps = [(one, one) for one in (*head, *ring * repeats)]
    found = circle_of(steps, repeats, 4)
    assert 1 <= found <= len(ring)
    assert steps[-found * repeats :] == steps[-found:] * repeats


@given(steps=st.lists(st.integers(0, 50), max_size=30, unique=True))
def test_steps_that_differ_are_no_circle(steps: list[int]) -> None:
    assert circle_of([(one, one) for one in steps], 2, 4) == 0


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="repeats"):
        NoProgress(repeats=1)
