"""Conversations of any kind, spoken in every dialect, and what may be asked of a trimmed one."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

SECRET = "sk-secret-0123"
TOOLS = ("look", "book", "mend", "ship")
DIALECTS = ("openai_chat", "openai_responses", "anthropic_messages", "bedrock_converse")
PIXEL = "aGVsbG8="


class Use(NamedTuple):
    """One tool use with its result."""

    id: str
    tool: str
    result: str


class Step(NamedTuple):
    """What the model said, and what was said to it then."""

    text: str | None
    thought: str | None
    uses: tuple[Use, ...]
    said: str | None
    image: bool


class Talk(NamedTuple):
    system: str | None
    opening: str
    steps: tuple[Step, ...]


LONG = st.integers(1, 60).map(lambda n: f"line {n} {SECRET} of words\n" * n)
ROWS = st.integers(1, 40).map(
    lambda n: json.dumps([{"id": k, "name": f"row {k}", "note": SECRET * 3} for k in range(n)])
)


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    steps: list[Step] = []
    for n in range(draw(st.integers(0, 14))):
        uses = tuple(
            Use(
                f"call_{n}_{k}",
                draw(st.sampled_from(TOOLS[:3])),
                f"{n}.{k} {draw(LONG)}" if draw(st.booleans()) else draw(ROWS),
            )
            for k in range(draw(st.integers(0, 2)))
        )
        text = f"plan {n} {SECRET}" if not uses or draw(st.booleans()) else None
        thought = f"hm {n} {SECRET}" if draw(st.booleans()) else None
        said = f"do {n} {draw(LONG)}" if not uses or draw(st.integers(0, 3)) == 0 else None
        steps.append(Step(text, thought, uses, said, draw(st.integers(0, 4)) == 0))
    system = f"You are kind. {SECRET}" if draw(st.booleans()) else None
    return Talk(system, f"first {draw(LONG)}", tuple(steps))


def body_of(talk: Talk, dialect: str, steps: int) -> dict[str, Any]:
    """The request before which so many steps have happened."""
    return SPEAK[dialect](talk._replace(steps=talk.steps[:steps]))


def _chat(talk: Talk) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    if talk.system:
        messages.append({"role": "system", "content": talk.system})
    messages.append({"role": "user", "content": talk.opening})
    for step in talk.steps:
        message: dict[str, Any] = {"role": "assistant", "content": step.text}
        if step.uses:
            message["tool_calls"] = [
                {
                    "id": one.id,
                    "type": "function",
                    "function": {"name": one.tool, "arguments": "{}"},
                }
                for one in step.uses
            ]
        messages.append(message)
        messages += [
            {"role": "tool", "tool_call_id": one.id, "content": one.result} for one in step.uses
        ]
        if step.said is not None:
            parts: list[Any] = [{"type": "text", "text": step.said}]
            if step.image:
                url = {"url": f"data:image/png;base64,{PIXEL}"}
                parts.append({"type": "image_url", "image_url": url})
            messages.append({"role": "user", "content": parts})
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in TOOLS
    ]
    return {"model": "m", "messages": messages, "tools": tools}


def _responses(talk: Talk) -> dict[str, Any]:
    items: list[dict[str, Any]] = [{"role": "user", "content": talk.opening}]
    for n, step in enumerate(talk.steps):
        if step.thought:
            items.append({"type": "reasoning", "id": f"rs_{n}", "summary": []})
        if step.text:
            items.append({"role": "assistant", "content": step.text})
        items += [
            {"type": "function_call", "call_id": one.id, "name": one.tool, "arguments": "{}"}
            for one in step.uses
        ]
        items += [
            {"type": "function_call_output", "call_id": one.id, "output": one.result}
            for one in step.uses
        ]
        if step.said is not None:
            items.append({"role": "user", "content": step.said})
    tools = [{"type": "function", "name": name, "parameters": {}} for name in TOOLS]
    body: dict[str, Any] = {"model": "m", "input": items, "tools": tools}
    return body if talk.system is None else {**body, "instructions": talk.system}


def _claude(talk: Talk) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": talk.opening}]
    for step in talk.steps:
        parts: list[Any] = []
        if step.thought:
            parts.append({"type": "thinking", "thinking": step.thought, "signature": "s"})
        if step.text:
            parts.append({"type": "text", "text": step.text})
        parts += [
            {"type": "tool_use", "id": one.id, "name": one.tool, "input": {}} for one in step.uses
        ]
        messages.append({"role": "assistant", "content": parts})
        heard: list[Any] = [
            {"type": "tool_result", "tool_use_id": one.id, "content": one.result}
            for one in step.uses
        ]
        if step.said is not None:
            heard.append({"type": "text", "text": step.said})
            if step.image:
                source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
                heard.append({"type": "image", "source": source})
        messages.append({"role": "user", "content": heard})
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in TOOLS]
    body: dict[str, Any] = {"model": "m", "messages": messages, "tools": tools}
    return body if talk.system is None else {**body, "system": talk.system}


def _converse(talk: Talk) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"text": talk.opening}]}]
    for step in talk.steps:
        parts: list[Any] = []
        if step.thought:
            parts.append({"reasoningContent": {"reasoningText": {"text": step.thought}}})
        if step.text:
            parts.append({"text": step.text})
        parts += [
            {"toolUse": {"toolUseId": one.id, "name": one.tool, "input": {}}} for one in step.uses
        ]
        messages.append({"role": "assistant", "content": parts})
        heard: list[Any] = [
            {"toolResult": {"toolUseId": one.id, "content": [{"text": one.result}]}}
            for one in step.uses
        ]
        if step.said is not None:
            heard.append({"text": step.said})
            if step.image:
                heard.append({"image": {"format": "png", "source": {"bytes": PIXEL}}})
        messages.append({"role": "user", "content": heard})
    specs = [{"toolSpec": {"name": name, "inputSchema": {"json": {}}}} for name in TOOLS]
    body: dict[str, Any] = {"messages": messages, "toolConfig": {"tools": specs}}
    return body if talk.system is None else {**body, "system": [{"text": talk.system}]}


SPEAK = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _claude,
    "bedrock_converse": _converse,
}


class Piece(NamedTuple):
    """One part of a message on the wire."""

    message: int
    role: str
    what: str
    """`text`, `use`, `result`, `thought` or `image`."""
    key: str
    """The id of a tool use; else the text."""
    text: str = ""


def pieces(body: dict[str, Any]) -> list[Piece]:
    """All that is said in a body, in order."""
    found: list[Piece] = []
    for n, message in enumerate(body.get("messages") or body.get("input") or []):
        role = message.get("role", "")
        content = message.get("content")
        if message.get("type") in ("function_call", "function_call_output", "reasoning"):
            found.append(_item(n, message))
        elif role == "tool":
            found.append(Piece(n, role, "result", message["tool_call_id"], _text(content)))
        elif isinstance(content, str):
            found.append(Piece(n, role, "text", content))
        else:
            found += [_part(n, role, one) for one in content or []]
        found += [Piece(n, role, "use", one["id"]) for one in message.get("tool_calls", ())]
    return found


def _item(n: int, item: dict[str, Any]) -> Piece:
    if item["type"] == "reasoning":
        return Piece(n, "assistant", "thought", item["id"])
    if item["type"] == "function_call":
        return Piece(n, "assistant", "use", item["call_id"])
    return Piece(n, "tool", "result", item["call_id"], item["output"])


def _part(n: int, role: str, part: dict[str, Any]) -> Piece:
    kind = part.get("type")
    if kind == "tool_use":
        return Piece(n, role, "use", part["id"])
    if kind == "tool_result":
        return Piece(n, role, "result", part["tool_use_id"], _text(part["content"]))
    if "toolUse" in part:
        return Piece(n, role, "use", part["toolUse"]["toolUseId"])
    if "toolResult" in part:
        result = part["toolResult"]
        return Piece(n, role, "result", result["toolUseId"], _text(result["content"]))
    if kind == "thinking" or "reasoningContent" in part:
        return Piece(n, role, "thought", json.dumps(part))
    if kind in ("image", "image_url") or "image" in part:
        return Piece(n, role, "image", "")
    return Piece(n, role, "text", part["text"])


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(one["text"] for one in content)
