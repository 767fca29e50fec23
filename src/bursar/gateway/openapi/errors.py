"""The answers with an error that the gateway makes itself: their shapes, with examples.

The examples come from `refusals` and from the HTTP server themselves, so that no shape is drawn
from memory. Errors of a provider pass through, and are not here.
"""

from __future__ import annotations

import msgspec

from bursar.dialects.refusals import FAMILIES, refusal_body
from bursar.gateway.http import reading
from bursar.gateway.http.messages import Refusal
from bursar.gateway.openapi.words import Json, Words, matched, ref

JSON_TYPE = "application/json"
Kind = tuple[str, str, str]
"""Name of an example, the stable word, the message."""
NOWHERE = frozenset((405,))
"""Said of no endpoint here, but of what is none."""
HELPING = {
    401: ("www-authenticate",),
    402: ("x-bursar-resets-at", "x-should-retry"),
    409: ("retry-after",),
    429: ("retry-after", "retry-after-ms", "x-should-retry"),
    503: ("retry-after",),
}
"""Headers that may come with a status."""
TEXT: Json = {"type": "string"}
ERRORS: Json = {
    "openai_error": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": TEXT,
                    "type": TEXT,
                    "param": {"type": ["string", "null"]},
                    "code": {
                        "type": ["string", "null"],
                        "description": "A stable word that clients may rely on.",
                    },
                },
                "required": ["message", "type", "param", "code"],
            }
        },
        "required": ["error"],
    },
    "anthropic_error": {
        "type": "object",
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "properties": {"type": TEXT, "message": TEXT},
                "required": ["type", "message"],
            },
        },
        "required": ["type", "error"],
    },
    "bedrock_error": {
        "type": "object",
        "properties": {"message": TEXT},
        "required": ["message"],
    },
}
"""Shapes of errors, by family of dialects."""
PATHLESS = frozenset((400, 408, 503))
"""May be said before anything of a path was read: then in OpenAI's shape, whoever asks."""
GROUPS = {
    "openai": ("openai_chat",),
    "anthropic": ("anthropic_messages",),
    "bedrock": ("bedrock_converse",),
    "openai_or_anthropic": ("openai_chat", "anthropic_messages"),
}
"""Families that an endpoint may answer in, each with a dialect of it."""


def http_refusals() -> dict[int, list[Refusal]]:
    """What HTTP itself refuses, by status."""
    found: dict[int, list[Refusal]] = {}
    for one in vars(reading).values():
        if isinstance(one, Refusal):
            found.setdefault(one.status, []).append(one)
    return dict(sorted(found.items()))


def own_statuses(told: Words) -> set[int]:
    """Statuses of refusals in a dialect."""
    return {one for row in told["refusals"].values() for one in row["statuses"]} - NOWHERE


def error_answers(told: Words) -> Json:
    """Every answer with an error that the gateway makes itself, with an example of each kind."""
    own, http = own_statuses(told), http_refusals()
    says = told["statuses"]
    matched("statuses", ["200", "default", *map(str, own | http.keys())], says)
    found: Json = {}
    for status in http:
        kinds = _kinds_of_http(status)
        found[f"http_{status}"] = _refusal(status, ("openai_chat",), kinds, says[str(status)])
    for group, dialects in GROUPS.items():
        for status in sorted(own | http.keys()):
            kinds = [*_kinds(status, told), *_kinds_of_http(status)]
            found[f"{group}_{status}"] = _refusal(status, dialects, kinds, says[str(status)])
    return found


def _kinds(status: int, told: Words) -> list[Kind]:
    rows = told["refusals"].items()
    return [(kind, kind, row["says"]) for kind, row in rows if status in row["statuses"]]


def _kinds_of_http(status: int) -> list[Kind]:
    found = http_refusals().get(status, ())
    return [(f"http_{place}", one.kind, one.message) for place, one in enumerate(found, 1)]


def _refusal(status: int, dialects: tuple[str, ...], kinds: list[Kind], says: str) -> Json:
    examples: Json = {}
    shapes: list[str] = []
    for dialect in dialects:
        family = FAMILIES[dialect]
        shapes.append(f"{family}_error")
        for example, kind, message in kinds:
            body = refusal_body(dialect, status, kind, message)[1]
            name = example if len(dialects) == 1 else f"{family}_{example}"
            examples[name] = {"value": msgspec.json.decode(body)}
    if status in PATHLESS:
        shapes.append("openai_error")
    refs = [ref("schemas", shape) for shape in dict.fromkeys(shapes)]
    schema: Json = refs[0] if len(refs) == 1 else {"anyOf": refs}
    made: Json = {
        "description": says,
        "content": {JSON_TYPE: {"schema": schema, "examples": examples}},
    }
    named = list(HELPING.get(status, ()))
    if "bedrock_converse" in dialects:
        named.append("x-amzn-errortype")
    if named:
        made["headers"] = {name: {"schema": TEXT} for name in named}
    return made
