"""Method and path -> what a client asks for. Paths are compared as sent, never decoded.

A path that is written in another way (`%2e`, `//v1`, `/v1/../x`) matches nothing. The model id of
a Bedrock path is decoded for the books and encoded again for the way on; what would not come out
of that as the same name, or would be a step in a path, is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote

import msgspec

MESSAGES = b"anthropic-version"
"""The header by which Anthropic's clients are known where the path is OpenAI's as well."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request."""

    dialect: str
    operation: str
    """Name of the operation, as the OpenTelemetry conventions for GenAI have it."""
    path: str
    """Template of the path behind a provider's base URL; `{model}` is the model id."""
    metered: bool = True
    """False: free of charge, passed through without a record."""
    stream: bool | None = None
    """Whether the answer is a stream, where the path says so; None: the body says it."""


class Entrance(msgspec.Struct, frozen=True):
    """An endpoint, and the model that a path names."""

    endpoint: Endpoint
    model: str | None = None


def _post(dialect: str, operation: str, path: str, **more: bool) -> Endpoint:
    return Endpoint(dialect=dialect, operation=operation, path=path, **more)


POSTS = {
    b"/v1/chat/completions": _post("openai_chat", "chat", "/chat/completions"),
    b"/v1/responses": _post("openai_responses", "chat", "/responses"),
    b"/v1/responses/input_tokens": _post(
        "openai_responses", "count_tokens", "/responses/input_tokens", metered=False
    ),
    b"/v1/embeddings": _post("openai_embeddings", "embeddings", "/embeddings"),
    b"/v1/messages": _post("anthropic_messages", "chat", "/v1/messages"),
    b"/v1/messages/count_tokens": _post(
        "anthropic_messages", "count_tokens", "/v1/messages/count_tokens", metered=False
    ),
}
BEDROCK = {
    b"converse": _post("bedrock_converse", "chat", "/model/{model}/converse", stream=False),
    b"converse-stream": _post(
        "bedrock_converse", "chat", "/model/{model}/converse-stream", stream=True
    ),
    b"invoke": _post("bedrock_invoke", "chat", "/model/{model}/invoke", stream=False),
    b"invoke-with-response-stream": _post(
        "bedrock_invoke", "chat", "/model/{model}/invoke-with-response-stream", stream=True
    ),
    b"count-tokens": _post(
        "bedrock_converse", "count_tokens", "/model/{model}/count-tokens", metered=False
    ),
}
OPENAI_MODELS = Endpoint(
    dialect="openai_chat", operation="models", path="/models", metered=False, stream=False
)
ANTHROPIC_MODELS = Endpoint(
    dialect="anthropic_messages", operation="models", path="/v1/models", metered=False, stream=False
)
PAGES = ("/health", "/ready", "/metrics", "/openapi.json")
"""What the gateway says of itself, to GET and HEAD."""
READING = (b"GET", b"HEAD")
DIALECT_OF_START = {b"/model/": "bedrock_converse", b"/v1/messages": "anthropic_messages"}
"""Paths that only one dialect has, served or not."""
LONGEST_MODEL_ID = 2_048
STEPS = frozenset((".", ".."))
_PAGES = frozenset(page.encode() for page in PAGES)
_ASKED = {path: Entrance(endpoint) for path, endpoint in POSTS.items()}


def endpoint_of(method: bytes, target: bytes, *, anthropic: bool = False) -> Entrance | None:
    """What is asked for, or None. `anthropic`: the client speaks Anthropic's dialect."""
    if method == b"POST":
        return _ASKED.get(target) or _posted(target)
    path = target.partition(b"?")[0]
    if method == b"GET" and path == b"/v1/models":
        return Entrance(ANTHROPIC_MODELS if anthropic else OPENAI_MODELS)
    return None


def page_of(method: bytes, target: bytes) -> str | None:
    """The path of the gateway's own page that is asked for, or None."""
    path = target.partition(b"?")[0]
    return path.decode() if path in _PAGES and method in READING else None


def _posted(target: bytes) -> Entrance | None:
    path = target.partition(b"?")[0]
    known = _ASKED.get(path)
    if known is not None:
        return known
    pieces = path.split(b"/")
    if len(pieces) != 4 or pieces[1] != b"model" or pieces[0] or pieces[3] not in BEDROCK:
        return None
    try:
        model = unquote(pieces[2], errors="strict")
    except UnicodeDecodeError:
        return None
    if not 0 < len(model) <= LONGEST_MODEL_ID or not model.isprintable() or model in STEPS:
        return None
    return Entrance(BEDROCK[pieces[3]], model)


def allowed_methods(target: bytes) -> bytes | None:
    """The methods of a path that exists, as `allow` lists them; None: there is no such path."""
    if page_of(b"GET", target) is not None:
        return b", ".join(READING)
    for method in (b"POST", b"GET"):
        if endpoint_of(method, target) is not None:
            return method
    return None


def dialect_at(target: bytes, *, anthropic: bool = False) -> str:
    """The dialect of whoever asks for what is not served: by the path, as far as it tells."""
    for start, dialect in DIALECT_OF_START.items():
        if target.startswith(start):
            return dialect
    return ANTHROPIC_MODELS.dialect if anthropic else OPENAI_MODELS.dialect


def served() -> Iterator[tuple[str, str, tuple[Endpoint, ...]]]:
    """(method, path as a template, what it may mean) of all that is served; of a page: nothing."""
    for path, endpoint in POSTS.items():
        yield "POST", path.decode(), (endpoint,)
    for endpoint in BEDROCK.values():
        yield "POST", endpoint.path, (endpoint,)
    yield "GET", "/v1/models", (OPENAI_MODELS, ANTHROPIC_MODELS)
    for page in PAGES:
        yield "GET", page, ()


PATHS = {
    ("openai_chat", False): "/chat/completions",
    ("openai_chat", True): "/chat/completions",
    ("anthropic_messages", False): "/v1/messages",
    ("anthropic_messages", True): "/v1/messages",
    ("bedrock_converse", False): "/model/{model}/converse",
    ("bedrock_converse", True): "/model/{model}/converse-stream",
}
"""(dialect, stream) -> template, for calls that cross to another dialect."""


def path_at(dialect: str, endpoint: Endpoint, model: str | None, *, stream: bool) -> str:
    """The path behind the provider's base URL."""
    template = endpoint.path if dialect == endpoint.dialect else PATHS[dialect, stream]
    if "{model}" not in template:
        return template
    return template.replace("{model}", quote(model or "", safe=""))
