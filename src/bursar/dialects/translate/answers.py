"""Whole answers of the three dialects that providers are asked in -> the neutral answer.

Usage and price class are read by the lens, which knows what each dialect counts where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bursar.dialects.answers import price_class_of
from bursar.dialects.translate.fields import arguments_of
from bursar.dialects.translate.neutral import (
    CONTEXT,
    END,
    FILTER,
    MAX_TOKENS,
    REFUSAL,
    STOP_SEQUENCE,
    TOOL_USE,
    Json,
    NeutralAnswer,
    Text,
    Thinking,
    ToolUse,
)
from bursar.dialects.usages import counted, holds_counts
from bursar.dialects.wire import as_list, as_map, is_map, maps, parse, text_of
from bursar.model.errors import BadInput, BadUsage
from bursar.model.usage import Usage

STOPS = {
    "openai_chat": {
        "stop": END,
        "length": MAX_TOKENS,
        "tool_calls": TOOL_USE,
        "function_call": TOOL_USE,
        "content_filter": FILTER,
    },
    "anthropic_messages": {
        "end_turn": END,
        "max_tokens": MAX_TOKENS,
        "tool_use": TOOL_USE,
        "stop_sequence": STOP_SEQUENCE,
        "refusal": REFUSAL,
        "model_context_window_exceeded": CONTEXT,
    },
    "bedrock_converse": {
        "end_turn": END,
        "max_tokens": MAX_TOKENS,
        "tool_use": TOOL_USE,
        "stop_sequence": STOP_SEQUENCE,
        "guardrail_intervened": FILTER,
        "content_filtered": FILTER,
        "malformed_model_output": END,
        "malformed_tool_use": END,
        "model_context_window_exceeded": CONTEXT,
    },
}
"""Our word for each dialect's; a word that is not here is an end."""

Answered = Text | ToolUse | Thinking


def stop_word(dialect: str, word: object, *, tools: bool) -> str:
    """Some who copy OpenAI say `stop` beside tool calls: clients act on the word."""
    found = STOPS[dialect].get(str(word), END)
    return TOOL_USE if found == END and tools else found


def usage_of(usage: object, dialect: str) -> Usage | None:
    """Disjoint counts, or None where there are none that can be true."""
    if not holds_counts(usage, dialect):
        return None
    try:
        return counted(as_map(usage), dialect).usage
    except BadUsage:
        return None


def _chat_parts(message: Json) -> Iterator[Answered]:
    thought = text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))
    if thought:
        yield Thinking(thought)
    content = message.get("content")
    texts = [text_of(part.get("text")) for part in maps(content)] or [text_of(content)]
    for text in (*texts, text_of(message.get("refusal"))):
        if text:
            yield Text(text)
    calls = maps(message.get("tool_calls"))
    legacy = message.get("function_call")
    if is_map(legacy):
        calls.append({"id": "call_0", "function": legacy})
    for place, call in enumerate(calls):
        function = as_map(call.get("function"))
        yield ToolUse(
            text_of(call.get("id")) or f"call_{place}",
            text_of(function.get("name")) or "",
            text_of(function.get("arguments")) or "{}",
        )


def read_chat(body: Json) -> NeutralAnswer:
    choice = as_map(next(iter(as_list(body.get("choices"))), None))
    message = as_map(choice.get("message"))
    parts = tuple(_chat_parts(message))
    tools = any(isinstance(part, ToolUse) for part in parts)
    stop = stop_word("openai_chat", choice.get("finish_reason"), tools=tools)
    return NeutralAnswer(
        id=text_of(body.get("id")) or "",
        model=text_of(body.get("model")) or "",
        parts=parts,
        stop=REFUSAL if message.get("refusal") else stop,
        usage=usage_of(body.get("usage"), "openai_chat"),
        tier=price_class_of(body, "openai_chat"),
    )


def _anthropic_parts(content: Any) -> Iterator[Answered]:
    for block in maps(content):
        kind = block.get("type")
        if kind == "text" and block.get("text"):
            yield Text(str(block["text"]))
        elif kind == "tool_use":
            arguments = arguments_of(block.get("input"))
            yield ToolUse(str(block.get("id")), str(block.get("name")), arguments)
        elif kind == "thinking":
            yield Thinking(str(block.get("thinking") or ""), str(block.get("signature") or ""))
        elif kind == "redacted_thinking":
            yield Thinking(redacted=str(block.get("data") or ""))


def read_anthropic(body: Json) -> NeutralAnswer:
    parts = tuple(_anthropic_parts(body.get("content")))
    return NeutralAnswer(
        id=text_of(body.get("id")) or "",
        model=text_of(body.get("model")) or "",
        parts=parts,
        stop=stop_word("anthropic_messages", body.get("stop_reason"), tools=False),
        stop_text=text_of(body.get("stop_sequence")),
        usage=usage_of(body.get("usage"), "anthropic_messages"),
        tier=price_class_of(body, "anthropic_messages"),
    )


def _converse_parts(content: Any) -> Iterator[Answered]:
    for block in maps(content):
        thought = as_map(block.get("reasoningContent"))
        said = as_map(thought.get("reasoningText"))
        use = as_map(block.get("toolUse"))
        cited = as_map(block.get("citationsContent"))
        for part in (block, *maps(cited.get("content"))):
            if part.get("text"):
                yield Text(str(part["text"]))
        if use:
            arguments = arguments_of(use.get("input"))
            yield ToolUse(str(use.get("toolUseId")), str(use.get("name")), arguments)
        elif said:
            yield Thinking(str(said.get("text") or ""), str(said.get("signature") or ""))
        elif thought:
            yield Thinking(redacted=str(thought.get("redactedContent") or ""))


def read_converse(body: Json) -> NeutralAnswer:
    output = as_map(as_map(body.get("output")).get("message"))
    routed = as_map(as_map(body.get("trace")).get("promptRouter"))
    return NeutralAnswer(
        model=text_of(routed.get("invokedModelId")) or "",
        parts=tuple(_converse_parts(output.get("content"))),
        stop=stop_word("bedrock_converse", body.get("stopReason"), tools=False),
        usage=usage_of(body.get("usage"), "bedrock_converse"),
        tier=price_class_of(body, "bedrock_converse"),
    )


READERS: dict[str, Callable[[Json], NeutralAnswer]] = {
    "openai_chat": read_chat,
    "anthropic_messages": read_anthropic,
    "bedrock_converse": read_converse,
}


def read_answer(raw: bytes | Json, dialect: str) -> NeutralAnswer:
    """A provider's whole answer. Raises BadInput when it is no JSON object."""
    found: object = parse(raw, "answer") if isinstance(raw, bytes) else raw
    if not is_map(found):
        raise BadInput("the answer is no JSON object", mend="look at what the provider sent")
    return READERS[dialect](as_map(found))
