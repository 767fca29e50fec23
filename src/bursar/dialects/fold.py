"""The events of a stream -> the body that the same call would have had without streaming.

One folder per family of events, in a table; after folding, a stream is read by the same tables as a
JSON body. Counts are never added up: a later count overrides an earlier one, since every provider
reports running totals. `final` says whether the event that holds the last count was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bursar.dialects.frames import Event
from bursar.dialects.usages import holds_counts
from bursar.dialects.wire import as_list, as_map, at, maps, text_of

METRICS = "amazon-bedrock-invocationMetrics"
SLOTS = 100_000
"""Greatest index of a choice, block or tool call that is believed."""


class Folded(msgspec.Struct, kw_only=True):
    """A stream as one body."""

    body: dict[str, Any]
    final: bool
    """The last word on usage was seen."""
    ended: bool
    """The stream came to its proper end."""


def _index(event: dict[str, Any], key: str = "index") -> int:
    place = event.get(key)
    return place if type(place) is int and 0 <= place < SLOTS else 0


def _first_of(events: list[Event], key: str) -> Any:
    return next((event[key] for event in events if event.get(key) is not None), None)


def _last_of(events: list[Event], key: str) -> Any:
    return _first_of(events[::-1], key)


def _joined(pieces: list[Any]) -> str:
    return "".join(piece for piece in pieces if isinstance(piece, str))


def fold_chat(events: list[Event]) -> Folded:
    """OpenAI chat and completions, and all who copy them."""
    runs = [event for event in events if str(event.get("object")).startswith("thread.")]
    if runs:
        return _fold_run(runs)
    deltas: dict[int, list[dict[str, Any]]] = {}
    stops: dict[int, Any] = {}
    for event in events:
        for choice in maps(event.get("choices")):
            place = _index(choice)
            piece = as_map(choice.get("delta")) or {"content": choice.get("text")}
            deltas.setdefault(place, []).append(piece)
            if choice.get("finish_reason") is not None:
                stops[place] = choice["finish_reason"]
    usage = next(
        (
            found
            for event in reversed(events)
            for found in (event.get("usage"), at(event, ("x_groq", "usage")))
            if holds_counts(found)
        ),
        None,
    )
    body: dict[str, Any] = {
        key: found
        for key in ("id", "model", "service_tier", "system_fingerprint")
        if (found := _last_of(events, key)) is not None
    }
    body["choices"] = [
        {"index": place, "message": _chat_message(pieces), "finish_reason": stops.get(place)}
        for place, pieces in sorted(deltas.items())
    ]
    body["usage"] = usage
    if any(event.get("x_groq") for event in events):
        body["x_groq"] = {}
    error = _first_of(events, "error")
    if error is not None:
        body["error"] = error
    return Folded(body=body, final=usage is not None, ended=False)


def _chat_message(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    calls: dict[int, dict[str, Any]] = {}
    for piece in pieces:
        for part in maps(piece.get("tool_calls")):
            call = calls.setdefault(_index(part), {"id": None, "function": {"arguments": ""}})
            call["id"] = call["id"] or part.get("id")
            function = as_map(part.get("function"))
            if function.get("name"):
                call["function"]["name"] = function["name"]
            call["function"]["arguments"] += text_of(function.get("arguments")) or ""
    legacy = [as_map(piece.get("function_call")) for piece in pieces if piece.get("function_call")]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _chat_text([piece.get("content") for piece in pieces]),
        "tool_calls": [calls[place] for place in sorted(calls)],
    }
    for key in ("reasoning_content", "reasoning", "refusal"):
        message[key] = _joined([piece.get(key) for piece in pieces])
    if legacy:
        arguments = _joined([call.get("arguments") for call in legacy])
        message["function_call"] = {"name": _first_of(legacy, "name"), "arguments": arguments}
    return message


def _chat_text(pieces: list[Any]) -> Any:
    """Contents are strings; Mistral's thinking models send lists of parts."""
    parts = [part for piece in pieces for part in as_list(piece)]
    text = _joined(pieces)
    return [*parts, {"type": "text", "text": text}] if parts else text


def _fold_run(events: list[Event]) -> Folded:
    """A run of the Assistants API: the last state of the run holds its usage."""
    runs = [event for event in events if event.get("object") == "thread.run"]
    body: dict[str, Any] = dict(runs[-1]) if runs else {"object": "thread.run"}
    texts = [
        at(part, ("text", "value"))
        for event in events
        if event.get("object") == "thread.message.delta"
        for part in maps(at(event, ("delta", "content")))
    ]
    body["choices"] = [{"message": {"role": "assistant", "content": _joined(texts)}}]
    return Folded(body=body, final=holds_counts(body.get("usage")), ended=False)


def fold_responses(events: list[Event]) -> Folded:
    """Each `response.*` state event holds the whole response; the last one counts."""
    states = [as_map(event["response"]) for event in events if as_map(event.get("response"))]
    body: dict[str, Any] = dict(states[-1]) if states else {"object": "response"}
    final = holds_counts(body.get("usage"))
    if not body.get("output"):
        done = [event for event in events if event.get("type") == "response.output_item.done"]
        body["output"] = [as_map(event.get("item")) for event in done]
        if not done:
            deltas = [event for event in events if str(event.get("type")).endswith("text.delta")]
            text = _joined([event.get("delta") for event in deltas])
            body["output"] = [{"type": "message", "role": "assistant", "content": text}]
    if not body.get("error") and (error := _error_in(events)):
        body["error"] = error
    return Folded(body=body, final=final, ended=final)


def _error_in(events: list[Event]) -> Any:
    for event in events:
        if event.get("type") == "error":
            return event.get("error") or {"message": event.get("message")}
    return None


def fold_anthropic(events: list[Event]) -> Folded:
    """Input from message_start; message_delta overrides, never adds; output is cumulative."""
    body: dict[str, Any] = {"type": "message", "role": "assistant"}
    usage: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    pieces: dict[int, list[str]] = {}
    final = ended = False
    for event in events:
        kind = event.get("type")
        if kind == "message_start":
            body |= as_map(event.get("message"))
            usage |= _present(body.get("usage"))
        elif kind == "content_block_start":
            blocks[_index(event)] = dict(as_map(event.get("content_block")))
        elif kind == "content_block_delta":
            delta = as_map(event.get("delta"))
            said = (delta.get(key) for key in ("text", "partial_json", "thinking"))
            pieces.setdefault(_index(event), []).extend(s for s in said if isinstance(s, str))
        elif kind == "message_delta":
            body |= {k: v for k, v in as_map(event.get("delta")).items() if v is not None}
            more = _present(event.get("usage"))
            usage |= more
            final = final or "output_tokens" in more
        elif kind == "message_stop":
            ended = True
        elif kind == "error":
            body["error"] = event.get("error")
    body["usage"] = usage or None
    body["content"] = [_whole_block(blocks.get(i, {}), pieces.get(i, [])) for i in sorted(blocks)]
    return Folded(body=body, final=final, ended=ended)


def _present(usage: object) -> dict[str, Any]:
    return {key: value for key, value in as_map(usage).items() if value is not None}


def _whole_block(block: dict[str, Any], pieces: list[str]) -> dict[str, Any]:
    text = "".join(pieces)
    kind = str(block.get("type"))
    if kind.endswith("tool_use"):
        return block | {"input": text or block.get("input")}
    key = "thinking" if kind == "thinking" else "text"
    return block | {key: (text_of(block.get(key)) or "") + text} if text else block


def fold_converse(events: list[Event]) -> Folded:
    """Usage stands in `metadata`, which comes after messageStop."""
    body: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    ended = False
    for event in events:
        for name, inner in event.items():
            fields = as_map(inner)
            place = _index(fields, "contentBlockIndex")
            if name == "contentBlockStart":
                blocks[place] = {k: dict(as_map(v)) for k, v in as_map(fields.get("start")).items()}
            elif name == "contentBlockDelta":
                _grow(blocks.setdefault(place, {}), as_map(fields.get("delta")))
            elif name == "messageStop":
                body["stopReason"] = fields.get("stopReason")
                ended = True
            elif name == "metadata":
                body |= fields
            elif name.endswith("Exception"):
                body["error"] = {"type": name, "message": fields.get("message")}
    if "usage" not in body:
        ended = False
    body["output"] = {
        "message": {"role": "assistant", "content": [blocks[place] for place in sorted(blocks)]}
    }
    return Folded(body=body, final=holds_counts(body.get("usage")), ended=ended)


def _grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, piece in delta.items():
        fields = as_map(piece)
        if isinstance(piece, str):
            block[key] = (text_of(block.get(key)) or "") + piece
        elif key == "toolUse":
            use = block.setdefault("toolUse", {})
            use["input"] = (text_of(use.get("input")) or "") + (text_of(fields.get("input")) or "")
        elif key == "reasoningContent":
            _grow(block.setdefault("reasoningContent", {}), fields)


def fold_gemini(events: list[Event]) -> Folded:
    """Every chunk repeats the usage so far: the last one that counts tokens is the usage."""
    body = {
        key: found
        for key in ("responseId", "modelVersion", "promptFeedback", "error")
        if (found := _last_of(events, key)) is not None
    }
    parts: dict[int, list[Any]] = {}
    stops: dict[int, Any] = {}
    for event in events:
        for candidate in maps(event.get("candidates")):
            place = _index(candidate)
            for part in as_list(at(candidate, ("content", "parts"))):
                _add_part(parts.setdefault(place, []), as_map(part))
            stops[place] = candidate.get("finishReason") or stops.get(place)
    usages = [event.get("usageMetadata") for event in events]
    body["usageMetadata"] = next((one for one in reversed(usages) if holds_counts(one)), None)
    body["candidates"] = [
        {"content": {"role": "model", "parts": parts.get(place, [])}, "finishReason": stop}
        for place, stop in sorted(stops.items())
    ]
    ended = any(stops.values()) or "promptFeedback" in body
    return Folded(body=body, final=ended and body["usageMetadata"] is not None, ended=ended)


def _add_part(parts: list[Any], part: dict[str, Any]) -> None:
    """A text goes on where the last text of the same sort stopped."""
    last: dict[str, Any] = parts[-1] if parts else {}
    same = set(last) == set(part) and last.get("thought") == part.get("thought")
    if same and isinstance(part.get("text"), str) and isinstance(last.get("text"), str):
        last["text"] += part["text"]
    else:
        parts.append(dict(part))


def fold_cohere(events: list[Event]) -> Folded:
    """v2 ends with message-end, v1 with stream-end, which holds the whole response."""
    whole = next((as_map(e["response"]) for e in reversed(events) if e.get("response")), None)
    if whole is not None:
        return Folded(body=whole, final=holds_counts(whole.get("meta")), ended=True)
    body: dict[str, Any] = {"id": _first_of(events, "id")}
    ends = [as_map(event.get("delta")) for event in events if event.get("type") == "message-end"]
    if ends:
        body |= ends[-1]
    texts: list[Any] = [at(e, ("delta", "message", "content", "text")) for e in events]
    texts += [event.get("text") for event in events]
    thoughts = [at(event, ("delta", "message", "tool_plan")) for event in events]
    calls: dict[int, dict[str, Any]] = {}
    for event in events:
        part = as_map(at(event, ("delta", "message", "tool_calls")))
        if part:
            call = calls.setdefault(_index(event), {"id": None, "function": {"arguments": ""}})
            call["id"] = call["id"] or part.get("id")
            function = as_map(part.get("function"))
            call["function"]["name"] = call["function"].get("name") or function.get("name")
            call["function"]["arguments"] += text_of(function.get("arguments")) or ""
    body["message"] = {
        "role": "assistant",
        "content": _joined(texts),
        "tool_plan": _joined(thoughts),
        "tool_calls": list(calls.values()),
    }
    return Folded(body=body, final=holds_counts(body.get("usage")), ended=bool(ends))


_LAST_KEYS = (
    "completionReason",
    "totalOutputTextTokenCount",
    "stop_reason",
    "finish_reason",
)
"""Keys that only the last event of such a stream has."""
_TEXT_KEYS = ("outputText", "generation", "completion", "text")


def fold_invoke(events: list[Event]) -> Folded:
    """A model's own events; the last carries Bedrock's metrics, whatever the model."""
    kinds = {str(event.get("type")) for event in events}
    if kinds & {"message_start", "content_block_delta", "message_delta"}:
        folded = fold_anthropic(events)
    elif any("messageStart" in event or "contentBlockDelta" in event for event in events):
        folded = fold_converse(events)
    elif any("choices" in event for event in events):
        folded = fold_chat(events)
    else:
        folded = _fold_plain(events)
    metrics = _last_of(events, METRICS)
    if metrics is not None:
        folded.body[METRICS] = metrics
        folded.final = True
        folded.ended = True
    return folded


def _fold_plain(events: list[Event]) -> Folded:
    """Models that stream their own JSON piece by piece (Titan, Llama, Mistral, Cohere)."""
    body: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for event in events:
        for key, value in event.items():
            if key in _TEXT_KEYS and isinstance(value, str):
                texts.setdefault(key, []).append(value)
            elif key == "outputs":
                texts.setdefault("generation", []).append(
                    _joined([output.get("text") for output in maps(value)])
                )
                body |= {k: v for out in maps(value) for k, v in out.items() if k != "text"}
            elif value is not None:
                body[key] = value
    body["generation"] = "".join("".join(pieces) for pieces in texts.values())
    ended = any(body.get(key) is not None for key in _LAST_KEYS)
    return Folded(body=body, final=ended and holds_counts(body, "bedrock_invoke"), ended=ended)


FOLDERS: dict[str, Callable[[list[Event]], Folded]] = {
    "openai_chat": fold_chat,
    "openai_responses": fold_responses,
    "anthropic_messages": fold_anthropic,
    "bedrock_converse": fold_converse,
    "bedrock_invoke": fold_invoke,
    "gemini_generate": fold_gemini,
    "cohere_chat": fold_cohere,
}
