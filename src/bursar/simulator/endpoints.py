"""Which endpoint a request means: method and path to a voice, a wire and an operation.

Bedrock has the model in its path, which is matched as it was sent, so that an ARN's `%2F` does not
end it. OpenAI and Anthropic share `/v1/models`; a header tells them apart.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from bursar.dialects.wire import as_map, at, parse_or_none, text_of
from bursar.price.book import Book
from bursar.simulator.wires.anthropic import AnthropicVoice, MessagesWire
from bursar.simulator.wires.bedrock import BedrockVoice, ConverseWire
from bursar.simulator.wires.invoke import EMBEDS, body_of
from bursar.simulator.wires.openai import ChatWire, EmbeddingsWire, OpenAiVoice
from bursar.simulator.wires.reply import Problem, Voice, Wire, encode
from bursar.simulator.wires.responses import ResponsesWire

OPENAI, ANTHROPIC, BEDROCK = OpenAiVoice(), AnthropicVoice(), BedrockVoice()
BEDROCK_PATH = re.compile(r"/model/([^/]+)/([a-z-]+)")
MODELS_PATH = re.compile(r"/v1/models(?:/([^/]+))?")
CREATED_S = 1_790_000_000
Listing = Callable[[Book], bytes]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of one vendor."""

    voice: Voice
    operation: str
    wire: Wire | None = None
    """None: nothing is generated; tokens are counted."""
    model: str | None = None
    """Where the path names it."""
    stream: bool | None = None
    """None: the body says."""
    keeps: bool = False
    """Transcripts are kept at the provider."""
    embeds: bool = False
    many: bool = False
    """The body may ask for several answers."""
    problem: Problem | None = None
    listing: Listing | None = None

    def no_model(self, model: str) -> Problem:
        """What the vendor says to a model that it does not have."""
        status, text, code = _NO_MODEL[self.voice.provider]
        return Problem(status, text.format(model=model), code=code, param="model")


_NO_MODEL = {
    "openai": (
        404,
        "The model `{model}` does not exist or you do not have access to it.",
        "model_not_found",
    ),
    "anthropic": (404, "model: {model}", None),
    "aws": (400, "The provided model identifier is invalid.", None),
}

ENDPOINTS = {
    "/v1/chat/completions": Endpoint(voice=OPENAI, operation="chat", wire=ChatWire(), many=True),
    "/v1/responses": Endpoint(
        voice=OPENAI, operation="responses", wire=ResponsesWire(), keeps=True
    ),
    "/v1/embeddings": Endpoint(
        voice=OPENAI, operation="embeddings", wire=EmbeddingsWire(), stream=False, embeds=True
    ),
    "/v1/messages": Endpoint(voice=ANTHROPIC, operation="messages", wire=MessagesWire()),
    "/v1/messages/count_tokens": Endpoint(voice=ANTHROPIC, operation="count_tokens"),
}
"""What is posted to, by its path."""


def found_endpoint(method: str, target: str, headers: Mapping[str, str]) -> Endpoint:
    """The endpoint of a request; one with a problem where there is none."""
    path = target.partition("?")[0]
    models = MODELS_PATH.fullmatch(path)
    if models is not None:
        voice = ANTHROPIC if "anthropic-version" in headers else OPENAI
        return _listing(voice, models.group(1)) if method == "GET" else _nowhere(voice, 405, path)
    found = ENDPOINTS.get(path) or _bedrock(path)
    if found is None:
        return _nowhere(OPENAI, 404, path)
    return found if method == "POST" else _nowhere(found.voice, 405, path)


def _nowhere(voice: Voice, status: int, path: str) -> Endpoint:
    text = "Method not allowed" if status == 405 else f"Invalid URL ({path[:80]})"
    return Endpoint(voice=voice, operation="none", problem=Problem(status, text))


def _bedrock(path: str) -> Endpoint | None:
    found = BEDROCK_PATH.fullmatch(path)
    if found is None:
        return None
    model, operation = unquote(found.group(1)), found.group(2)
    if operation in ("converse", "converse-stream"):
        stream = operation == "converse-stream"
        wire: Wire | None = ConverseWire()
    elif operation in ("invoke", "invoke-with-response-stream"):
        stream = operation == "invoke-with-response-stream"
        wire = body_of(model)
    elif operation == "count-tokens":
        stream, wire = False, None
    else:
        return None
    return Endpoint(
        voice=BEDROCK,
        operation=operation,
        wire=wire,
        model=model,
        stream=stream,
        embeds=operation == "invoke" and EMBEDS.search(model) is not None,
    )


def counted_body(body: dict[str, Any]) -> dict[str, Any]:
    """The prompt of a request to count tokens: as it is, or inside of Bedrock's `input`."""
    converse = as_map(at(body, ("input", "converse")))
    packed = text_of(at(body, ("input", "invokeModel", "body")))
    if packed is None:
        return converse or body
    try:
        return as_map(parse_or_none(b64decode(packed, validate=True)))
    except ValueError:
        return {}


def counting(provider: str, tokens: int) -> bytes:
    """The answer to a request to count tokens."""
    return encode({_COUNT_KEYS.get(provider, "input_tokens"): tokens})


_COUNT_KEYS = {"aws": "inputTokens"}


def _listing(voice: Voice, name: str | None) -> Endpoint:
    one, many = _LISTINGS[voice.provider]

    def listing(book: Book) -> bytes:
        models = [row.model for row in book.models() if row.provider == voice.provider]
        if name is None:
            return encode(many([one(model) for model in models]))
        if unquote(name) not in models:
            raise Endpoint(voice=voice, operation="models").no_model(unquote(name))
        return encode(one(unquote(name)))

    return Endpoint(voice=voice, operation="models", listing=listing)


def _openai_model(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": CREATED_S, "owned_by": "simulated"}


def _openai_models(models: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": models}


def _anthropic_model(model: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model,
        "display_name": model,
        "created_at": "2026-01-01T00:00:00Z",
    }


def _anthropic_models(models: list[dict[str, Any]]) -> dict[str, Any]:
    ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]} if models else {}
    return {"data": models, "has_more": False, **ends}


_LISTINGS: dict[str, tuple[Any, Any]] = {
    "openai": (_openai_model, _openai_models),
    "anthropic": (_anthropic_model, _anthropic_models),
}
