"""What a model span shows of its prompt and its answer, in every way that emitters write it.

The convention has JSON attributes (or an event that carries them), older instrumentations one
event a message, OpenInference and OpenLLMetry one attribute a field
(`llm.input_messages.0.message.role`), Vercel's kit its own, and some only the raw request. The
first of them that is there is read; all are brought into messages, which `dialects` knows.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from bursar.dialects.lens import Prompt, message_blocks, read_request
from bursar.dialects.wire import as_list, as_map, maps, parse_or_none, text_of
from bursar.intake.otlp_spans import Attributes, Span
from bursar.model.block import Block
from bursar.model.entry import ToolUse
from bursar.model.errors import BadInput

DETAILS = "gen_ai.client.inference.operation.details"
INDEXED = re.compile(r"^(\d{1,5})\.(.+)$")
MOST_MESSAGES = 20_000
ROLE_OF_EVENT = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}


class Shown(msgspec.Struct, kw_only=True):
    """A prompt and its answer, still as messages."""

    request: dict[str, Any] | None = None
    """None: the span does not show the prompt."""
    answers: list[dict[str, Any]] = []


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The same, as blocks."""

    prompt: Prompt | None = None
    answer: tuple[Block, ...] = ()
    tool_uses: tuple[ToolUse, ...] = ()
    stop: str | None = None
    problem: str | None = None


def content_of(span: Span) -> Content:
    """Blocks of what a span shows."""
    shown = _shown(span)
    blocks: list[Block] = []
    uses: list[ToolUse] = []
    prompt: Prompt | None = None
    try:
        if shown.request is not None:
            prompt = read_request(shown.request)
        for message in shown.answers:
            reading = message_blocks({"role": "assistant", **message}, {}, answering=True)
            blocks += reading.blocks
            uses += reading.tool_uses
    except BadInput as bad:
        return Content(problem=bad.message)
    if prompt is not None and not prompt.blocks:
        prompt = None
    stop = next((text_of(message.get("finish_reason")) for message in shown.answers), None)
    return Content(prompt=prompt, answer=tuple(blocks), tool_uses=tuple(uses), stop=stop)


def _shown(span: Span) -> Shown:
    merged = dict(span.attributes)
    for name, attributes in span.events:
        if name == DETAILS:
            for key, value in attributes.items():
                merged[key] = _joined(merged.get(key), value)
    for read in (_by_convention, _by_fields, _by_prompt_fields, _by_kit):
        shown = read(merged)
        if shown is not None:
            return shown
    return _by_events(span.events) or _by_event_list(merged) or _by_values(merged)


def _joined(before: object, more: object) -> object:
    """Emitters may put the messages of one call on several events."""
    if before is None or before == more:
        return more
    return [*as_list(decoded(before)), *as_list(decoded(more))]


def decoded(value: object) -> Any:
    """JSON that was written as a text, decoded; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        found = parse_or_none(value)
        return value if found is None else found
    return value


def _request(messages: list[Any], tools: object = None, system: object = None) -> dict[str, Any]:
    request: dict[str, Any] = {"messages": messages[:MOST_MESSAGES]}
    if tools:
        request["tools"] = maps([decoded(tool) for tool in as_list(decoded(tools))])
    if system:
        request["system"] = decoded(system)
    return request


def _by_convention(attributes: Attributes) -> Shown | None:
    messages = maps(decoded(attributes.get("gen_ai.input.messages")))
    answers = maps(decoded(attributes.get("gen_ai.output.messages")))
    if not messages and not answers:
        return None
    request = None
    if messages:
        request = _request(
            [_message(one) for one in messages],
            attributes.get("gen_ai.tool.definitions"),
            attributes.get("gen_ai.system_instructions"),
        )
    return Shown(request=request, answers=[_message(one) for one in answers])


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """A message with parts; `result` is an older name of a tool response's content."""
    parts = maps(message.get("parts"))
    if not parts:
        return message
    fixed = [
        {**part, "response": part["result"]}
        if part.get("type") == "tool_call_response" and "response" not in part and "result" in part
        else part
        for part in parts
    ]
    return {**message, "parts": fixed}


def nested(attributes: Attributes, prefix: str) -> list[Any]:
    """`prefix.0.a.b`, `prefix.1.a.b` as a list of mappings, in the order of their numbers."""
    rows: dict[int, dict[str, Any]] = {}
    for key, value in attributes.items():
        if not key.startswith(prefix):
            continue
        found = INDEXED.match(key[len(prefix) :])
        if found is not None:
            rows.setdefault(int(found[1]), {})[found[2]] = value
    return [rows[number] for number in sorted(rows)]


def _by_fields(attributes: Attributes) -> Shown | None:
    """OpenInference: `llm.input_messages.0.message.content`."""
    messages = nested(attributes, "llm.input_messages.")
    answers = nested(attributes, "llm.output_messages.")
    if not messages and not answers:
        return None
    tools = [decoded(row.get("tool.json_schema")) for row in nested(attributes, "llm.tools.")]
    request = _request([_inference(row) for row in messages], tools) if messages else None
    return Shown(request=request, answers=[_inference(row) for row in answers])


def _inference(row: dict[str, Any]) -> dict[str, Any]:
    fields = {key.removeprefix("message."): value for key, value in row.items()}
    message: dict[str, Any] = {"role": fields.get("role"), "content": fields.get("content")}
    for name in ("tool_call_id", "name"):
        if name in fields:
            message[name] = fields[name]
    parts = nested(fields, "contents.")
    if parts and not message["content"]:
        message["content"] = [_inference_part(part) for part in parts]
    calls = nested(fields, "tool_calls.")
    if calls:
        message["tool_calls"] = [_tool_call(call, "tool_call.") for call in calls]
    if "function_call_name" in fields:
        message["function_call"] = {
            "name": fields["function_call_name"],
            "arguments": fields.get("function_call_arguments_json"),
        }
    return message


def _inference_part(part: dict[str, Any]) -> dict[str, Any]:
    kind = str(part.get("message_content.type") or "text")
    if kind == "image":
        return {"type": "image_url", "image_url": part.get("message_content.image.image.url")}
    return {"type": kind, "text": part.get("message_content.text") or ""}


def _tool_call(call: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        "id": call.get(f"{prefix}id"),
        "type": "function",
        "function": {
            "name": call.get(f"{prefix}function.name") or call.get(f"{prefix}name"),
            "arguments": call.get(f"{prefix}function.arguments") or call.get(f"{prefix}arguments"),
        },
    }


def _by_prompt_fields(attributes: Attributes) -> Shown | None:
    """OpenLLMetry before the convention: `gen_ai.prompt.0.content`."""
    for start, end in (
        ("gen_ai.prompt.", "gen_ai.completion."),
        ("llm.prompts.", "llm.completions."),
    ):
        messages, answers = nested(attributes, start), nested(attributes, end)
        if not messages and not answers:
            continue
        functions = nested(attributes, "llm.request.functions.")
        tools = [
            {**row, "parameters": decoded(row.get("parameters") or row.get("input_schema"))}
            for row in functions
        ]
        request = _request([_prompt_row(row) for row in messages], tools) if messages else None
        return Shown(request=request, answers=[_prompt_row(row) for row in answers])
    return None


def _prompt_row(row: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": row.get("role"), "content": decoded(row.get("content"))}
    if isinstance(message["content"], dict):
        message["content"] = [message["content"]]
    if "tool_call_id" in row:
        message["tool_call_id"] = row["tool_call_id"]
    calls = nested(row, "tool_calls.")
    if calls:
        message["tool_calls"] = [_tool_call(call, "") for call in calls]
    return {key: value for key, value in message.items() if value is not None}


def _by_kit(attributes: Attributes) -> Shown | None:
    """Vercel's AI SDK: `ai.prompt.messages`, `ai.response.text`."""
    messages: list[Any] = as_list(decoded(attributes.get("ai.prompt.messages")))
    system: object = None
    if not messages:
        prompt = as_map(decoded(attributes.get("ai.prompt")))
        messages, system = as_list(prompt.get("messages")), prompt.get("system")
        if isinstance(prompt.get("prompt"), str):
            messages = [{"role": "user", "content": prompt["prompt"]}]
    answer: dict[str, Any] = {"content": attributes.get("ai.response.text")}
    calls = decoded(attributes.get("ai.response.toolCalls"))
    answer["tool_calls"] = [
        {"id": call.get("toolCallId"), "function": {**call, "name": call.get("toolName")}}
        for call in map(_with_arguments, maps(calls))
    ]
    if not messages:
        return None
    request = _request(messages, attributes.get("ai.prompt.tools"), system)
    return Shown(request=request, answers=[answer])


def _with_arguments(call: dict[str, Any]) -> dict[str, Any]:
    return {**call, "arguments": call.get("args", call.get("input"))}


def _by_events(events: list[tuple[str, Attributes]]) -> Shown | None:
    """One event a message, `gen_ai.choice` being the answer."""
    messages: list[Any] = []
    answers: list[dict[str, Any]] = []
    for name, attributes in events:
        if name in ROLE_OF_EVENT:
            messages.append(_event_message({"role": ROLE_OF_EVENT[name], **attributes}))
        elif name == "gen_ai.choice":
            answers += _choice(attributes)
        elif name in ("gen_ai.content.prompt", "gen_ai.content.completion"):
            held = attributes.get("gen_ai.prompt", attributes.get("gen_ai.completion"))
            rows = maps(decoded(held))
            messages += rows if name.endswith("prompt") else []
            answers += rows if name.endswith("completion") else []
    if not messages and not answers:
        return None
    return Shown(request=_request(messages) if messages else None, answers=answers)


def _choice(attributes: Attributes) -> list[dict[str, Any]]:
    message: object = decoded(attributes.get("message", attributes.get("content")))
    stop = attributes.get("finish_reason")
    fields = as_map(message)
    if fields:
        return [{**_event_message(fields), "finish_reason": stop}]
    return [] if message is None else [{"content": message, "finish_reason": stop}]


def _event_message(attributes: Attributes) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": attributes.get("role"),
        "content": decoded(attributes.get("content")),
    }
    identity = attributes.get("id", attributes.get("tool_call_id"))
    if identity is not None:
        message["tool_call_id"] = identity
    calls = decoded(attributes.get("tool_calls"))
    if isinstance(calls, list):
        message["tool_calls"] = calls
    return message


def _by_event_list(attributes: Attributes) -> Shown | None:
    """pydantic-ai's first form: the same events as one JSON attribute."""
    rows = maps(decoded(attributes.get("events")))
    events = [(str(row.get("event.name")), row) for row in rows]
    return _by_events(events) if events else None


def _by_values(attributes: Attributes) -> Shown:
    """The raw request, where an emitter keeps it whole."""
    for key in ("input.value", "langfuse.observation.input", "gen_ai.prompt"):
        value: object = decoded(attributes.get(key))
        body, rows = as_map(value), maps(value)
        if any(name in body for name in ("messages", "contents", "input", "prompt")):
            return Shown(request=body)
        if any("role" in row for row in rows):
            return Shown(request=_request(rows))
    return Shown()
