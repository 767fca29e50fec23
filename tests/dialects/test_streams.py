"""Streams: cut anywhere, framed in any way, they are read as far as they go or refused clearly."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.lens import DIALECTS, Reading, read_response
from bursar.model.errors import BadInput
from bursar.model.usage import Usage
from tests.dialects.cassettes import exchanges


def sse(*events: dict[str, Any], done: bool = False) -> bytes:
    lines = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


def frame(name: str, payload: dict[str, Any]) -> bytes:
    raw = json.dumps(payload).encode()
    headers = b""
    for key, value in ((":event-type", name), (":message-type", "event")):
        headers += bytes([len(key)]) + key.encode() + b"\x07"
        headers += struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(raw), len(headers))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + raw
    return message + struct.pack(">I", binascii.crc32(message))


ANTHROPIC = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "claude-sonnet-4-5",
     "role": "assistant", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1,
     "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
     "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 20}}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
    {"type": "content_block_start", "index": 1,
     "content_block": {"type": "tool_use", "id": "t1", "name": "look", "input": {}}},
    {"type": "content_block_delta", "index": 1,
     "delta": {"type": "input_json_delta", "partial_json": '{"b": 2, '}},
    {"type": "content_block_delta", "index": 1,
     "delta": {"type": "input_json_delta", "partial_json": '"a": 1}'}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"},
     "usage": {"input_tokens": 9, "cache_read_input_tokens": 100, "output_tokens": 42}},
    {"type": "message_stop"},
]  # fmt: skip
CHAT = [
    {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "Hel"}}]},
    {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "lo"}}]},
    {"id": "c", "model": "gpt-4o", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c", "model": "gpt-4o", "choices": [], "service_tier": "flex",
     "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}},
]  # fmt: skip
CONVERSE = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
     "serviceTier": {"type": "priority"}, "metrics": {"latencyMs": 4}}),
]  # fmt: skip
GEMINI = [
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hel"}]}}],
     "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "lo"}]},
     "finishReason": "STOP"}], "modelVersion": "gemini-2.5-pro",
     "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 7,
     "totalTokenCount": 13}},
]  # fmt: skip
STREAMS: dict[str, tuple[bytes, Usage]] = {
    "anthropic": (
        b"".join(b"event: " + e["type"].encode() + b"\n" + sse(e) for e in ANTHROPIC),
        Usage(input=9, cache_read=100, cache_write_1h=20, output=42),
    ),
    "chat": (sse(*CHAT, done=True), Usage(input=8, output=2)),
    "converse": (b"".join(frame(*one) for one in CONVERSE), Usage(input=3, output=2)),
    "gemini_sse": (sse(*GEMINI), Usage(input=4, output=2, reasoning=7)),
    "gemini_array": (json.dumps(GEMINI, indent=1).encode(), Usage(input=4, output=2, reasoning=7)),
    "invoke": (
        b"".join(
            frame("chunk", {"bytes": base64.b64encode(json.dumps(e).encode()).decode()})
            for e in (
                *ANTHROPIC[:-1],
                ANTHROPIC[-1] | {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 9,
                                 "outputTokenCount": 42, "cacheReadInputTokenCount": 100}},
            )
        ),
        Usage(input=9, cache_read=100, cache_write_1h=20, output=42),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_whole_streams(name: str) -> None:
    raw, usage = STREAMS[name]
    reading = read_response(raw, capture=True)
    assert reading.usage == usage
    assert not reading.truncated
    assert reading.answer_blocks[0].body == "Hello"
    assert reading.stop in ("end", "tool_use")
    assert read_response(gzip.compress(raw)) == read_response(raw)


@pytest.mark.parametrize("name", STREAMS)
def test_cut_at_every_byte(name: str) -> None:
    """A Reading, marked truncated unless the last word on usage was seen; or BadInput."""
    raw, usage = STREAMS[name]
    read = 0
    for end in range(len(raw)):
        try:
            reading = read_response(raw[:end])
        except BadInput:
            continue
        read += 1
        assert reading.truncated != (reading.usage == usage), (end, reading)
    assert read > len(raw) * 0.5


def test_recorded_streams_cut_anywhere(shared_data: Callable[[str], Path]) -> None:
    cuts = 0
    kinds: set[str] = set()
    for one in exchanges(shared_data("cassettes_openllmetry")):
        kind = one.headers.get("content-type", "")
        if "stream" not in kind or len(one.body) > 40_000 or one.status != 200:
            continue
        whole = read_response(one.body, headers=one.headers)
        if whole.usage is None or sum(k == (whole.dialect + kind) for k in kinds) > 3:
            continue
        kinds.add(whole.dialect + kind)
        for end in range(0, len(one.body), max(1, len(one.body) // 23)):
            try:
                cut: Reading = read_response(one.body[:end])
            except BadInput:
                continue
            cuts += 1
            assert cut.truncated or cut.usage == whole.usage, (one.place, end)
    assert cuts > 1_000


def test_tool_call_of_a_stream_is_that_of_a_body() -> None:
    """The digest of arguments does not depend on pieces, key order or spacing."""
    streamed = read_response(STREAMS["anthropic"][0]).tool_uses
    body = {"type": "message", "role": "assistant", "usage": {"input_tokens": 1},
            "content": [{"type": "tool_use", "id": "t1", "name": "look",
                         "input": {"a": 1, "b": 2}}]}  # fmt: skip
    chat = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [
        {"id": "t1", "function": {"name": "look", "arguments": '{"a":1,  "b":2}'}}]}}]}  # fmt: skip
    assert streamed == read_response(body).tool_uses == read_response(chat).tool_uses


def test_price_class_is_read_from_the_response() -> None:
    assert read_response(STREAMS["chat"][0]).price_class == "flex"
    assert read_response(STREAMS["converse"][0]).price_class == "priority"
    assert read_response(STREAMS["anthropic"][0]).price_class == "standard"
    fast = {"type": "message", "content": [], "usage": {"input_tokens": 1, "output_tokens": 1,
            "speed": "fast", "service_tier": "standard"}}  # fmt: skip
    assert read_response(fast).price_class == "fast"


def _iterated(top: tuple[int, int], *passes: tuple[str, str | None, int, int]) -> Reading:
    rows = [
        {"type": kind, "input_tokens": i, "output_tokens": o} | ({"model": m} if m else {})
        for kind, m, i, o in passes
    ]
    usage = {"input_tokens": top[0], "output_tokens": top[1], "cache_read_input_tokens": 0}
    body = {"type": "message", "model": "claude-opus-4-6", "content": [], "stop_reason": "end_turn"}
    return read_response(body | {"usage": usage | {"iterations": rows}})


def test_compaction_is_added_and_the_advisor_is_priced_by_its_own_model() -> None:
    reading = _iterated(
        (10, 5),
        ("message", None, 10, 5),
        ("compaction", None, 1_000, 90),
        ("advisor_message", "claude-fable-5", 70, 8),
    )
    assert reading.usage == Usage(input=1_080, output=103)
    assert [part.model for part in reading.iterations] == [
        "claude-opus-4-6",
        "claude-opus-4-6",
        "claude-fable-5",
    ]
    assert sum((p.usage or Usage() for p in reading.iterations), Usage()) == reading.usage


def test_iterations_of_one_model_only_are_one_piece() -> None:
    assert _iterated((10, 5), ("message", None, 10, 5)).iterations == ()
    assert _iterated((30, 9), ("message", None, 10, 5), ("message", None, 20, 4)).usage == Usage(
        input=30, output=9
    )


def test_a_list_that_top_level_already_holds_is_not_added_twice() -> None:
    reading = _iterated((30, 9), ("message", None, 10, 5), ("fallback", "claude-x", 20, 4))
    assert reading.usage == Usage(input=30, output=9)
    assert len(reading.iterations) == 2


def test_headers_stand_in_for_models_that_count_nothing() -> None:
    headers = {"X-Amzn-Bedrock-Input-Token-Count": "6", "x-amzn-bedrock-output-token-count": "10"}
    body = {"outputs": [{"text": " to find out", "stop_reason": "length"}]}
    reading = read_response(body, headers=headers)
    assert (reading.dialect, reading.provider) == ("bedrock_invoke", "aws")
    assert reading.usage == Usage(input=6, output=10)
    assert reading.stop == "max_tokens"
    assert read_response(body).usage is None


def test_errors_are_read_as_errors() -> None:
    for body in (
        {"error": {"message": "no such model", "type": "invalid_request_error"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}},
    ):
        reading = read_response(body)
        assert reading.stop == "error"
        assert reading.usage is None
        assert "provider error" in reading.notes[0]


@given(st.binary(max_size=300) | st.text(max_size=100))
def test_any_bytes_are_read_or_refused(raw: bytes | str) -> None:
    with suppress(BadInput):
        read_response(raw)


@settings(max_examples=150)
@given(st.sampled_from(sorted(STREAMS)), st.data())
def test_damaged_streams_are_read_or_refused(name: str, data: st.DataObject) -> None:
    raw = bytearray(STREAMS[name][0])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadInput):
        read_response(bytes(raw))


KEYS = st.sampled_from(
    """choices message delta content text role usage prompt_tokens completion_tokens total_tokens id
    input_tokens output_tokens cache_read_input_tokens cache_creation iterations type object model
    output outputs stopReason inputTokens outputTokens candidates parts usageMetadata finishReason
    promptTokenCount candidatesTokensDetails modality tokenCount results generation tool_calls
    function arguments index response messageStart contentBlockDelta contentBlockIndex metadata
    amazon-bedrock-invocationMetrics inputTokenCount message_start billed_units meta error
    service_tier serviceTier toolUse input cacheDetails ttl chunk bytes event_type status""".split()
)
WORDS = st.sampled_from(
    """message message_start message_delta content_block_start content_block_delta message_stop
    response.completed response.output_item.done response function_call tool_use web_search_call
    thread.run thread.message.delta message-end content-delta compaction list AUDIO 1h""".split()
)
bodies = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.floats() | st.text(max_size=3) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=500)
@given(st.dictionaries(KEYS, bodies, max_size=6) | st.lists(bodies, max_size=5))
def test_any_json_is_read_or_refused(body: Any) -> None:
    """As a body, as a list of chunks, as server-sent events, and under every dialect's name."""
    events = body if isinstance(body, list) else [body]
    for raw in (body, sse(*(event for event in events if isinstance(event, dict)))):
        for dialect in (None, *DIALECTS):
            with suppress(BadInput):
                reading = read_response(raw, dialect)
                assert reading.usage is None or reading.usage.prompt >= 0


TOOL_ITEMS = ("function_call", "custom_tool_call", "local_shell_call", "computer_call")
PLAIN_ITEMS = ("message", "reasoning", "web_search_call", "mcp_call", "code_interpreter_call")


@given(st.lists(st.sampled_from(TOOL_ITEMS + PLAIN_ITEMS), max_size=4), st.booleans())
def test_a_responses_answer_that_asks_for_a_tool_stops_for_it(kinds: list[str], cut: bool) -> None:
    """As chat says it. What ran at the provider is no request, nor is a call with its result."""
    items: list[dict[str, object]] = [
        {"type": kind, "call_id": f"c{n}", "name": "f", "arguments": "{}"}
        for n, kind in enumerate(kinds)
    ]
    body: dict[str, object] = {
        "object": "response",
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "output": items,
        "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    }
    asks = bool(set(kinds) & set(TOOL_ITEMS))
    expected = "max_tokens" if cut else "tool_use" if asks else "end"
    last = {"type": "response.incomplete" if cut else "response.completed", "response": body}
    for raw in (body, [{"type": "response.created", "response": body | {"output": []}}, last]):
        assert read_response(raw, "openai_responses").stop == expected
    done = [{"type": f"{kind}_output", "call_id": f"c{n}"} for n, kind in enumerate(kinds)]
    answered = read_response(body | {"output": [*items, *done]}, "openai_responses")
    assert answered.stop == ("max_tokens" if cut else "end")


@given(st.lists(st.sampled_from(["response.created", "response.in_progress"]), max_size=3))
def test_an_error_event_is_seen_beside_states_without_error(kinds: list[str]) -> None:
    """Every state of a response says `error: null`."""
    state = {"object": "response", "status": "in_progress", "error": None, "output": []}
    events: list[dict[str, object]] = [{"type": kind, "response": state} for kind in kinds]
    events.append({"type": "error", "code": "server_error", "message": "no luck"})
    reading = read_response(events, "openai_responses")
    assert (reading.stop, reading.usage) == ("error", None)
