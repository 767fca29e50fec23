"""LiteLLM: rows of the proxy's spend log (CSV or JSON), and the payload that its callbacks get.

A row is one call. Its prompt count contains cached tokens (OpenAI's convention), whatever the
provider; the details stand in `metadata.usage_object`. `spend` is what LiteLLM computed: kept
beside our own cost, never instead of it. Times without a zone are UTC, as the proxy writes them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from bursar.dialects.lens import price_class_of, read_request, read_response, read_usage
from bursar.intake.documents import objects, pieces
from bursar.intake.lines import as_list, as_map
from bursar.intake.litellm_tags import tags_of
from bursar.intake.source import LONGEST_LINE, Head, Source
from bursar.intake.times import milliseconds_between, parse_time
from bursar.model.block import Block
from bursar.model.call import Call, Limits
from bursar.model.entry import (
    STANDARD,
    Answer,
    Attempt,
    Entry,
    Flag,
    SessionFact,
    Skip,
    ToolOutcome,
)
from bursar.model.errors import BadInput
from bursar.model.money import nano_from_usd
from bursar.model.usage import Usage

NAME = "litellm"
TITLE = "LiteLLM spend logs"
LISTS = ("data", "spend_logs", "logs")
"""Keys under which an export holds its rows."""
JSON_COLUMNS = ("metadata", "request_tags", "messages", "response", "proxy_server_request")
DELIMITERS = (",", ";", "\t")
CSV_SIGNS = frozenset(("request_id", "spend", "prompt_tokens"))
ROW_SIGNS = frozenset(("request_id", "spend", "call_type"))
PAYLOAD_SIGNS = frozenset(("response_cost", "call_type", "prompt_tokens"))
SIGNED = re.compile(
    rb'\s*(?:\[|\{\s*"(?:data|spend_logs|logs)"\s*:\s*\[)\s*\{(?=.*"spend"|.*"response_cost")'
    rb'(?=.*"call_type")',
    re.DOTALL,
)
DIALECTS = {
    "completion": "openai_chat",
    "text_completion": "openai_chat",
    "embedding": "openai_embeddings",
    "responses": "openai_responses",
    "anthropic_messages": "anthropic_messages",
}
UPKEEP = re.compile(r"a?(?:create|list|get|delete|retrieve|cancel|file|add|run|call_mcp)_")
"""Call types that may be billed, but mostly are not: without tokens and spend they are no calls."""
SPENT_NOTHING = Usage()
Item = Entry | SessionFact | Skip | Flag
Row = dict[str, Any]

csv.field_size_limit(LONGEST_LINE)


def recognises(head: Head) -> bool:
    """A header of the spend log's table, or rows that carry its fields."""
    if _delimiter(head.raw.lstrip()[:8192]) is not None:
        return True
    rows: list[object] = list(head.records)
    whole = as_map(head.document)
    rows += as_list(next((whole[key] for key in LISTS if key in whole), head.document))[:5]
    rows.append(whole)
    if any(_is_row(row) for row in rows):
        return True
    return not whole and not head.records and SIGNED.match(head.raw) is not None


def _is_row(row: object) -> bool:
    keys = as_map(row).keys()
    return keys >= ROW_SIGNS or keys >= PAYLOAD_SIGNS


def _delimiter(head: bytes) -> str | None:
    """What separates the columns, if the first line is the header of a spend log."""
    first = head.partition(b"\n")[0].decode("utf-8", "replace")
    if first[:1] in ("{", "["):
        return None
    for mark in DELIMITERS:
        names = {name.strip().strip('"') for name in first.split(mark)}
        if names >= CSV_SIGNS:
            return mark
    return None


def read(source: Source) -> Iterator[Item]:
    """An entry of every row that is a call."""
    mark = _delimiter(source.head.raw.lstrip()[:8192])
    for number, row in objects(source, *LISTS) if mark is None else _rows(source, mark):
        try:
            yield from _Reader(source, number, row).items()
        except BadInput as bad:
            source.skip(number, bad.message)


def _rows(source: Source, mark: str) -> Iterator[tuple[int, Row]]:
    """(line, row) of a table. A row with other than its header's columns is listed."""
    table = csv.reader(_text_lines(source), delimiter=mark)
    names: list[str] = []
    while True:
        number = table.line_num + 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as bad:
            source.skip(number, f"is no row of a table: {bad}")
            continue
        if not names:
            names = [name.strip() for name in cells]
        elif cells and len(cells) != len(names):
            source.skip(number, f"has {len(cells)} columns where its header has {len(names)}")
        elif cells:
            yield number, {name: cell for name, cell in zip(names, cells, strict=True) if cell}


def _text_lines(source: Source) -> Iterator[str]:
    """Lines with their ends, as the csv module needs them to keep a line break inside a cell."""
    rest = b""
    for piece in pieces(source):
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        for line in lines:
            yield line.decode("utf-8", "replace") + "\n"
    if rest:
        yield rest.decode("utf-8", "replace")


class _Reader:
    """One row on its way to an entry."""

    def __init__(self, source: Source, number: int, row: Row) -> None:
        self.source = source
        self.number = number
        self.row = {**row, **{name: _parsed(row.get(name)) for name in JSON_COLUMNS}}
        self.metadata: Row = as_map(self.row["metadata"])
        self.flags: list[Flag] = []

    def items(self) -> Iterator[Item]:
        row = self.row
        identity = row.get("request_id") or row.get("id")
        if not isinstance(identity, str) or not identity:
            raise BadInput("has no request_id: no row of a LiteLLM spend log")
        usage = self._usage()
        cost_nano = self._spend()
        kind = str(row.get("call_type") or "")
        if UPKEEP.match(kind) and usage is None and not cost_nano:
            return
        yield self._entry(identity, kind, usage, cost_nano)
        yield from self.flags

    def _entry(self, identity: str, kind: str, usage: Usage | None, cost_nano: int | None) -> Entry:
        row = self.row
        at, _ = parse_time(row.get("startTime"))
        dialect = DIALECTS.get(kind.lstrip("_").removeprefix("a"), DIALECTS.get(kind))
        blocks, limits, outcomes = self._prompt()
        answer, price_class = self._answer()
        model = _text(row.get("model")) or _text(row.get("model_group"))
        provider = _text(row.get("custom_llm_provider"))
        first_byte_ms, total_ms = self._times()
        attempt = Attempt(
            provider=provider,
            model=model,
            usage=usage,
            price_class=price_class,
            recorded_cost_nano=cost_nano,
            first_byte_ms=first_byte_ms,
            total_ms=total_ms,
        )
        if str(row.get("cache_hit")).lower() == "true":
            answer = msgspec.structs.replace(answer, status="cached")
            attempt = msgspec.structs.replace(attempt, usage=SPENT_NOTHING)
        elif "failure" in (row.get("status"), self.metadata.get("status")):
            answer = msgspec.structs.replace(answer, status="failed")
            attempt = self._failed(attempt)
        return Entry(
            call=Call(
                key=f"litellm:{identity}",
                at=at,
                dialect=dialect,
                provider=provider,
                model=_text(row.get("model_group")) or model,
                blocks=blocks,
                tags=tags_of(row, self.metadata),
                limits=limits,
                stream=stream if isinstance(stream := row.get("stream"), bool) else None,
            ),
            attempts=(self._retried(attempt),),
            answer=answer,
            tool_outcomes=outcomes,
            origin=self.source.origin(self.number, NAME),
        )

    # -- money

    def _usage(self) -> Usage | None:
        """Disjoint counts of the fullest object that the row has; None: nobody counted."""
        row = self.row
        told = as_map(self.metadata.get("usage_object"))
        columns = {
            **as_map(self.metadata.get("additional_usage_values")),
            "prompt_tokens": _number(row.get("prompt_tokens")),
            "completion_tokens": _number(row.get("completion_tokens")),
            "total_tokens": _number(row.get("total_tokens")),
        }
        body = (
            told if any(told.get(name) for name in ("prompt_tokens", "input_tokens")) else columns
        )
        try:
            usage, _ = read_usage(
                body, provider=_text(row.get("custom_llm_provider")), model=_text(row.get("model"))
            )
            usage = _by_lifetime(usage, body)
        except BadInput as bad:
            if any(columns[name] for name in ("prompt_tokens", "completion_tokens")):
                self._flag("usage_suspect", bad.message)
            return None
        if body is told and columns["prompt_tokens"] not in (None, 0, told.get("prompt_tokens")):
            shown = f"{columns['prompt_tokens']} beside {told.get('prompt_tokens')}"
            if "prompt_tokens" in told:
                self._flag("contradiction", f"two counts of prompt tokens: {shown}")
        return usage if usage.prompt or usage.answer or usage.other else None

    def _spend(self) -> int | None:
        for name in ("spend", "response_cost"):
            value = self.row.get(name)
            if value is None:
                continue
            try:
                return nano_from_usd(value, name)
            except BadInput as bad:
                self._flag("usage_suspect", bad.message)
        return None

    def _flag(self, kind: str, what: str) -> None:
        where = f"{self.source.label}:{self.number}"
        self.flags.append(Flag(kind=kind, where=where, what=what))

    # -- the attempt

    def _failed(self, attempt: Attempt) -> Attempt:
        error = as_map(self.metadata.get("error_information") or self.row.get("error_information"))
        code = str(error.get("error_code") or "")
        status = int(code) if re.fullmatch(r"[45]\d\d", code) else None
        reason = None
        if status is None and attempt.usage is None:
            reason = "it failed, and the log does not say with which status"
        return msgspec.structs.replace(
            attempt,
            status=status,
            unpriced_reason=reason,
            provider_request_id=_text(error.get("error_provider_request_id")),
        )

    def _retried(self, attempt: Attempt) -> Attempt:
        """The proxy retries below its log: a row tells only how often."""
        retries = self.metadata.get("attempted_retries")
        if not isinstance(retries, int) or retries < 1:
            return attempt
        return msgspec.structs.replace(attempt, is_retry=True, retry_cause="provider")

    def _times(self) -> tuple[int | None, int | None]:
        """Milliseconds to the first byte, where it was streamed, and in all."""
        row = self.row
        start, first, end = (
            parse_time(row.get(name))[0] for name in ("startTime", "completionStartTime", "endTime")
        )
        total_ms = _number(row.get("request_duration_ms"))
        if not isinstance(total_ms, int) or total_ms < 0:
            total_ms = milliseconds_between(start, end)
        streamed = first is not None and end is not None and first < end
        return milliseconds_between(start, first) if streamed else None, total_ms

    # -- content, where the proxy is set to keep it

    def _prompt(self) -> tuple[tuple[Block, ...] | None, Limits, tuple[ToolOutcome, ...]]:
        asked = as_map(self.row["proxy_server_request"])
        body = {**as_map(asked.get("body", asked)), **as_map(self.row.get("model_parameters"))}
        messages = self.row["messages"]
        if isinstance(messages, str) and messages:
            body["messages"] = [{"role": "user", "content": messages}]
        elif as_list(messages):
            body["messages"] = messages
        if not body:
            return None, Limits(), ()
        prompt = read_request(body)
        blocks = prompt.blocks if body.get("messages") or body.get("input") else None
        return blocks, prompt.limits, prompt.tool_outcomes

    def _answer(self) -> tuple[Answer, str]:
        """What came back, and the price class that it names."""
        told = as_map(self.metadata.get("cost_breakdown") or self.row.get("cost_breakdown"))
        price_class = price_class_of(told, "openai_chat") if told else STANDARD
        response = as_map(self.row["response"])
        if response:
            try:
                reading = read_response(response)
            except BadInput:
                return Answer(), price_class
            answer = Answer(
                blocks=reading.answer_blocks, tool_uses=reading.tool_uses, stop=reading.stop
            )
            return answer, price_class if price_class != STANDARD else reading.price_class
        return Answer(), price_class


def _by_lifetime(usage: Usage, body: Row) -> Usage:
    """Cache writes for an hour stand in a detail of LiteLLM's own."""
    details = as_map(as_map(body.get("prompt_tokens_details")).get("cache_creation_token_details"))
    hour = details.get("ephemeral_1h_input_tokens")
    if type(hour) is not int or hour <= 0 or usage.cache_write_1h:
        return usage
    hour = min(hour, usage.cache_write_5m)
    return msgspec.structs.replace(
        usage, cache_write_5m=usage.cache_write_5m - hour, cache_write_1h=hour
    )


def _parsed(value: object) -> object:
    """A JSON column of a table is text; one of a JSON export is a value, or text once more."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return value


def _number(value: object) -> object:
    """A cell of a table as a number, if it is one: `12`, `12.0`, `-3`."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d+(?:\.0+)?\s*", value):
        return int(value.partition(".")[0])
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
