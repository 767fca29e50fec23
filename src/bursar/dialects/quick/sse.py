"""OpenAI chat streams on their way to a client that did not ask for usage.

The gateway asks for the usage chunk on its own account, so the client must not see it: the one
chunk with usage and with an empty list of choices is left out. Every other event passes byte for
byte as soon as its last byte is here, however the network cut the stream. One event may be no
longer than `EVENT_BYTES`; a longer one ends the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from bursar.model.errors import BadInput

EVENT_BYTES = 1024 * 1024
"""The longest event that is waited for."""

_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BLANK_LINES = (b"\n\n", b"\n\r\n", b"\r\r")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


class UsageTap:
    """An incremental filter: bytes in, bytes out.

    With `hide` the usage chunk is left out and an unfinished event is held back; without it all
    bytes pass at once. Both raise BadInput at an event of more than `event_bytes`.
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
        return b"" if rest and self._hides(rest) else rest

    def _filtered(self, chunk: bytes) -> bytes:
        held = self._held
        if not held and chunk.endswith(b"\n\n") and len(chunk) <= self._event_bytes:
            if b'"usage"' not in chunk:
                return chunk
            if chunk.find(b"\n") == len(chunk) - 2 and b"\r" not in chunk:
                return b"" if self._hides(chunk) else chunk
        search = max(0, len(held) - 3)
        held += chunk
        out: list[bytes] = []
        start = 0
        while (end := _end_of_event(held, search)) >= 0:
            event = bytes(held[start:end])
            self._check(len(event))
            if not self._hides(event):
                out.append(event)
            start = search = end
        del held[:start]
        self._check(len(held))
        return b"".join(out)

    def _hides(self, event: bytes) -> bool:
        """Whether it is a chunk that holds usage and no choice."""
        if b'"usage"' not in event or b'"choices"' not in event:
            return False
        lines = [line[5:] for line in _LINE_END.split(event) if line.startswith(b"data:")]
        try:
            chunk = _decode(lines[0] if len(lines) == 1 else b"\n".join(lines))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return False
        hides = chunk.choices == [] and chunk.usage is not None
        self.hidden += hides
        return hides

    def _measured(self, chunk: bytes) -> bytes:
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


def _end_of_event(raw: bytearray, start: int) -> int:
    """Where the first event after `start` ends, or -1. A last CR may be half of a line end."""
    found = _BLANK_LINE.search(raw, start)
    if found is None or (found.end() == len(raw) and raw.endswith(b"\r")):
        return -1
    return found.end()
