"""Which dialect a body speaks, told from its keys.

A table of signs, tried in order: the first row whose keys are all there (and whose values are as
they should be) names the dialect. Bodies of requests and of responses share the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bursar.dialects.usages import counted, holds_counts
from bursar.dialects.wire import as_list, as_map, maps, text_of
from bursar.model.errors import BadUsage

Sign = tuple[str, tuple[str, ...], dict[str, tuple[str, ...]]]
"""Dialect, keys that are all present, keys whose value begins with one of some words."""

RESPONSE_SIGNS: tuple[Sign, ...] = (
    ("openai_chat", ("choices",), {}),
    ("openai_embeddings", ("data", "usage", "object"), {"object": ("list",)}),
    ("openai_responses", ("object",), {"object": ("response",)}),
    ("openai_chat", ("object", "usage"), {"object": ("thread.",)}),
    ("openai_chat", ("object",), {"object": ("thread.run",)}),
    ("cohere_chat", ("meta",), {}),
    ("cohere_chat", ("message", "finish_reason"), {}),
    ("anthropic_messages", ("type", "content", "usage"), {"type": ("message",)}),
    ("anthropic_messages", ("stop_reason", "content", "role"), {}),
    ("anthropic_messages", ("type", "error"), {"type": ("error",)}),
    ("anthropic_messages", ("type", "completion"), {"type": ("completion",)}),
    ("gemini_generate", ("candidates",), {}),
    ("gemini_generate", ("usageMetadata",), {}),
    ("gemini_generate", ("promptFeedback",), {}),
    ("bedrock_converse", ("output", "stopReason"), {}),
    ("bedrock_converse", ("metrics", "usage"), {}),
    ("bedrock_invoke", ("amazon-bedrock-invocationMetrics",), {}),
    ("bedrock_invoke", ("generation",), {}),
    ("bedrock_invoke", ("inputTextTokenCount",), {}),
    ("bedrock_invoke", ("completions",), {}),
    ("bedrock_invoke", ("generations",), {}),
    ("bedrock_invoke", ("outputs",), {}),
    ("bedrock_invoke", ("embedding",), {}),
    ("bedrock_invoke", ("text", "generation_id"), {}),
)

REQUEST_SIGNS: tuple[Sign, ...] = (
    ("gemini_generate", ("contents",), {}),
    ("bedrock_converse", ("toolConfig",), {}),
    ("bedrock_converse", ("inferenceConfig", "messages"), {}),
    ("bedrock_converse", ("requestMetadata",), {}),
    ("bedrock_invoke", ("anthropic_version", "messages"), {"anthropic_version": ("bedrock",)}),
    ("bedrock_invoke", ("inputText",), {}),
    ("bedrock_invoke", ("prompt", "max_gen_len"), {}),
    ("anthropic_messages", ("system", "messages"), {}),
    ("anthropic_messages", ("thinking", "messages"), {}),
    ("openai_chat", ("messages", "max_completion_tokens"), {}),
    ("openai_responses", ("input", "instructions"), {}),
    ("openai_responses", ("input", "max_output_tokens"), {}),
    ("cohere_chat", ("message", "chat_history"), {}),
)

EVENT_SIGNS: tuple[Sign, ...] = (
    ("openai_responses", ("type",), {"type": ("response.",)}),
    ("openai_chat", ("object",), {"object": ("thread.",)}),
    ("anthropic_messages", ("type",), {"type": ("message_", "content_block_")}),
    ("cohere_chat", ("type",), {"type": ("message-", "content-", "tool-", "citation-")}),
    ("cohere_chat", ("event_type",), {}),
    ("openai_chat", ("choices",), {}),
    ("gemini_generate", ("candidates",), {}),
    ("gemini_generate", ("usageMetadata",), {}),
    *(
        ("bedrock_converse", (name,), {})
        for name in ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop")
    ),
    ("bedrock_converse", ("messageStop",), {}),
    ("bedrock_converse", ("metadata",), {}),
)

_ANTHROPIC_PARTS = frozenset(("tool_use", "tool_result", "thinking", "image", "document"))
_CONVERSE_PARTS = frozenset(("toolUse", "toolResult", "cachePoint", "text", "document", "image"))


def _matching(body: dict[str, Any], signs: tuple[Sign, ...]) -> str | None:
    for dialect, keys, values in signs:
        if all(key in body for key in keys) and all(
            str(body.get(key)).startswith(words) for key, words in values.items()
        ):
            return dialect
    return None


def sniff_dialect(body: Mapping[str, Any]) -> str | None:
    """The dialect of a response or request body, or None when nothing tells."""
    fields = as_map(body)
    return sniff_response(fields) or _by_request(fields)


def sniff_response(body: dict[str, Any]) -> str | None:
    """The dialect of a response body, or None when nothing tells."""
    found = _matching(body, RESPONSE_SIGNS)
    if found == "bedrock_converse" and not _is_converse(body):
        return "bedrock_invoke"
    return found or _by_usage(body)


def sniff_events(events: list[dict[str, Any]]) -> str | None:
    """The dialect of the events of a stream: the first event that tells decides."""
    metrics = any("amazon-bedrock-invocationMetrics" in event for event in events)
    for event in events:
        found = _matching(event, EVENT_SIGNS)
        if found is not None:
            return "bedrock_invoke" if metrics and found != "openai_chat" else found
    return _matching(events[0], RESPONSE_SIGNS) if events else None


def _is_converse(body: dict[str, Any]) -> bool:
    """Nova's own answer looks like Converse's, but has no metrics and its own cache names."""
    return "metrics" in body or "cacheReadInputTokenCount" not in as_map(body.get("usage"))


def _by_usage(body: dict[str, Any]) -> str | None:
    usage = body.get("usage")
    if not holds_counts(usage):
        return None
    try:
        return counted(as_map(usage)).dialect
    except BadUsage:
        return None


def _by_request(body: dict[str, Any]) -> str | None:
    found = _matching(body, REQUEST_SIGNS)
    if found is not None:
        return found
    for message in maps(body.get("messages"))[-20:]:
        for part in maps(message.get("content")):
            kind = text_of(part.get("type"))
            if kind in _ANTHROPIC_PARTS:
                return "anthropic_messages"
            if kind is None and _CONVERSE_PARTS.intersection(part):
                return "bedrock_converse"
            if kind is not None and kind != "text":
                return "openai_chat"
    for tool in maps(body.get("tools")):
        if "input_schema" in tool:
            return "anthropic_messages"
        return "openai_chat" if "function" in tool else "openai_responses"
    if "messages" in body:
        model = str(body.get("model"))
        return "anthropic_messages" if "claude" in model else "openai_chat"
    if "input" in body:
        embeds = "embed" in str(body.get("model")) or "encoding_format" in body
        listed = as_list(body.get("input"))
        texts = listed and not maps(listed)
        return "openai_embeddings" if embeds or texts else "openai_responses"
    return "openai_chat" if "prompt" in body and "model" in body else None
