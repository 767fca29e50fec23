"""Streams as bytes: events out of them as they arrive, and events into them.

A splitter keeps only the event that has begun, at most `LARGEST_EVENT_BYTES` of it. Server-sent
events may end their lines with CR, LF or both; AWS frames carry two checksums, and a frame whose
checksum is wrong is not believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bursar.dialects.eventstream import (
    MEDIA_TYPE,
    PRELUDE,
    frame,
    frame_size,
    is_sound,
    opened,
)
from bursar.dialects.frames import DONE, Event
from bursar.dialects.translate.fields import dumped
from bursar.dialects.wire import as_map, is_map, parse_or_none
from bursar.model.errors import BadInput

LARGEST_EVENT_BYTES = 16 * 1024 * 1024
END_MARK: Event = {}
"""What a splitter gives for `data: [DONE]`."""
_BLANK_LINE = re.compile(rb"\n\n|\r\n\r\n|\r\r")
EVENT_STREAM = MEDIA_TYPE.encode()
SERVER_SENT = b"text/event-stream; charset=utf-8"


class SseSplitter:
    """Server-sent events, whatever the size of the pieces they come in."""

    __slots__ = ("_held", "_scanned")

    def __init__(self) -> None:
        self._held = bytearray()
        self._scanned = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Events that are whole. Raises BadInput where one is too large or no JSON object."""
        self._held += chunk
        while (end := self._boundary()) is not None:
            text = bytes(self._held[: end[0]])
            del self._held[: end[1]]
            self._scanned = 0
            event = _event_of(text)
            if event is not None:
                yield event
        if len(self._held) > LARGEST_EVENT_BYTES:
            raise BadInput(f"a stream event of more than {LARGEST_EVENT_BYTES:,} bytes")

    def _boundary(self) -> tuple[int, int] | None:
        """Where the event's text ends, and where the next one begins."""
        found = _BLANK_LINE.search(self._held, max(0, self._scanned - 3))
        self._scanned = len(self._held)
        return None if found is None else found.span()

    def rest(self) -> Iterator[Event]:
        """The last event where the stream ended without a blank line, if it is whole."""
        text = bytes(self._held)
        self._held.clear()
        try:
            event = _event_of(text)
        except BadInput:
            event = None
        if event is not None:
            yield event


def _event_of(text: bytes) -> Event | None:
    """The JSON of an event's lines; None for comments and events without any."""
    name = ""
    lines: list[bytes] = []
    for line in text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[5:].strip())
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("utf-8", "replace")
    joined = b"\n".join(lines)
    if joined == DONE:
        return END_MARK
    if not joined:
        return None
    found = parse_or_none(joined)
    if not is_map(found):
        raise BadInput("a stream event is no JSON object")
    event = as_map(found)
    if name == "error" and "error" not in event:
        return {"error": event}
    return event


class FrameSplitter:
    """Frames of an AWS event stream as `{event type: payload}`."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Events that are whole. Raises BadInput where a checksum or a length is wrong."""
        self._held += chunk
        while len(self._held) >= PRELUDE.size:
            size = frame_size(self._held, most=LARGEST_EVENT_BYTES)
            if not size:
                raise BadInput("the stream holds no AWS event frame where one should begin")
            if len(self._held) < size:
                return
            whole = bytes(self._held[:size])
            del self._held[:size]
            if not is_sound(whole):
                raise BadInput("a frame of the stream has a wrong checksum")
            names, content = opened(whole)
            yield _frame_event(names, parse_or_none(content or b"{}"))

    def rest(self) -> Iterator[Event]:
        """Nothing: a frame that is not whole is no event."""
        self._held.clear()
        yield from ()


def _frame_event(names: dict[str, str], payload: Any) -> Event:
    fields = as_map(payload)
    failed = names.get(":exception-type") or names.get(":error-code")
    if failed:
        message = fields.get("message") or names.get(":error-message") or ""
        return {"error": {"type": failed, "message": message}}
    return {names.get(":event-type", ""): fields}


def sse(payload: object, name: str = "") -> bytes:
    """One server-sent event."""
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + dumped(payload) + b"\n\n"


def framed(name: str, payload: object, kind: str = "event") -> bytes:
    """One frame of an AWS event stream. `kind` is `event` or `exception`."""
    return frame(kind, name, dumped(payload))
