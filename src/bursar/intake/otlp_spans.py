"""Spans out of OTLP, whether it was written as JSON or as protobuf.

A file is a sequence of `resourceSpans`: one request, an array of requests, a line for each batch,
or protobuf messages one after the other, each behind its length where the collector's file
exporter wrote them. They are read one at a time. JSON is read by hand, since its ids are hex and
protobuf's own JSON reader takes them for base64.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from bursar import extras
from bursar.dialects.wire import as_map, maps
from bursar.intake.documents import objects, pieces
from bursar.intake.source import Head, Source
from bursar.model.errors import BadInput

ARRAYS = ("resourceSpans", "resource_spans", "batches")
"""Names of the list, `batches` being Tempo's."""
LARGEST_MESSAGE = 512 * 1024 * 1024
FAILED = 2
"""Status code of a span that ended in an error."""
RESOURCE_SPANS_TAG = 0x0A
FIRST_TAGS = (0x0A, 0x12, 0x1A)
"""Tags that may open a `ResourceSpans`: resource, scope spans, schema address."""

Attributes = dict[str, Any]


class Span(msgspec.Struct, kw_only=True):
    """One span, its attributes as plain values."""

    trace: str
    id: str
    parent: str
    name: str
    start_nano: int
    end_nano: int
    attributes: Attributes
    events: list[tuple[str, Attributes]]
    failed: bool
    said: str
    """The message of its status."""
    scope: str
    resource: Attributes
    line: int


def spans(source: Source) -> Iterator[Span]:
    """Every span of a file, in its order."""
    yield from (_from_protobuf(source) if is_protobuf(source.head.raw) else _from_json(source))


def is_protobuf(raw: bytes) -> bool:
    """Whether it starts as `ResourceSpans` messages do, bare or each behind its length."""
    return _opens_message(raw, 0) or (raw[:1] == b"\0" and _opens_message(raw, 4))


def recognises_json(head: Head) -> bool:
    """An object with a list of resource spans at its top, or an array of such objects."""
    if any(key in record for record in head.records for key in ARRAYS[:2]):
        return True
    tops = [as_map(head.document), *maps(head.document)[:1], *head.records[:3]]
    for top in tops:
        inner = [*maps(top.get("batches"))[:1], top]
        if any(key in top for key in ARRAYS[:2]) or any(
            "scopeSpans" in one or "instrumentationLibrarySpans" in one for one in inner
        ):
            return True
    if head.document is not None or any(head.records):
        return False
    start = head.raw.lstrip()[:2000]
    return start[:1] in (b"{", b"[") and any(b'"%b"' % key.encode() in start for key in ARRAYS[:2])


def _opens_message(raw: bytes, start: int) -> bool:
    """`ResourceSpans` at a place: tag, length, and in it a first field with a length that fits."""
    if len(raw) < start + 4 or raw[start] != RESOURCE_SPANS_TAG:
        return False
    try:
        length, at = _varint(raw, start + 1)
        if raw[at] not in FIRST_TAGS or length < 2:
            return False
        inner, behind = _varint(raw, at + 1)
    except IndexError:
        return False
    end = at + length
    if end < len(raw) and start == 0 and raw[end] != RESOURCE_SPANS_TAG:
        return False
    return inner + (behind - at) <= length and (end <= len(raw) or len(raw) > 200_000)


def _varint(raw: bytes | bytearray, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 35:
            raise IndexError("a length of more than five bytes")


# -- JSON


def _from_json(source: Source) -> Iterator[Span]:
    for line, element in objects(source, *ARRAYS):
        batches = [element]
        for key in ARRAYS:
            if key in element:
                batches = maps(element[key])
        found = False
        for batch in batches:
            for span in _spans_of(batch, line, source):
                found = True
                yield span
        if not found and not any("scopeSpans" in batch for batch in batches):
            source.skip(line, "holds no spans")


def _spans_of(batch: dict[str, Any], line: int, source: Source) -> Iterator[Span]:
    resource = attributes_of(as_map(batch.get("resource")).get("attributes"))
    groups = _either(batch, "scopeSpans", "scope_spans") or batch.get("instrumentationLibrarySpans")
    for group in maps(groups):
        scope = as_map(group.get("scope") or group.get("instrumentationLibrary"))
        for span in maps(group.get("spans")):
            try:
                yield _span(span, str(scope.get("name") or ""), resource, line)
            except (ValueError, TypeError, RecursionError) as bad:
                source.skip(line, f"a span that cannot be read: {bad}")


def _span(span: dict[str, Any], scope: str, resource: Attributes, line: int) -> Span:
    status = as_map(span.get("status"))
    code = status.get("code")
    return Span(
        trace=_hex(_either(span, "traceId", "trace_id")),
        id=_hex(_either(span, "spanId", "span_id")),
        parent=_hex(_either(span, "parentSpanId", "parent_span_id")),
        name=str(span.get("name") or ""),
        start_nano=_nano(_either(span, "startTimeUnixNano", "start_time_unix_nano")),
        end_nano=_nano(_either(span, "endTimeUnixNano", "end_time_unix_nano")),
        attributes=attributes_of(span.get("attributes")),
        events=[
            (str(event.get("name") or ""), attributes_of(event.get("attributes")))
            for event in maps(span.get("events"))
        ],
        failed=code in (FAILED, str(FAILED), "STATUS_CODE_ERROR"),
        said=str(status.get("message") or ""),
        scope=scope,
        resource=resource,
        line=line,
    )


def attributes_of(pairs: object) -> Attributes:
    """A list of `{key, value}` as a plain mapping."""
    found: Attributes = {}
    for pair in maps(pairs):
        key = pair.get("key")
        if isinstance(key, str):
            found[key] = plain(pair.get("value"))
    return found


def plain(value: object) -> Any:
    """An OTLP value as JSON's own. Whole numbers come as texts or as numbers."""
    wrapped = as_map(value)
    if not wrapped:
        return None
    kind, held = next(iter(wrapped.items()))
    if kind in ("intValue", "int_value"):
        try:
            return int(held)
        except (TypeError, ValueError):
            return None
    if kind in ("arrayValue", "array_value"):
        return [plain(one) for one in maps(as_map(held).get("values"))]
    if kind in ("kvlistValue", "kvlist_value"):
        return attributes_of(as_map(held).get("values"))
    return held


def _either(body: dict[str, Any], camel: str, snake: str) -> Any:
    found = body.get(camel)
    return body.get(snake) if found is None else found


def _hex(value: object) -> str:
    """An id in lower-case hex; one that went through protobuf's JSON writer is base64."""
    if not isinstance(value, str):
        return ""
    if len(value) in (12, 24) and not _is_hex(value):
        try:
            return base64.b64decode(value, validate=True).hex()
        except ValueError:
            return value
    return "" if not value.strip("0") else value.lower()


def _is_hex(value: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in value)


def _nano(value: object) -> int:
    if isinstance(value, (int, float)):
        return int(value)
    return int(value) if isinstance(value, str) and value.isdecimal() else 0


# -- protobuf


def _from_protobuf(source: Source) -> Iterator[Span]:
    try:
        message_type, broken = extras.otlp_resource_spans()
    except BadInput as bad:
        source.skip(None, str(bad))
        return
    for ordinal, raw in enumerate(_messages(source, pieces(source)), 1):
        try:
            message = message_type.FromString(raw)
        except broken as bad:
            source.skip(ordinal, f"a protobuf message that cannot be read: {bad}")
            continue
        resource = _proto_attributes(message.resource.attributes)
        for group in message.scope_spans:
            for span in group.spans:
                yield _proto_span(span, group.scope.name, resource, ordinal)


def _messages(source: Source, stream: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of each `ResourceSpans`, behind its tag and length, wherever a length precedes."""
    held = bytearray()
    at, ended = 0, False

    def reach(count: int) -> bool:
        nonlocal at, ended
        while len(held) - at < count and not ended:
            if at > 1 << 20:
                del held[:at]
                at = 0
            piece = next(stream, None)
            ended = piece is None
            held.extend(piece or b"")
        return len(held) - at >= count

    while reach(1):
        if held[at] != RESOURCE_SPANS_TAG:
            if not reach(5) or held[at + 4] != RESOURCE_SPANS_TAG:
                source.skip(None, "protobuf that cannot be read from here on")
                return
            at += 4
        reach(7)
        try:
            length, behind = _varint(held, at + 1)
        except IndexError:
            source.skip(None, "protobuf that ends too early")
            return
        whole = behind - at + length
        if length > LARGEST_MESSAGE or not reach(whole):
            source.skip(None, "protobuf that ends too early")
            return
        yield bytes(held[at + whole - length : at + whole])
        at += whole


def _proto_span(span: Any, scope: str, resource: Attributes, line: int) -> Span:
    return Span(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        start_nano=span.start_time_unix_nano,
        end_nano=span.end_time_unix_nano,
        attributes=_proto_attributes(span.attributes),
        events=[(event.name, _proto_attributes(event.attributes)) for event in span.events],
        failed=span.status.code == FAILED,
        said=span.status.message,
        scope=scope,
        resource=resource,
        line=line,
    )


def _proto_attributes(pairs: Iterable[Any]) -> Attributes:
    return {pair.key: _proto_value(pair.value) for pair in pairs}


def _proto_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_proto_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _proto_attributes(value.kvlist_value.values)
    held = getattr(value, kind)
    return base64.b64encode(held).decode() if kind == "bytes_value" else held
