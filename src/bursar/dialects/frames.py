"""Bytes of a response -> one JSON body, or the events of a stream.

Recognised by content: JSON, JSON lines, server-sent events (`data:` lines), and the binary frames
of AWS event streams. A stream that was cut is read as far as it goes; what is broken is noted.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode
from typing import Any

import msgspec

from bursar.dialects.eventstream import frame_size, is_sound, opened
from bursar.dialects.wire import as_list, as_map, is_map, maps, parse, parse_or_none, text_of
from bursar.model.errors import BadInput

LARGEST_BODY_BYTES = 512 * 1024 * 1024
"""A compressed body that unfolds to more than this is refused."""
SSE_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
DONE = b"[DONE]"
_DECODER = json.JSONDecoder()
_SEPARATORS = re.compile(r"[\s,]*")

Event = dict[str, Any]


class Frames(msgspec.Struct, kw_only=True):
    """A response, taken apart."""

    body: dict[str, Any] | None = None
    """The JSON object, when it was no stream."""
    events: list[Event] = []
    done: bool = False
    """The stream ended with its end mark."""
    cut: bool = False
    """The stream breaks off inside an event."""
    notes: list[str] = []


def frames_of(raw: object) -> Frames:
    """Take a response apart. Raises BadInput when it is neither JSON nor a known stream."""
    if isinstance(raw, (bytes, bytearray)):
        return _of_bytes(bytes(raw))
    if isinstance(raw, memoryview):
        return _of_bytes(raw.tobytes())
    if isinstance(raw, str):
        return _of_bytes(raw.encode("utf-8", "surrogatepass"))
    return _of_value(raw)


def _of_bytes(raw: bytes) -> Frames:
    if raw[:2] == b"\x1f\x8b":
        raw = _unzipped(raw)
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if frame_size(raw):
        return _event_stream(raw)
    bare = raw.lstrip()
    if bare.startswith(SSE_FIELDS):
        return _server_sent(bare)
    if not bare:
        raise BadInput("response body is empty", mend="give the body that the provider sent")
    if bare[:1] not in b"{[":
        raise BadInput(
            f"response body begins with {bare[:20]!r}: neither JSON nor a known stream",
            mend="give JSON, server-sent events or an AWS event stream, as the provider sent it",
        )
    lines = _json_lines(bare)
    return lines if lines is not None else _of_value(_array_or_body(bare))


def _unzipped(raw: bytes) -> bytes:
    unzip = zlib.decompressobj(31)
    try:
        found = unzip.decompress(raw, LARGEST_BODY_BYTES)
    except zlib.error as bad:
        raise BadInput(f"gzip body is damaged: {bad}", mend="give the body once more") from bad
    if unzip.unconsumed_tail:
        raise BadInput(f"gzip body unfolds to more than {LARGEST_BODY_BYTES:,} bytes")
    return found


def _array_or_body(bare: bytes) -> Any:
    """The decoded JSON; of a cut array of objects (Gemini's stream) the objects that are whole."""
    try:
        return parse(bare, "response body")
    except BadInput:
        items = _whole_items(bare.decode("utf-8", "ignore")) if bare[:1] == b"[" else []
        if not items:
            raise
        return [*items, None]


def _whole_items(text: str) -> list[Any]:
    """The items of a JSON array up to the first one that is broken."""
    items: list[Any] = []
    place = 1
    try:
        while (start := _SEPARATORS.match(text, place)) is not None:
            item, place = _DECODER.raw_decode(text, start.end())
            items.append(item)
    except (ValueError, RecursionError):
        pass
    return items


def _of_value(value: object) -> Frames:
    if is_map(value):
        return Frames(body=as_map(value))
    items = as_list(value)
    events = maps(items)
    if not events:
        raise BadInput(
            "response is neither a JSON object nor a list of stream chunks",
            mend="give the body as the provider sent it",
        )
    if len(items) == 1 and "error" in events[0]:
        return Frames(body=events[0])
    return Frames(events=[_unwrapped(event) for event in events], cut=items[-1] is None)


def _json_lines(bare: bytes) -> Frames | None:
    """JSON lines, or None when the text is one JSON value."""
    lines = [line for line in bare.splitlines() if line.strip()]
    if len(lines) < 2 or bare[:1] != b"{" or not lines[1].lstrip().startswith(b"{"):
        return None
    found = [parse_or_none(line) for line in lines]
    if not isinstance(found[0], dict):
        return None
    whole = [as_map(event) for event in found if is_map(event)]
    return Frames(
        events=[_unwrapped(event) for event in whole],
        cut=not isinstance(found[-1], dict),
        notes=_broken(sum(not isinstance(event, dict) for event in found[:-1])),
    )


def _broken(count: int) -> list[str]:
    return [f"{count} stream events are not JSON objects"] if count else []


def _server_sent(raw: bytes) -> Frames:
    out = Frames()
    broken = 0
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    name: str | None = None
    data: list[bytes] = []
    for place, line in enumerate([*lines, b""]):
        if line.startswith(b"data:"):
            data.append(line[5:].strip())
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("utf-8", "replace")
        elif not line and data:
            text = b"\n".join(data)
            if text == DONE:
                out.done = True
            elif is_map(event := parse_or_none(text)):
                out.events.append(_named(as_map(event), name))
            elif place >= len(lines) - 1:
                out.cut = True
            else:
                broken += 1
            data, name = [], None
    out.notes += _broken(broken)
    return out


def _named(event: Event, name: str | None) -> Event:
    """Events whose type stands only beside the data get it into the data."""
    if name and "type" not in event and "object" not in event and "choices" not in event:
        return {"type": name, **event}
    return event


def _event_stream(raw: bytes) -> Frames:
    out = Frames()
    place = 0
    while size := frame_size(raw, place):
        frame = raw[place : place + size]
        if len(frame) < size:
            break
        if not is_sound(frame):
            out.notes.append(f"frame at byte {place} has a wrong checksum")
        names, content = opened(frame)
        name = names.get(":event-type") or names.get(":exception-type")
        payload: Any = parse_or_none(content or b"{}")
        if is_map(payload):
            out.events.append(_unwrapped({name: as_map(payload)} if name else as_map(payload)))
        place += size
    out.cut = place < len(raw)
    return out


def _unwrapped(event: Event) -> Event:
    """The chunk inside Bedrock's `{chunk: {bytes}}`, else the event itself."""
    inner = as_map(event.get("chunk")) or event
    encoded = text_of(inner.get("bytes"))
    if encoded is None:
        return event
    try:
        found = parse_or_none(b64decode(encoded, validate=True))
    except ValueError:
        return event
    return as_map(found) or event
