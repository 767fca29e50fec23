"""The fields of an exchange line, and how each is read.

The field list is the contract: docs/formats/exchange.md documents it, and nothing else is read.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import msgspec

from bursar.dialects.lens import price_class_of, read_usage
from bursar.intake.source import Source
from bursar.intake.times import parse_time
from bursar.model.block import digest_of
from bursar.model.call import Tags
from bursar.model.entry import STANDARD, Attempt, Entry, Flag
from bursar.model.errors import BadInput
from bursar.model.money import apportion, nano_from_usd
from bursar.model.usage import Usage

NAME = "exchange"
TITLE = "Bursar exchange JSONL"
CALL_LINE = "exchange call"
"""Calls of one session may stand on their lines in any order."""
STOPS = {
    "length": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop": "end",
    "end_turn": "end",
}
CLASSES = {"real_time": STANDARD, "realtime": STANDARD, "on_demand": STANDARD}
SIDES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
TEXTS = (
    "tenant",
    "team",
    "cost_center",
    "application",
    "environment",
    "route",
    "workflow",
    "prompt_version",
    "user",
    "task_type",
    "inference_type",
)


class Outcome(msgspec.Struct):
    success: bool | None = None
    score: float | None = None


class Line(msgspec.Struct):
    """One line, as the contract names its fields."""

    kind: str | None = None
    id: str | int | None = None
    session: str | int | None = None
    step_index: int | None = None
    tags: dict[str, Any] | None = None
    provider: str | None = None
    model: str | None = None
    dialect: str | None = None
    usage_dialect: str | None = None
    at: str | int | float | None = None
    tools: list[dict[str, Any]] | None = None
    messages: list[dict[str, Any]] | None = None
    usage: dict[str, Any] | None = None
    cost_usd: Any = None
    stop: str | None = None
    status: int | None = None
    latency_ms: float | None = None
    is_retry: bool | None = None
    retry_cause: str | None = None
    outcome: Outcome | None = None
    request: dict[str, Any] | None = None
    response: dict[str, Any] | list[Any] | str | None = None
    tenant: str | int | None = None
    team: str | int | None = None
    cost_center: str | int | None = None
    application: str | int | None = None
    environment: str | int | None = None
    route: str | int | None = None
    workflow: str | int | None = None
    prompt_version: str | int | None = None
    user: str | int | None = None
    task_type: str | int | None = None
    inference_type: str | int | None = None


class Fields:
    """One line, and its fields as the nouns know them."""

    def __init__(self, source: Source, number: int, raw: bytes, line: Line) -> None:
        self.source = source
        self.number = number
        self.line = line
        self.digest = digest_of(raw)
        self.place = f"{source.label}:{number}"
        self.flags: list[Flag] = []
        self.origin = source.origin(number, CALL_LINE if line.kind == "call" else NAME)
        self.tags = self.read_tags()

    def key(self) -> str:
        line = self.line
        if line.id is not None:
            return f"exchange:{self.tags.session}:{line.id}"
        if line.session is None and line.at is None:
            return f"exchange:{self.digest}:{self.number}"
        return f"exchange:{self.digest}"

    def attempt(
        self, usage: object, cost: object, model: str | None, latency_ms: object
    ) -> Attempt:
        line = self.line
        return Attempt(
            provider=line.provider,
            model=model,
            price_class=price_class(usage, line),
            usage=self.usage(usage),
            recorded_cost_nano=self.cost(cost),
            status=line.status,
            total_ms=int(latency_ms) if isinstance(latency_ms, (int, float)) else None,
        )

    def usage(self, usage: object) -> Usage | None:
        if not isinstance(usage, dict):
            return None
        line, reported = self.line, cast("dict[str, Any]", usage)
        named = {"provider": line.provider, "model": line.model}
        try:
            found, _ = read_usage(reported, line.usage_dialect, **named)
        except BadInput as bad:
            self.flag("usage_suspect", bad.message)
            return None
        return found

    def flag(self, kind: str, what: str) -> None:
        self.flags.append(Flag(kind=kind, where=self.place, what=what))

    def cost(self, cost: object) -> int | None:
        """A recorded cost. One that is none is told: the call beside it was paid all the same."""
        if cost is None:
            return None
        try:
            recorded = nano_from_usd(cost, "cost_usd")
        except BadInput as bad:
            self.flag("contradiction", bad.message)
            return None
        if recorded < 0:
            self.flag("contradiction", f"cost_usd is {cost!r}, below zero")
            return None
        return recorded

    def time(self, value: object) -> datetime | None:
        if value is None:
            return None
        at, zoned = parse_time(value)
        if at is None:
            self.flag("time_suspect", f"{value!r} is not a time")
        elif not zoned:
            what = f"line {self.number}: {value!r} has no zone: read as UTC"
            self.flags.append(Flag(kind="time_suspect", where=self.source.label, what=what))
        return at

    def read_tags(self) -> Tags:
        line = self.line
        named = {name: text_of(getattr(line, name)) for name in TEXTS}
        other: dict[str, str] = {}
        for name, value in (line.tags or {}).items():
            if name in named and named[name] is None:
                named[name] = text_of(value)
            elif value is not None:
                other[name] = text_of(value) or ""
        session = text_of(line.session)
        if session is None and line.messages is not None and line.kind != "call":
            session = f"line-{self.digest:x}"
        return Tags(
            session=session,
            step_index=line.step_index,
            is_retry=bool(line.is_retry),
            retry_cause=line.retry_cause,
            other=other,
            **named,
        )


def split_totals(total: Usage, entries: list[Entry]) -> list[Usage]:
    """Totals over calls: the prompt side by prompt length, the answer side by answer length."""
    prompts: list[int] = []
    length = 0
    for one in entries:
        length += sum(block.tokens or 0 for block in one.call.blocks or ())
        prompts.append(length)
    answers = [
        sum(block.tokens or 0 for block in one.answer.blocks) if one.answer else 0
        for one in entries
    ]
    shares = {
        name: apportion(
            getattr(total, name), answers if name in ("output", "reasoning") else prompts
        )
        for name in SIDES
    }
    return [
        Usage(
            **{name: parts[place] for name, parts in shares.items()},
            other=total.other if place == 0 else {},
        )
        for place in range(len(entries))
    ]


def price_class(usage: object, line: Line) -> str:
    if line.inference_type is not None:
        return CLASSES.get(str(line.inference_type), str(line.inference_type))
    if not isinstance(usage, dict):
        return STANDARD
    reported = cast("dict[str, Any]", usage)
    return price_class_of({**reported, "usage": reported}, line.usage_dialect or "")


def stop_word(word: object) -> str | None:
    return STOPS.get(word, word) if isinstance(word, str) else None


def text_of(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value or None
    return msgspec.json.encode(value).decode()
