"""OpenAI chat streams on their way to a client that did not ask for usage.

The gateway asks for the usage chunk on its own account, so the client must not see it: the one
chunk with usage and with an empty list of choices is left out, and so is the `"usage":null` that
every other chunk then has, and has not where nobody asked. All other bytes pass as they are, an
event as soon as its last byte is here, however the network cut the stream. One event may be no
longer than `EVENT_BYTES`; a longer one ends the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from bursar.model.errors import BadInput

EVENT_BYTES = 1024 * 1024
"""The longest event that is waited for."""

_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BLANK_LINES = (b"\n\n", b"\n\r\n", b"\r\r")
_LINE_END = re.compile(rb"\r\n|\n|\r")


_NULL_USAGE = re.compile(rb'"usage"\s*:\s*null')
_LAST_NULL = re.compile(rb',"usage":null(?=(?:,"obfuscation":"[^"\\]*")?\}\n\n\Z)')
"""Before the brace that ends an event, so that it is the outermost: how OpenAI sends it."""
_COMMA_AFTER = re.compile(rb"\s*,\s*")
MOST_FIELDS = 16
"""Fields named `usage` in one event, of which the outermost is looked for."""


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET


_decode = msgspec.json.Decoder(_Chunk).decode


class UsageTap:
    """An incremental filter: bytes in, bytes out.

    With `hide` what was said of usage is left out and an unfinished event is held back; without it
    all bytes pass at once. Both raise BadInput at an event of more than `event_bytes`.
    """

    __slots__ = ("_event_bytes", "_held", "_open_bytes", "hidden", "hide")

    def __init__(self, *, hide: bool, event_bytes: int = EVENT_BYTES) -> None:
        self.hide = hide
        self.hidden = 0
        """Events left out."""
        self._event_bytes = event_bytes
        self._held = bytearray()
        """Hiding: the event that is not whole yet. Else: the last bytes seen, for the search."""
        self._open_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """What may pass on of the stream so far."""
        return self._filtered(chunk) if self.hide else self._measured(chunk)

    def finish(self) -> bytes:
        """The stream has ended: what was still held back."""
        rest = bytes(self._held) if self.hide else b""
        self._held.clear()
        self._open_bytes = 0
        return self._shown(rest) if rest else rest

    def _filtered(self, chunk: bytes) -> bytes:
        held = self._held
        if not held and chunk.endswith(b"\n\n") and len(chunk) <= self._event_bytes:
            if b'"usage"' not in chunk:
                return chunk
            if chunk.find(b"\n") == len(chunk) - 2 and b"\r" not in chunk:
                return self._shown(chunk)
        search = max(0, len(held) - 3)
        held += chunk
        out: list[bytes] = []
        start = 0
        while (end := _end_of_event(held, search)) >= 0:
            event = bytes(held[start:end])
            self._check(len(event))
            if shown := self._shown(event):
                out.append(shown)
            start = search = end
        del held[:start]
        self._check(len(held))
        return b"".join(out)

    def _shown(self, event: bytes) -> bytes:
        """The event without what it says of usage; nothing where that is all it says."""
        if b'"usage"' not in event or b'"choices"' not in event:
            return event
        last = event.rfind(b',"usage":null')
        if last > 0 and _LAST_NULL.match(event, last):
            return event[:last] + event[last + len(b',"usage":null') :]
        lines = [line[5:] for line in _LINE_END.split(event) if line.startswith(b"data:")]
        try:
            chunk = _decode(lines[0] if len(lines) == 1 else b"\n".join(lines))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return event
        if chunk.choices is None or chunk.usage is msgspec.UNSET:
            return event
        if chunk.usage is None:
            return _without_usage(event)
        hides = chunk.choices == []
        self.hidden += hides
        return b"" if hides else event

    def _measured(self, chunk: bytes) -> bytes:
        if chunk.endswith(b"\n\n"):
            self._held[:] = b"\n\n"
            self._open_bytes = 0
            return chunk
        seen = bytes(self._held) + chunk
        ends = [seen.rfind(mark) + len(mark) for mark in _BLANK_LINES if mark in seen]
        self._open_bytes = len(seen) - max(ends) if ends else self._open_bytes + len(chunk)
        self._held[:] = seen[-2:]
        self._check(self._open_bytes)
        return chunk

    def _check(self, size: int) -> None:
        if size > self._event_bytes:
            raise BadInput(
                f"a stream event is longer than {self._event_bytes} bytes",
                mend="the provider's stream is damaged; ask once more",
            )


def hide_usage(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of an OpenAI chat stream without its usage chunk."""
    tap = UsageTap(hide=True)
    for chunk in chunks:
        passing = tap.feed(chunk)
        if passing:
            yield passing
    rest = tap.finish()
    if rest:
        yield rest


def _without_usage(event: bytes) -> bytes:
    """The event without its own `"usage":null`; one deeper inside stays."""
    for found in islice(_NULL_USAGE.finditer(event), MOST_FIELDS):
        before, after = event[: found.start()].rstrip(), event[found.end() :]
        if before.endswith(b","):
            left = before[:-1].rstrip() + after
        else:
            comma = _COMMA_AFTER.match(after)
            left = event[: found.start()] + (after[comma.end() :] if comma else after)
        lines = [line[5:] for line in _LINE_END.split(left) if line.startswith(b"data:")]
        if event.count(b'"usage"') == 1 or _decode(b"\n".join(lines)).usage is msgspec.UNSET:
            return left
    return event


def _end_of_event(raw: bytearray, start: int) -> int:
    """Where the first event after `start` ends, or -1. A last CR may be half of a line end."""
    found = _BLANK_LINE.search(raw, start)
    if found is None or (found.end() == len(raw) and raw.endswith(b"\r")):
        return -1
    return found.end()
