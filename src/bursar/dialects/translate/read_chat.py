"""OpenAI chat: the call as asked.

Tool results are messages of their own there and parts of the user's turn here. Texts of an
assistant's message stand before its tool calls, since the dialect keeps them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bursar.dialects.translate.fields import (
    Fields,
    Turns,
    not_carried,
    read_body,
)
from bursar.dialects.translate.kin import (
    REASONS,
    breakpoint_of,
    no_part,
    read_choice,
    read_effort,
    read_function,
    read_image,
    read_schema,
    read_settings,
    read_text,
)
from bursar.dialects.translate.neutral import (
    ANSWERED,
    ASSISTANT,
    SYSTEM,
    USER,
    Image,
    Json,
    Neutral,
    Part,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)


def read_asked(body: bytes | Json) -> Neutral:
    """A chat call. Raises BadInput where it is malformed, Refused where nobody can carry it."""
    fields = read_body(body)
    notes: list[str] = []
    places: dict[str, str] = {}
    options = fields.inner("stream_options")
    wants = options.flag("include_usage") or False
    options.take("include_obfuscation")
    options.close()
    limit = fields.whole("max_completion_tokens")
    old_limit = fields.whole("max_tokens")
    places["max_tokens"] = "/max_tokens" if limit is None else "/max_completion_tokens"
    places |= {"effort": "/reasoning_effort", "thinking": "/reasoning_effort", "stops": "/stop"}
    places |= {"choice": "/tool_choice", "schema": "/response_format"}
    effort, thinking = read_effort(fields.text("reasoning_effort"))
    schema, json_object = read_schema(fields.inner("response_format"))
    settings = read_settings(fields, notes, places)
    system, turns, last = _read_messages(fields, notes)
    found = Neutral(
        **settings,
        system=system,
        turns=turns,
        last=last,
        tools=tuple(_read_tool(item, at) for at, item in fields.list("tools")),
        choice=read_choice(fields, "function"),
        max_tokens=old_limit if limit is None else limit,
        stops=fields.strings("stop"),
        schema=schema,
        json_object=json_object,
        effort=effort,
        thinking=thinking,
        wants_usage=wants,
        notes=tuple(notes),
        places=places | {"json_object": "/response_format"},
    )
    fields.close(REASONS)
    return found


def _read_messages(
    fields: Fields, notes: list[str]
) -> tuple[tuple[Text, ...], tuple[Turn, ...], str]:
    system: list[Text] = []
    turns = Turns()
    for at, item in fields.list("messages"):
        message = Fields(item, at)
        role = message.need("role")
        if role in ("system", "developer"):
            texts = [part for part in _read_content(message) if isinstance(part, Text)]
            for text in texts:
                if turns:
                    turns.add(SYSTEM, text)
                elif text.text:
                    system.append(text)
        elif role == "user":
            for part in _read_content(message):
                turns.add(USER, part)
        elif role == "assistant":
            for part in _read_assistant(message, notes):
                turns.add(ASSISTANT, part)
        elif role == "tool":
            message.drop("name", notes, "the tool call names its tool")
            turns.add(USER, _read_result(message))
        else:
            raise not_carried(at, f"messages of role {role!r} are OpenAI's own")
        message.close({"name": "names of speakers cannot be carried"} | REASONS)
    return (tuple(system), *turns.done(ANSWERED))


def _read_content(message: Fields) -> Iterator[Text | Image]:
    content = message.take("content")
    if content is None:
        return
    if isinstance(content, str):
        yield Text(content, at=message.to("content"))
        return
    for at, item in Fields({"content": content}, message.at).list("content"):
        part = Fields(item, at)
        kind = part.need("type")
        if kind == "text":
            yield read_text(part, at)
        elif kind == "refusal":
            yield Text(part.text("refusal") or "", at=at)
        elif kind == "image_url":
            mark = breakpoint_of(part)
            image = part.inner("image_url")
            yield read_image(image.need("url"), image.text("detail"), mark, at)
            image.close()
        else:
            raise no_part(kind, at)
        part.close()


def _read_assistant(message: Fields, notes: list[str]) -> Iterator[Part]:
    for name in ("reasoning_content", "reasoning", "reasoning_details"):
        message.drop(name, notes, "reasoning without a signature is no use to the next model")
    message.drop("annotations", notes, "citations cannot be carried")
    yield from _read_content(message)
    yield Text(message.text("refusal") or "", at=message.to("refusal"))
    for at, item in message.list("tool_calls"):
        call = Fields(item, at)
        call.take("index")
        if call.text("type") not in (None, "function"):
            raise not_carried(at, "only function calls can be carried")
        function = call.inner("function")
        yield ToolUse(
            call.need("id"), function.need("name"), function.text("arguments") or "", at=at
        )
        function.close()
        call.close()


def _read_result(message: Fields) -> ToolResult:
    at = message.at
    parts = tuple(part for part in _read_content(message) if not _empty(part))
    return ToolResult(message.need("tool_call_id"), parts, at=at)


def _empty(part: Text | Image) -> bool:
    return isinstance(part, Text) and not part.text


def _read_tool(item: Any, at: str) -> Tool:
    fields = Fields(item, at)
    if fields.text("type") not in (None, "function"):
        raise not_carried(at, "only function tools can be carried")
    found = read_function(fields.inner("function"), at)
    fields.close()
    return found
