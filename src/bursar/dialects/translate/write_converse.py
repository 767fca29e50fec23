"""Bedrock Converse: the call as it is written for a provider that speaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bursar.dialects.translate.fields import (
    dumped,
    input_of,
    not_carried,
)
from bursar.dialects.translate.neutral import (
    Image,
    Json,
    Neutral,
    Part,
    Text,
    Thinking,
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
    is_claude,
    mark_of,
    uses_tools,
)
from bursar.model.block import Mark

NAME = "bedrock_converse"
TIERS = ("default", "flex", "priority", "reserved")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
MOST_METADATA = 16
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.\-]{0,256}")


def write_asked(asked: Neutral, model: str, terms: Terms) -> Written:
    """The call for Converse. Raises Refused, naming what it cannot carry."""
    check_claude(asked, NAME)
    _check(asked, model)
    notes: list[str] = []
    turns = claude_turns(asked, notes)
    ids = Ids(LONGEST_ID, PLAIN_ID)
    body: Json = {
        "messages": [
            {"role": turn.role, "content": list(_content(turn, ids, notes))} for turn in turns
        ]
    }
    if asked.automark is not Mark.NONE:
        body["messages"][-1]["content"].append(_cache_point(asked.automark))
        notes.append("/cache_control said as a cache point at the end of the messages")
    notes += ids.notes
    system: list[Json] = []
    for text in asked.system:
        if text.text.strip():
            system += _with_point({"text": text.text}, text.mark)
        else:
            notes.append("blank texts dropped: the target refuses them")
    inference = {
        "maxTokens": asked.max_tokens,
        "temperature": asked.temperature,
        "topP": asked.top_p,
        "stopSequences": list(asked.stops) or None,
    }
    settings: Json = {
        "system": system,
        "inferenceConfig": {k: v for k, v in inference.items() if v is not None},
        "toolConfig": _tooling(asked, turns, notes),
        "outputConfig": _output(asked, notes),
        "serviceTier": {"type": asked.tier} if asked.tier else None,
        "requestMetadata": _metadata(asked, notes),
        "additionalModelRequestFields": _more(asked, model),
    }
    body |= {name: value for name, value in settings.items() if value}
    if asked.user:
        notes.append(f"{asked.at('user')} dropped: {NAME} has no user")
    drop_hints(asked, notes)
    return Written(dumped(body), tuple(notes))


def _check(asked: Neutral, model: str) -> None:
    if asked.tier not in (None, *TIERS):
        raise not_carried(asked.at("tier"), f"{NAME} has no tier {asked.tier!r}")
    if asked.effort not in (None, *EFFORTS):
        raise not_carried(asked.at("effort"), f"{NAME} has no effort {asked.effort!r}")
    if asked.max_tokens is not None and asked.max_tokens < 1:
        raise not_carried(asked.at("max_tokens"), f"{NAME} cannot answer with no token")
    if asked.one_tool and asked.tools:
        raise not_carried(asked.at("one_tool"), f"{NAME} cannot forbid several tool uses at once")
    if asked.choice is not None and asked.choice.kind == "none" and asked.tools:
        raise not_carried(asked.at("choice"), f"{NAME} cannot forbid the tools that it is given")
    if not is_claude(model):
        for turn in asked.turns:
            for part in turn.parts:
                if isinstance(part, Thinking) and (part.signature or part.redacted):
                    raise not_carried(part.at, f"of {NAME}'s models only Claude can read it")
    for field in ("thinking", "top_k"):
        if getattr(asked, field) is not None and not is_claude(model):
            raise not_carried(asked.at(field), f"of {NAME}'s models only Claude knows it")


def _more(asked: Neutral, model: str) -> Json:
    found = {"thinking": asked.thinking, "top_k": asked.top_k}
    return {name: value for name, value in found.items() if value is not None}


def _metadata(asked: Neutral, notes: list[str]) -> dict[str, str]:
    fitting = {
        key: value
        for key, value in asked.metadata.items()
        if key and _METADATA.fullmatch(key) and _METADATA.fullmatch(value)
    }
    kept = dict(list(fitting.items())[:MOST_METADATA])
    if len(kept) < len(asked.metadata):
        lost = ", ".join(sorted(set(asked.metadata) - set(kept))[:8])
        notes.append(f"{asked.at('metadata')}: what {NAME} does not take is dropped ({lost})")
    return kept


def _cache_point(mark: Mark) -> Json:
    ttl = {"ttl": "1h"} if mark is Mark.H1 else {}
    return {"cachePoint": {"type": "default"} | ttl}


def _with_point(block: Json, mark: Mark) -> list[Json]:
    return [block] if mark is Mark.NONE else [block, _cache_point(mark)]


def _content(turn: Turn, ids: Ids, notes: list[str]) -> Iterator[Json]:
    for part in turn.parts:
        yield from _with_point(_block(part, ids, notes), mark_of(part))


def _block(part: Part, ids: Ids, notes: list[str]) -> Json:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, Image):
        return _image(part, notes)
    if isinstance(part, ToolUse):
        found = {"toolUseId": ids.fit(part.id), "name": part.name}
        return {"toolUse": found | {"input": input_of(part.arguments, part.at)}}
    if isinstance(part, ToolResult):
        kept = [one for one in part.parts if not isinstance(one, Text) or one.text.strip()]
        if len(kept) < len(part.parts):
            notes.append("blank texts dropped: the target refuses them")
        found: Json = {
            "toolUseId": ids.fit(part.id),
            "content": [_block(one, ids, notes) for one in kept],
        }
        return {"toolResult": found | ({"status": "error"} if part.failed else {})}
    if part.redacted:
        return {"reasoningContent": {"redactedContent": part.redacted}}
    said = {"text": part.text} | ({"signature": part.signature} if part.signature else {})
    return {"reasoningContent": {"reasoningText": said}}


def _image(image: Image, notes: list[str]) -> Json:
    if image.url:
        raise not_carried(image.at, f"{NAME} takes the bytes of an image, not its address")
    check_image(image, NAME)
    if image.detail:
        notes.append(f"{image.at}: detail {image.detail!r} dropped: {NAME} has no such setting")
    kind = image.media.removeprefix("image/")
    return {"image": {"format": kind, "source": {"bytes": image.b64}}}


def _tooling(asked: Neutral, turns: list[Turn], notes: list[str]) -> Json | None:
    if not asked.tools:
        where = uses_tools(turns)
        if where is not None:
            raise not_carried(where, f"{NAME} takes tool uses only along with their tools")
        if asked.choice is not None or asked.one_tool:
            notes.append(f"{asked.at('choice')} dropped: there are no tools")
        return None
    tools: list[Json] = []
    for tool in asked.tools:
        spec: Json = {"name": tool.name}
        if tool.description:
            spec["description"] = tool.description
        spec["inputSchema"] = {"json": tool.schema}
        if tool.strict is not None:
            spec["strict"] = tool.strict
        tools += _with_point({"toolSpec": spec}, tool.mark)
    found: Json = {"tools": tools}
    if asked.choice is not None:
        kind = asked.choice.kind
        found["toolChoice"] = {kind: {"name": asked.choice.name} if kind == "tool" else {}}
    return found


def _output(asked: Neutral, notes: list[str]) -> Json:
    found: Json = {} if asked.effort is None else {"effort": asked.effort}
    schema = asked.schema
    if schema is not None:
        spec = {"schema": dumped(schema.schema).decode()}
        spec |= {"name": schema.name} if schema.name else {}
        spec |= {"description": schema.description} if schema.description else {}
        structure = {"jsonSchema": spec}
        found["textFormat"] = {"type": "json_schema", "structure": structure}
        if schema.strict is not None:
            notes.append(f"{asked.at('schema')}: {NAME} holds every schema strictly")
    return found
