"""The page: paths, keys and headers, and the bodies and errors of the neighbouring modules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec

import bursar
from bursar.dialects.refusals import FAMILIES
from bursar.gateway.endpoints import LONGEST_MODEL_ID, MESSAGES, PAGES, Endpoint, served
from bursar.gateway.forward import CALL_ID
from bursar.gateway.openapi.bodies import body_schema, turn_schemas
from bursar.gateway.openapi.errors import (
    ERRORS,
    JSON_TYPE,
    TEXT,
    error_answers,
    http_refusals,
    own_statuses,
)
from bursar.gateway.openapi.words import Json, Words, matched, ref, words
from bursar.gateway.repeating import HEADER as ONCE
from bursar.gateway.repeating import LONGEST_KEY, REPEATED
from bursar.gateway.settings.keys import CREDENTIALS
from bursar.gateway.settings.structs import CLIENT_HEADERS
from bursar.gateway.settings.tag_names import (
    FIELDS,
    FLAGS,
    LONGEST_BYTES,
    MOST_STEPS,
    TRUTH,
    WHOLE,
)
from bursar.gateway.settings.tagging import ALWAYS_READ, OURS
from bursar.gateway.tracing import HEADER as TRACE
from bursar.gateway.tracing import STATE

AGAIN: Json = {
    "schema": {"const": REPEATED[1].decode()},
    "description": "The answer of an earlier call with the same `idempotency-key`.",
}
VERSION = "3.1.0"
STREAM_TYPES = {
    "openai_chat": "text/event-stream",
    "openai_responses": "text/event-stream",
    "anthropic_messages": "text/event-stream",
    "bedrock_converse": "application/vnd.amazon.eventstream",
    "bedrock_invoke": "application/vnd.amazon.eventstream",
}


@cache
def openapi_json() -> bytes:
    """The page as it is served and written: JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(openapi_page()), indent=1) + b"\n"


def openapi_page(given: Words | None = None) -> Json:
    """The page. Raises BursarError where words and code do not name the same things."""
    told = given if given is not None else words()
    rows = list(served())
    matched("paths", [path for _, path, _ in rows], told["paths"])
    matched("examples", [*FAMILIES, "model"], told["examples"])
    pages = _pages()
    matched("pages", PAGES, pages)
    paths: dict[str, Json] = {}
    for method, path, endpoints in rows:
        made = _call(path, endpoints, told) if endpoints else pages[path]
        paths[path] = {
            method.lower(): {
                "operationId": _slug(method, path),
                "summary": told["paths"][path],
                **made,
            }
        }
    return {
        "openapi": VERSION,
        "info": {
            "title": told["info"]["title"],
            "summary": told["info"]["summary"],
            "version": bursar.__version__,
            "description": told["info"]["description"].strip(),
        },
        "paths": paths,
        "components": {
            "securitySchemes": _schemes(told["keys"]),
            "parameters": _parameters(told),
            "responses": error_answers(told),
            "schemas": {
                **{dialect: body_schema(dialect) for dialect in FAMILIES},
                **turn_schemas(),
                **ERRORS,
            },
        },
    }


def _slug(method: str, path: str) -> str:
    text = "".join(one if one.isalnum() else "_" for one in f"{method.lower()}{path}")
    return "_".join(filter(None, text.split("_")))


def _content(schema: Json, kind: str = JSON_TYPE) -> dict[str, Json]:
    return {kind: {"schema": schema}}


# -- calls


def _call(path: str, endpoints: tuple[Endpoint, ...], told: Words) -> Json:
    """An endpoint that a provider answers. `endpoints`: what the path may mean."""
    first = endpoints[0]
    named = ["anthropic-version"] if len(endpoints) > 1 else []
    if first.metered:
        named = [*_tag_headers(), *_other_headers()]
    made: Json = {}
    parameters = [ref("parameters", name) for name in named]
    if "{model}" in path:
        parameters.insert(0, ref("parameters", "model"))
    if parameters:
        made["parameters"] = parameters
    if first.operation != "models":
        content = _content({})
        if first.metered:
            content = _content(ref("schemas", first.dialect))
            content[JSON_TYPE]["example"] = told["examples"][first.dialect]
        made["requestBody"] = {"required": first.metered, "content": content}
    families = list(dict.fromkeys(FAMILIES[one.dialect] for one in endpoints))
    answers: dict[str, Json] = {"200": _answer(first, told["statuses"]["200"])}
    own = own_statuses(told)
    for status in sorted(own | http_refusals().keys()):
        answers[str(status)] = ref("responses", f"{'_or_'.join(families)}_{status}")
    answers["default"] = {"description": told["statuses"]["default"]}
    return {
        "tags": families,
        **made,
        "security": [{name: []} for name in told["keys"] if name != "metrics"],
        "responses": answers,
    }


def _answer(endpoint: Endpoint, says: str) -> Json:
    content: Json = {}
    if endpoint.stream is not True:
        content |= _content({"type": "object"})
    if endpoint.stream is not False and endpoint.metered and endpoint.dialect in STREAM_TYPES:
        content |= _content({}, STREAM_TYPES[endpoint.dialect])
    found: Json = {"description": says, "content": content}
    if endpoint.metered:
        digits: Json = {"type": "string", "pattern": "^[0-9]+$"}
        meaning = "The call's `call_id` in the ledger."
        header = {"required": True, "schema": digits, "description": meaning}
        found["headers"] = {CALL_ID.decode(): header, REPEATED[0].decode(): AGAIN}
    return found


def _tag_headers() -> list[str]:
    return [OURS.decode() + field.replace("_", "-") for field in FIELDS]


def _other_headers() -> list[str]:
    named = (*ALWAYS_READ, TRACE, STATE, MESSAGES, ONCE)
    read = sorted(one.decode() for one in named)
    return [*read, *CLIENT_HEADERS]


def _parameters(told: Words) -> dict[str, Json]:
    matched("tags", FIELDS, told["tags"])
    says = told["headers"]
    matched("headers", [*_other_headers()[: -len(CLIENT_HEADERS)], "client"], says)
    found: dict[str, Json] = {
        "model": {
            "name": "model",
            "in": "path",
            "required": True,
            "description": "The model's id or ARN, percent-encoded.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": LONGEST_MODEL_ID,
                "examples": [told["examples"]["model"]],
            },
        }
    }
    for name, field in zip(_tag_headers(), FIELDS, strict=True):
        found[name] = _header(name, told["tags"][field], _tag_schema(field))
    for name in _other_headers():
        tag = CLIENT_HEADERS.get(name)
        text = says[name] if tag is None else says["client"].format(tag=tag)
        found[name] = _header(name, text, {"type": "string"})
    found[ONCE.decode()]["schema"] = {"type": "string", "maxLength": LONGEST_KEY}
    return found


def _header(name: str, says: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "description": says, "schema": schema}


def _tag_schema(field: str) -> Json:
    """An empty header counts as none."""
    if field in WHOLE:
        whole: Json = {"type": "integer", "minimum": 0, "maximum": MOST_STEPS}
        return {"anyOf": [whole, {"const": ""}]}
    if field in FLAGS:
        return {"type": "string", "enum": [*TRUTH, ""]}
    return {"type": "string", "maxLength": LONGEST_BYTES, "pattern": "^[ -~]*$"}


def _schemes(says: dict[str, str]) -> Json:
    matched("keys", [*(name.decode() for name in CREDENTIALS), "sigv4", "metrics"], says)
    found: Json = {
        name: {"type": "apiKey", "in": "header", "name": name, "description": text}
        for name, text in says.items()
    }
    for name in ("authorization", "metrics"):
        found[name] = {"type": "http", "scheme": "bearer", "description": says[name]}
    found["sigv4"] = {"type": "apiKey", "in": "header", "name": "authorization"} | {
        "description": says["sigv4"],
        "x-amazon-apigateway-authtype": "awsSigv4",
    }
    return found


# -- pages


def _pages() -> dict[str, Json]:
    """What each page of the gateway itself says, and whether it needs a key."""
    words: dict[str, Json] = {
        "reason": {"type": "string"},
        "caps": _counts("closed", "local", "open"),
    }
    waiting = _said("starting or stopping", "shut", more=words)
    starting = {"503": _told("Not now.", waiting, crowded=True)}
    hidden = {"404": ref("responses", "openai_404")}
    return {
        "/health": _page(_told("Yes.", _said("ok"))),
        "/ready": _page(_told("Yes.", _said("ready", "degraded", more=words)), starting),
        "/metrics": {
            **_page(_told("The metrics.", TEXT, kind="text/plain"), hidden),
            "security": [{"metrics": []}, {}],
        },
        "/openapi.json": _page(_told("This page.", {"type": "object"})),
    }


def _page(good: Json, more: Mapping[str, Json] | None = None) -> Json:
    """A page speaks no dialect: its errors are those of HTTP, and what `more` says."""
    http = {str(one): ref("responses", f"http_{one}") for one in http_refusals()}
    answers = {"200": good, **http, **(more or {})}
    return {"tags": ["pages"], "security": [], "responses": dict(sorted(answers.items()))}


def _told(says: str, schema: Json, *, kind: str = JSON_TYPE, crowded: bool = False) -> Json:
    either: Json = {"anyOf": [schema, ref("schemas", "openai_error")]} if crowded else schema
    return {"description": says, "content": _content(either, kind)}


def _counts(*names: str) -> Json:
    count: Json = {"type": "integer", "minimum": 1}
    return {
        "type": "object",
        "properties": dict.fromkeys(names, count),
        "additionalProperties": False,
    }


def _said(*words: str, more: Mapping[str, Json] | None = None) -> Json:
    return {
        "type": "object",
        "properties": {"status": {"enum": list(words)}, **(more or {})},
        "required": ["status"],
        "additionalProperties": False,
    }
