"""Events of a provider's stream -> neutral deltas, one event at a time, nothing held back.

One reader for each dialect that providers are asked in: `read` for an event, `end` for the end of
the stream, which says whether it was a proper one. Counts are never added: a later one overrides.
Events that are not known are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from bursar.dialects.answers import price_class_of
from bursar.dialects.frames import Event
from bursar.dialects.translate.answers import stop_word, usage_of
from bursar.dialects.translate.neutral import (
    REFUSAL,
    Begin,
    Broken,
    Close,
    Delta,
    Done,
    Halt,
    Json,
    More,
    Open,
    Seal,
)
from bursar.dialects.usages import holds_counts
from bursar.dialects.wire import as_list, as_map, maps, text_of

CUT = Broken("upstream_cut", "the provider's stream ended before its answer did")
MOST_PARTS = 10_000
TOO_MANY = Broken("upstream_protocol", f"the answer has more than {MOST_PARTS:,} parts")


class Reader(Protocol):
    def read(self, event: Event) -> Iterator[Delta]: ...

    def end(self) -> Iterator[Delta]: ...


def error_words(error: Any) -> Broken:
    """The error of an event, whatever its shape."""
    fields = as_map(error)
    kind = text_of(fields.get("type")) or text_of(fields.get("code")) or "upstream_error"
    return Broken(kind, text_of(fields.get("message")) or text_of(error) or "")


class ChatReader:
    """Chunks of OpenAI chat. Parts follow one another: a part ends when the next one begins."""

    def __init__(self) -> None:
        self._begun = False
        self._place = -1
        self._kind = ""
        self._calls: dict[int, int] = {}
        self._refused = False
        self._halted = False
        self._last: Json = {}

    def read(self, event: Event) -> Iterator[Delta]:
        if event.get("error"):
            yield error_words(event["error"])
            return
        if not self._begun:
            self._begun = True
            yield Begin(text_of(event.get("id")) or "", text_of(event.get("model")) or "")
        groq = as_map(event.get("x_groq")).get("usage")
        usage = event.get("usage") or groq
        if holds_counts(usage, "openai_chat"):
            self._last["usage"] = usage
        if event.get("service_tier") is not None:
            self._last["service_tier"] = event["service_tier"]
        choice = as_map(next(iter(as_list(event.get("choices"))), None))
        if choice.get("index") in (None, 0):
            yield from self._delta(as_map(choice.get("delta")))
            if choice.get("finish_reason") is not None and not self._halted:
                yield from self._halt(choice["finish_reason"])

    def _delta(self, delta: Json) -> Iterator[Delta]:
        thought = text_of(delta.get("reasoning_content")) or text_of(delta.get("reasoning"))
        if thought:
            yield from self._say("thinking", thought)
        content = delta.get("content")
        texts = [text_of(part.get("text")) for part in maps(content)] or [text_of(content)]
        self._refused = self._refused or bool(delta.get("refusal"))
        for text in (*texts, text_of(delta.get("refusal"))):
            if text:
                yield from self._say("text", text)
        for call in maps(delta.get("tool_calls")):
            yield from self._call(call)
        legacy = as_map(delta.get("function_call"))
        if legacy:
            yield from self._call({"function": legacy})

    def _say(self, kind: str, text: str) -> Iterator[Delta]:
        if self._kind != kind:
            yield from self._open(kind)
        yield More(self._place, text)

    def _open(self, kind: str, name: str = "", tool: str = "") -> Iterator[Delta]:
        yield from self._close()
        self._kind = kind
        self._place += 1
        yield TOO_MANY if self._place >= MOST_PARTS else Open(self._place, kind, name, tool)

    def _close(self) -> Iterator[Delta]:
        if self._kind:
            yield Close(self._place)
        self._kind = ""

    def _call(self, call: Json) -> Iterator[Delta]:
        index = call.get("index")
        index = index if type(index) is int else 0
        function = as_map(call.get("function"))
        if index not in self._calls:
            name = text_of(call.get("id")) or f"call_{index}"
            yield from self._open("tool_use", name, text_of(function.get("name")) or "")
            self._calls[index] = self._place
        arguments = text_of(function.get("arguments"))
        if arguments:
            yield More(self._calls[index], arguments)

    def _halt(self, word: object) -> Iterator[Delta]:
        self._halted = True
        yield from self._close()
        stop = stop_word("openai_chat", word, tools=bool(self._calls))
        yield Halt(REFUSAL if self._refused else stop)

    def end(self) -> Iterator[Delta]:
        if not self._halted:
            yield CUT
            return
        usage = usage_of(self._last.get("usage"), "openai_chat")
        yield Done(usage, price_class_of(self._last, "openai_chat"))


class AnthropicReader:
    """Named events of Anthropic; its blocks are numbered by it."""

    def __init__(self) -> None:
        self._usage: Json = {}
        self._stopped = False
        self._parts: dict[int, int] = {}

    def read(self, event: Event) -> Iterator[Delta]:
        kind = event.get("type")
        if event.get("error"):
            yield error_words(event["error"])
        elif kind == "message_start":
            message = as_map(event.get("message"))
            self._count(message.get("usage"))
            yield Begin(text_of(message.get("id")) or "", text_of(message.get("model")) or "")
        elif kind == "content_block_start":
            yield from self._start(_place(event, "index"), as_map(event.get("content_block")))
        elif kind == "content_block_delta":
            yield from self._grow(_place(event, "index"), as_map(event.get("delta")))
        elif kind == "content_block_stop":
            if _place(event, "index") in self._parts:
                yield Close(self._parts[_place(event, "index")])
        elif kind == "message_delta":
            self._count(event.get("usage"))
            delta = as_map(event.get("delta"))
            stop = stop_word("anthropic_messages", delta.get("stop_reason"), tools=False)
            yield Halt(stop, text_of(delta.get("stop_sequence")))
        elif kind == "message_stop":
            self._stopped = True

    def _count(self, usage: object) -> None:
        self._usage |= {key: value for key, value in as_map(usage).items() if value is not None}

    def _start(self, index: int, block: Json) -> Iterator[Delta]:
        """Blocks that cannot be said elsewhere get no number, so that the others have no gap."""
        kind = str(block.get("type"))
        if kind not in ("tool_use", "text", "thinking", "redacted_thinking"):
            return
        place = self._parts[index] = len(self._parts)
        if place >= MOST_PARTS:
            yield TOO_MANY
        elif kind == "tool_use":
            yield Open(place, kind, str(block.get("id") or ""), str(block.get("name") or ""))
        elif kind == "redacted_thinking":
            yield Open(place, "thinking")
            yield Seal(place, redacted=str(block.get("data") or ""))
        else:
            yield Open(place, kind)
            if said := text_of(block.get(kind)):
                yield More(place, said)

    def _grow(self, index: int, delta: Json) -> Iterator[Delta]:
        place = self._parts.get(index)
        if place is None:
            return
        if signature := text_of(delta.get("signature")):
            yield Seal(place, signature=signature)
        for key in ("text", "partial_json", "thinking"):
            if text := text_of(delta.get(key)):
                yield More(place, text)

    def end(self) -> Iterator[Delta]:
        if not self._stopped:
            yield CUT
            return
        tier = price_class_of({"usage": self._usage}, "anthropic_messages")
        yield Done(usage_of(self._usage, "anthropic_messages"), tier)


class ConverseReader:
    """Frames of ConverseStream. Texts and thoughts begin with their first piece."""

    def __init__(self) -> None:
        self._parts: dict[int, int] = {}
        self._halted = False
        self._tail: Json | None = None

    def read(self, event: Event) -> Iterator[Delta]:
        for name, inner in event.items():
            fields = as_map(inner)
            place = _place(fields, "contentBlockIndex")
            if name == "error":
                yield error_words(inner)
            elif name == "messageStart":
                yield Begin("", "")
            elif name == "contentBlockStart":
                use = as_map(as_map(fields.get("start")).get("toolUse"))
                if use:
                    opened = (str(use.get("toolUseId") or ""), str(use.get("name") or ""))
                    yield from self._open(place, "tool_use", *opened)
            elif name == "contentBlockDelta":
                yield from self._grow(place, as_map(fields.get("delta")))
            elif name == "contentBlockStop":
                if place in self._parts:
                    yield Close(self._parts[place])
            elif name == "messageStop":
                self._halted = True
                yield Halt(stop_word("bedrock_converse", fields.get("stopReason"), tools=False))
            elif name == "metadata":
                self._tail = fields

    def _open(self, index: int, kind: str, name: str = "", tool: str = "") -> Iterator[Delta]:
        if index not in self._parts:
            place = self._parts[index] = len(self._parts)
            yield TOO_MANY if place >= MOST_PARTS else Open(place, kind, name, tool)

    def _grow(self, index: int, delta: Json) -> Iterator[Delta]:
        thought = as_map(delta.get("reasoningContent"))
        arguments = text_of(as_map(delta.get("toolUse")).get("input"))
        if text := text_of(delta.get("text")):
            yield from self._open(index, "text")
            yield More(self._parts[index], text)
        elif thought:
            yield from self._open(index, "thinking")
            if said := text_of(thought.get("text")):
                yield More(self._parts[index], said)
            signature = text_of(thought.get("signature")) or ""
            redacted = text_of(thought.get("redactedContent")) or ""
            if signature or redacted:
                yield Seal(self._parts[index], signature, redacted)
        elif arguments and index in self._parts:
            yield More(self._parts[index], arguments)

    def end(self) -> Iterator[Delta]:
        if not self._halted or self._tail is None:
            yield CUT
            return
        tier = price_class_of(self._tail, "bedrock_converse")
        yield Done(usage_of(self._tail.get("usage"), "bedrock_converse"), tier)


def _place(fields: Json, key: str) -> int:
    found = fields.get(key)
    return found if type(found) is int and found >= 0 else 0


READERS: dict[str, type[ChatReader] | type[AnthropicReader] | type[ConverseReader]] = {
    "openai_chat": ChatReader,
    "anthropic_messages": AnthropicReader,
    "bedrock_converse": ConverseReader,
}
