"""Prompts as blocks: laws of digests, the same content in every dialect, and hostile bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.dialects.lens import (
    message_blocks,
    read_messages,
    read_request,
    sniff_dialect,
    tool_blocks,
)
from bursar.model.block import Kind, Mark, Role, digest_of
from bursar.model.errors import BadInput

ARGS = {"city": "Oslo", "days": 3}
CALLS: dict[str, dict[str, Any]] = {
    "openai_chat": {"role": "assistant", "tool_calls": [{"id": "u1", "type": "function",
                    "function": {"name": "w", "arguments": json.dumps(ARGS, indent=2)}}]},
    "anthropic": {"role": "assistant", "content": [
        {"type": "tool_use", "id": "u1", "name": "w", "input": ARGS}]},
    "converse": {"role": "assistant", "content": [
        {"toolUse": {"toolUseId": "u1", "name": "w", "input": dict(reversed(ARGS.items()))}}]},
    "responses": {"type": "function_call", "call_id": "u1", "id": "fc_9", "name": "w",
                  "arguments": '{"days":3,"city":"Oslo"}'},
    "gemini": {"role": "model", "parts": [
        {"functionCall": {"id": "u1", "name": "w", "args": ARGS}}]},
    "otel": {"role": "assistant", "parts": [
        {"type": "tool_call", "id": "u1", "name": "w", "arguments": ARGS}]},
}  # fmt: skip
RESULTS: dict[str, dict[str, Any]] = {
    "openai_chat": {"role": "tool", "tool_call_id": "u1", "content": "rain"},
    "openai_parts": {"role": "tool", "tool_call_id": "u1",
                     "content": [{"type": "text", "text": "rain"}]},
    "anthropic": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "u1", "content": "rain"}]},
    "anthropic_parts": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "u1",
         "content": [{"type": "text", "text": "rain"}]}]},
    "converse": {"role": "user", "content": [
        {"toolResult": {"toolUseId": "u1", "content": [{"text": "rain"}]}}]},
    "responses": {"type": "function_call_output", "call_id": "u1", "output": "rain"},
    "otel": {"role": "tool", "parts": [
        {"type": "tool_call_response", "id": "u1", "response": "rain"}]},
}  # fmt: skip


def test_a_tool_call_is_one_block_with_one_identity_in_every_dialect() -> None:
    read = [message_blocks(message, {}) for message in CALLS.values()]
    assert {len(one.blocks) for one in read} == {1}
    assert len({one.blocks[0].digest for one in read}) == 1
    assert {one.tool_uses for one in read} == {read[0].tool_uses}
    assert {(b.role, b.kind, b.name) for one in read for b in one.blocks} == {
        (Role.ASSISTANT, Kind.HISTORY, "w")
    }


def test_a_result_gets_the_name_of_its_tool_in_every_dialect() -> None:
    for message in RESULTS.values():
        names: dict[str, str] = {}
        message_blocks(CALLS["openai_chat"], names)
        read = message_blocks(message, names)
        (block,), (outcome,) = read.blocks, read.tool_outcomes
        assert (block.role, block.kind, block.name) == (Role.TOOL, Kind.TOOL_RESULT, "w")
        assert block.digest == outcome.result_digest == digest_of("rain")
        assert (outcome.id, outcome.tool, outcome.failed) == ("u1", "w", None)


texts = st.text(min_size=1, max_size=60)


@given(texts)
def test_a_text_is_the_same_block_as_a_string_or_as_a_part(text: str) -> None:
    spelled: tuple[Any, ...] = (
        text,
        [{"type": "text", "text": text}],
        [{"text": text}],
        [{"type": "input_text", "text": text}],
        [text],
        [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}],
    )
    blocks = [message_blocks({"role": "user", "content": one}, {}).blocks for one in spelled]
    blocks.append(message_blocks({"role": "user", "parts": [{"text": text}]}, {}).blocks)
    assert {one[0].digest for one in blocks} == {digest_of(text)}
    assert {one[0].tokens for one in blocks} == {blocks[0][0].tokens}
    assert {len(one) for one in blocks} == {1}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=15,
)


def _turned(value: Any) -> Any:
    """The same JSON value with every object's keys in the opposite order."""
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(one) for one in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=5), json_values, min_size=1), st.booleans())
def test_digests_do_not_depend_on_key_order_or_spacing(value: dict[str, Any], wide: bool) -> None:
    spelled = json.dumps(_turned(value), indent=3 if wide else None)
    call = {"function": {"name": "f", "arguments": spelled}, "id": "1"}
    one = message_blocks({"role": "assistant", "tool_calls": [call]}, {})
    use = {"type": "tool_use", "id": "2", "name": "f", "input": value}
    other = message_blocks({"role": "assistant", "content": [use]}, {})
    assert one.blocks[0].digest == other.blocks[0].digest
    assert one.tool_uses[0].arguments_digest == other.tool_uses[0].arguments_digest
    spec = {"name": "f", "input_schema": value}
    assert tool_blocks([spec])[0].digest == tool_blocks([_turned(spec)])[0].digest


KEYS = st.sampled_from(
    """messages content role type text tools function name arguments tool_calls system input parts
    contents toolUse toolResult cachePoint cache_control ttl image source document documents
    inlineData functionCall functionResponse tool_use_id is_error status metadata max_tokens model
    stream response_format json_schema schema prompt toolConfig generationConfig output summary
    reasoning functionDeclarations instructions inputText chat_history message""".split()
)
WORDS = st.sampled_from(
    """text tool_use tool_result image image_url document function_call function_call_output
    reasoning thinking user assistant tool system search_result web_search_tool_result video
    input_audio refusal 1h ephemeral""".split()
)
bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=400)
@given(bodies)
def test_any_request_is_read_or_refused(body: Any) -> None:
    try:
        prompt = read_request(body)
    except BadInput:
        return
    assert all(block.tokens is not None and block.tokens >= 0 for block in prompt.blocks)
    assert sniff_dialect(body) is None or isinstance(sniff_dialect(body), str)


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "\ud83d x", "\x00" * 50])
def test_lone_surrogates_and_nul_are_texts(text: str) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": text}, {"odd": text}]}
    call = {"id": text, "function": {"name": text, "arguments": text}}
    read = read_messages([message, {"role": "assistant", "tool_calls": [call]}], [{"name": text}])
    assert [len(blocks) for blocks in read] == [3, 1]
    raw = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})
    assert message_blocks(json.loads(raw)["choices"][0]["message"], {}).blocks


def test_deep_nesting_is_refused() -> None:
    deep: Any = "x"
    for _ in range(5_000):
        deep = {"content": [deep]}
    with pytest.raises(BadInput, match="nested too deeply"):
        read_request({"messages": [{"role": "user", "content": [{"odd": deep}]}]})


def test_a_whole_anthropic_request() -> None:
    prompt = read_request({
        "model": "claude-sonnet-4-5", "max_tokens": 900, "stream": True,
        "metadata": {"user_id": "u7"}, "output_config": {"effort": "low"},
        "tools": [{"name": "w", "input_schema": {}, "cache_control": {"type": "ephemeral"}}],
        "system": [{"type": "text", "text": "Be brief.",
                    "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": "hi"},
            CALLS["anthropic"],
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "u1", "content": "boom", "is_error": True},
                {"type": "document", "source": {"type": "text", "data": "long ago"}},
                {"type": "image", "source": {"type": "base64", "data": "AAAA"}}]},
        ],
    })  # fmt: skip
    assert [(b.kind, b.mark) for b in prompt.blocks] == [
        (Kind.TOOLS, Mark.M5),
        (Kind.SYSTEM, Mark.H1),
        (Kind.USER, Mark.NONE),
        (Kind.HISTORY, Mark.NONE),
        (Kind.TOOL_RESULT, Mark.NONE),
        (Kind.RAG, Mark.NONE),
        (Kind.USER, Mark.NONE),
    ]
    assert [b.path for b in prompt.blocks][::3] == ["/tools", "/messages/1", "/messages/2"]
    assert (prompt.limits.max_tokens, prompt.limits.effort) == (900, "low")
    assert (prompt.stream, prompt.model) == (True, "claude-sonnet-4-5")
    assert prompt.metadata == {"user_id": "u7"}
    assert [outcome.failed for outcome in prompt.tool_outcomes] == [True]


def test_cache_points_mark_the_block_before_them() -> None:
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    prompt = read_request({
        "system": [{"text": "rules"}, point],
        "toolConfig": {"tools": [{"toolSpec": {"name": "a"}}, point, {"toolSpec": {"name": "b"}}]},
        "messages": [{"role": "user", "content": [{"text": "q"}, {"cachePoint": {}}]}],
    })  # fmt: skip
    assert [(b.name, b.mark) for b in prompt.blocks] == [
        ("a", Mark.H1),
        ("b", Mark.NONE),
        (None, Mark.H1),
        (None, Mark.M5),
    ]


def test_schema_has_one_digest_in_every_dialect() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    digests = {
        read_request(body).schema_digest
        for body in (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}},
            {"text": {"format": {"type": "json_schema", "schema": schema}}},
            {"output_config": {"format": {"schema": schema}}},
            {"outputConfig": {"textFormat": {"structure": {
                "jsonSchema": {"schema": json.dumps(schema)}}}}},
            {"generationConfig": {"responseJsonSchema": schema}},
        )
    }  # fmt: skip
    assert len(digests) == 1
    assert digests != {None}


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("Error: no such user", True),
        ("Exit code 1\nls: no", True),
        ('{"exit_code": 0, "stdout": "error: x"}', False),
        ('{"stdout": "", "exit_code": 2}', True),
        ("<returncode>0</returncode>\n<output>", False),
        ("<returncode>127</returncode>", True),
        ('{"error": "not found"}', True),
        ('{"success": true, "rows": []}', False),
        ('{"status": "error"}', True),
        ("Traceback (most recent call last):\n", True),
        ("ValueError: bad", True),
        ("Error handling in Go is explicit.", None),
        ("The weather is fine.", None),
        ('{"error": null, "rows": 3}', None),
        ("", None),
    ],
)
def test_failed_results_are_told_by_their_text(text: str, failed: bool | None) -> None:
    message = {"role": "tool", "tool_call_id": "1", "content": text}
    assert message_blocks(message, {}).tool_outcomes[0].failed is failed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Context:\n" + "Oslo lies on a fjord. " * 20, Kind.RAG),
        ("<documents>" + "Oslo lies on a fjord. " * 20, Kind.RAG),
        (
            "Use the following pieces of context to answer." + "Oslo lies on a fjord. " * 20,
            Kind.RAG,
        ),
        ("Context: short", Kind.USER),
        ("Please book a flight. " * 20, Kind.USER),
        ("In this context we go on. " * 20, Kind.USER),
    ],
)
def test_retrieved_text_is_told_by_its_opening(text: str, kind: Kind) -> None:
    assert message_blocks({"role": "user", "content": text}, {}).blocks[0].kind is kind
    assert message_blocks({"role": "system", "content": text}, {}).blocks[0].kind is Kind.SYSTEM
