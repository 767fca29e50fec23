"""The law of the quick reader: it says of an answer what the slow lens says, or raises the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.lens import DIALECTS, Reading, read_response, sniff_dialect
from bursar.dialects.quick import QuickReader, believed, settled
from bursar.dialects.quick import answers as module
from bursar.model.errors import BursarError
from bursar.model.usage import Usage
from tests.dialects.cassettes import exchanges
from tests.dialects.quick import answers, bodies

SALT = b"tenant-a"


def outcome(read: Callable[[], Reading]) -> Reading | tuple[str, str]:
    try:
        return read()
    except BursarError as bad:
        return type(bad).__name__, bad.message


def agree(dialect: str, raw: bytes, headers: Mapping[str, str], model: str | None = None) -> None:
    reader = QuickReader()
    quick = outcome(lambda: reader.answered(dialect, raw, headers, model, SALT))
    slow = outcome(lambda: read_response(raw, dialect, model=model, headers=headers, salt=SALT))
    assert quick == slow


@given(answers.bodies, answers.headers, st.sampled_from([None, "asked-for"]), st.integers(0, 30))
@settings(max_examples=400)
def test_bodies(
    drawn: tuple[str, Any], headers: dict[str, str], model: str | None, style: int
) -> None:
    dialect, body = drawn
    agree(dialect, bodies.spelled(body, style), headers, model)


@given(
    st.lists(bodies.words, max_size=5),
    answers.chat_usage() | st.none(),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from(
        [b"data: [DONE]\n\n", b"data: [DONE]\n", b"", b"data: {broken\n\n", b": ping\n\n"]
    ),
    st.integers(0, 60),
)
@settings(max_examples=200)
def test_chat_streams(
    texts: list[str], usage: Any, end: bytes, last: bytes, lost_bytes: int
) -> None:
    raw = answers.sse(answers.chat_events(texts, usage), end) + last
    agree("openai_chat", raw, {})
    agree("openai_chat", raw[: len(raw) - lost_bytes], {"openai-version": "1"})


@given(st.lists(bodies.words, max_size=5), answers.counts, st.booleans(), st.integers(0, 300))
@settings(max_examples=200)
def test_anthropic_streams(texts: list[str], tokens: int, named: bool, lost_bytes: int) -> None:
    raw = answers.sse(answers.anthropic_events(texts, tokens), named=named)
    agree("anthropic_messages", raw, {})
    agree("anthropic_messages", raw[: len(raw) - lost_bytes], {})


def test_a_line_break_inside_the_json_of_an_event_cuts_it() -> None:
    raw = answers.sse(answers.anthropic_events(["a"], 4), named=True)
    agree("anthropic_messages", raw.replace(b'"usage": {', b'"usage":\n{', 1), {})


def test_usual_answers_never_reach_the_slow_lens(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> Reading:
        raise AssertionError("the slow lens was asked")

    monkeypatch.setattr(module, "read_response", slow)
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    reader = QuickReader()
    streams = {
        "openai_chat": answers.sse(answers.chat_events(["a", "b"], usage)) + b"data: [DONE]\n\n",
        "anthropic_messages": answers.sse(answers.anthropic_events(["a"], 4), named=True),
    }
    for dialect, raw in streams.items():
        read = reader.answered(dialect, raw, {}, None)
        assert read.usage is not None
        assert read.usage.prompt in (4, 5)


@pytest.mark.parametrize("name", ["cassettes_openllmetry", "cassettes_otel_genai"])
def test_recorded_answers(name: str, shared_data: Callable[[str], Path]) -> None:
    seen = 0
    for one in exchanges(shared_data(name)):
        try:
            dialect = sniff_dialect(json.loads(one.body)) or "openai_chat"
        except ValueError:
            dialect = "anthropic_messages" if b"message_start" in one.body else "openai_chat"
        assert dialect in DIALECTS
        agree(dialect, one.body, one.headers)
        seen += 1
    assert seen > 100


@given(answers.bodies)
@settings(max_examples=300)
def test_usage_of_a_provider_is_settled_without_trust(drawn: tuple[str, Any]) -> None:
    dialect, body = drawn
    found = settled(dialect, json.dumps(body).encode(), {}, None, most_tokens=1_000_000)
    assert (found.usage is None) == (found.reason is not None)
    if found.usage is not None:
        assert min(found.usage.prompt, found.usage.answer) >= 0
        assert (
            found.usage
            == QuickReader().answered(dialect, json.dumps(body).encode(), {}, None).usage
        )


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        ({"prompt_tokens": -5, "completion_tokens": 1}, "invalid"),
        ({"prompt_tokens": "many", "completion_tokens": 1}, "invalid"),
        ({"prompt_tokens": 1.5, "completion_tokens": 1}, "invalid"),
        ({"prompt_tokens": 2**60, "completion_tokens": 1}, "invalid"),
        ({"prompt_tokens": 10**15, "completion_tokens": 1}, "implausible"),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, "invalid"),
        ({}, "missing"),
        (None, "missing"),
        ("none", "missing"),
        ([], "missing"),
    ],
)
def test_usage_that_cannot_be_true(usage: Any, reason: str) -> None:
    choice = {"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    raw = json.dumps({"id": "x", "model": "gpt-4o", "choices": [choice], "usage": usage}).encode()
    found = settled("openai_chat", raw, {}, None)
    assert (found.usage, found.reason) == (None, reason)
    assert found.why
    assert found.reading is not None
    assert found.reading.stop == "end"
    assert found.reading.answer_blocks


def test_answers_that_are_none() -> None:
    cut = answers.sse(answers.chat_events(["a"], None))
    assert settled("openai_chat", cut, {}, None).reason == "cut"
    for raw in (b"", b"<html>", b"\x00\x01", b"{", b"[" * 100_000):
        assert settled("openai_chat", raw, {}, None).reason == "unreadable"


def test_belief_has_an_upper_end() -> None:
    assert believed(Usage(input=5)) == (Usage(input=5), None)
    assert believed(None)[1]
    assert believed(Usage(other={"web_searches": 10**12}))[0] is None
    assert believed(Usage(output=-1))[0] is None
