"""OpenAI Responses: the call as asked. No provider is asked in it; its answers are written.

A transcript is a list of items there: messages, function calls and their outputs side by side.
What is held at OpenAI (earlier responses, reasoning that is encrypted, items by id) stays there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bursar.dialects.translate.fields import Fields, Turns, malformed, not_carried, read_body
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
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)

ENCRYPTED = "reasoning.encrypted_content"
TEXTS = ("input_text", "output_text", "text", "summary_text")


def read_asked(body: bytes | Json) -> Neutral:
    """A Responses call. Raises BadInput where malformed, Refused where nobody can carry it."""
    fields = read_body(body)
    notes: list[str] = []
    places = {"effort": "/reasoning/effort", "thinking": "/reasoning/effort"}
    places |= {"schema": "/text/format", "json_object": "/text/format", "turns": "/input"}
    places |= {"max_tokens": "/max_output_tokens", "choice": "/tool_choice"}
    reasoning = fields.inner("reasoning")
    effort, thinking = read_effort(reasoning.text("effort"))
    reasoning.drop("summary", notes, "summaries of reasoning come as the target gives them")
    reasoning.drop("generate_summary", notes, "summaries come as the target gives them")
    reasoning.close()
    for at, item in fields.list("include"):
        if item != ENCRYPTED:
            raise not_carried(at, f"{item!r} is OpenAI's own")
        notes.append(f"{at} dropped: the target's reasoning is not encrypted by OpenAI")
    text = fields.inner("text")
    schema, json_object = read_schema(text.inner("format"))
    verbosity = text.take("verbosity")
    text.close()
    settings = read_settings(fields, notes, places)
    if verbosity is not None:
        settings["hints"]["verbosity"] = verbosity
    system, turns, last = _read_input(fields, notes)
    found = Neutral(
        **settings,
        system=system,
        turns=turns,
        last=last,
        tools=tuple(_read_tool(item, at) for at, item in fields.list("tools")),
        choice=read_choice(fields),
        max_tokens=fields.whole("max_output_tokens"),
        schema=schema,
        json_object=json_object,
        effort=effort,
        thinking=thinking,
        wants_usage=True,
        notes=tuple(notes),
        places=places,
    )
    fields.close(REASONS)
    return found


def _read_input(fields: Fields, notes: list[str]) -> tuple[tuple[Text, ...], tuple[Turn, ...], str]:
    system: list[Text] = []
    turns = Turns()
    instructions = fields.text("instructions")
    if instructions:
        system.append(Text(instructions, at="/instructions"))
    asked = fields.take("input")
    if isinstance(asked, str):
        turns.add(USER, Text(asked, at="/input"))
    else:
        for at, item in Fields({"input": asked}).list("input"):
            _read_item(Fields(item, at), system, turns, notes)
    return (tuple(system), *turns.done(ANSWERED))


def _read_item(item: Fields, system: list[Text], turns: Turns, notes: list[str]) -> None:
    kind = item.text("type") or "message"
    item.take("id")
    item.take("status")
    if kind == "message":
        role = item.need("role")
        item.take("phase")
        for part in _read_content(item, "content"):
            if role in ("system", "developer"):
                if turns:
                    turns.add(SYSTEM, part)
                elif isinstance(part, Text) and part.text:
                    system.append(part)
            elif role in (USER, ASSISTANT):
                turns.add(role, part)
            else:
                raise malformed(item.to("role"), f"unknown role {role!r}")
    elif kind == "function_call":
        item.default("caller", {"type": "direct"})
        arguments = item.text("arguments") or ""
        turns.add(
            ASSISTANT, ToolUse(item.need("call_id"), item.need("name"), arguments, at=item.at)
        )
    elif kind == "function_call_output":
        parts = tuple(
            part
            for part in _read_content(item, "output")
            if not isinstance(part, Text) or part.text
        )
        turns.add(USER, ToolResult(item.need("call_id"), parts, at=item.at))
    elif kind == "reasoning":
        if item.take("encrypted_content") is not None:
            raise not_carried(item.to("encrypted_content"), "only OpenAI can read it")
        item.take("summary")
        item.take("content")
        notes.append(f"{item.at} dropped: the next model cannot use another's reasoning")
    else:
        raise no_part(kind, item.at)
    item.close(REASONS)


def _read_content(item: Fields, key: str) -> Iterator[Text | Image]:
    content = item.take(key)
    if isinstance(content, str):
        yield Text(content, at=item.to(key))
        return
    for at, value in Fields({key: content}, item.at).list(key):
        part = Fields(value, at)
        kind = part.need("type")
        if kind in TEXTS:
            yield read_text(part, at)
        elif kind == "refusal":
            yield Text(part.text("refusal") or "", at=at)
        elif kind == "input_image":
            mark = breakpoint_of(part)
            if part.take("file_id") is not None:
                raise not_carried(part.to("file_id"), "files held at OpenAI cannot be carried")
            yield read_image(part.need("image_url"), part.text("detail"), mark, at)
        else:
            raise no_part(kind, at)
        part.close()


def _read_tool(item: Any, at: str) -> Tool:
    fields = Fields(item, at)
    kind = fields.text("type")
    if kind != "function":
        raise not_carried(at, f"{kind!r} is a tool of OpenAI's own")
    fields.default("defer_loading", False)
    return read_function(fields, at)
