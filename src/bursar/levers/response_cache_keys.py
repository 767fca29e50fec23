"""What makes two requests the same: the key of a kept answer, and who asks not to use one.

A key is the SHA-256 of everything that can change the answer or its bytes: the tenant and the
policy of its key (a partition nobody reaches from outside), the provider, dialect, path and model,
the headers of `VARYING`, whether it streams, the version of the knowledge base, and the body. Of
the body only the order of its outermost fields and the spacing do not count. Bytes are truth: NFC
and NFD are two texts, 1 and 1.0 two numbers. What is left out is `LEFT_OUT`, and nothing else.

`stream` counts, so a stream is only answered by a kept stream, byte by byte, and a whole answer by
a whole one. `n`, `seed`, `user` and `stream_options` count too: the last asks for other chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from bursar.dialects.wire import as_list, as_map, at, maps, text_of

LEFT_OUT: dict[str, frozenset[str]] = {
    "openai_chat": frozenset(("metadata", "prompt_cache_key", "prompt_cache_retention")),
    "openai_responses": frozenset(("metadata", "prompt_cache_key", "prompt_cache_retention")),
    "openai_embeddings": frozenset(),
    "anthropic_messages": frozenset(),
    "bedrock_converse": frozenset(("requestMetadata",)),
    "bedrock_invoke": frozenset(),
}
"""Fields that change neither the answer nor its bytes: labels, and wishes to the provider's own
cache. Anthropic's `metadata` counts, since it names the user. No other dialect is cached."""

VARYING = frozenset(
    (
        *(b"anthropic-beta", b"anthropic-version", b"openai-beta", b"openai-organization"),
        *(b"openai-project", b"x-amzn-bedrock-guardrailidentifier", b"accept"),
        *(b"x-amzn-bedrock-guardrailversion", b"x-amzn-bedrock-trace"),
        *(b"x-amzn-bedrock-performanceconfig-latency", b"x-amzn-bedrock-service-tier"),
    )
)
"""Headers of a client that count."""

TEMPERATURE: dict[str, tuple[str, ...]] = {
    "openai_chat": ("temperature",),
    "openai_responses": ("temperature",),
    "anthropic_messages": ("temperature",),
    "bedrock_converse": ("inferenceConfig", "temperature"),
    "bedrock_invoke": ("temperature",),
}
"""Where a body says it. A dialect that is not here draws no lots."""

STATEFUL = ("conversation", "background", "web_search_options", "mcp_servers", "container")
"""Fields with which the answer depends on more than the request, or is not there at once."""
TOOL_LISTS = (("tools",), ("toolConfig", "tools"))
OWN_TOOLS = ("function", "custom", "bash", "text_editor", "computer", "memory", "local_shell")
"""Types of tools that run at the client, by their beginnings. Others look at the world of today
(web searches, files, code) and make an answer that is never kept."""

HOLE = b"\x00hole"

_fields = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is made of."""

    dialect: str
    path: bytes
    """As it was asked for, with its query."""
    body: bytes
    tenant: str | None = None
    policy: str = ""
    """Whatever else keeps callers apart: the virtual key, or the policy that several share."""
    provider: str | None = None
    model: str | None = None
    """The model that is asked, after routing."""
    stream: bool = False
    version: str | None = None
    """Of the knowledge base."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Of the client, names in lower case."""


class Wanted(NamedTuple):
    """What a client's `cache-control` says."""

    store: bool = True
    read: bool = True
    most_age_s: int | None = None


def wanted(headers: Iterable[tuple[bytes, bytes]]) -> Wanted:
    """`no-store`: neither kept nor answered from what is kept. `no-cache`, or `max-age=0`: asked
    anew, and kept. `max-age=N`: answered by what is no older than N seconds."""
    words = [
        word.strip().lower()
        for name, value in headers
        if name == b"cache-control"
        for word in value.split(b",")
    ]
    if b"no-store" in words:
        return Wanted(store=False, read=False)
    ages = [
        int(word[8:])
        for word in words
        if word.startswith(b"max-age=") and word[8:].isdigit() and len(word) < 20
    ]
    most_age_s = min(ages, default=None)
    return Wanted(read=b"no-cache" not in words and most_age_s != 0, most_age_s=most_age_s)


def fields_of(request: Request) -> dict[str, Any] | None:
    """The body's fields; None where it is no JSON object that everybody reads alike."""
    try:
        return _fields(request.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def why_never(request: Request, fields: Mapping[str, Any], *, at_zero: bool) -> str | None:
    """Why such a request is never answered from what is kept; None: it may be.

    `at_zero`: only requests that ask for temperature 0.
    """
    if request.dialect not in LEFT_OUT:
        return f"{request.dialect} is not cached"
    for name in STATEFUL:
        if fields.get(name):
            return f"{name}: the answer depends on more than the request"
    for path in TOOL_LISTS:
        for tool in maps(at(fields, path)):
            kind = text_of(tool.get("type")) or "function"
            if not kind.startswith(OWN_TOOLS):
                return f"the tool {kind[:40]} runs at the provider"
    place = TEMPERATURE.get(request.dialect)
    if at_zero and place is not None:
        asked = at(fields, place)
        if isinstance(asked, bool) or asked != 0:
            return "the temperature is not 0"
    return None


def key_of(request: Request, fields: Mapping[str, Any], hole: str | None = None) -> bytes:
    """32 bytes. `fields` are the body's, read by `fields_of`; `hole` is the path to the one text
    that does not count, in `fields` as they are given."""
    parts: list[bytes] = [
        _said(request.tenant),
        request.policy.encode("utf-8", "surrogatepass"),
        _said(request.provider),
        request.dialect.encode(),
        request.path,
        _said(request.model),
        b"stream" if request.stream else b"whole",
        _said(request.version),
        b"" if hole is None else HOLE + hole.encode(),
    ]
    heard = sorted(
        (one for one in request.headers if one[0] in VARYING), key=lambda header: header[0]
    )
    parts.append(b"%d" % len(heard))
    for name, value in heard:
        parts += (name, value)
    left_out = LEFT_OUT.get(request.dialect, frozenset())
    for name in sorted(fields):
        if name not in left_out:
            parts += (name.encode(), _encode(fields[name]))
    return sha256(b"".join([b"%d:%b" % (len(part), part) for part in parts])).digest()


def _said(text: str | None) -> bytes:
    """None is no text, not even an empty one."""
    return b"-" if text is None else b"+" + text.encode("utf-8", "surrogatepass")


def question_of(fields: Mapping[str, Any]) -> tuple[str, dict[str, Any], str] | None:
    """The last thing that a user says: its text, the fields without it, and the path to it.

    None where the request does not end with one plain text of a user.
    """
    for name in ("messages", "input"):
        given = fields.get(name)
        if isinstance(given, str):
            return given, {**fields, name: None}, name
        turns = as_list(given)
        if not turns:
            continue
        last = as_map(turns[-1])
        content = last.get("content")
        if last.get("role") != "user":
            return None
        if isinstance(content, str):
            changed: dict[str, Any] = {**last, "content": None}
            return content, {**fields, name: [*turns[:-1], changed]}, f"{name}/content"
        parts = as_list(content)
        part = as_map(parts[0]) if len(parts) == 1 else {}
        text = part.get("text")
        if not isinstance(text, str):
            return None
        changed = {**last, "content": [{**part, "text": None}]}
        return text, {**fields, name: [*turns[:-1], changed]}, f"{name}/content/0/text"
    return None
