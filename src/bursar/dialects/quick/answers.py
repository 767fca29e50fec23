"""A provider's answer, read at its end, in the shapes that nearly all answers have.

The usual bodies of three dialects are decoded into types that allow nothing else, so whatever they
hold besides is known not to matter. Anything more (a field that is not in the type, counts that do
not add up, a stream in another form) is left to the slow lens, which reads everything. What is said
in an answer goes through the slow lens's own readers either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from bursar.dialects.answers import PROVIDER_OF_HEADER, STOPS, price_class_of, provider_of
from bursar.dialects.fold import FOLDERS
from bursar.dialects.lens import ERROR_HEADER, HEADERS, TIER_HEADER, Reading, read_response
from bursar.dialects.messages import read_message
from bursar.dialects.parts import read_part
from bursar.dialects.quick.counts import (
    AnthropicUsage,
    ChatUsage,
    ConverseUsage,
    EmbeddingsUsage,
)
from bursar.dialects.shapes import REASONING_APART
from bursar.dialects.sheet import Sheet
from bursar.model.block import Role
from bursar.model.entry import STANDARD

Found = dict[str, str]
"""The headers that say something, names in lower case."""

_SPEAKING = frozenset(name for name, _ in PROVIDER_OF_HEADER)
_DEEP = frozenset((*HEADERS, TIER_HEADER, ERROR_HEADER))
"""Headers that only the slow lens reads."""
_WANTED = _SPEAKING | _DEEP
LONGEST_NAME = 200
"""Letters of a model's name that is remembered."""
_PLAIN_TIERS = (None, "default", "auto", "standard")


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    message: dict[str, Any]
    finish_reason: str | None = None
    index: Any = None
    logprobs: Any = None


class _Chat(msgspec.Struct, forbid_unknown_fields=True):
    choices: list[_Choice]
    usage: ChatUsage
    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    object: Any = None
    created: Any = None
    system_fingerprint: Any = None


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    content: list[dict[str, Any]]
    usage: AnthropicUsage
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    type: Any = None
    role: Any = None
    stop_sequence: Any = None
    stop_details: Any = None
    container: Any = None
    context_management: Any = None
    diagnostics: Any = None


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    message: dict[str, Any]


class _Converse(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    output: _Output
    usage: ConverseUsage
    stop_reason: str | None = None
    metrics: Any = None
    service_tier: Any = None
    performance_config: Any = None


class _Embeddings(msgspec.Struct, forbid_unknown_fields=True):
    data: msgspec.Raw
    usage: EmbeddingsUsage
    model: str | None = None
    object: Any = None


def _of_chat(body: _Chat, found: Found, model: str | None, salt: bytes) -> Reading | None:
    usage = body.usage.plain()
    served = body.model or model
    provider = _provider("openai_chat", served, found)
    if usage is None or provider in REASONING_APART:
        return None
    sheet = Sheet({}, answering=True, salt=salt)
    for choice in body.choices:
        if "role" not in choice.message or "parts" in choice.message:
            return None
        read_message(sheet, choice.message)
    return Reading(
        dialect="openai_chat",
        provider=provider,
        model=served,
        usage=usage,
        price_class=_price_class("openai_chat", body.service_tier),
        stop=_stop(body.choices[0].finish_reason) if body.choices else None,
        response_id=body.id,
        tool_uses=tuple(sheet.uses),
        answer_blocks=tuple(sheet.blocks),
    )


def _of_message(body: _Message, found: Found, model: str | None, salt: bytes) -> Reading | None:
    usage = body.usage.plain()
    if usage is None or body.usage.speed not in _PLAIN_TIERS:
        return None
    sheet = Sheet({}, answering=True, salt=salt)
    for part in body.content:
        if not _MESSAGE_KEYS.isdisjoint(part):
            return None
        read_part(sheet, Role.ASSISTANT, part)
    dialect = "anthropic_messages"
    aws = body.id is not None and body.id.startswith("msg_bdrk_")
    served = body.model or model
    return Reading(
        dialect=dialect,
        provider=provider_of({"id": body.id}, dialect, served, found)
        if found or aws
        else "anthropic",
        model=served,
        usage=usage,
        price_class=_price_class(dialect, body.usage.service_tier),
        stop=_stop(body.stop_reason),
        response_id=body.id,
        tool_uses=tuple(sheet.uses),
        answer_blocks=tuple(sheet.blocks),
    )


def _of_converse(body: _Converse, found: Found, model: str | None, salt: bytes) -> Reading | None:
    usage = body.usage.plain()
    message = body.output.message
    if usage is None or "role" not in message or not _ENVELOPE_KEYS.isdisjoint(message):
        return None
    if type(message.get("content")) is not list:
        return None
    sheet = Sheet({}, answering=True, salt=salt)
    read_message(sheet, message)
    dialect = "bedrock_converse"
    tiers = {"serviceTier": body.service_tier, "performanceConfig": body.performance_config}
    plain = body.service_tier is None and body.performance_config is None
    return Reading(
        dialect=dialect,
        provider=provider_of({}, dialect, model, found) if found else "aws",
        model=model,
        usage=usage,
        price_class=STANDARD if plain else price_class_of(tiers, dialect),
        stop=_stop(body.stop_reason),
        tool_uses=tuple(sheet.uses),
        answer_blocks=tuple(sheet.blocks),
    )


def _of_embeddings(
    body: _Embeddings, found: Found, model: str | None, salt: bytes
) -> Reading | None:
    usage = body.usage.plain()
    served = body.model or model
    provider = _provider("openai_embeddings", served, found)
    if usage is None or provider in REASONING_APART:
        return None
    return Reading(dialect="openai_embeddings", provider=provider, model=served, usage=usage)


Reader = Callable[[Any, Found, str | None, bytes], Reading | None]
SHAPES: dict[str, tuple[type[object], Reader]] = {
    "openai_chat": (_Chat, _of_chat),
    "anthropic_messages": (_Message, _of_message),
    "bedrock_converse": (_Converse, _of_converse),
    "openai_embeddings": (_Embeddings, _of_embeddings),
}
_DECODERS: dict[str, Callable[[bytes], object]] = {
    dialect: msgspec.json.Decoder(shape).decode for dialect, (shape, _) in SHAPES.items()
}
_ENVELOPE_KEYS = frozenset(("message", "parts"))
_MESSAGE_KEYS = frozenset(("role", "message", "content", "parts"))
"""A part with one of these may be a whole message."""


def read_answer_quickly(
    dialect: str,
    raw: bytes,
    headers: Mapping[str, str],
    model: str | None,
    salt: bytes = b"",
    *,
    strict: bool = True,
) -> Reading:
    """As `read_response` with the same arguments, and with the same result."""
    shape = SHAPES.get(dialect)
    if shape is not None:
        found = {low: headers[name] for name in headers if (low := name.lower()) in _WANTED}
        if _DEEP.isdisjoint(found):
            try:
                body = _body_of(raw, dialect)
                reading = None if body is None else shape[1](body, found, model, salt)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                reading = None
            if reading is not None:
                return reading
    return read_response(raw, dialect, model=model, headers=headers, salt=salt, strict=strict)


def _body_of(raw: bytes, dialect: str) -> object:
    """The body in the dialect's usual shape, or None. Raises msgspec's errors, or UnicodeError."""
    first = raw[:1]
    if first == b"{":
        return _DECODERS[dialect](raw)
    events = _events(raw) if first in (b"d", b"e") and dialect in FOLDERS else None
    if events is None:
        return None
    folded = FOLDERS[dialect](events)
    if not folded.final:
        return None
    body: object = msgspec.convert(folded.body, SHAPES[dialect][0])
    return body


_decode = msgspec.json.Decoder(dict[str, Any]).decode


def _events(raw: bytes) -> list[dict[str, Any]] | None:
    """The events of a whole SSE stream of one `data:` line each, or None when it has another form.

    Raises msgspec's errors, or UnicodeError, when one of them is no JSON object.
    """
    pieces = raw.split(b"\n\n")
    if pieces.pop() or b"\r" in raw or raw[:3] == b"\xef\xbb\xbf":
        return None
    events: list[dict[str, Any]] = []
    for piece in pieces:
        if piece.startswith(b"event: "):
            _, _, piece = piece.partition(b"\n")
        if not piece.startswith(b"data: {") or b"\n" in piece:
            if piece == b"data: [DONE]":
                continue
            return None
        event = _decode(piece[6:])
        if "type" not in event and "choices" not in event and "object" not in event:
            return None
        events.append(event)
    return events


def _provider(dialect: str, model: str | None, found: Found) -> str | None:
    for name, provider in PROVIDER_OF_HEADER if found else ():
        if name in found:
            return provider
    if model is not None and len(model) > LONGEST_NAME:
        return provider_of({}, dialect, model, {})
    return _provider_of_model(dialect, model)


@lru_cache(1_024)
def _provider_of_model(dialect: str, model: str | None) -> str | None:
    return provider_of({}, dialect, model, {})


def _stop(word: str | None) -> str | None:
    return STOPS.get(word.lower(), word) if word else None


def _price_class(dialect: str, tier: str | None) -> str:
    if tier in _PLAIN_TIERS:
        return STANDARD
    return price_class_of({"service_tier": tier, "usage": {"service_tier": tier}}, dialect)
