"""How many tokens a stream has said so far, told from the bytes that pass.

Tokens are not in the stream, so they are taken from its texts: an estimate of each stretch, no less
than a token for three bytes, and no less than one an event. English comes to half as much; so the
count is corrected by what earlier answers of the same kind turned out to be, the longest of them.
What is settled is the usage at the end of the stream.

What was said is not all: some is on its way, and a provider goes on until it hears that it was cut
off. `Said.ahead` is as much as the stream says in `HoldRule.lag_ms` at its fastest.
"""

from __future__ import annotations

import re
from collections import deque

from bursar.dialects.tokens import estimate_tokens

BYTES_PER_TOKEN = 3
STRETCH_BYTES = 256
"""Of texts, that are estimated together."""
FIELDS = (
    rb'"(?:content|text|partial_json|arguments|delta|thinking|reasoning_content|refusal|input)"'
)
"""In which the dialects put what a model writes."""
TEXTS = re.compile(FIELDS + rb'\s*:\s*"((?:[^"\\]|\\.)*+)("?)', re.DOTALL)
REST = re.compile(rb'((?:[^"\\]|\\.)*+)("?)', re.DOTALL)
"""Of a text that was cut in two."""
NAME_BYTES = 40
"""A field's name, cut in two, is shorter."""

RECENT, ENOUGH = 64, 8
"""Answers that a correction rests on, at most and at least."""
SPAN_MS = 40
"""Over which speeds are measured."""
FADING = 15 / 16
"""Of the highest speed of a kind, what is left of it an answer later."""


class Scale:
    """How counts of one kind of answer are corrected, and how fast they come."""

    __slots__ = ("_recent", "per_s", "percent")

    def __init__(self) -> None:
        self.percent = 100
        self.per_s = 0.0
        """Tokens a second: the highest of late."""
        self._recent: deque[int] = deque(maxlen=RECENT)

    def learn(self, counted: int, measured: int) -> None:
        """An answer was counted as so many tokens before any correction, and billed as others."""
        if not counted or not measured:
            return
        self._recent.append(measured * 100 // counted + 1)
        if len(self._recent) >= ENOUGH:
            self.percent = max(self._recent)

    def clock(self, per_s: float) -> None:
        """An answer was as fast as this."""
        self.per_s = max(per_s, self.per_s * FADING)


class Said:
    """Counts one stream."""

    __slots__ = (
        *("_bytes", "_carried", "_done", "_events", "_inside", "_mark", "_percent", "_stretch"),
        *("counted", "leap", "per_s", "tokens"),
    )

    def __init__(self, scale: Scale) -> None:
        self.counted = 0
        """Before the correction."""
        self.tokens = 0
        """As corrected."""
        self.leap = 0
        """Most that came in one piece."""
        self.per_s = scale.per_s
        """Tokens a second, at the fastest."""
        self._percent = scale.percent
        self._bytes = 0
        self._events = 0
        self._done = 0
        """Estimate of all but the last stretch."""
        self._stretch = bytearray()
        self._carried = b""
        """The end of the last piece: a name, or an escape, of which the rest is still to come."""
        self._inside = False
        """A text was cut in two."""
        self._mark: tuple[int, int] | None = None
        """Moment and tokens where the speed is measured from."""

    def feed(self, chunk: bytes, at_ms: int) -> int:
        """The tokens said, with this piece of the stream."""
        self._read(self._carried + chunk)
        if len(self._stretch) >= STRETCH_BYTES:
            self._done += estimate_tokens(bytes(self._stretch))
            self._stretch.clear()
        thirds = -(-self._bytes // BYTES_PER_TOKEN)
        near = self._done + -(-len(self._stretch) // BYTES_PER_TOKEN)
        self.counted = max(self._events, thirds, near)
        tokens = -(-self.counted * self._percent // 100)
        self._clock(tokens, at_ms)
        self.tokens = tokens
        return tokens

    def ahead(self, lag_ms: int) -> int:
        """Tokens that may be on their way, or said before a provider stops."""
        return max(self.leap, int(self.per_s * lag_ms / 1_000))

    def _read(self, raw: bytes) -> None:
        place, size = 0, len(raw)
        while place <= size:
            found = REST.match(raw, place) if self._inside else TEXTS.search(raw, place)
            if found is None:
                break
            text, place = found[1], found.end()
            if not self._inside and text:
                self._events += 1
            self._bytes += len(text)
            self._stretch += text
            self._inside = not found[2]
            if self._inside:
                self._carried = raw[place:]
                return
        self._carried = raw[max(place, size - NAME_BYTES) :]

    def _clock(self, tokens: int, at_ms: int) -> None:
        mark = self._mark
        self.leap = max(self.leap, tokens - self.tokens)
        if mark is None:
            self._mark = (at_ms, tokens)
            return
        span_ms = at_ms - mark[0]
        if span_ms >= SPAN_MS:
            self.per_s = max(self.per_s, (tokens - mark[1]) * 1_000 / span_ms)
            self._mark = (at_ms, tokens)
