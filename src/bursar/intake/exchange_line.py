"""The fields of an exchange line, and how each is read.

The field list is the contract: docs/formats/exchange.md documents it, and nothing else is read.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bursar.dialects.lens import price_class_of
from bursar.model.entry import STANDARD, Entry
from bursar.model.money import apportion
from bursar.model.usage import Usage

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
    cost_usd: str | int | float | None = None
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
    return price_class_of(usage, line.usage_dialect or "")


def stop_word(word: object) -> str | None:
    return STOPS.get(word, word) if isinstance(word, str) else None


def text_of(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value or None
    return msgspec.json.encode(value).decode()
