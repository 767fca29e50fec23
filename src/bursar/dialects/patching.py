"""Changes to a request body at named places. Every value that is not named stays as it was sent.

A field that is there keeps its place, a new one comes last, so that the prompt, whose bytes a
provider's cache is keyed by, is never written anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bursar.model.errors import BadInput

Json = object

LIMIT_FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "openai_chat": (("max_tokens",), ("max_completion_tokens",)),
    "openai_responses": (("max_output_tokens",),),
    "anthropic_messages": (("max_tokens",),),
    "bedrock_converse": (("inferenceConfig", "maxTokens"),),
}
"""Where each dialect keeps the bound of the answer; the last is written where none is there."""

EFFORT_FIELDS: dict[str, tuple[str, ...]] = {
    "openai_chat": ("reasoning_effort",),
    "openai_responses": ("reasoning", "effort"),
    "anthropic_messages": ("output_config", "effort"),
}
"""Where each dialect keeps the reasoning effort."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def with_fields(body: bytes, changes: Mapping[tuple[str, ...], Json]) -> bytes:
    """The body with each value at its path (of one or two names). `body` is a checked object.

    Raises BadInput where a path leads through something that is no object.
    """
    fields: dict[str, bytes | msgspec.Raw] = dict(_fields(body))
    for path, value in changes.items():
        if len(path) == 1:
            fields[path[0]] = msgspec.json.encode(value)
            continue
        inner: dict[str, bytes | msgspec.Raw] = dict(_inner(fields, path[0]))
        inner[path[1]] = msgspec.json.encode(value)
        fields[path[0]] = _written(inner)
    return _written(fields)


def _written(fields: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    pieces = [msgspec.json.encode(name) + b":" + bytes(raw) for name, raw in fields.items()]
    return b"{" + b",".join(pieces) + b"}"


def limited(body: bytes, dialect: str, most_tokens: int, asked: int | None) -> bytes:
    """The body with the answer's bound brought down to `most_tokens`, or set where it has none."""
    places = LIMIT_FIELDS.get(dialect)
    if places is None or (asked is not None and asked <= most_tokens):
        return body
    fields = _fields(body)
    held = [path for path in places if _holds(fields, path)] or [places[-1]]
    return with_fields(body, dict.fromkeys(held, most_tokens))


def with_effort(body: bytes, dialect: str, effort: str) -> bytes | None:
    """The body with that reasoning effort; None: this dialect has no place for one."""
    place = EFFORT_FIELDS.get(dialect)
    return None if place is None else with_fields(body, {place: effort})


def _holds(fields: Mapping[str, msgspec.Raw], path: tuple[str, ...]) -> bool:
    found = fields.get(path[0])
    if found is None or len(path) == 1:
        return found is not None
    return path[1] in _inner(fields, path[0])


def _inner(fields: Mapping[str, bytes | msgspec.Raw], name: str) -> Mapping[str, msgspec.Raw]:
    """The fields of the object under a name; none where there is nothing, or null."""
    found = fields.get(name)
    if found is None or bytes(found) == b"null":
        return {}
    try:
        return _fields(found)
    except msgspec.ValidationError:
        mend = "send an object, or leave it out"
        raise BadInput(f"/{name} is not an object", mend=mend) from None


def model_of(body: bytes) -> str | None:
    """The model that a body names; None where it names none or is no JSON object."""
    try:
        return msgspec.json.decode(body, type=_Named).model
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class _Named(msgspec.Struct):
    model: str | None = None
