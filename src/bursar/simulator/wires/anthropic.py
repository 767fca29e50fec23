"""Anthropic's voice and the wire of `/v1/messages`, which Claude on Bedrock speaks as well."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from bursar.dialects.wire import as_list, text_of
from bursar.simulator.asking import Asked
from bursar.simulator.wires.openai import JSON, SSE, bearer
from bursar.simulator.wires.reply import (
    Headers,
    Problem,
    Reply,
    arguments_text,
    chunks,
    encode,
    use_id,
)

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STOPS = {"end": "end_turn", "filter": "refusal"}
INPUT_SIDE = (
    *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
    *("cache_creation", "service_tier", "speed"),
)
"""What of the usage is known when a stream begins."""


class AnthropicVoice:
    """Ids, headers and errors of Anthropic."""

    provider = "anthropic"

    def request_id(self, digits: str) -> str:
        return f"req_{digits}"

    def headers(self, request_id: str) -> Headers:
        return [
            ("request-id", request_id),
            ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
        ]

    def problem(self, problem: Problem, request_id: str) -> tuple[Headers, bytes]:
        return [], encode(self._error(problem, request_id))

    def event_problem(self, problem: Problem, request_id: str) -> bytes:
        return event("error", self._error(problem, request_id))

    def key(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("x-api-key") or bearer(headers)

    def tier(self, asked: Asked) -> str | None:
        return text_of(asked.body.get("speed"))

    def _error(self, problem: Problem, request_id: str) -> dict[str, Any]:
        fallback = "api_error" if problem.status >= 500 else "invalid_request_error"
        kind = TYPES.get(problem.status, fallback)
        error = {"type": kind, "message": problem.message}
        return {"type": "error", "error": error, "request_id": request_id}


class MessagesWire:
    """`/v1/messages`."""

    dialect = "anthropic_messages"
    reasoning_apart = True
    media_type = JSON
    stream_type = SSE

    def check(self, asked: Asked) -> None:
        if not as_list(asked.body.get("messages")):
            raise Problem(400, "messages: at least one message is required")
        if type(asked.body.get("max_tokens")) is not int:
            raise Problem(400, "max_tokens: Field required")

    def response_id(self, digits: str) -> str | None:
        return f"msg_{digits}"

    def usage(self, reply: Reply) -> dict[str, Any]:
        return message_usage(reply)

    def headers(self, reply: Reply) -> Headers:
        return []

    def whole(self, reply: Reply) -> bytes:
        return encode(message(reply))

    def events(self, reply: Reply) -> list[bytes]:
        return [event(value["type"], value) for value in message_events(reply)]

    def huge(self, size_bytes: int) -> bytes:
        padding = b'event: ping\ndata: {"type":"ping","padding":"'
        return padding + b"x" * size_bytes + b'"}\n\n'


def event(name: str, value: object) -> bytes:
    """A server-sent event with its name."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode(value))


def message_usage(reply: Reply) -> dict[str, Any]:
    """The usage object of a message."""
    usage = reply.usage
    fast = reply.price_class == "fast"
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.answer,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "service_tier": "standard",
        "speed": "fast" if fast else "standard",
    }


def message(reply: Reply) -> dict[str, Any]:
    """A whole message."""
    body: dict[str, Any] = {
        "id": f"msg_{reply.hex}",
        "type": "message",
        "role": "assistant",
        "model": reply.asked.model,
        "content": _content(reply),
        "stop_reason": STOPS.get(reply.answer.stop, reply.answer.stop),
        "stop_sequence": None,
    }
    if reply.shown is not None:
        body["usage"] = reply.shown
    return body


def message_events(reply: Reply) -> list[dict[str, Any]]:
    """The events of a message as a stream."""
    whole = message(reply)
    start: dict[str, Any] = {**whole, "content": [], "stop_reason": None}
    end: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": None},
    }
    if reply.shown is not None:
        known = {key: reply.shown[key] for key in INPUT_SIDE}
        start["usage"] = {**known, "output_tokens": min(1, reply.usage.output)}
        end["usage"] = {key: reply.shown[key] for key in reply.shown if key not in INPUT_SIDE[3:]}
    found: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for n, block in enumerate(whole["content"]):
        empty, deltas = _DELTAS[block["type"]](block)
        found.append({"type": "content_block_start", "index": n, "content_block": empty})
        if not n:
            found.append({"type": "ping"})
        found += [{"type": "content_block_delta", "index": n, "delta": delta} for delta in deltas]
        found.append({"type": "content_block_stop", "index": n})
    return [*found, end, {"type": "message_stop"}]


def _content(reply: Reply) -> list[dict[str, Any]]:
    said = reply.answer.said
    found: list[dict[str, Any]] = []
    if said.thinking:
        signature = b64encode(blake2b(reply.hex.encode()).digest()).decode()
        thought = {"type": "thinking", "thinking": said.thinking, "signature": signature}
        found.append(thought)
    if said.text:
        found.append({"type": "text", "text": said.text})
    for n, use in enumerate(said.tools):
        use_text = use_id("toolu_", reply.hex, n)
        found.append({"type": "tool_use", "id": use_text, "name": use.name, "input": use.arguments})
    return found


Deltas = tuple[dict[str, Any], list[dict[str, Any]]]


def _text_deltas(block: dict[str, Any]) -> Deltas:
    deltas = [{"type": "text_delta", "text": piece} for piece in chunks(block["text"])]
    return {"type": "text", "text": ""}, deltas


def _thinking_deltas(block: dict[str, Any]) -> Deltas:
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in chunks(block["thinking"])]
    deltas.append({"type": "signature_delta", "signature": block["signature"]})
    return {"type": "thinking", "thinking": "", "signature": ""}, deltas


def _tool_deltas(block: dict[str, Any]) -> Deltas:
    pieces = ["", *chunks(arguments_text(block["input"]))]
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return {**block, "input": {}}, deltas


_DELTAS = {"text": _text_deltas, "thinking": _thinking_deltas, "tool_use": _tool_deltas}
