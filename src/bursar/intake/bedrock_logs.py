"""Bedrock model invocation logs: what AWS writes of every model call to S3 or CloudWatch.

A record is one attempt. Its counts leave cached tokens out, and say nothing of how long a cache
write lives: that stands in the logged answer, whose usage is read as well and compared. Records
come as files of JSON lines (`AWSLogs/.../*.json.gz`), as arrays, or inside exported log events;
bodies too large for a record lie in a folder `data` beside it and are taken from there if it was
copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bursar.dialects.lens import Prompt, Reading, read_request, read_response
from bursar.dialects.wire import as_list, as_map, at, maps, parse_or_none, text_of
from bursar.intake.bedrock_usage import Measured, failure_status, measured, times_ms
from bursar.intake.documents import elements
from bursar.intake.labels import with_labels
from bursar.intake.lines import UNREAD, decode_line, why_unread
from bursar.intake.ordering import Item, by_time
from bursar.intake.source import Head, Source
from bursar.intake.times import parse_time
from bursar.intake.turns import latest_outcomes
from bursar.model.block import digest_of
from bursar.model.call import Call, Limits, Tags
from bursar.model.entry import STANDARD, Answer, Attempt, Entry, Flag
from bursar.model.errors import BadInput

NAME = "bedrock_logs"
TITLE = "Amazon Bedrock model invocation logs"
PROVIDER = "aws"
ARRAYS = ("logEvents", "events", "results", "Records", "records", "Items", "items")
"""Where exports of log events and of records keep their lists."""
DIALECTS = {
    "Converse": "bedrock_converse",
    "ConverseStream": "bedrock_converse",
    "InvokeModel": "bedrock_invoke",
    "InvokeModelWithResponseStream": "bedrock_invoke",
}
STREAMS = {
    "Converse": False,
    "ConverseStream": True,
    "InvokeModel": False,
    "InvokeModelWithResponseStream": True,
}
KEEPS_NAME = re.compile(
    r"^arn:aws[a-z-]*:bedrock:[^/]*:(?:foundation-model|inference-profile)/(.+)$"
)
"""ARNs that end in a model id; an application profile's does not, so it stays whole."""
ROLE_SESSION = re.compile(r":assumed-role/[^/]+/(.+)$")
USER_NAME = re.compile(r":user/(?:.*/)?([^/]+)$")
BEFORE_JSON = re.compile(rb"^\d{4}-\d\d-\d\dT[^{]{1,300}(?=\{)")
"""The time, and the stream's name, that log tools put before each event."""
SIGN = re.compile(rb'\\?"schemaType\\?"\s*:\s*\\?"ModelInvocationLog\\?"')
LARGEST_BODY = 64 * 1024 * 1024


def recognises(head: Head) -> bool:
    """Records, bare or inside log events."""
    if any(_is_record(record) for value in head.records for record in _records(value)):
        return True
    document: object = head.document
    if document is not None:
        top = as_list(document)[:5] or [document]
        inner = [one for value in top for key in ARRAYS for one in as_list(as_map(value).get(key))]
        values: list[object] = [*top, *inner[:5]]
        return any(_is_record(record) for value in values for record in _records(value))
    start = head.raw.lstrip()[:1]
    if any(head.records):
        return False
    return (start in (b"{", b"[") or start.isdigit()) and SIGN.search(head.raw) is not None


def read(source: Source) -> Iterator[Item]:
    """One entry a record, earliest first within a bounded look ahead."""
    yield from by_time(_items(source))


def _items(source: Source) -> Iterator[Item]:
    decode = msgspec.json.Decoder().decode
    for line, raw in elements(source, *ARRAYS):
        try:
            value = decode_line(decode, BEFORE_JSON.sub(b"", raw, count=1))
        except UNREAD as bad:
            source.skip(line, why_unread(raw, bad))
            continue
        found = [record for record in _records(value) if _is_record(record)]
        if not found:
            source.skip(line, "is no Bedrock invocation record")
        for record in found:
            try:
                yield from _Record(source, line, record).items()
            except BadInput as bad:
                source.skip(line, bad.message)


def _records(value: object) -> Iterator[dict[str, Any]]:
    """The record in a log event, in a query's result row, or the value itself."""
    fields = maps(value)
    if fields:
        row = {field.get("field"): field.get("value") for field in fields}
        yield from _records(row) if "@message" in row else ()
        return
    event = as_map(value)
    for key in ARRAYS:
        for inner in as_list(event.get(key)) if "modelId" not in event else ():
            yield from _records(inner)
    for key in ("@message", "message", "Message"):
        message: object = event.get(key)
        if isinstance(message, str):
            text = BEFORE_JSON.sub(b"", message.encode("utf-8", "surrogatepass"), count=1)
            message = parse_or_none(text)
        inner = as_map(message)
        if inner and "modelId" not in event:
            yield inner
            return
    yield event


def _is_record(record: dict[str, Any]) -> bool:
    if not isinstance(record.get("modelId"), str):
        return False
    return record.get("schemaType") == "ModelInvocationLog" or (
        "requestId" in record
        and bool({"operation", "input", "output", "inputTokenCount"} & record.keys())
    )


class _Record:
    """One record on its way to an entry."""

    def __init__(self, source: Source, line: int, record: dict[str, Any]) -> None:
        self.source = source
        self.line = line
        self.record = record
        self.input = as_map(record.get("input"))
        self.output = as_map(record.get("output"))
        self.operation = str(record.get("operation"))
        self.dialect = DIALECTS.get(self.operation)
        self.place = f"{source.label}:{line}"
        self.flags: list[Flag] = []

    def items(self) -> Iterator[Item]:
        body = self._body(self.output, "output")
        reading = self._reading(body)
        prompt = self._prompt(self._body(self.input, "input"))
        found = measured(self.record, reading.usage if reading else None)
        for kind, what in found.problems:
            self._flag(kind, what)
        yield Entry(
            call=self._call(prompt),
            attempts=(self._attempt(found, reading, body),),
            answer=self._answer(reading),
            tool_outcomes=latest_outcomes(prompt) if prompt else (),
            origin=self.source.origin(self.line, NAME),
        )
        yield from self.flags

    def _call(self, prompt: Prompt | None) -> Call:
        record = self.record
        request_id = record.get("requestId")
        identity = request_id if isinstance(request_id, str) and request_id else None
        at_text = record.get("timestamp")
        when, zoned = parse_time(at_text)
        if at_text is not None and not zoned:
            said = "is not a time" if when is None else "has no zone: read as UTC"
            self._flag("time_suspect", f"{at_text!r} {said}")
        return Call(
            key=f"bedrock:{identity or digest_of(msgspec.json.encode(record))}",
            at=when,
            dialect=self.dialect,
            provider=PROVIDER,
            model=_model(record["modelId"]),
            blocks=prompt.blocks if prompt else None,
            tags=self._tags(prompt),
            limits=prompt.limits if prompt else Limits(),
            stream=STREAMS.get(self.operation),
            schema_digest=prompt.schema_digest if prompt else None,
        )

    def _attempt(self, found: Measured, reading: Reading | None, body: object) -> Attempt:
        record = self.record
        routed = at(body, ("trace", "promptRouter", "invokedModelId"))
        status = failure_status(record)
        first_byte_ms, total_ms = times_ms(record, body)
        usage = found.usage
        if status is not None and usage is not None and not (usage.prompt or usage.answer):
            usage = None
        return Attempt(
            provider=PROVIDER,
            model=_model(routed if isinstance(routed, str) else record["modelId"]),
            price_class=reading.price_class if reading else STANDARD,
            usage=usage,
            recorded_cost_nano=found.recorded_cost_nano,
            status=status or 200,
            first_byte_ms=first_byte_ms,
            total_ms=total_ms,
            provider_request_id=text_of(record.get("requestId")),
            parts=reading.iterations if reading and usage is reading.usage else (),
        )

    def _answer(self, reading: Reading | None) -> Answer:
        status = "ok" if failure_status(self.record) is None else "failed"
        if reading is None:
            return Answer(status=status)
        return Answer(
            blocks=reading.answer_blocks,
            tool_uses=reading.tool_uses,
            stop=reading.stop,
            status=status,
        )

    def _reading(self, body: object) -> Reading | None:
        logged = as_map(body) or as_list(body)
        if not logged:
            return None
        problem = ""
        for named in (self.dialect, None):
            try:
                return read_response(logged, named)
            except BadInput as bad:
                problem = problem or bad.message
        if failure_status(self.record) is None:
            self._flag("usage_suspect", f"the logged answer cannot be read: {problem}")
        return None

    def _prompt(self, body: object) -> Prompt | None:
        fields = as_map(body)
        if not fields:
            return None
        try:
            prompt = read_request(fields, self.dialect)
        except BadInput as bad:
            self.source.skip(self.line, f"the logged request cannot be read: {bad.message}")
            return None
        return prompt if prompt.blocks else None

    def _body(self, side: dict[str, Any], name: str) -> Any:
        """A logged body; one that was moved out is looked for beside the file."""
        body = side.get(f"{name}BodyJson")
        if isinstance(body, str):
            return parse_or_none(body)
        moved = side.get(f"{name}BodyS3Path")
        if body is None and isinstance(moved, str):
            return self._moved(moved)
        return body

    def _moved(self, s3_path: str) -> Any:
        for path in _beside(self.source.path, s3_path):
            if path.is_file() and path.stat().st_size <= LARGEST_BODY:
                beside = Source(path)
                raw = beside.whole()
                body = parse_or_none(raw)
                if body is None:
                    self.source.skip(self.line, f"{path.name} beside it is not JSON")
                return body
        return None

    def _tags(self, prompt: Prompt | None) -> Tags:
        record = self.record
        metadata = as_map(record.get("requestMetadata"))
        if not metadata and prompt is not None:
            metadata = prompt.metadata
        marks = [
            (str(one.get("key")), one.get("value")) for one in maps(record.get("identityTags"))
        ]
        arn = at(record, ("identity", "arn"))
        who = _who(arn) if isinstance(arn, str) else None
        places: Iterable[tuple[str, object]] = (
            ("user", who),
            ("aws_region", record.get("inferenceRegion") or record.get("region")),
            ("aws_account", record.get("accountId")),
        )
        return with_labels(Tags(), (*metadata.items(), *marks, *places))

    def _flag(self, kind: str, what: str) -> None:
        self.flags.append(Flag(kind=kind, where=self.place, what=what))


def _model(name: str) -> str:
    found = KEEPS_NAME.match(name)
    return found[1] if found else name


def _who(arn: str) -> str | None:
    found = ROLE_SESSION.search(arn) or USER_NAME.search(arn)
    return found[1] if found else None


def _beside(file: Path, s3_path: str) -> Iterator[Path]:
    """Where a body of a bucket lies when the bucket's folder was copied."""
    name = s3_path.rpartition("/")[2]
    if name in ("", ".", ".."):
        return
    for folder in (file.parent / "data", file.parent, file.parent.parent / "data"):
        yield folder / name
