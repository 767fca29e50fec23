"""The law of the quick reader: cold or warm, it says of a request what the slow lens says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.lens import DIALECTS, read_request, sniff_dialect
from bursar.dialects.quick import Asking, Bounds, QuickReader
from bursar.model.errors import BadInput
from tests.dialects.cassettes import exchanges
from tests.dialects.quick import bodies

SALT = b"tenant-a"


def agree(asking: Asking, body: Any, salt: bytes = SALT) -> None:
    slow = read_request(body, salt=salt)
    assert asking.blocks == slow.blocks
    assert asking.tool_outcomes == slow.tool_outcomes
    assert asking.limits == slow.limits
    assert asking.metadata == slow.metadata
    assert asking.schema_digest == slow.schema_digest
    assert asking.model == slow.model
    assert asking.stream == (slow.stream is True)


@given(bodies.requests, st.integers(0, 30))
@settings(max_examples=300)
def test_quick_is_slow(drawn: tuple[str, Any], style: int) -> None:
    dialect, body = drawn
    reader = QuickReader()
    raw = bodies.spelled(body, style)
    for _ in ("cold", "warm"):
        agree(reader.asking(dialect, raw, SALT), body)


@given(
    st.lists(bodies.chat_message() | bodies.anthropic_message(), min_size=1, max_size=8),
    st.data(),
)
@settings(max_examples=150)
def test_histories_that_grow_shrink_and_move(messages: list[Any], data: st.DataObject) -> None:
    reader = QuickReader(Bounds(pieces=24))
    for _ in range(5):
        picked = data.draw(st.lists(st.sampled_from(messages), min_size=1, max_size=10))
        salt = data.draw(st.sampled_from([b"", b"a", b"b"]))
        body = {"model": "gpt-4o", "messages": picked}
        agree(reader.asking("openai_chat", json.dumps(body).encode(), salt), body, salt)


def test_a_result_follows_the_name_of_its_call() -> None:
    reader = QuickReader()
    result = {"role": "tool", "tool_call_id": "c", "content": "fine"}
    for name in ("search", "book", "search"):
        function = {"name": name, "arguments": "{}"}
        call = {"role": "assistant", "tool_calls": [{"id": "c", "function": function}]}
        body = {"messages": [call, result]}
        asking = reader.asking("openai_chat", json.dumps(body).encode(), SALT)
        assert asking.tool_outcomes[0].tool == name
        agree(asking, body)


def test_a_type_that_is_no_word_is_an_opaque_part() -> None:
    content = [{"type": {"odd": 1}, "text": "hello"}, {"type": ["odd"]}]
    body = {"messages": [{"role": "tool", "tool_call_id": "c", "content": content}]}
    agree(QuickReader().asking("openai_chat", json.dumps(body).encode(), SALT), body)


def test_tenants_share_no_digest() -> None:
    reader = QuickReader()
    raw = b'{"messages": [{"role": "user", "content": "the same"}]}'
    one, other = (reader.asking("openai_chat", raw, salt).blocks[0] for salt in (b"a", b"b"))
    assert one.digest != other.digest
    assert one.tokens == other.tokens


def test_memory_is_bounded_and_holds_no_text() -> None:
    reader = QuickReader(Bounds(pieces=100))
    for number in range(500):
        message = {"role": "user", "content": f"secret {number}"}
        raw = json.dumps({"messages": [message] * 3}).encode()
        reader.asking("openai_chat", raw, SALT)
    pieces = reader._pieces
    assert len(pieces) <= 100
    assert "secret" not in repr([*pieces._young.items(), *pieces._old.items()])


def test_names_that_callers_choose_are_bounded_too() -> None:
    reader = QuickReader(Bounds(pieces=200))
    long = "x" * 60_000
    for number in range(50):
        function = {"name": long, "arguments": "{}"}
        call = {"id": f"{number}{long}", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        body = {"messages": [message], "metadata": {str(number): long}}
        agree(reader.asking("openai_chat", json.dumps(body).encode(), SALT), body)
    assert len(reader._pieces) == 0
    assert len(reader._rests) == 0


@pytest.mark.parametrize("name", ["cassettes_openllmetry", "cassettes_otel_genai"])
def test_recorded_requests(name: str, shared_data: Callable[[str], Path]) -> None:
    reader = QuickReader()
    seen = 0
    refused: list[str] = []
    for one in exchanges(shared_data(name)):
        try:
            body = json.loads(one.request)
        except ValueError:
            continue
        if not isinstance(body, dict) or not {"messages", "input", "contents"} & body.keys():
            continue
        dialect = sniff_dialect(body) or "openai_chat"
        assert dialect in DIALECTS
        try:
            for _ in range(2):
                agree(reader.asking(dialect, one.request, SALT), body)
        except BadInput as bad:
            refused.append(f"{one.place}: {bad}")
        seen += 1
    assert seen > 30
    assert [one for one in refused if "invalid_role" not in one] == []
