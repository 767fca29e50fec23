"""A paid attempt in the words of OpenTelemetry's GenAI conventions, and our own where it has none.

The names are written out here, since the conventions have moved out of the packages that held them.
`input_tokens` contains cached tokens, as the convention asks. No text of a prompt or an answer is
known here. What nobody counted is left out: never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from bursar.emit.paid import Paid
from bursar.ledger.journal.spans import FLAGS_TAG, PARENT_TAG, TRACE_TAG
from bursar.model.call import Tags
from bursar.model.entry import STANDARD
from bursar.model.money import usd
from bursar.model.usage import Usage

Value = str | int | float | bool | list[str]
Attributes = dict[str, Value]
Servers = Mapping[str, tuple[str, int]]

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
ASKED_MODEL = "gen_ai.request.model"
SERVED_MODEL = "gen_ai.response.model"
ERROR = "error.type"
SERVER, PORT = "server.address", "server.port"
TOKEN_TYPE = "gen_ai.token.type"
TOKEN_USAGE = "gen_ai.client.token.usage"
DURATION = "gen_ai.client.operation.duration"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
COST = "bursar.client.cost"
TAG_FOLDER = "bursar.tag."

CHAT = "chat"
OPERATIONS = {"openai_embeddings": "embeddings"}
"""Dialect -> what is asked in it; the others converse."""
PROVIDERS = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "x-ai": "x_ai",
}
"""Whose prices -> the convention's word, where it differs."""
STOPS = {
    "end": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "filter": "content_filter",
}
TAGS = {"session": "gen_ai.conversation.id", "user": "user.id"} | {
    name: f"bursar.{name}"
    for name in (
        *("tenant", "team", "cost_center", "application", "environment", "route", "workflow"),
        *("prompt_version", "task_type", "retry_cause", "inference_type"),
    )
}
"""Tag -> attribute."""
PLACES = frozenset((TRACE_TAG, PARENT_TAG, FLAGS_TAG))
"""Tags that are the span's own place."""
OTHER_ERROR = "_OTHER"
"""The conventions' word for an error without a name."""
FAILED = "failed"
BAD = 400
LONGEST_TEXT = 256
MS_PER_S = 1_000


def name_of(paid: Paid) -> str:
    """What a span is called."""
    return f"{operation_of(paid)} {_text(paid.call.model or paid.attempt.model or '')}".rstrip()


def operation_of(paid: Paid) -> str:
    return OPERATIONS.get(paid.call.dialect or "", CHAT)


def error_of(paid: Paid) -> str | None:
    """The HTTP status of a refusal, or the word for a failure that has none."""
    status = paid.attempt.status
    if status is not None and status >= BAD:
        return str(status)
    return OTHER_ERROR if paid.outcome == FAILED else None


def span_attributes(paid: Paid, servers: Servers) -> Attributes:
    """Everything that a span says of an attempt."""
    found = common_attributes(paid, servers)
    found.update(_request(paid))
    found.update(_result(paid))
    if paid.attempt.usage is not None:
        found.update(_usage(paid.attempt.usage))
    found.update(_cost(paid))
    found.update(_tags(paid.call.tags))
    return found


def common_attributes(paid: Paid, servers: Servers) -> Attributes:
    """What spans and metrics share: which operation of which model, where."""
    call, attempt = paid.call, paid.attempt
    found: Attributes = {OPERATION: operation_of(paid)}
    provider = attempt.provider or call.provider
    if provider is not None:
        found[PROVIDER] = _text(PROVIDERS.get(provider, provider))
    asked = call.model or attempt.model
    if asked is not None:
        found[ASKED_MODEL] = _text(asked)
    if attempt.model is not None and attempt.usage is not None:
        found[SERVED_MODEL] = _text(attempt.model)
    server = servers.get(call.provider or "")
    if server is not None:
        found[SERVER], found[PORT] = server
    error = error_of(paid)
    if error is not None:
        found[ERROR] = error
    return found


def metric_attributes(paid: Paid, servers: Servers, labels: tuple[str, ...]) -> Attributes:
    """Attributes with few values each, the named tags among them."""
    found = common_attributes(paid, servers)
    tags = paid.call.tags
    for name in labels:
        value = getattr(tags, name, None) or tags.other.get(name)
        if value is not None:
            found[TAGS.get(name, TAG_FOLDER + name)] = _text(str(value))
    return found


def _request(paid: Paid) -> Iterator[tuple[str, Value]]:
    call = paid.call
    yield "bursar.call_id", str(paid.call_id)
    if paid.attempt.n:
        yield "bursar.attempt", paid.attempt.n
    if call.dialect is not None:
        yield "bursar.dialect", _text(call.dialect)
    if call.stream is not None:
        yield "gen_ai.request.stream", call.stream
    if call.limits.max_tokens is not None:
        yield "gen_ai.request.max_tokens", call.limits.max_tokens


def _result(paid: Paid) -> Iterator[tuple[str, Value]]:
    attempt = paid.attempt
    yield "bursar.outcome", _text(paid.outcome)
    if attempt.status is not None:
        yield "http.response.status_code", attempt.status
    if paid.stop is not None:
        yield "gen_ai.response.finish_reasons", [_text(STOPS.get(paid.stop, paid.stop))]
    if paid.call.stream and attempt.first_byte_ms is not None:
        yield "gen_ai.response.time_to_first_chunk", attempt.first_byte_ms / MS_PER_S
    if attempt.provider_request_id is not None:
        yield "bursar.provider_request_id", _text(attempt.provider_request_id)


def _usage(usage: Usage) -> Iterator[tuple[str, Value]]:
    yield "gen_ai.usage.input_tokens", usage.prompt
    yield "gen_ai.usage.output_tokens", usage.answer
    yield "gen_ai.usage.cache_read.input_tokens", usage.cache_read
    written = usage.cache_write_5m + usage.cache_write_1h
    yield "gen_ai.usage.cache_creation.input_tokens", written
    yield "gen_ai.usage.reasoning.output_tokens", usage.reasoning
    yield "bursar.usage", msgspec.json.encode(usage).decode()


def _cost(paid: Paid) -> Iterator[tuple[str, Value]]:
    attempt = paid.attempt
    dollars = usd(attempt.cost_nano)
    if dollars is not None and attempt.cost_nano is not None:
        yield "bursar.cost_usd", float(dollars)
        yield "bursar.cost_nano", attempt.cost_nano
    if paid.cost_basis is not None:
        yield "bursar.cost.basis", paid.cost_basis
    if attempt.usage is not None:
        yield "bursar.usage.basis", attempt.basis.value
    if attempt.price_version is not None:
        yield "bursar.price_version", _text(attempt.price_version)
    if attempt.price_class != STANDARD:
        yield "bursar.price_class", _text(attempt.price_class)
    if attempt.cost_nano is None and attempt.unpriced_reason is not None:
        yield "bursar.unpriced_reason", _text(attempt.unpriced_reason)


def _tags(tags: Tags) -> Iterator[tuple[str, Value]]:
    for tag, name in TAGS.items():
        value = getattr(tags, tag)
        if value is not None:
            yield name, _text(value)
    if tags.is_retry:
        yield "bursar.is_retry", True
    for tag, value in tags.other.items():
        if tag not in PLACES:
            yield TAG_FOLDER + _text(tag), _text(value)


def _text(value: str) -> str:
    """A text that every encoding has, and that is not longer than a label."""
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    return value[:LONGEST_TEXT]
