"""Bedrock's voice and the wire of Converse, whole and as an AWS event stream."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from bursar.dialects.eventstream import MEDIA_TYPE, frame
from bursar.dialects.wire import as_list, at, text_of
from bursar.simulator.asking import Asked
from bursar.simulator.signing import access_key_of
from bursar.simulator.wires.openai import JSON, bearer
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
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
STOPS = {"end": "end_turn", "filter": "content_filtered", "refusal": "content_filtered"}
TIERS = {"standard": "default"}
TIER_HEADER = "x-amzn-bedrock-service-tier"
LATENCY_MS = 420
Delta = dict[str, Any]


class BedrockVoice:
    """Ids, headers and errors of the Bedrock runtime."""

    provider = "aws"

    def request_id(self, digits: str) -> str:
        cut = (digits[:8], digits[8:12], f"4{digits[13:16]}", f"8{digits[17:20]}")
        tail = blake2b(digits.encode(), digest_size=6).hexdigest()
        return "-".join((*cut, tail))

    def headers(self, request_id: str) -> Headers:
        return [("x-amzn-requestid", request_id)]

    def problem(self, problem: Problem, request_id: str) -> tuple[Headers, bytes]:
        kind = _kind(problem)
        body = encode({"message": problem.message})
        return [("x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/")], body

    def event_problem(self, problem: Problem, request_id: str) -> bytes:
        name = _kind(problem)
        body = encode({"message": problem.message})
        return frame("exception", name[0].lower() + name[1:], body)

    def key(self, headers: Mapping[str, str]) -> str | None:
        return access_key_of(headers.get("authorization", "")) or bearer(headers)

    def tier(self, asked: Asked) -> str | None:
        return asked.headers.get(TIER_HEADER) or text_of(at(asked.body, ("serviceTier", "type")))


class ConverseWire:
    """`/model/{id}/converse` and `/converse-stream`."""

    dialect = "bedrock_converse"
    reasoning_apart = False
    media_type = JSON
    stream_type = MEDIA_TYPE

    def check(self, asked: Asked) -> None:
        if not as_list(asked.body.get("messages")):
            raise Problem(400, "A conversation must start with a user message.")

    def response_id(self, digits: str) -> str | None:
        return None

    def usage(self, reply: Reply) -> dict[str, Any]:
        return converse_usage(reply)

    def headers(self, reply: Reply) -> Headers:
        return []

    def whole(self, reply: Reply) -> bytes:
        body = converse_body(reply)
        body["metrics"] = {"latencyMs": LATENCY_MS}
        body["serviceTier"] = _tier(reply)
        return encode(body)

    def events(self, reply: Reply) -> list[bytes]:
        found = [
            frame("event", name, encode(value))
            for event in converse_events(reply)
            for name, value in event.items()
        ]
        if reply.shown is not None:
            metadata = {
                "usage": reply.shown,
                "metrics": {"latencyMs": LATENCY_MS},
                "serviceTier": _tier(reply),
            }
            found.append(frame("event", "metadata", encode(metadata)))
        return found

    def huge(self, size_bytes: int) -> bytes:
        text = {"contentBlockIndex": 0, "delta": {"text": "x" * size_bytes}}
        return frame("event", "contentBlockDelta", encode(text))


def converse_usage(reply: Reply) -> dict[str, Any]:
    """The usage object of Converse. Thinking is part of its output."""
    usage = reply.usage
    written = {"1h": usage.cache_write_1h, "5m": usage.cache_write_5m}
    return {
        "inputTokens": usage.input,
        "outputTokens": usage.answer,
        "totalTokens": usage.prompt + usage.answer,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_write_5m + usage.cache_write_1h,
        "cacheDetails": [
            {"ttl": life, "inputTokens": tokens} for life, tokens in written.items() if tokens
        ],
    }


def converse_body(reply: Reply) -> dict[str, Any]:
    """Message, stop and usage: what Converse and the models that speak like it share."""
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": _content(reply)}},
        "stopReason": STOPS.get(reply.answer.stop, reply.answer.stop),
    }
    if reply.shown is not None:
        body["usage"] = reply.shown
    return body


def converse_events(reply: Reply) -> list[dict[str, Any]]:
    """The events of a message, without the last one, which holds its usage."""
    found: list[dict[str, Any]] = [{"messageStart": {"role": "assistant"}}]
    for n, block in enumerate(_content(reply)):
        start, deltas = _deltas(block)
        if start:
            found.append({"contentBlockStart": {"contentBlockIndex": n, "start": start}})
        found += [
            {"contentBlockDelta": {"contentBlockIndex": n, "delta": delta}} for delta in deltas
        ]
        found.append({"contentBlockStop": {"contentBlockIndex": n}})
    stop = STOPS.get(reply.answer.stop, reply.answer.stop)
    return [*found, {"messageStop": {"stopReason": stop}}]


def _content(reply: Reply) -> list[dict[str, Any]]:
    said = reply.answer.said
    found: list[dict[str, Any]] = []
    if said.thinking:
        signature = b64encode(reply.hex.encode()).decode()
        text = {"text": said.thinking, "signature": signature}
        found.append({"reasoningContent": {"reasoningText": text}})
    if said.text or not said.tools:
        found.append({"text": said.text})
    for n, use in enumerate(said.tools):
        tool = {"toolUseId": use_id("tooluse_", reply.hex, n), "name": use.name}
        found.append({"toolUse": {**tool, "input": use.arguments}})
    return found


def _deltas(block: dict[str, Any]) -> tuple[Delta, list[Delta]]:
    if "toolUse" in block:
        use = block["toolUse"]
        start = {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}
        return start, [{"toolUse": {"input": one}} for one in chunks(arguments_text(use["input"]))]
    if "reasoningContent" in block:
        text = block["reasoningContent"]["reasoningText"]
        deltas: list[Delta] = [{"text": one} for one in chunks(text["text"])]
        deltas.append({"signature": text["signature"]})
        return {}, [{"reasoningContent": delta} for delta in deltas]
    return {}, [{"text": one} for one in chunks(block["text"])]


def _tier(reply: Reply) -> dict[str, str]:
    return {"type": TIERS.get(reply.price_class, reply.price_class)}


def _kind(problem: Problem) -> str:
    fallback = "InternalServerException" if problem.status >= 500 else "ValidationException"
    return problem.code or TYPES.get(problem.status, fallback)
