"""Bedrock Converse: the call as asked. Its model and whether it streams stand in its path.

A cache point is a block of its own there and a mark of the block before it here. What only Claude
knows (`thinking`, `top_k`) goes through `additionalModelRequestFields`, to Claude alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from bursar.dialects.translate.fields import (
    Fields,
    Turns,
    arguments_of,
    dumped,
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
from bursar.dialects.translate.read_anthropic import read_thinking
from bursar.dialects.wire import as_map, is_map, parse_or_none
from bursar.model.block import Mark

REASONS = {
    "guardrailConfig": "guardrails are Bedrock's own",
    "guardContent": "guardrails are Bedrock's own",
    "promptVariables": "the prompt is held at Bedrock",
    "additionalModelResponseFieldPaths": "the fields of a model at Bedrock cannot be asked for",
    "systemTool": "server-side tools cannot be carried",
    "document": "documents cannot be carried",
    "video": "video cannot be carried",
    "audio": "audio cannot be carried",
    "citationsContent": "citations cannot be carried",
    "searchResult": "search results with citations cannot be carried",
    "s3Location": "files held at AWS cannot be carried",
    "type": "server-side tools cannot be carried",
    "performanceConfig": "latency-optimised models are Bedrock's own",
}
BLOCKS = ("text", "image", "toolUse", "toolResult", "reasoningContent", "json")


def read_asked(body: bytes | Json) -> Neutral:
    """A Converse call. Raises BadInput where malformed, Refused where nobody else can carry it."""
    fields = read_body(body)
    fields.default("performanceConfig", {"latency": "standard"})
    inference = fields.inner("inferenceConfig")
    tooling = fields.inner("toolConfig")
    output = fields.inner("outputConfig")
    more = fields.inner("additionalModelRequestFields")
    tier = fields.inner("serviceTier")
    tools = tuple(_read_tools(tooling))
    system = tuple(_read_system(fields))
    turns, last = _read_messages(fields)
    word = tier.text("type")
    found = Neutral(
        model=fields.text("modelId"),
        system=system,
        turns=turns,
        last=last,
        tools=tools,
        choice=_read_choice(tooling.inner("toolChoice")),
        max_tokens=inference.whole("maxTokens"),
        stops=inference.strings("stopSequences"),
        temperature=inference.number("temperature"),
        top_p=inference.number("topP"),
        top_k=more.whole("top_k"),
        schema=_read_format(output.inner("textFormat")),
        effort=output.text("effort"),
        thinking=read_thinking(more.inner("thinking")),
        tier=word,
        metadata=fields.words("requestMetadata"),
        wants_usage=True,
        places=PLACES,
    )
    for one in (inference, tooling, output, more, tier, fields):
        one.close(REASONS)
    return found


PLACES = {
    "max_tokens": "/inferenceConfig/maxTokens",
    "stops": "/inferenceConfig/stopSequences",
    "temperature": "/inferenceConfig/temperature",
    "top_p": "/inferenceConfig/topP",
    "top_k": "/additionalModelRequestFields/top_k",
    "thinking": "/additionalModelRequestFields/thinking",
    "schema": "/outputConfig/textFormat",
    "effort": "/outputConfig/effort",
    "choice": "/toolConfig/toolChoice",
    "tier": "/serviceTier/type",
    "metadata": "/requestMetadata",
}


def _point(fields: Fields) -> Mark:
    point = fields.inner("cachePoint")
    point.take("type")
    ttl = point.text("ttl")
    point.close()
    return Mark.H1 if ttl == "1h" else Mark.M5


def _blocks(fields: Fields, key: str) -> Iterator[tuple[Fields, Mark]]:
    """The blocks of a list, each with the mark that a cache point after it sets."""
    held: Fields | None = None
    for at, item in fields.list(key):
        block = Fields(item, at)
        if "cachePoint" not in as_map(item):
            if held is not None:
                yield held, Mark.NONE
            held = block
        elif held is None:
            raise not_carried(at, "a cache point that opens a list has no block to end at")
        else:
            yield held, _point(block)
            held = None
            block.close()
    if held is not None:
        yield held, Mark.NONE


def _read_system(fields: Fields) -> Iterator[Text]:
    for block, mark in _blocks(fields, "system"):
        text = Text(block.text("text") or "", mark, block.at)
        block.close(REASONS)
        if text.text:
            yield text


def _read_messages(fields: Fields) -> tuple[tuple[Turn, ...], str]:
    turns = Turns()
    for at, item in fields.list("messages"):
        message = Fields(item, at)
        role = message.need("role")
        if role not in (USER, ASSISTANT, SYSTEM):
            raise malformed(message.to("role"), f"unknown role {role!r}")
        for block, mark in _blocks(message, "content"):
            turns.add(role, _read_block(block, mark))
        message.close()
    return turns.done(CONTINUED)


def _read_block(fields: Fields, mark: Mark) -> Part:
    at = fields.at
    text = fields.text("text")
    if text is not None:
        part: Part = Text(text, mark, at)
    elif inner := fields.schema("image"):
        part = _read_image(Fields(inner, fields.to("image")), mark, at)
    elif inner := fields.schema("toolUse"):
        use = Fields(inner, fields.to("toolUse"))
        arguments = arguments_of(use.take("input"))
        part = ToolUse(use.need("toolUseId"), use.need("name"), arguments, mark, at)
        use.close(REASONS)
    elif inner := fields.schema("toolResult"):
        part = _read_result(Fields(inner, fields.to("toolResult")), mark)
    elif inner := fields.schema("reasoningContent"):
        part = _read_thought(Fields(inner, fields.to("reasoningContent")), at)
    else:
        fields.close(REASONS)
        raise malformed(at, f"none of {', '.join(BLOCKS)}")
    fields.close(REASONS)
    return part


def _read_thought(fields: Fields, at: str) -> Thinking:
    said = fields.inner("reasoningText")
    found = Thinking(
        said.text("text") or "",
        said.text("signature") or "",
        fields.text("redactedContent") or "",
        at,
    )
    said.close()
    fields.close()
    return found


def _read_image(fields: Fields, mark: Mark, at: str) -> Image:
    source = fields.inner("source")
    media = f"image/{fields.need('format')}"
    found = source.text("bytes")
    source.close(REASONS)
    fields.close()
    return Image(media=media, b64=found or "", mark=mark, at=at)


def _read_result(fields: Fields, mark: Mark) -> ToolResult:
    parts: list[Text | Image] = []
    for at, item in fields.list("content"):
        block = Fields(item, at)
        value = block.schema("json")
        if value is not None:
            parts.append(Text(dumped(value).decode(), at=at))
            block.close(REASONS)
            continue
        part = _read_block(block, Mark.NONE)
        if not isinstance(part, Text | Image):
            raise malformed(at, "a tool result holds texts, images and JSON")
        if not isinstance(part, Text) or part.text:
            parts.append(part)
    failed = fields.text("status") == "error"
    found = ToolResult(fields.need("toolUseId"), tuple(parts), failed, mark, fields.at)
    fields.close(REASONS)
    return found


def _read_tools(fields: Fields) -> Iterator[Tool]:
    for block, mark in _blocks(fields, "tools"):
        spec = block.inner("toolSpec")
        block.close(REASONS)
        schema = spec.inner("inputSchema")
        found = schema.schema("json")
        yield Tool(
            name=spec.need("name"),
            schema=found or {"type": "object", "properties": {}},
            description=spec.text("description") or "",
            strict=spec.flag("strict"),
            mark=mark,
            at=block.at,
        )
        schema.close()
        spec.close()


def _read_choice(fields: Fields) -> Choice | None:
    """The members are empty objects, so that presence is the choice."""
    for kind in ("auto", "any"):
        if fields.schema(kind) is not None:
            fields.close()
            return Choice(kind)
    tool = fields.inner("tool")
    name = tool.text("name")
    tool.close()
    fields.close()
    return None if name is None else Choice("tool", name)


def _read_format(fields: Fields) -> Schema | None:
    kind = fields.text("type")
    structure = fields.inner("structure")
    fields.close()
    if kind is None:
        return None
    spec = structure.inner("jsonSchema")
    schema = parse_or_none(spec.text("schema") or "")
    if not is_map(schema):
        raise malformed(spec.to("schema"), "not a JSON object in a string")
    name, description = spec.text("name") or "", spec.text("description") or ""
    spec.close()
    structure.close()
    return Schema(schema=as_map(schema), name=name, description=description)
