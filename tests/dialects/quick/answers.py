"""Answers of providers, as hypothesis draws them: bodies, and the streams that give the same."""

from __future__ import annotations

import binascii
import json
import struct
from typing import Any

from hypothesis import strategies as st

from tests.dialects.quick.bodies import Json, words

counts = st.integers(0, 5_000)
odd = counts | st.sampled_from([-1, None, "7", "many", 1.5, 10**15, 2**60, True])


@st.composite
def chat_usage(draw: st.DrawFn, strange: bool = True) -> Json:
    prompt, answer = draw(counts), draw(counts)
    usage: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }
    if draw(st.booleans()):
        usage["prompt_tokens_details"] = {
            "cached_tokens": draw(st.integers(0, prompt)),
            "audio_tokens": draw(st.sampled_from([0, 0, None, 1])),
        }
    if draw(st.booleans()):
        usage["completion_tokens_details"] = {"reasoning_tokens": draw(st.integers(0, answer))}
    if strange and draw(st.integers(0, 3)) == 0:
        usage[draw(st.sampled_from(sorted(usage)))] = draw(odd)
    return usage


@st.composite
def chat(draw: st.DrawFn) -> Json:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    message: Json = {"role": "assistant", "content": draw(words | st.none()), "refusal": None}
    if draw(st.booleans()):
        message["tool_calls"] = [call]
    if draw(st.integers(0, 4)) == 0:
        message["reasoning_content"] = draw(words)
    stops = st.sampled_from(["stop", "length", "tool_calls", None, "", "Odd"])
    choice = {"index": 0, "message": message, "finish_reason": draw(stops), "logprobs": None}
    body: Json = {
        "id": draw(st.sampled_from(["chatcmpl-1", None])),
        "object": "chat.completion",
        "model": draw(st.sampled_from(["gpt-4o", "grok-4", "my-model", None, ""])),
        "choices": draw(st.sampled_from([[choice], [choice, choice], []])),
        "usage": draw(chat_usage() | st.none()),
        "service_tier": draw(st.sampled_from(["default", "flex", "priority", None])),
    }
    for key, value in (("x_groq", {"id": "1"}), ("citations", []), ("error", {"message": "no"})):
        if draw(st.integers(0, 9)) == 0:
            body[key] = value
    return body


@st.composite
def message(draw: st.DrawFn) -> Json:
    parts = st.sampled_from(
        [
            {"type": "text", "text": "hello there"},
            {"type": "text", "text": "cited", "citations": [{"a": 1}]},
            {"type": "thinking", "thinking": "hm", "signature": "x"},
            {"type": "tool_use", "id": "t1", "name": "search", "input": {"q": "a"}},
            {"type": "server_tool_use", "id": "t2", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "t2", "content": []},
            {"type": "hologram", "beam": 1},
        ]
    )
    write, long = draw(counts), draw(counts)
    usage: Json = {
        "input_tokens": draw(counts),
        "output_tokens": draw(counts),
        "cache_creation_input_tokens": draw(st.sampled_from([None, 0, write + long])),
        "cache_read_input_tokens": draw(counts | st.none()),
        "service_tier": draw(st.sampled_from(["standard", "priority", "batch"])),
    }
    if draw(st.booleans()):
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": write,
            "ephemeral_1h_input_tokens": long,
        }
    if draw(st.booleans()):
        usage["output_tokens_details"] = {"thinking_tokens": draw(counts)}
    for key, value in (
        ("server_tool_use", {"web_search_requests": 2}),
        ("speed", "fast"),
        ("iterations", [{"type": "compaction", "input_tokens": 3, "output_tokens": 4}]),
        ("input_tokens", draw(odd)),
    ):
        if draw(st.integers(0, 7)) == 0:
            usage[key] = value
    return {
        "id": draw(st.sampled_from(["msg_1", "msg_bdrk_1"])),
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": draw(st.lists(parts, max_size=4)),
        "stop_reason": draw(st.sampled_from(["end_turn", "tool_use", "max_tokens", None])),
        "stop_sequence": None,
        "usage": usage,
    }


@st.composite
def converse(draw: st.DrawFn) -> Json:
    part = st.sampled_from(
        [
            {"text": "hello there"},
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"q": 1}}},
            {"reasoningContent": {"reasoningText": {"text": "hm"}}},
        ]
    )
    prompt, answer, read, write = (draw(counts) for _ in range(4))
    usage: Json = {
        "inputTokens": prompt,
        "outputTokens": answer,
        "totalTokens": draw(st.sampled_from([prompt + answer, prompt + answer + read + write])),
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": write,
    }
    if draw(st.integers(0, 3)) == 0:
        usage["cacheDetails"] = [{"ttl": "1h", "inputTokens": write}]
    if draw(st.integers(0, 5)) == 0:
        usage["inputTokens"] = draw(odd)
    body: Json = {
        "output": {"message": {"role": "assistant", "content": draw(st.lists(part, max_size=3))}},
        "stopReason": draw(st.sampled_from(["end_turn", "tool_use", None])),
        "usage": usage,
        "metrics": {"latencyMs": 5},
    }
    if draw(st.integers(0, 3)) == 0:
        body["serviceTier"] = {"type": draw(st.sampled_from(["default", "flex"]))}
    if draw(st.integers(0, 5)) == 0:
        body["trace"] = {"promptRouter": {"invokedModelId": "nova"}}
    return body


embeddings: st.SearchStrategy[Json] = st.builds(
    lambda count, total, model: {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
        "model": model,
        "usage": {"prompt_tokens": count, "total_tokens": count if total else count + 1},
    },
    counts,
    st.booleans(),
    st.sampled_from(["text-embedding-3-small", "mine"]),
)
bodies = st.one_of(
    st.tuples(st.just("openai_chat"), chat()),
    st.tuples(st.just("anthropic_messages"), message()),
    st.tuples(st.just("bedrock_converse"), converse()),
    st.tuples(st.just("openai_embeddings"), embeddings),
)
headers = st.sampled_from(
    [
        {},
        {"Content-Type": "application/json", "openai-organization": "o"},
        {"X-MS-Region": "west"},
        {"anthropic-organization-id": "1"},
        {"x-amzn-bedrock-invocation-latency": "5"},
        {"x-amzn-bedrock-input-token-count": "5"},
        {"x-amzn-bedrock-service-tier": "flex"},
    ]
)


def chat_events(texts: list[str], usage: Json | None, *, null_usage: bool = True) -> list[Json]:
    base: Json = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o"}
    if null_usage:
        base["usage"] = None
    deltas: list[Json] = [{"role": "assistant", "content": ""}, *({"content": t} for t in texts)]
    events = [
        base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    events.append(base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage is not None:
        events.append(base | {"choices": [], "usage": usage})
    return events


def anthropic_events(texts: list[str], tokens: int) -> list[Json]:
    start = {"id": "msg_1", "model": "claude-sonnet-4-6", "content": [], "role": "assistant"}
    start["usage"] = {"input_tokens": tokens, "output_tokens": 1}
    block = {"type": "text", "text": ""}
    deltas = [{"type": "text_delta", "text": text} for text in texts]
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": tokens + 1},
        },
        {"type": "message_stop"},
    ]


def sse(events: list[Any], end: bytes = b"\n", *, named: bool = False) -> bytes:
    pieces: list[bytes] = []
    for event in events:
        if named:
            pieces.append(b"event: " + str(event.get("type")).encode() + end)
        pieces.append(b"data: " + json.dumps(event).encode() + end + end)
    return b"".join(pieces)


def frames(events: list[tuple[str, Json]]) -> bytes:
    """An AWS event stream."""
    out = b""
    for name, body in events:
        payload = json.dumps(body).encode()
        key = b"\x0b:event-type\x07" + struct.pack(">H", len(name)) + name.encode()
        head = struct.pack(">II", 16 + len(key) + len(payload), len(key))
        head += struct.pack(">I", binascii.crc32(head))
        frame = head + key + payload
        out += frame + struct.pack(">I", binascii.crc32(frame))
    return out
