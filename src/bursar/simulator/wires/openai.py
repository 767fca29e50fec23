"""OpenAI's voice, and the wires of chat completions and embeddings."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from bursar.dialects.wire import as_list, text_of
from bursar.simulator.asking import Asked
from bursar.simulator.wires.reply import (
    Headers,
    Problem,
    Reply,
    arguments_text,
    chunks,
    encode,
    use_id,
    vector,
)

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
TYPES = {429: "requests", 500: "server_error", 503: "server_error"}
CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
STOPS = {
    "end": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "filter": "content_filter",
    "refusal": "stop",
}
TIERS = {"standard": "default"}
REASONERS = ("o1", "o3", "o4", "gpt-5", "gpt-6")
DIMENSIONS = {"text-embedding-3-large": 3_072}
MOST_DIMENSIONS = 4_096


class OpenAiVoice:
    """Ids, headers and errors of OpenAI."""

    provider = "openai"

    def request_id(self, digits: str) -> str:
        return f"req_{digits}"

    def headers(self, request_id: str) -> Headers:
        return [
            ("x-request-id", request_id),
            ("openai-version", "2020-10-01"),
            ("openai-organization", "org-simulated"),
            ("openai-processing-ms", "12"),
        ]

    def problem(self, problem: Problem, request_id: str) -> tuple[Headers, bytes]:
        return [], encode({"error": self._error(problem)})

    def event_problem(self, problem: Problem, request_id: str) -> bytes:
        return event({"error": self._error(problem)})

    def key(self, headers: Mapping[str, str]) -> str | None:
        return bearer(headers)

    def tier(self, asked: Asked) -> str | None:
        return text_of(asked.body.get("service_tier"))

    def _error(self, problem: Problem) -> dict[str, Any]:
        fallback = "server_error" if problem.status >= 500 else "invalid_request_error"
        return {
            "message": problem.message,
            "type": TYPES.get(problem.status, fallback),
            "param": problem.param,
            "code": problem.code or CODES.get(problem.status),
        }


class ChatWire:
    """`/v1/chat/completions`."""

    dialect = "openai_chat"
    reasoning_apart = True
    media_type = JSON
    stream_type = SSE

    def check(self, asked: Asked) -> None:
        if not as_list(asked.body.get("messages")):
            raise Problem(400, "Missing required parameter: 'messages'.", param="messages")
        if "max_tokens" in asked.body and asked.model.startswith(REASONERS[:3]):
            raise Problem(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model."
                " Use 'max_completion_tokens' instead.",
                code="unsupported_parameter",
                param="max_tokens",
            )

    def response_id(self, digits: str) -> str | None:
        return f"chatcmpl-{digits}"

    def usage(self, reply: Reply) -> dict[str, Any]:
        usage = reply.usage
        return {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.answer,
            "total_tokens": usage.prompt + usage.answer,
            "prompt_tokens_details": {
                "cached_tokens": usage.cache_read,
                "audio_tokens": 0,
                "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
            },
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def headers(self, reply: Reply) -> Headers:
        return []

    def whole(self, reply: Reply) -> bytes:
        body = self._head(reply, "chat.completion")
        said = reply.answer.said
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if said.tools and not said.text else said.text,
            "refusal": None,
            "annotations": [],
        }
        if said.tools:
            message["tool_calls"] = self._calls(reply)
        body["choices"] = [
            {
                "index": n,
                "message": message,
                "logprobs": None,
                "finish_reason": STOPS.get(reply.answer.stop, reply.answer.stop),
            }
            for n in range(reply.asked.many)
        ]
        if reply.shown is not None:
            body["usage"] = reply.shown
        return encode(body)

    def events(self, reply: Reply) -> list[bytes]:
        head = self._head(reply, "chat.completion.chunk")
        counts = reply.asked.wants_usage and reply.shown is not None
        if counts:
            head["usage"] = None
        found: list[bytes] = []

        def add(choices: list[dict[str, Any]]) -> None:
            found.append(event({**head, "choices": choices}))

        for n in range(reply.asked.many):
            for delta in self._deltas(reply):
                add([{"index": n, "delta": delta, "logprobs": None, "finish_reason": None}])
            stop = STOPS.get(reply.answer.stop, reply.answer.stop)
            add([{"index": n, "delta": {}, "logprobs": None, "finish_reason": stop}])
        if counts:
            found.append(event({**head, "choices": [], "usage": reply.shown}))
        return [*found, DONE]

    def huge(self, size_bytes: int) -> bytes:
        return huge_line(size_bytes)

    def _head(self, reply: Reply, kind: str) -> dict[str, Any]:
        return {
            "id": self.response_id(reply.hex),
            "object": kind,
            "created": reply.asked.made_at_s,
            "model": reply.asked.model,
            "choices": [],
            "service_tier": TIERS.get(reply.price_class, reply.price_class),
            "system_fingerprint": "fp_simulated",
        }

    def _calls(self, reply: Reply) -> list[dict[str, Any]]:
        return [
            {
                "id": use_id("call_", reply.hex, n),
                "type": "function",
                "function": {"name": use.name, "arguments": arguments_text(use.arguments)},
            }
            for n, use in enumerate(reply.answer.said.tools)
        ]

    def _deltas(self, reply: Reply) -> list[dict[str, Any]]:
        said = reply.answer.said
        content = None if said.tools and not said.text else ""
        found: list[dict[str, Any]] = [{"role": "assistant", "content": content, "refusal": None}]
        found += [{"content": piece} for piece in chunks(said.text)]
        for n, call in enumerate(self._calls(reply)):
            arguments = call["function"]["arguments"]
            call["function"] = {"name": call["function"]["name"], "arguments": ""}
            found.append({"tool_calls": [{"index": n, **call}]})
            found += [
                {"tool_calls": [{"index": n, "function": {"arguments": piece}}]}
                for piece in chunks(arguments)
            ]
        return found


class EmbeddingsWire:
    """`/v1/embeddings`."""

    dialect = "openai_embeddings"
    reasoning_apart = True
    media_type = JSON
    stream_type = SSE

    def check(self, asked: Asked) -> None:
        if not asked.prompt.blocks:
            raise Problem(400, "Missing required parameter: 'input'.", param="input")

    def response_id(self, digits: str) -> str | None:
        return None

    def usage(self, reply: Reply) -> dict[str, Any]:
        return {"prompt_tokens": reply.usage.prompt, "total_tokens": reply.usage.prompt}

    def headers(self, reply: Reply) -> Headers:
        return []

    def whole(self, reply: Reply) -> bytes:
        asked = reply.asked
        wished = asked.body.get("dimensions")
        size = wished if type(wished) is int else DIMENSIONS.get(asked.model, 1_536)
        size = min(max(size, 1), MOST_DIMENSIONS)
        given = asked.body.get("input")
        items = as_list(given) or [given]
        if all(type(item) is int for item in items):
            items = [items]
        vectors = [vector(repr(item), size) for item in items]
        packed = asked.body.get("encoding_format") == "base64"
        body: dict[str, Any] = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": n, "embedding": _packed(one) if packed else one}
                for n, one in enumerate(vectors)
            ],
            "model": asked.model,
        }
        if reply.shown is not None:
            body["usage"] = reply.shown
        return encode(body)

    def events(self, reply: Reply) -> list[bytes]:
        return [self.whole(reply)]

    def huge(self, size_bytes: int) -> bytes:
        return huge_line(size_bytes)


def event(value: object) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + encode(value) + b"\n\n"


def huge_line(size_bytes: int) -> bytes:
    """An event of that many bytes that ends in no line end."""
    return b'data: {"padding":"' + b"x" * size_bytes + b'"}\n\n'


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of an `Authorization: Bearer` header."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _packed(numbers: list[float]) -> str:
    return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
