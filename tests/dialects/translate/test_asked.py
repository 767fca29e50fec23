"""Calls: what a target carries is read back unchanged; the rest is refused or noted by name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings

from bursar.dialects.translate.crossing import ASKED, TARGETS, WRITTEN, Terms, cross
from bursar.dialects.translate.neutral import (
    Image,
    Neutral,
    Part,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from bursar.model.errors import BadInput, Refused
from tests.dialects.translate.made import ANTHROPIC, CHAT, CONVERSE, MODEL, RESPONSES, asked, wild

TERMS = Terms()
SLOW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def _bare(part: Part) -> Part:
    if isinstance(part, ToolResult):
        inner = tuple(_bare(one) for one in part.parts)
        part = msgspec.structs.replace(part, parts=inner)
    return msgspec.structs.replace(part, at="")


def meaning(call: Neutral) -> Neutral:
    """The call without the places where it was read, and without what the path says.

    A schema without a name is called "answer" where the target must name it: that says nothing.
    """
    schema = call.schema
    if schema is not None and not schema.name:
        schema = msgspec.structs.replace(schema, name="answer")
    return msgspec.structs.replace(
        call,
        schema=schema,
        model=None,
        stream=False,
        wants_usage=False,
        notes=(),
        places={},
        system=tuple(_bare(text) for text in call.system),
        tools=tuple(msgspec.structs.replace(tool, at="") for tool in call.tools),
        turns=tuple(Turn(turn.role, tuple(map(_bare, turn.parts))) for turn in call.turns),
    )


def named(refusal: Refused) -> None:
    """A refusal names its field by a pointer and says what can be done."""
    assert (refusal.status, refusal.kind) == (400, "not_carried")
    assert refusal.message.startswith("/")
    assert refusal.mend


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_carried_is_read_back_unchanged(target: str) -> None:
    @SLOW
    @given(asked(target))
    def law(call: Neutral) -> None:
        written = WRITTEN[target](call, MODEL, TERMS)
        found = ASKED[target](written.body)
        marked = target == CHAT and "cache marks" in " ".join(written.notes)
        assert not written.notes or marked
        assert meaning(found) == meaning(call)
        assert not found.notes

    law()


@pytest.mark.parametrize("target", TARGETS)
def test_what_changes_is_refused_or_noted(target: str) -> None:
    @SLOW
    @given(wild())
    def law(call: Neutral) -> None:
        try:
            written = WRITTEN[target](call, MODEL, TERMS)
        except Refused as refusal:
            event("refused")
            named(refusal)
            return
        event("noted" if written.notes else "whole")
        if not written.notes:
            assert meaning(ASKED[target](written.body)) == meaning(call)

    law()


@pytest.mark.parametrize("source", [CHAT, ANTHROPIC, CONVERSE])
@pytest.mark.parametrize("target", TARGETS)
def test_a_call_that_both_carry_crosses_unchanged(source: str, target: str) -> None:
    @SLOW
    @given(asked(source))
    def law(call: Neutral) -> None:
        body = WRITTEN[source](call, MODEL, TERMS).body
        try:
            crossed = cross(body, source, target, MODEL, stream=call.stream)
        except Refused as refusal:
            named(refusal)
            return
        assert crossed.stream == call.stream
        if not crossed.notes:
            assert meaning(ASKED[target](crossed.body)) == meaning(call)

    law()


class Known(msgspec.Struct):
    """The parts of the neutral form, so that a new one is met by these tests."""

    parts: tuple[type, ...] = (Text, Image, ToolUse, ToolResult, Thinking, Tool)


def test_every_part_has_a_place() -> None:
    assert all("at" in kind.__struct_fields__ for kind in Known().parts)


ASK: dict[str, dict[str, Any]] = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    RESPONSES: {"model": "m", "input": "hi"},
    ANTHROPIC: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    CONVERSE: {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
}


@pytest.mark.parametrize("source", ASK)
def test_an_unknown_field_is_refused_by_its_pointer(source: str) -> None:
    target = CHAT if source != CHAT else ANTHROPIC
    with pytest.raises(Refused, match=r"^/a~1b: "):
        cross(ASK[source] | {"a/b": 1}, source, target, MODEL)


@pytest.mark.parametrize("source", ASK)
@pytest.mark.parametrize("empty", [None, [], {}])
def test_an_empty_field_asks_for_nothing(source: str, empty: object) -> None:
    target = CHAT if source != CHAT else ANTHROPIC
    crossed = cross(ASK[source] | {"strange": empty}, source, target, MODEL)
    assert b"strange" not in crossed.body


@pytest.mark.parametrize(
    ("source", "body", "at"),
    [
        (CHAT, {"messages": 5}, "/messages"),
        (CHAT, {"messages": [5]}, "/messages/0"),
        (CHAT, {"messages": [{"role": "user", "content": [{}]}]}, "/messages/0/content/0/type"),
        (CHAT, {"messages": [], "temperature": "x"}, "/temperature"),
        (CHAT, {"messages": [], "max_tokens": 1.5}, "/max_tokens"),
        (RESPONSES, {"input": [{"type": "function_call"}]}, "/input/0/call_id"),
        (ANTHROPIC, {"messages": [{"content": "x"}]}, "/messages/0/role"),
        (ANTHROPIC, {"messages": [], "stop_sequences": [1]}, "/stop_sequences"),
        (CONVERSE, {"messages": [{"role": "user", "content": [{}]}]}, "/messages/0/content/0"),
        (CONVERSE, {"toolConfig": {"tools": [{"toolSpec": {}}]}}, "/toolConfig/tools/0"),
    ],
)
def test_malformed_calls_are_bad_input_with_their_place(
    source: str, body: dict[str, Any], at: str
) -> None:
    with pytest.raises(BadInput, match=f"^{at}"):
        cross(body, source, CHAT if source != CHAT else ANTHROPIC, MODEL)


def test_bodies_that_are_no_object_are_bad_input() -> None:
    for raw in (b"", b"[]", b"nonsense", b'"x"', b"\xff", b"[" * 100_000):
        with pytest.raises(BadInput):
            cross(raw, CHAT, ANTHROPIC, MODEL)


def test_deep_nesting_is_bad_input_or_carried() -> None:
    deep = '{"a":' * 3000 + "1" + "}" * 3000
    body = '{"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":'
    body += '{"name":"f","parameters":' + deep + "}}]}"
    try:
        crossed = cross(body.encode(), CHAT, ANTHROPIC, MODEL)
    except BadInput:
        return
    assert deep in crossed.body.decode()


def test_ids_that_bedrock_refuses_are_replaced_alike() -> None:
    name = "call|with:odd/signs" * 6
    body = {
        "messages": [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": name, "content": "done"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    found = json.loads(cross(body, CHAT, CONVERSE, MODEL).body)["messages"]
    use = found[1]["content"][0]["toolUse"]["toolUseId"]
    result = found[2]["content"][0]["toolResult"]["toolUseId"]
    assert use == result
    assert len(use) <= 64
    assert use.replace("_", "").isalnum()


@pytest.mark.parametrize("part", [Thinking("hm", signature="s"), Thinking(redacted="eA==")])
def test_signed_thinking_goes_to_claude_alone(part: Thinking) -> None:
    call = Neutral(
        turns=(
            Turn("user", (Text("hi"),)),
            Turn("assistant", (part, Text("a"))),
            Turn("user", (Text("b"),)),
        )
    )
    assert WRITTEN[CONVERSE](call, MODEL, TERMS).body
    with pytest.raises(Refused, match="only Claude"):
        WRITTEN[CONVERSE](call, "amazon.nova-pro-v1:0", TERMS)


def test_the_settings_name_the_limit_of_a_provider() -> None:
    asked_for = ASK[ANTHROPIC] | {"max_tokens": 77}
    terms = Terms(default_max_tokens=123, chat_limit="max_tokens")
    assert json.loads(cross(asked_for, ANTHROPIC, CHAT, "m", terms=terms).body)["max_tokens"] == 77
    crossed = cross(ASK[CHAT], CHAT, ANTHROPIC, "m", terms=terms)
    assert json.loads(crossed.body)["max_tokens"] == 123
    assert any("123" in note for note in crossed.notes)
