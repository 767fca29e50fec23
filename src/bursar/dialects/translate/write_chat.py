"""OpenAI chat: the call as it is written for a provider that speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bursar.dialects.translate.fields import (
    dumped,
    not_carried,
)
from bursar.dialects.translate.kin import (
    HINTS,
    image_url,
    schema_fields,
)
from bursar.dialects.translate.neutral import (
    ASSISTANT,
    CONTINUED,
    SYSTEM,
    Choice,
    Image,
    Json,
    Neutral,
    Part,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Written,
)
from bursar.dialects.translate.terms import Ids, Terms
from bursar.model.block import Mark

NAME = "openai_chat"
MOST_STOPS = 4
LONGEST_ID = 40
TIERS = ("default", "flex", "priority", "fast", "scale")


def write_asked(asked: Neutral, model: str, terms: Terms) -> Written:
    """The call for a provider that speaks chat. Raises Refused, naming what it cannot carry."""
    _check(asked)
    notes: list[str] = []
    body: Json = {"model": model, "messages": list(_messages(asked, notes))}
    if asked.tools:
        body["tools"] = [_tool(tool) for tool in asked.tools]
    if asked.choice is not None:
        body["tool_choice"] = _choice(asked.choice)
    if asked.one_tool:
        body["parallel_tool_calls"] = False
    if asked.max_tokens is not None:
        body[terms.chat_limit] = asked.max_tokens
    if asked.stops:
        body["stop"] = list(asked.stops)
    if asked.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": schema_fields(asked.schema),
        }
    elif asked.json_object:
        body["response_format"] = {"type": "json_object"}
    effort = asked.effort
    if asked.thinking is not None:
        if asked.thinking.get("type") == "disabled":
            if effort is not None:
                notes.append(f"{asked.at('effort')} dropped: thinking is disabled")
            effort = "none"
        else:
            notes.append(f"{asked.at('thinking')} dropped: the model decides how it thinks")
    settings = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "reasoning_effort": effort,
        "service_tier": asked.tier,
        "user": asked.user,
        "metadata": asked.metadata or None,
        **{name: asked.hints.get(name) for name in HINTS},
    }
    body |= {name: value for name, value in settings.items() if value is not None}
    if asked.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if _marked(asked):
        notes.append("cache marks dropped: the provider caches prompts by itself")
    return Written(dumped(body), tuple(notes))


def _check(asked: Neutral) -> None:
    if asked.last == CONTINUED:
        raise not_carried(asked.at("turns"), "an answer begun by the client cannot be continued")
    if len(asked.stops) > MOST_STOPS:
        raise not_carried(asked.at("stops"), f"{NAME} takes at most {MOST_STOPS} stop sequences")
    if asked.top_k is not None:
        raise not_carried(asked.at("top_k"), f"{NAME} has no such sampling")
    if asked.tier not in (None, *TIERS):
        raise not_carried(asked.at("tier"), f"{NAME} has no tier {asked.tier!r}")
    if asked.thinking is not None and asked.thinking.get("type") == "enabled":
        raise not_carried(
            asked.at("thinking"), f"{NAME} has no budget for thinking; ask for effort"
        )
    if asked.max_tokens is not None and asked.max_tokens < 1:
        raise not_carried(asked.at("max_tokens"), f"{NAME} cannot answer with no token")


def _marked(asked: Neutral) -> bool:
    marks = [asked.automark, *(one.mark for one in (*asked.system, *asked.tools))]
    marks += [
        part.mark for turn in asked.turns for part in turn.parts if not isinstance(part, Thinking)
    ]
    return any(mark is not Mark.NONE for mark in marks)


def _messages(asked: Neutral, notes: list[str]) -> Iterator[Json]:
    ids = Ids(LONGEST_ID, "")
    for text in asked.system:
        yield {"role": "system", "content": text.text}
    for turn in asked.turns:
        if turn.role == SYSTEM:
            yield {"role": "system", "content": _texts(turn.parts)}
        elif turn.role == ASSISTANT:
            yield _assistant(turn, ids, notes)
        else:
            yield from _user(turn, ids, notes)
    notes += ids.notes


def _user(turn: Turn, ids: Ids, notes: list[str]) -> Iterator[Json]:
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    rest = [part for part in turn.parts if not isinstance(part, ToolResult)]
    if rest and results and not isinstance(turn.parts[len(results) - 1], ToolResult):
        notes.append(f"{results[0].at}: tool results stand before the texts of their turn")
    for result in results:
        for part in result.parts:
            if isinstance(part, Image):
                raise not_carried(part.at, f"{NAME} takes no image in a tool result")
        if result.failed:
            notes.append(f"{result.at}: the mark of a failed tool is dropped")
        yield {
            "role": "tool",
            "tool_call_id": ids.fit(result.id),
            "content": _texts(result.parts),
        }
    if rest:
        yield {"role": "user", "content": _texts(rest)}


def _texts(parts: Any) -> Any:
    """A string where there is one text, else a list of parts."""
    if len(parts) == 0:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_content(part) for part in parts]


def _content(part: Part) -> Json:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    assert isinstance(part, Image)
    image = {"url": image_url(part)} | ({"detail": part.detail} if part.detail else {})
    return {"type": "image_url", "image_url": image}


def _assistant(turn: Turn, ids: Ids, notes: list[str]) -> Json:
    texts: list[Part] = []
    calls: list[Json] = []
    for part in turn.parts:
        if isinstance(part, ToolUse):
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            calls.append({"id": ids.fit(part.id), "type": "function", "function": function})
        elif isinstance(part, Text):
            if calls:
                notes.append(f"{part.at}: a text after a tool call stands before it")
            texts.append(part)
        elif isinstance(part, Thinking):
            raise not_carried(part.at, f"{NAME} cannot take signed thinking of another vendor")
        else:
            raise not_carried(part.at, f"{NAME} takes no image in an assistant's message")
    message: Json = {"role": "assistant", "content": _texts(texts) if texts else None}
    return message | {"tool_calls": calls} if calls else message


def _tool(tool: Tool) -> Json:
    function: Json = {"name": tool.name, "parameters": tool.schema}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: Choice) -> Any:
    if choice.kind == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.kind == "any" else choice.kind
