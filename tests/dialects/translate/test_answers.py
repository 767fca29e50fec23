"""Whole answers: what comes back means what the provider said, usage above all."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings

from bursar.dialects.lens import read_response
from bursar.dialects.translate.answers import read_answer
from bursar.dialects.translate.crossing import SOURCES, TARGETS, Back, answer_back, error_back
from bursar.dialects.translate.neutral import (
    CONTEXT,
    END,
    FILTER,
    MAX_TOKENS,
    REFUSAL,
    STOP_SEQUENCE,
    TOOL_USE,
    NeutralAnswer,
    Text,
    Thinking,
    ToolUse,
)
from bursar.dialects.translate.telling import write_answer
from bursar.model.errors import BadInput
from bursar.model.usage import Usage
from tests.dialects.translate.made import ANTHROPIC, CHAT, CONVERSE, RESPONSES, answers

BACK = Back(model="asked", answer_id="ours", at_s=1_700_000_000, elapsed_ms=12)
EACH = settings(max_examples=60, deadline=None, database=None)


def told(usage: Usage, dialect: str) -> Usage:
    """What a dialect has a place for: only where two counts share a place do they become one."""
    if dialect in (CHAT, RESPONSES):
        writes = usage.cache_write_5m + usage.cache_write_1h + sum(usage.other.values())
        return msgspec.structs.replace(usage, cache_write_5m=writes, cache_write_1h=0, other={})
    if dialect == CONVERSE:
        return msgspec.structs.replace(usage, output=usage.answer, reasoning=0)
    return usage


STOP_WORDS = {
    CHAT: {STOP_SEQUENCE: END, CONTEXT: MAX_TOKENS, REFUSAL: FILTER},
    ANTHROPIC: {FILTER: REFUSAL},
    CONVERSE: {REFUSAL: FILTER},
}
"""Stops that a dialect says alike."""


@pytest.mark.parametrize("dialect", TARGETS)
def test_what_is_written_is_read_back(dialect: str) -> None:
    @EACH
    @given(answers())
    def law(answer: NeutralAnswer) -> None:
        found = read_answer(write_answer(answer, dialect, BACK), dialect)
        assert answer.usage is not None
        assert found.usage == told(answer.usage, dialect)
        assert found.stop == STOP_WORDS[dialect].get(answer.stop, answer.stop)
        if dialect == CHAT:
            kept = [one for one in answer.parts if not isinstance(one, Thinking) or one.text]
            assert found.parts == tuple(
                Thinking(one.text) if isinstance(one, Thinking) else one for one in kept
            )
        else:
            assert found.parts == answer.parts
        if dialect != CONVERSE:
            assert (found.id, found.model) == (answer.id, answer.model)
        assert found.tier == answer.tier

    law()


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
def test_usage_survives_every_crossing(target: str, source: str) -> None:
    """The lens reads the same disjoint counts from the provider's answer and from ours."""

    @EACH
    @given(answers())
    def law(answer: NeutralAnswer) -> None:
        sent = write_answer(answer, target, BACK)
        before = read_response(sent, target)
        after = read_response(answer_back(sent, target, source, BACK), source)
        assert before.usage is not None
        assert after.usage == told(before.usage, source)
        assert after.usage is not None
        prompts = [one.prompt + sum(one.other.values()) for one in (before.usage, after.usage)]
        assert prompts[0] == prompts[1]
        assert after.usage.answer == before.usage.answer
        assert after.price_class == before.price_class
        assert [use.tool for use in after.tool_uses] == [use.tool for use in before.tool_uses]
        digests = [use.arguments_digest for use in before.tool_uses]
        assert [use.arguments_digest for use in after.tool_uses] == digests

    law()


def test_an_answer_without_counts_has_none() -> None:
    bare = NeutralAnswer(id="a", model="m", parts=(Text("hi"),))
    for target in TARGETS:
        sent = write_answer(bare, target, BACK)
        for source in (CHAT, RESPONSES, CONVERSE):
            if target != ANTHROPIC:
                back = answer_back(sent, target, source, BACK)
                assert read_response(back, source).usage is None


def test_arguments_that_are_no_object_still_arrive() -> None:
    broken = NeutralAnswer(id="a", parts=(ToolUse("t", "f", '{"a": '),), stop=TOOL_USE)
    sent = write_answer(broken, CHAT, BACK)
    block = json.loads(answer_back(sent, CHAT, ANTHROPIC, BACK))["content"][0]
    assert block["input"] == {"INVALID_JSON": '{"a": '}


def test_a_tool_call_that_says_stop_is_a_tool_use() -> None:
    """Some who copy OpenAI end a tool call with `stop`; other clients act on the word."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "stop"}]}
    found = json.loads(answer_back(body, CHAT, ANTHROPIC, BACK))
    assert found["stop_reason"] == "tool_use"


def test_what_an_answer_lacks_comes_from_the_call() -> None:
    sent = write_answer(NeutralAnswer(parts=(Text("hi"),)), CONVERSE, BACK)
    found = json.loads(answer_back(sent, CONVERSE, CHAT, BACK))
    assert (found["id"], found["model"], found["created"]) == ("ours", "asked", 1_700_000_000)


def test_an_answer_that_is_no_json_is_bad_input() -> None:
    for raw in (b"", b"<html>", b"[]"):
        with pytest.raises(BadInput):
            answer_back(raw, CHAT, ANTHROPIC, BACK)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"error":{"message":"too fast","type":"tokens","param":null,"code":"rate_limit"}}',
        b'{"type":"error","error":{"type":"rate_limit_error","message":"too fast"}}',
        b'{"message":"too fast"}',
        b'{"Message":"too fast"}',
    ],
)
@pytest.mark.parametrize("source", SOURCES)
def test_errors_cross_with_their_words(raw: bytes, source: str) -> None:
    headers, body = error_back(raw, 429, source)
    assert "too fast" in body.decode()
    named = dict(headers).get(b"x-amzn-errortype", b"ThrottlingException")
    assert named == b"ThrottlingException"


def test_an_error_that_is_no_json_names_the_status() -> None:
    assert b"502" in error_back(b"<html>Bad gateway</html>", 502, CHAT)[1]
