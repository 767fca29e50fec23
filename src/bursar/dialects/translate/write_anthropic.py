"""Anthropic Messages: the call as it is written for a provider that speaks it."""

from __future__ import annotations

from bursar.dialects.translate.fields import (
    dumped,
    input_of,
    not_carried,
)
from bursar.dialects.translate.neutral import (
    Choice,
    Image,
    Json,
    Neutral,
    Part,
    Schema,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Written,
)
from bursar.dialects.translate.terms import (
    LONGEST_ID,
    PLAIN_ID,
    Ids,
    Terms,
    check_claude,
    check_image,
    claude_turns,
    drop_hints,
)
from bursar.model.block import Mark

NAME = "anthropic_messages"
EFFORTS = ("low", "medium", "high", "xhigh", "max")


def write_asked(asked: Neutral, model: str, terms: Terms) -> Written:
    """The call for Anthropic. Raises Refused, naming what it cannot carry."""
    check_claude(asked, NAME)
    notes: list[str] = []
    limit = asked.max_tokens
    if limit is None:
        limit = terms.default_max_tokens
        notes.append(f"max_tokens set to {limit}: {NAME} needs a limit")
    turns = claude_turns(asked, notes)
    ids = Ids(LONGEST_ID, PLAIN_ID)
    body: Json = {"model": model, "max_tokens": limit}
    system = [_marked({"type": "text", "text": text.text}, text.mark) for text in asked.system]
    if system:
        body["system"] = system
    body["messages"] = [
        {"role": turn.role, "content": [_block(part, ids, notes) for part in _ordered(turn, notes)]}
        for turn in turns
    ]
    notes += ids.notes
    if asked.tools:
        body["tools"] = [_tool(tool) for tool in asked.tools]
    choice = _choice(asked, notes)
    if choice is not None:
        body["tool_choice"] = choice
    settings = {
        "stop_sequences": list(asked.stops) or None,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "thinking": asked.thinking,
        "output_config": _output(asked, notes),
        "metadata": {"user_id": asked.user} if asked.user else None,
        "stream": asked.stream or None,
    }
    body |= {name: value for name, value in settings.items() if value is not None}
    body |= _tier(asked)
    if asked.automark is not Mark.NONE:
        body = _marked(body, asked.automark)
    if asked.metadata:
        notes.append(f"{asked.at('metadata')} dropped: {NAME} takes only a user's id")
    drop_hints(asked, notes)
    return Written(dumped(body), tuple(notes))


def _tier(asked: Neutral) -> Json:
    if asked.tier is None:
        return {}
    if asked.tier == "fast":
        return {"speed": "fast"}
    if asked.tier != "default":
        raise not_carried(asked.at("tier"), f"{NAME} has no tier {asked.tier!r}")
    return {"service_tier": "standard_only"}


def _output(asked: Neutral, notes: list[str]) -> Json | None:
    found: Json = {}
    if asked.effort is not None:
        if asked.effort not in EFFORTS:
            raise not_carried(asked.at("effort"), f"{NAME} has no effort {asked.effort!r}")
        found["effort"] = asked.effort
    if asked.schema is not None:
        found["format"] = {"type": "json_schema", "schema": asked.schema.schema}
        if asked.schema != Schema(schema=asked.schema.schema):
            notes.append(f"{asked.at('schema')}: only the schema itself goes along")
    return found or None


def _choice(asked: Neutral, notes: list[str]) -> Json | None:
    if not asked.tools:
        if asked.choice is not None or asked.one_tool:
            notes.append(f"{asked.at('choice')} dropped: there are no tools")
        return None
    choice = asked.choice or (Choice("auto") if asked.one_tool else None)
    if choice is None:
        return None
    found: Json = {"type": choice.kind} | ({"name": choice.name} if choice.name else {})
    if asked.one_tool and choice.kind == "none":
        notes.append(f"{asked.at('one_tool')} dropped: no tool may be used")
    elif asked.one_tool:
        found["disable_parallel_tool_use"] = True
        if asked.choice is None:
            notes.append(f"{asked.at('one_tool')} said with the choice of a tool left to the model")
    return found


def _ordered(turn: Turn, notes: list[str]) -> list[Part]:
    """Tool results first: Anthropic refuses a turn that answers a tool use later."""
    results: list[Part] = [part for part in turn.parts if isinstance(part, ToolResult)]
    if not results or list(turn.parts[: len(results)]) == results:
        return list(turn.parts)
    notes.append("tool results stand before the texts of their turn")
    return results + [part for part in turn.parts if not isinstance(part, ToolResult)]


def _marked(block: Json, mark: Mark) -> Json:
    """A mark without a life of its own lives 5 minutes."""
    if mark is Mark.NONE:
        return block
    ttl = {"ttl": "1h"} if mark is Mark.H1 else {}
    return block | {"cache_control": {"type": "ephemeral"} | ttl}


def _block(part: Part, ids: Ids, notes: list[str]) -> Json:
    if isinstance(part, Text):
        return _marked({"type": "text", "text": part.text}, part.mark)
    if isinstance(part, Image):
        return _marked(_image(part, notes), part.mark)
    if isinstance(part, ToolUse):
        found = {"type": "tool_use", "id": ids.fit(part.id), "name": part.name}
        return _marked(found | {"input": input_of(part.arguments, part.at)}, part.mark)
    if isinstance(part, ToolResult):
        found: Json = {"type": "tool_result", "tool_use_id": ids.fit(part.id)}
        kept = [one for one in part.parts if not isinstance(one, Text) or one.text.strip()]
        if len(kept) < len(part.parts):
            notes.append("blank texts dropped: the target refuses them")
        if kept:
            found["content"] = [_block(one, ids, notes) for one in kept]
        return _marked(found | ({"is_error": True} if part.failed else {}), part.mark)
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    if not part.signature:
        raise not_carried(part.at, f"{NAME} takes only thinking that it has signed")
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _image(image: Image, notes: list[str]) -> Json:
    check_image(image, NAME)
    if image.detail:
        notes.append(f"{image.at}: detail {image.detail!r} dropped: {NAME} has no such setting")
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    source = {"type": "base64", "media_type": image.media, "data": image.b64}
    return {"type": "image", "source": source}


def _tool(tool: Tool) -> Json:
    found: Json = {"name": tool.name}
    if tool.description:
        found["description"] = tool.description
    found["input_schema"] = tool.schema
    if tool.strict is not None:
        found["strict"] = tool.strict
    return _marked(found, tool.mark)
