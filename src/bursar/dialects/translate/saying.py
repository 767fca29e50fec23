"""Neutral deltas -> the events of a stream, one delta at a time.

Only what comes at an end waits for it: Anthropic says the stop and the usage in one event. What a
dialect's stream cannot say is left out, as in a whole answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bursar.dialects.refusals import stream_error
from bursar.dialects.translate.neutral import (
    END,
    Back,
    Begin,
    Broken,
    Close,
    Delta,
    Done,
    Halt,
    Json,
    More,
    NeutralAnswer,
    Open,
    Seal,
)
from bursar.dialects.translate.telling import (
    ANTHROPIC_STOPS,
    CHAT_STOPS,
    CONVERSE_STOPS,
    converse_tail,
)
from bursar.dialects.translate.telling_responses import ResponsesWriter
from bursar.dialects.translate.usage import anthropic_usage, chat_usage, tier_word
from bursar.dialects.translate.wires import EVENT_STREAM, SERVER_SENT, framed, sse

DONE_LINE = b"data: [DONE]\n\n"


class Writer(Protocol):
    def write(self, delta: Delta) -> bytes: ...


class ChatWriter:
    """Chunks of OpenAI chat; the usage chunk only for those who asked for it."""

    def __init__(self, back: Back) -> None:
        self._back = back
        self._id, self._model = back.answer_id, back.model
        self._kinds: dict[int, str] = {}
        self._calls: dict[int, int] = {}

    def write(self, delta: Delta) -> bytes:
        if isinstance(delta, Begin):
            self._id, self._model = delta.id or self._id, delta.model or self._model
            return self._chunk({"role": "assistant", "content": ""})
        if isinstance(delta, Open):
            return self._open(delta)
        if isinstance(delta, More):
            return self._more(delta)
        if isinstance(delta, Halt):
            return self._chunk({}, CHAT_STOPS.get(delta.stop, "stop"))
        if isinstance(delta, Done):
            return self._done(delta)
        if isinstance(delta, Broken):
            return stream_error("openai_chat", delta.kind, delta.message)
        return b""

    def _open(self, opened: Open) -> bytes:
        self._kinds[opened.place] = opened.kind
        if opened.kind != "tool_use":
            return b""
        index = self._calls[opened.place] = len(self._calls)
        function = {"name": opened.name, "arguments": ""}
        call = {"index": index, "id": opened.id, "type": "function", "function": function}
        return self._chunk({"tool_calls": [call]})

    def _more(self, more: More) -> bytes:
        kind = self._kinds.get(more.place)
        if kind == "tool_use":
            function = {"arguments": more.text}
            call = {"index": self._calls[more.place], "function": function}
            return self._chunk({"tool_calls": [call]})
        return self._chunk({"reasoning_content" if kind == "thinking" else "content": more.text})

    def _done(self, done: Done) -> bytes:
        if done.usage is None or not self._back.wants_usage:
            return DONE_LINE
        last: Json = self._head() | {
            "choices": [],
            "service_tier": tier_word(done.tier),
            "usage": chat_usage(done.usage),
        }
        return sse(last) + DONE_LINE

    def _head(self) -> Json:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._back.at_s,
            "model": self._model,
        }

    def _chunk(self, delta: Json, stop: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}
        usage: Json = {"usage": None} if self._back.wants_usage else {}
        return sse(self._head() | {"choices": [choice]} | usage)


class AnthropicWriter:
    """Named events of Anthropic. The prompt is counted at the end, where `message_delta` may say
    it; `message_start` cannot know it yet and says 0."""

    def __init__(self, back: Back) -> None:
        self._back = back
        self._kinds: dict[int, str] = {}
        self._sealed: set[int] = set()
        self._halt = Halt(END)

    def write(self, delta: Delta) -> bytes:
        if isinstance(delta, Begin):
            return self._begin(delta)
        if isinstance(delta, Open):
            self._kinds[delta.place] = delta.kind
            return b"" if delta.kind == "thinking" else self._start(delta.place, _block(delta))
        if isinstance(delta, More):
            return self._more(delta)
        if isinstance(delta, Seal):
            return self._seal(delta)
        if isinstance(delta, Close):
            opening = self._opening(delta.place)
            return opening + _named("content_block_stop", {"index": delta.place})
        if isinstance(delta, Halt):
            self._halt = delta
            return b""
        if isinstance(delta, Done):
            return self._done(delta)
        return stream_error("anthropic_messages", delta.kind, delta.message)

    def _begin(self, begin: Begin) -> bytes:
        message: Json = {
            "id": begin.id or self._back.answer_id,
            "type": "message",
            "role": "assistant",
            "model": begin.model or self._back.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return _named("message_start", {"message": message})

    def _start(self, place: int, block: Json) -> bytes:
        self._sealed.add(place)
        return _named("content_block_start", {"index": place, "content_block": block})

    def _opening(self, place: int) -> bytes:
        """A thought begins with its first piece, which tells whether it is a redacted one."""
        if place in self._sealed:
            return b""
        return self._start(place, {"type": "thinking", "thinking": "", "signature": ""})

    def _more(self, more: More) -> bytes:
        kind = self._kinds.get(more.place)
        if kind == "tool_use":
            delta = {"type": "input_json_delta", "partial_json": more.text}
        elif kind == "thinking":
            delta = {"type": "thinking_delta", "thinking": more.text}
        else:
            delta = {"type": "text_delta", "text": more.text}
        return self._opening(more.place) + self._delta(more.place, delta)

    def _seal(self, seal: Seal) -> bytes:
        if seal.redacted:
            return self._start(seal.place, {"type": "redacted_thinking", "data": seal.redacted})
        delta = {"type": "signature_delta", "signature": seal.signature}
        return self._opening(seal.place) + self._delta(seal.place, delta)

    def _delta(self, place: int, delta: Json) -> bytes:
        return _named("content_block_delta", {"index": place, "delta": delta})

    def _done(self, done: Done) -> bytes:
        delta = {
            "stop_reason": ANTHROPIC_STOPS[self._halt.stop],
            "stop_sequence": self._halt.stop_text,
        }
        usage = None if done.usage is None else anthropic_usage(done.usage, done.tier)
        body = {"delta": delta, "usage": usage or {"output_tokens": 0}}
        return _named("message_delta", body) + _named("message_stop", {})


def _block(opened: Open) -> Json:
    if opened.kind == "tool_use":
        return {"type": "tool_use", "id": opened.id, "name": opened.name, "input": {}}
    return {"type": "text", "text": ""}


def _named(kind: str, body: Json) -> bytes:
    return sse({"type": kind} | body, kind)


class ConverseWriter:
    """Frames of ConverseStream; usage in `metadata`, after the stop."""

    def __init__(self, back: Back) -> None:
        self._back = back
        self._kinds: dict[int, str] = {}

    def write(self, delta: Delta) -> bytes:
        if isinstance(delta, Begin):
            return framed("messageStart", {"role": "assistant"})
        if isinstance(delta, Open):
            return self._open(delta)
        if isinstance(delta, More):
            return self._more(delta)
        if isinstance(delta, Seal):
            said = {"signature": delta.signature, "redactedContent": delta.redacted}
            pieces = [{name: text} for name, text in said.items() if text]
            return b"".join(self._delta(delta.place, {"reasoningContent": p}) for p in pieces)
        if isinstance(delta, Close):
            return framed("contentBlockStop", {"contentBlockIndex": delta.place})
        if isinstance(delta, Halt):
            return framed("messageStop", {"stopReason": CONVERSE_STOPS[delta.stop]})
        if isinstance(delta, Done):
            counted = NeutralAnswer(usage=delta.usage, tier=delta.tier)
            return framed("metadata", converse_tail(counted, self._back))
        return stream_error("bedrock_converse", delta.kind, delta.message)

    def _open(self, opened: Open) -> bytes:
        self._kinds[opened.place] = opened.kind
        if opened.kind != "tool_use":
            return b""
        start = {"toolUse": {"toolUseId": opened.id, "name": opened.name}}
        return framed("contentBlockStart", {"start": start, "contentBlockIndex": opened.place})

    def _more(self, more: More) -> bytes:
        kind = self._kinds.get(more.place)
        if kind == "tool_use":
            return self._delta(more.place, {"toolUse": {"input": more.text}})
        if kind == "thinking":
            return self._delta(more.place, {"reasoningContent": {"text": more.text}})
        return self._delta(more.place, {"text": more.text})

    def _delta(self, place: int, delta: Json) -> bytes:
        return framed("contentBlockDelta", {"delta": delta, "contentBlockIndex": place})


WRITERS: dict[str, Callable[[Back], Writer]] = {
    "openai_chat": ChatWriter,
    "openai_responses": ResponsesWriter,
    "anthropic_messages": AnthropicWriter,
    "bedrock_converse": ConverseWriter,
}
CONTENT_TYPES = {"bedrock_converse": EVENT_STREAM}
"""Of a stream; the other dialects send server-sent events."""


def content_type(dialect: str) -> bytes:
    return CONTENT_TYPES.get(dialect, SERVER_SENT)
