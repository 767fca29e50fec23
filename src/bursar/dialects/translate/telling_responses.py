"""Neutral deltas -> the events of a stream of OpenAI Responses.

This dialect repeats itself: an item that ends is sent whole, and the last event holds the response
with all of them. So the pieces are kept while they pass through, at most `LARGEST_KEPT_CHARS`.
"""

from __future__ import annotations

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
    Text,
    Thinking,
    ToolUse,
)
from bursar.dialects.translate.telling import item_id, response_body, response_item, response_status
from bursar.dialects.translate.wires import sse

LARGEST_KEPT_CHARS = 16 * 1024 * 1024


class _Item:
    """An output item that is being said."""

    __slots__ = ("closed", "index", "opened", "pieces")

    def __init__(self, opened: Open, index: int) -> None:
        self.opened = opened
        self.index = index
        self.pieces: list[str] = []
        self.closed: Json | None = None

    def whole(self, answer_id: str) -> Json:
        text = "".join(self.pieces)
        part: Text | ToolUse | Thinking = Text(text)
        if self.opened.kind == "tool_use":
            part = ToolUse(self.opened.id, self.opened.name, text or "{}")
        elif self.opened.kind == "thinking":
            part = Thinking(text)
        return response_item(self.index, part, answer_id)


class ResponsesWriter:
    def __init__(self, back: Back) -> None:
        self._back = back
        self._answer = NeutralAnswer(id=back.answer_id, model=back.model)
        self._items: dict[int, _Item] = {}
        self._kept = 0
        self._number = 0
        self._halt = Halt(END)
        self._dead = False

    def write(self, delta: Delta) -> bytes:
        if self._dead:
            return b""
        if isinstance(delta, Begin):
            return self._begin(delta)
        if isinstance(delta, Open):
            return self._open(delta)
        if isinstance(delta, More):
            return self._more(delta)
        if isinstance(delta, Close):
            return self._close(delta.place)
        if isinstance(delta, Halt):
            self._halt = delta
            return b""
        if isinstance(delta, Done):
            return self._done(delta)
        if isinstance(delta, Broken):
            return self._broken(delta.kind, delta.message)
        return b""

    def _event(self, kind: str, body: Json) -> bytes:
        event = {"type": kind, "sequence_number": self._number} | body
        self._number += 1
        return sse(event, kind)

    def _begin(self, begin: Begin) -> bytes:
        self._answer = NeutralAnswer(
            id=begin.id or self._back.answer_id, model=begin.model or self._back.model
        )
        response = response_body(self._answer, self._back, "in_progress", [])
        return self._event("response.created", {"response": response}) + self._event(
            "response.in_progress", {"response": response}
        )

    def _open(self, opened: Open) -> bytes:
        item = self._items[opened.place] = _Item(opened, len(self._items))
        said = item.whole(self._answer.id)
        if opened.kind == "tool_use":
            said |= {"arguments": "", "status": "in_progress"}
        elif opened.kind == "text":
            said |= {"content": [], "status": "in_progress"}
        body = {"output_index": item.index, "item": said}
        added = self._event("response.output_item.added", body)
        if opened.kind == "tool_use":
            return added
        kind, part = self._part(item, "")
        return added + self._event(f"{kind}_part.added", self._at(item) | {"part": part})

    def _part(self, item: _Item, text: str) -> tuple[str, Json]:
        if item.opened.kind == "thinking":
            return "response.reasoning_summary", {"type": "summary_text", "text": text}
        return "response.content", {"type": "output_text", "text": text, "annotations": []}

    def _at(self, item: _Item) -> Json:
        name = item_id(item.opened.kind, item.index, self._answer.id)
        at = {"item_id": name, "output_index": item.index}
        if item.opened.kind == "tool_use":
            return at
        return at | {"summary_index" if item.opened.kind == "thinking" else "content_index": 0}

    def _more(self, more: More) -> bytes:
        item = self._items.get(more.place)
        if item is None:
            return b""
        self._kept += len(more.text)
        if self._kept > LARGEST_KEPT_CHARS:
            return self._broken(
                "answer_too_large", "the answer is too large to be repeated at its end"
            )
        item.pieces.append(more.text)
        return self._event(
            f"{_stem(item)}.delta", self._at(item) | {"delta": more.text} | _odds(item)
        )

    def _close(self, place: int) -> bytes:
        item = self._items.get(place)
        if item is None or item.closed is not None:
            return b""
        whole = item.closed = item.whole(self._answer.id)
        text = "".join(item.pieces)
        at = self._at(item)
        if item.opened.kind == "tool_use":
            said = self._event(
                f"{_stem(item)}.done", at | {"name": item.opened.name, "arguments": text or "{}"}
            )
        else:
            kind, part = self._part(item, text)
            said = self._event(f"{_stem(item)}.done", at | {"text": text} | _odds(item))
            said += self._event(f"{kind}_part.done", at | {"part": part})
        body = {"output_index": item.index, "item": whole}
        return said + self._event("response.output_item.done", body)

    def _done(self, done: Done) -> bytes:
        left = b"".join(self._close(place) for place in list(self._items))
        status = response_status(self._halt.stop)
        answer = NeutralAnswer(
            id=self._answer.id,
            model=self._answer.model,
            stop=self._halt.stop,
            usage=done.usage,
            tier=done.tier,
        )
        output = [item.closed for item in self._items.values() if item.closed is not None]
        body = {"response": response_body(answer, self._back, status, output)}
        return left + self._event(f"response.{status}", body)

    def _broken(self, kind: str, message: str) -> bytes:
        self._dead = True
        return stream_error("openai_responses", kind, message)


def _stem(item: _Item) -> str:
    return {
        "tool_use": "response.function_call_arguments",
        "thinking": "response.reasoning_summary_text",
    }.get(item.opened.kind, "response.output_text")


def _odds(item: _Item) -> Json:
    """Events of texts have a list of log probabilities, empty where none were asked for."""
    return {"logprobs": []} if item.opened.kind == "text" else {}
