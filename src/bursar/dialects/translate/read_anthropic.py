"""Anthropic Messages: the call as asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bursar.dialects.translate.fields import (
    Fields,
    Turns,
    arguments_of,
    malformed,
    not_carried,
    read_body,
)
from bursar.dialects.translate.neutral import (
    ASSISTANT,
    CONTINUED,
    SYSTEM,
    USER,
    Choice,
    Image,
    Json,
    Neutral,
    Part,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from bursar.model.block import Mark

REASONS = {
    "inference_geo": "the place of the computation can only be asked of Anthropic",
    "container": "it is held at Anthropic",
    "diagnostics": "it refers to a call held at Anthropic",
    "mcp_servers": "server-side tools cannot be carried",
    "context_management": "Anthropic would shorten the prompt",
    "citations": "citations cannot be carried",
    "transformations": "images would be changed at Anthropic",
    "input_examples": "examples of inputs are part of Anthropic's prompt alone",
    "defer_loading": "tools are loaded later at Anthropic alone",
    "allowed_callers": "server-side tools cannot be carried",
    "caller": "server-side tools cannot be carried",
    "toolset_name": "server-side tools cannot be carried",
}
BLOCKS = {
    "document": "documents cannot be carried",
    "search_result": "search results with citations cannot be carried",
    "container_upload": "files held at Anthropic cannot be carried",
}


def read_asked(body: bytes | Json) -> Neutral:
    """A Messages call. Raises BadInput where malformed, Refused where nobody else can carry it."""
    fields = read_body(body)
    notes: list[str] = []
    places = {"effort": "/output_config/effort", "schema": "/output_config/format"}
    places |= {"stops": "/stop_sequences", "choice": "/tool_choice", "user": "/metadata/user_id"}
    output = fields.inner("output_config")
    effort = output.text("effort")
    schema = _read_format(output.inner("format")) or _read_format(fields.inner("output_format"))
    output.close()
    metadata = fields.inner("metadata")
    user = metadata.text("user_id")
    metadata.close()
    choice, one_tool = _read_choice(fields.inner("tool_choice"))
    tier, places["tier"] = _read_tier(fields)
    system = tuple(text for text in _read_system(fields) if text.text)
    turns, last = _read_messages(fields)
    found = Neutral(
        model=fields.text("model"),
        system=system,
        turns=turns,
        last=last,
        tools=tuple(_read_tool(item, at, notes) for at, item in fields.list("tools")),
        choice=choice,
        one_tool=one_tool,
        max_tokens=fields.whole("max_tokens"),
        stops=fields.strings("stop_sequences"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.whole("top_k"),
        schema=schema,
        effort=effort,
        thinking=read_thinking(fields.inner("thinking")),
        tier=tier,
        user=user,
        automark=_mark(fields),
        stream=fields.flag("stream") or False,
        wants_usage=True,
        notes=tuple(notes),
        places=places | {"one_tool": "/tool_choice/disable_parallel_tool_use"},
    )
    fields.close(REASONS)
    return found


def _read_format(fields: Fields) -> Schema | None:
    kind = fields.text("type")
    schema = fields.schema("schema")
    fields.close()
    if kind is None:
        return None
    if kind != "json_schema" or schema is None:
        raise malformed(fields.at, "not a json_schema with its schema")
    return Schema(schema=schema)


def _read_choice(fields: Fields) -> tuple[Choice | None, bool]:
    kind = fields.text("type")
    one = fields.flag("disable_parallel_tool_use") or False
    name = fields.need("name") if kind == "tool" else ""
    fields.close()
    if kind not in (None, "auto", "any", "none", "tool"):
        raise malformed(fields.to("type"), f"unknown choice {kind!r}")
    return (None if kind is None else Choice(kind, name)), one


def _read_tier(fields: Fields) -> tuple[str | None, str]:
    speed, tier = fields.text("speed"), fields.text("service_tier")
    if speed == "fast":
        return "fast", "/speed"
    return ("default" if tier == "standard_only" else None), "/service_tier"


def read_thinking(fields: Fields) -> Json | None:
    kind = fields.text("type")
    budget = fields.whole("budget_tokens")
    display = fields.text("display")
    fields.close()
    if kind is None:
        return None
    if kind not in ("enabled", "adaptive", "disabled"):
        raise not_carried(fields.to("type"), f"thinking {kind!r} is Anthropic's own")
    found: Json = {"type": kind}
    found |= {} if budget is None else {"budget_tokens": budget}
    return found | ({} if display is None else {"display": display})


def _read_system(fields: Fields) -> Iterator[Text]:
    found = fields.take("system")
    if isinstance(found, str):
        yield Text(found, at="/system")
        return
    for at, item in Fields({"system": found}).list("system"):
        part = _read_block(item, at)
        if not isinstance(part, Text):
            raise malformed(at, "not a text")
        yield part


def _read_messages(fields: Fields) -> tuple[tuple[Turn, ...], str]:
    turns = Turns()
    for at, item in fields.list("messages"):
        message = Fields(item, at)
        role = message.need("role")
        if role not in (USER, ASSISTANT, SYSTEM):
            raise malformed(message.to("role"), f"unknown role {role!r}")
        content = message.take("content")
        if isinstance(content, str):
            turns.add(role, Text(content, at=message.to("content")))
        else:
            for place, block in Fields({"content": content}, at).list("content"):
                turns.add(role, _read_block(block, place))
        message.close()
    return turns.done(CONTINUED)


def _read_block(item: Any, at: str) -> Part:
    fields = Fields(item, at)
    kind = fields.need("type")
    mark = _mark(fields)
    if kind == "text":
        part: Part = Text(fields.text("text") or "", mark, at)
    elif kind == "image":
        part = _read_image(fields.inner("source"), mark, at)
    elif kind == "tool_use":
        fields.default("caller", {"type": "direct"})
        arguments = arguments_of(fields.take("input"))
        part = ToolUse(fields.need("id"), fields.need("name"), arguments, mark, at)
    elif kind == "tool_result":
        part = _read_result(fields, mark)
    elif kind == "thinking":
        part = Thinking(fields.text("thinking") or "", fields.text("signature") or "", at=at)
    elif kind == "redacted_thinking":
        part = Thinking(redacted=fields.need("data"), at=at)
    else:
        raise not_carried(at, BLOCKS.get(kind, f"a block of type {kind!r} is Anthropic's own"))
    fields.close(REASONS)
    return part


def _read_result(fields: Fields, mark: Mark) -> ToolResult:
    content = fields.take("content")
    parts: list[Text | Image] = []
    if isinstance(content, str):
        parts = [Text(content, at=fields.to("content"))]
    else:
        for at, item in Fields({"content": content}, fields.at).list("content"):
            part = _read_block(item, at)
            if not isinstance(part, Text | Image):
                raise not_carried(at, "a tool result holds texts and images")
            if part.mark is not Mark.NONE:
                mark = part.mark
                part = _unmarked(part)
            parts.append(part)
    kept = tuple(part for part in parts if not isinstance(part, Text) or part.text)
    failed = fields.flag("is_error") or False
    return ToolResult(fields.need("tool_use_id"), kept, failed, mark, fields.at)


def _unmarked(part: Text | Image) -> Text | Image:
    """A mark inside a tool result ends at the result: the only boundary that all know."""
    if isinstance(part, Text):
        return Text(part.text, at=part.at)
    return Image(part.media, part.b64, part.url, part.detail, at=part.at)


def _read_image(source: Fields, mark: Mark, at: str) -> Image:
    kind = source.need("type")
    if kind == "base64":
        found = Image(media=source.need("media_type"), b64=source.need("data"), mark=mark, at=at)
    elif kind == "url":
        found = Image(url=source.need("url"), mark=mark, at=at)
    else:
        raise not_carried(source.at, "files held at Anthropic cannot be carried")
    source.close()
    return found


def _mark(fields: Fields) -> Mark:
    control = fields.inner("cache_control")
    kind, ttl = control.text("type"), control.text("ttl")
    control.close()
    if kind is None:
        return Mark.NONE
    return Mark.H1 if ttl == "1h" else Mark.M5


def _read_tool(item: Any, at: str, notes: list[str]) -> Tool:
    fields = Fields(item, at)
    kind = fields.text("type")
    if kind not in (None, "custom"):
        raise not_carried(at, f"{kind!r} is a server-side tool of Anthropic")
    fields.drop("eager_input_streaming", notes, "a matter of Anthropic's streams")
    fields.default("defer_loading", False)
    fields.default("allowed_callers", ["direct"])
    schema = fields.schema("input_schema")
    found = Tool(
        name=fields.need("name"),
        schema={"type": "object", "properties": {}} if schema is None else schema,
        description=fields.text("description") or "",
        strict=fields.flag("strict"),
        mark=_mark(fields),
        at=at,
    )
    fields.close(REASONS)
    return found
