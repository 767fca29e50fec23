"""The neutral answer -> a whole answer of each dialect.

The asked dialect's client must be able to read it, so that what it cannot say is left out here,
never refused: the answer was paid for. Signatures of thoughts are only told where they can return.
"""

from __future__ import annotations

from collections.abc import Callable

from bursar.dialects.translate.fields import dumped, said_input
from bursar.dialects.translate.neutral import (
    CONTEXT,
    END,
    FILTER,
    MAX_TOKENS,
    REFUSAL,
    STOP_SEQUENCE,
    TOOL_USE,
    Back,
    Json,
    NeutralAnswer,
    Text,
    Thinking,
    ToolUse,
)
from bursar.dialects.translate.usage import (
    anthropic_usage,
    chat_usage,
    converse_usage,
    responses_usage,
    tier_word,
)

CHAT_STOPS = {
    MAX_TOKENS: "length",
    CONTEXT: "length",
    TOOL_USE: "tool_calls",
    REFUSAL: "content_filter",
    FILTER: "content_filter",
}
ANTHROPIC_STOPS = {
    END: "end_turn",
    MAX_TOKENS: "max_tokens",
    TOOL_USE: "tool_use",
    STOP_SEQUENCE: "stop_sequence",
    REFUSAL: "refusal",
    FILTER: "refusal",
    CONTEXT: "model_context_window_exceeded",
}
CONVERSE_STOPS = ANTHROPIC_STOPS | {REFUSAL: "content_filtered", FILTER: "content_filtered"}
INCOMPLETE = {
    MAX_TOKENS: "max_output_tokens",
    CONTEXT: "max_output_tokens",
    REFUSAL: "content_filter",
    FILTER: "content_filter",
}
"""Why a response of Responses is incomplete; the other stops complete it."""


def chat_answer(answer: NeutralAnswer, back: Back) -> Json:
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    thoughts = [part.text for part in answer.parts if isinstance(part, Thinking) and part.text]
    calls = [
        {
            "id": part.id,
            "type": "function",
            "function": {"name": part.name, "arguments": part.arguments},
        }
        for part in answer.parts
        if isinstance(part, ToolUse)
    ]
    message: Json = {"role": "assistant", "content": "".join(texts) if texts else None}
    message |= {"refusal": None}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": CHAT_STOPS.get(answer.stop, "stop"),
    }
    found: Json = {
        "id": answer.id or back.answer_id,
        "object": "chat.completion",
        "created": back.at_s,
        "model": answer.model or back.model,
        "choices": [choice],
        "service_tier": tier_word(answer.tier),
    }
    return found if answer.usage is None else found | {"usage": chat_usage(answer.usage)}


ITEM_IDS = {"tool_use": "fc", "thinking": "rs", "text": "msg"}


def item_id(kind: str, place: int, answer_id: str) -> str:
    return f"{ITEM_IDS[kind]}_{answer_id}_{place}"


def response_item(place: int, part: Text | ToolUse | Thinking, answer_id: str) -> Json:
    """An output item of Responses, finished."""
    if isinstance(part, ToolUse):
        return {
            "type": "function_call",
            "id": item_id("tool_use", place, answer_id),
            "call_id": part.id,
            "name": part.name,
            "arguments": part.arguments,
            "status": "completed",
        }
    if isinstance(part, Thinking):
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        return {
            "type": "reasoning",
            "id": item_id("thinking", place, answer_id),
            "summary": summary,
        }
    return {
        "type": "message",
        "id": item_id("text", place, answer_id),
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": part.text, "annotations": []}],
    }


def response_body(answer: NeutralAnswer, back: Back, status: str, output: list[Json]) -> Json:
    """The response object, as it also stands in the events of a stream."""
    reason = INCOMPLETE.get(answer.stop) if status == "incomplete" else None
    return {
        "id": answer.id or back.answer_id,
        "object": "response",
        "created_at": back.at_s,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": answer.model or back.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "service_tier": tier_word(answer.tier),
        "usage": None if answer.usage is None else responses_usage(answer.usage),
    }


def response_status(stop: str) -> str:
    return "incomplete" if stop in INCOMPLETE else "completed"


def responses_answer(answer: NeutralAnswer, back: Back) -> Json:
    name = answer.id or back.answer_id
    output = [response_item(place, part, name) for place, part in enumerate(answer.parts)]
    return response_body(answer, back, response_status(answer.stop), output)


def _anthropic_block(part: Text | ToolUse | Thinking) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolUse):
        use = {"type": "tool_use", "id": part.id, "name": part.name}
        return use | {"input": said_input(part.arguments)}
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def anthropic_answer(answer: NeutralAnswer, back: Back) -> Json:
    """Anthropic's clients cannot do without usage: zeros stand where nobody counted."""
    usage = None if answer.usage is None else anthropic_usage(answer.usage, answer.tier)
    return {
        "id": answer.id or back.answer_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model or back.model,
        "content": [_anthropic_block(part) for part in answer.parts],
        "stop_reason": ANTHROPIC_STOPS[answer.stop],
        "stop_sequence": answer.stop_text,
        "usage": usage or {"input_tokens": 0, "output_tokens": 0},
    }


def _converse_block(part: Text | ToolUse | Thinking) -> Json:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, ToolUse):
        use = {"toolUseId": part.id, "name": part.name, "input": said_input(part.arguments)}
        return {"toolUse": use}
    if part.redacted:
        return {"reasoningContent": {"redactedContent": part.redacted}}
    said = {"text": part.text} | ({"signature": part.signature} if part.signature else {})
    return {"reasoningContent": {"reasoningText": said}}


def converse_tail(answer: NeutralAnswer, back: Back) -> Json:
    """What stands beside an answer's message: in `metadata` where it is a stream."""
    found: Json = {"metrics": {"latencyMs": back.elapsed_ms}}
    if answer.usage is not None:
        found["usage"] = converse_usage(answer.usage)
    return found | {"serviceTier": {"type": tier_word(answer.tier)}}


def converse_answer(answer: NeutralAnswer, back: Back) -> Json:
    content = [_converse_block(part) for part in answer.parts]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": CONVERSE_STOPS[answer.stop],
    } | converse_tail(answer, back)


WRITERS: dict[str, Callable[[NeutralAnswer, Back], Json]] = {
    "openai_chat": chat_answer,
    "openai_responses": responses_answer,
    "anthropic_messages": anthropic_answer,
    "bedrock_converse": converse_answer,
}


def write_answer(answer: NeutralAnswer, dialect: str, back: Back) -> bytes:
    """A whole answer in a dialect."""
    return dumped(WRITERS[dialect](answer, back))
