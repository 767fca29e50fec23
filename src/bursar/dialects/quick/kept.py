"""The copy of an answer that is kept until its end, to be read there. Its size is bounded.

Nearly every answer fits. Of a longer one its beginning and its end are kept, cut at whole events:
the beginning tells the model, the end tells the usage. A long body that is no stream (embeddings,
images) gives the fields that stand at its ends. What was left out is noted, never silent.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from bursar.dialects.eventstream import frame_size

KEPT_BYTES = 4 * 1024 * 1024
"""What is kept of one answer."""
END_FIELDS = (
    *("usage", "usageMetadata", "meta", "stopReason", "stop_reason", "service_tier"),
    *("inputTextTokenCount", "model", "modelVersion", "id", "object", "type"),
)
"""Fields of a body that are looked for at its ends."""

_scan = json.JSONDecoder().raw_decode


class Fold:
    """Takes the chunks of one answer as they pass by, and gives back what is to be read."""

    __slots__ = ("_half", "_head", "_run", "_tail", "_tail_bytes", "left_out_bytes")

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._half = max(1, most_bytes // 2)
        self._run = max(1, self._half // 16)
        """Chunks are joined to runs of this size: many small ones cost no more than a large one."""
        self._head = bytearray()
        self._tail: deque[bytearray] = deque()
        self._tail_bytes = 0
        self.left_out_bytes = 0

    def add(self, chunk: bytes) -> None:
        """The next bytes of the answer."""
        room = self._half - len(self._head)
        if room >= len(chunk):
            self._head += chunk
            return
        if room:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if len(chunk) > self._half:
            self.left_out_bytes += len(chunk) - self._half
            chunk = chunk[-self._half :]
        tail = self._tail
        if tail and len(tail[-1]) + len(chunk) <= self._run:
            tail[-1] += chunk
        else:
            tail.append(bytearray(chunk))
        self._tail_bytes += len(chunk)
        while self._tail_bytes > self._half:
            gone = len(tail.popleft())
            self._tail_bytes -= gone
            self.left_out_bytes += gone

    @property
    def note(self) -> str | None:
        """What is to be noted with the reading of it, or None."""
        left_out = self.left_out_bytes
        return f"{left_out} bytes in the middle of the answer were not kept" if left_out else None

    def whole(self) -> bytes:
        """The answer, or its two ends in a form that the readers understand."""
        head, tail = bytes(self._head), b"".join(self._tail)
        if not self.left_out_bytes:
            return head + tail
        if frame_size(head, 0):
            return _whole_frames(head) + _from_frame(tail)
        if head.lstrip()[:1] == b"{":
            return _ends_of_body(head, tail)
        return _lines_before(head) + _lines_after(tail)


def _lines_before(head: bytes) -> bytes:
    """Up to the last blank line."""
    end = max(head.rfind(b"\n\n"), head.rfind(b"\r\n\r\n"), head.rfind(b"\r\r"))
    return head[:end] + b"\n\n" if end >= 0 else b""


def _lines_after(tail: bytes) -> bytes:
    """From the first blank line on."""
    ends = [end for mark in (b"\n\n", b"\r\n\r\n", b"\r\r") if (end := tail.find(mark)) >= 0]
    return tail[min(ends) :].lstrip() if ends else b""


def _whole_frames(head: bytes) -> bytes:
    place = 0
    while (size := frame_size(head, place)) and place + size <= len(head):
        place += size
    return head[:place]


def _from_frame(tail: bytes) -> bytes:
    """From the first frame on. Its size is below 16 MiB, so that it begins with a zero byte."""
    place = tail.find(b"\0")
    while place >= 0:
        if frame_size(tail, place):
            return tail[place:]
        place = tail.find(b"\0", place + 1)
    return b""


def _ends_of_body(head: bytes, tail: bytes) -> bytes:
    """A JSON object of the fields that stand whole at the ends of a longer one."""
    found: dict[str, Any] = {}
    ends = (tail.decode("utf-8", "replace"), head[:65_536].decode("utf-8", "replace"))
    for name in END_FIELDS:
        for text in ends:
            start = text.rfind(f'"{name}"')
            if start < 0:
                continue
            after = text[start + len(name) + 2 :].lstrip(" \t\n\r:")
            try:
                found[name] = _scan(after)[0]
            except (ValueError, RecursionError):
                continue
            break
    return json.dumps(found).encode()
