"""The lens on wire formats: what a raw body holds, in the nouns.

Reading never changes a body and keeps none of it. `read_response` takes a response as JSON, as
server-sent events, as an AWS event stream or as a list of chunks, recognises its dialect by content
and normalises its usage to disjoint counts; `read_request` turns a prompt into blocks. What is not
understood is noted; what cannot be read at all is BadInput with its place and mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bursar.dialects.answers import (
    ID_PLACES,
    MODEL_PLACES,
    price_class_of,
    provider_of,
    read_answer,
    stop_of,
)
from bursar.dialects.fold import FOLDERS, METRICS, Folded
from bursar.dialects.frames import Frames, frames_of
from bursar.dialects.iterations import with_iterations
from bursar.dialects.messages import MessageReading, message_blocks, read_messages, tool_blocks
from bursar.dialects.requests import Prompt, read_request
from bursar.dialects.sheet import Sheet
from bursar.dialects.sniff import sniff_dialect, sniff_events, sniff_response
from bursar.dialects.usages import Counted, counted, filled, holds_counts, number_of, read_usage
from bursar.dialects.wire import as_list, as_map, at, first, maps, paths, text_of
from bursar.model.block import Block
from bursar.model.entry import STANDARD, Attempt, ToolUse
from bursar.model.errors import BadInput, BadUsage
from bursar.model.usage import Usage

__all__ = [
    "DIALECTS",
    "MessageReading",
    "Prompt",
    "Reading",
    "message_blocks",
    "price_class_of",
    "read_messages",
    "read_request",
    "read_response",
    "read_usage",
    "sniff_dialect",
    "tool_blocks",
]

DIALECTS = (
    "openai_chat",
    "openai_responses",
    "openai_embeddings",
    "anthropic_messages",
    "bedrock_converse",
    "bedrock_invoke",
    "gemini_generate",
    "cohere_chat",
)


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a raw response body holds."""

    dialect: str
    provider: str | None = None
    """By the names of genai-prices. None: the body does not tell."""
    model: str | None = None
    """The model that answered, as the body names it."""
    usage: Usage | None = None
    """Disjoint counts of everything billed, iterations included. None: the body has no counts."""
    price_class: str = STANDARD
    stop: str | None = None
    """`end`, `max_tokens`, `tool_use`, `refusal`, `filter`, `error`, or the provider's own word."""
    response_id: str | None = None
    tool_uses: tuple[ToolUse, ...] = ()
    answer_blocks: tuple[Block, ...] = ()
    iterations: tuple[Attempt, ...] = ()
    """Parts to be priced one by one, since other models took part; their usages add up to `usage`.
    Empty: the answer is one piece."""
    truncated: bool = False
    """A stream that ended before its last word on usage: `usage` is a lower bound, or None."""
    notes: tuple[str, ...] = ()


USAGE_PLACES = {
    "openai_chat": paths("usage", "x_groq.usage"),
    "openai_embeddings": paths("usage"),
    "openai_responses": paths("usage", "response.usage"),
    "anthropic_messages": paths("usage", "message.usage"),
    "bedrock_converse": paths("usage", "metadata.usage"),
    "bedrock_invoke": (("usage",), ()),
    "gemini_generate": paths("usageMetadata"),
    "cohere_chat": paths("usage", "meta"),
}
HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
"""Bedrock's own counts of an InvokeModel answer."""
TIER_HEADER = "x-amzn-bedrock-service-tier"
ERROR_HEADER = "x-amzn-errortype"


def read_response(
    raw: bytes | bytearray | memoryview | str | dict[str, Any] | list[Any],
    dialect: str | None = None,
    *,
    model: str | None = None,
    headers: Mapping[str, str] | None = None,
    capture: bool = False,
    salt: bytes = b"",
    strict: bool = True,
) -> Reading:
    """Read a provider's response: JSON, SSE, AWS event stream, JSON lines, or a list of chunks.

    `dialect` is recognised by content when it is None; `model` stands in where the body names
    none; `headers` hold Bedrock's counts for models whose bodies have none; `salt` keeps the
    digests of tenants apart. Raises BadInput when the body cannot be read, BadUsage when its
    counts cannot be true; without `strict` such counts are a note, and `usage` is None.
    """
    if dialect is not None and dialect not in DIALECTS:
        raise BadInput(f"unknown dialect {dialect!r}", mend=f"one of: {', '.join(DIALECTS)}")
    try:
        sheet = Sheet({}, capture=capture, answering=True, salt=salt)
        return _read(raw, dialect, model, _lower(headers), sheet, strict)
    except RecursionError as bad:
        raise BadInput(
            "response is nested too deeply", mend="nest JSON in it no deeper than 500 levels"
        ) from bad


def _lower(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Header names in lower case; a list of values gives its first."""
    found: dict[str, str] = {}
    for name, value in (headers or {}).items():
        values = as_list(value) or [value]
        found[str(name).lower()] = str(values[0])
    return found


def _read(
    raw: object,
    dialect: str | None,
    model: str | None,
    headers: dict[str, str],
    sheet: Sheet,
    strict: bool,
) -> Reading:
    frames = frames_of(raw)
    body, spoken, truncated = _body_of(frames, dialect)
    if spoken is None:
        spoken = _by_headers(body, headers)
    notes = list(frames.notes)
    measured = as_map(body.get(METRICS)) or {
        key: headers[name] for name, key in HEADERS.items() if name in headers
    }
    if measured and spoken not in ("bedrock_converse", "bedrock_invoke") and dialect is None:
        spoken = "bedrock_invoke"
    served = text_of(first(body, MODEL_PLACES)) or model
    provider = provider_of(body, spoken, served, headers)
    try:
        found = _usage_of(body, spoken, measured, provider)
        notes += () if found is None else found.notes
        usage, parts = with_iterations(body, found, served, provider, notes)
    except BadUsage as bad:
        if strict:
            raise
        usage, parts = None, ()
        notes.append(f"usage refused: {bad.message}")
    else:
        if truncated:
            notes.append("the stream was cut before its last word on usage")
        elif found is None:
            notes.append(_why_none(body, frames))
    read_answer(sheet, body, spoken)
    tier = {"serviceTier": {"type": headers[TIER_HEADER]}} if TIER_HEADER in headers else {}
    return Reading(
        dialect=spoken,
        provider=provider,
        model=served,
        usage=usage if usage is None else _searched(usage, body),
        price_class=price_class_of(tier | body, spoken),
        stop="error" if body.get("error") else stop_of(body),
        response_id=text_of(first(body, ID_PLACES)),
        tool_uses=tuple(sheet.uses),
        answer_blocks=tuple(sheet.blocks),
        iterations=parts,
        truncated=truncated,
        notes=tuple(notes),
    )


def _body_of(frames: Frames, dialect: str | None) -> tuple[dict[str, Any], str | None, bool]:
    """The body, its dialect, and whether it is a stream that was cut."""
    if frames.body is not None:
        return frames.body, dialect or sniff_response(frames.body), False
    spoken = dialect or sniff_events(frames.events)
    if spoken is None or spoken not in FOLDERS:
        raise BadInput(
            f"stream of {len(frames.events)} events in no known dialect",
            mend=f"name its dialect, one of: {', '.join(DIALECTS)}",
        )
    folded: Folded = FOLDERS[spoken](frames.events)
    ended = folded.ended or frames.done
    return folded.body, spoken, not folded.final and (frames.cut or not ended)


def _by_headers(body: dict[str, Any], headers: dict[str, str]) -> str:
    """The dialect of a body that has no sign of its own."""
    if ERROR_HEADER in headers or any(name in headers for name in HEADERS):
        if ERROR_HEADER in headers:
            body.setdefault("error", {"type": headers[ERROR_HEADER].partition(":")[0], **body})
        return "bedrock_invoke"
    if body.get("error"):
        google = text_of(at(body, ("error", "status"))) is not None
        return "gemini_generate" if google else "openai_chat"
    keys = ", ".join(sorted(map(str, body))[:8]) or "none"
    raise BadInput(
        f"response body in no known dialect (its keys: {keys})",
        mend=f"name its dialect, one of: {', '.join(DIALECTS)}",
    )


def _usage_of(
    body: dict[str, Any], dialect: str, measured: dict[str, Any], provider: str | None
) -> Counted | None:
    notes: list[str] = []
    for path in USAGE_PLACES.get(dialect, ()):
        found = as_map(at(body, path))
        if not path:
            found = _with_results(found, notes)
        if holds_counts(found, dialect):
            found = filled(found, dialect, measured)
            break
    else:
        found, path = measured, (METRICS,)
    if not holds_counts(found, dialect):
        return None
    try:
        read = counted(found, dialect, provider=provider)
    except BadUsage as bad:
        place = "/" + "/".join(path)
        mend = bad.mend or "check the body against what the provider sent"
        raise BadUsage(f"{place} of a {dialect} body: {bad.message}", mend=mend) from bad
    return msgspec.structs.replace(read, notes=(*notes, *read.notes)) if notes else read


def _with_results(body: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Titan counts the tokens of each of its results."""
    results = maps(body.get("results"))
    if not results or "inputTextTokenCount" not in body:
        return body
    counts = (result.get("tokenCount") or 0 for result in results)
    answer = sum(number_of(one, "results.tokenCount", notes) for one in counts)
    return {**body, "totalOutputTextTokenCount": answer}


def _searched(usage: Usage, body: dict[str, Any]) -> Usage:
    """OpenAI bills searches per call and counts them only by their items in the answer."""
    other = dict(usage.other)
    for item in maps(body.get("output")):
        unit = {"web_search_call": "web_searches", "file_search_call": "storage_searches"}.get(
            str(item.get("type"))
        )
        if unit is not None and at(item, ("action", "type")) in (None, "search"):
            other[unit] = other.get(unit, 0) + 1
    return msgspec.structs.replace(usage, other=other) if other != usage.other else usage


def _why_none(body: dict[str, Any], frames: Frames) -> str:
    error = body.get("error")
    if error:
        words = as_map(error)
        said = words.get("message") or words.get("type") or error
        return f"provider error: {str(said)[:200]}"
    if frames.events:
        return "the stream ended without usage; OpenAI sends it with stream_options.include_usage"
    return "the body holds no usage"
