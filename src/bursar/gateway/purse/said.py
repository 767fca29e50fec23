"""How many tokens a stream has said so far, told from the bytes that pass.

Tokens are not in the stream, so they are taken from the length of its texts: three bytes each, or
one an event where there are more events. Dense text is about that, English half as long again; so
the count is corrected by what earlier answers of the same kind turned out to be, the longest of
twenty. What is settled is the usage at the end of the stream.
"""

from __future__ import annotations

import re
from collections import deque

BYTES_PER_TOKEN = 3
TEXTS = re.compile(
    rb'"(?:content|text|partial_json|arguments|delta|thinking|reasoning_content|refusal|input)"'
    rb'\s*:\s*"((?:[^"\\]|\\.)*+)"'
)
"""Fields in which the dialects put what a model writes."""


RECENT, ENOUGH = 64, 8
"""Answers that a correction rests on, at most and at least."""
LATE = 19 / 20
"""Of the answers of its kind, so many are not longer than a count says."""


class Scale:
    """How counts of one kind of answer are corrected."""

    __slots__ = ("_recent", "percent")

    def __init__(self) -> None:
        self.percent = 100
        self._recent: deque[int] = deque(maxlen=RECENT)

    def learn(self, counted: int, measured: int) -> None:
        """An answer was counted as so many tokens before any correction, and billed as others."""
        if not counted or not measured:
            return
        self._recent.append(measured * 100 // counted + 1)
        if len(self._recent) >= ENOUGH:
            self.percent = sorted(self._recent)[int(len(self._recent) * LATE)]


class Said:
    """Counts one stream."""

    __slots__ = ("_bytes", "_events", "_percent", "counted")

    def __init__(self, scale: Scale) -> None:
        self.counted = 0
        """Before the correction."""
        self._percent = scale.percent
        self._bytes = 0
        self._events = 0

    def feed(self, chunk: bytes) -> int:
        """The tokens said, with this piece of the stream. A text cut in two is counted in part."""
        for text in TEXTS.findall(chunk):
            if text:
                self._events += 1
                self._bytes += len(text)
        self.counted = max(self._events, -(-self._bytes // BYTES_PER_TOKEN))
        return -(-self.counted * self._percent // 100)
