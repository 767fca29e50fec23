"""The wires of Bedrock's InvokeModel: each family of models has a body of its own.

Claude speaks Anthropic's messages, Nova speaks like Converse, Llama and Titan have flat bodies. In
a stream each event is a JSON value in base64, and the last one carries Bedrock's own counts.
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

from bursar.dialects.eventstream import MEDIA_TYPE, frame
from bursar.dialects.wire import text_of
from bursar.simulator.asking import Asked
from bursar.simulator.wires.anthropic import MessagesWire, message, message_events, message_usage
from bursar.simulator.wires.bedrock import (
    LATENCY_MS,
    TIER_HEADER,
    TIERS,
    converse_body,
    converse_events,
    converse_usage,
)
from bursar.simulator.wires.openai import JSON
from bursar.simulator.wires.reply import Headers, Problem, Reply, Wire, chunks, encode, vector

METRICS = "amazon-bedrock-invocationMetrics"
TITAN_DIMENSIONS = 256


class InvokeWire:
    """What the bodies of InvokeModel share."""

    dialect = "bedrock_invoke"
    media_type = JSON
    stream_type = MEDIA_TYPE
    reasoning_apart = False

    def check(self, asked: Asked) -> None:
        if not asked.prompt.blocks:
            raise Problem(400, "Malformed input request, please reformat your input and try again.")

    def response_id(self, digits: str) -> str | None:
        return None

    def usage(self, reply: Reply) -> Any:
        return converse_usage(reply)

    def headers(self, reply: Reply) -> Headers:
        found = [
            (TIER_HEADER, TIERS.get(reply.price_class, reply.price_class)),
            ("x-amzn-bedrock-invocation-latency", str(LATENCY_MS)),
        ]
        if reply.shown is not None and not reply.asked.stream:
            usage = reply.usage
            found += [
                ("x-amzn-bedrock-input-token-count", str(usage.input)),
                ("x-amzn-bedrock-output-token-count", str(usage.answer)),
                ("x-amzn-bedrock-cache-read-input-token-count", str(usage.cache_read)),
                (
                    "x-amzn-bedrock-cache-write-input-token-count",
                    str(usage.cache_write_5m + usage.cache_write_1h),
                ),
            ]
        return found

    def whole(self, reply: Reply) -> bytes:
        return encode(self.body(reply))

    def events(self, reply: Reply) -> list[bytes]:
        values = self.values(reply)
        if reply.shown is not None:
            usage = reply.usage
            values[-1] = values[-1] | {
                METRICS: {
                    "inputTokenCount": usage.input,
                    "outputTokenCount": usage.answer,
                    "invocationLatency": LATENCY_MS,
                    "firstByteLatency": LATENCY_MS // 2,
                    "cacheReadInputTokenCount": usage.cache_read,
                    "cacheWriteInputTokenCount": usage.cache_write_5m + usage.cache_write_1h,
                }
            }
        return [_chunk(encode(value)) for value in values]

    def huge(self, size_bytes: int) -> bytes:
        return _chunk(encode({"padding": "x" * size_bytes}))

    def body(self, reply: Reply) -> dict[str, Any]:
        """The answer as one JSON object. Here: Nova's, which is Converse's."""
        return converse_body(reply)

    def values(self, reply: Reply) -> list[dict[str, Any]]:
        """The answer as JSON objects of a stream."""
        found = converse_events(reply)
        if reply.shown is not None:
            found.append({"metadata": {"usage": reply.shown, "metrics": {}}})
        return found


class ClaudeInvoke(InvokeWire):
    """Anthropic's messages inside of InvokeModel."""

    reasoning_apart = True

    def check(self, asked: Asked) -> None:
        if text_of(asked.body.get("anthropic_version")) is None:
            raise Problem(400, "anthropic_version: Field required")
        MessagesWire().check(asked)

    def response_id(self, digits: str) -> str | None:
        return f"msg_{digits}"

    def usage(self, reply: Reply) -> Any:
        return message_usage(reply)

    def body(self, reply: Reply) -> dict[str, Any]:
        return message(reply)

    def values(self, reply: Reply) -> list[dict[str, Any]]:
        return message_events(reply)


class LlamaInvoke(InvokeWire):
    """Llama's flat body; its stream has one such object per piece of text."""

    def body(self, reply: Reply) -> dict[str, Any]:
        return self._body(reply, reply.answer.said.text, last=True)

    def values(self, reply: Reply) -> list[dict[str, Any]]:
        pieces = chunks(reply.answer.said.text) or [""]
        last = len(pieces) - 1
        return [self._body(reply, piece, last=n == last) for n, piece in enumerate(pieces)]

    def usage(self, reply: Reply) -> Any:
        return {
            "prompt_token_count": reply.usage.prompt,
            "generation_token_count": reply.usage.answer,
        }

    def _body(self, reply: Reply, text: str, *, last: bool) -> dict[str, Any]:
        stop = {"end": "stop", "max_tokens": "length"}.get(reply.answer.stop, "stop")
        counts: dict[str, Any] = reply.shown if last and reply.shown is not None else {}
        return {"generation": text, **counts, "stop_reason": stop if last else None}


class TitanEmbed(InvokeWire):
    """Titan's embeddings."""

    def body(self, reply: Reply) -> dict[str, Any]:
        size = reply.asked.body.get("dimensions")
        size = min(max(size, 1), 1_024) if type(size) is int else TITAN_DIMENSIONS
        numbers = vector(str(reply.asked.body.get("inputText")), size)
        return {"embedding": numbers, **(reply.shown or {})}

    def usage(self, reply: Reply) -> Any:
        return {"inputTextTokenCount": reply.usage.prompt}


BODIES: tuple[tuple[re.Pattern[str], Wire], ...] = (
    (re.compile(r"anthropic\.claude"), ClaudeInvoke()),
    (re.compile(r"meta\.llama"), LlamaInvoke()),
    (re.compile(r"embed"), TitanEmbed()),
    (re.compile(r""), InvokeWire()),
)
"""Which body a model speaks; the first that fits its id."""
EMBEDS = re.compile(r"embed")


def body_of(model: str) -> Wire:
    """The wire of a model behind InvokeModel."""
    return next(wire for pattern, wire in BODIES if pattern.search(model.lower()))


def _chunk(value: bytes) -> bytes:
    return frame("event", "chunk", encode({"bytes": b64encode(value).decode()}))
