"""The numbers of a Bedrock invocation record: counts, the two accounts of them, times, failures.

The record's own counts are AWS's; the logged answer has the model's. Where both tell the same, the
answer's are kept, for it knows how long each cache write lives. Where they differ, the record's are
kept and the difference is said.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bursar.dialects.lens import read_usage
from bursar.dialects.wire import as_list, as_map, at
from bursar.model.errors import BadInput
from bursar.model.money import nano_from_usd
from bursar.model.usage import Usage, count

COUNTS = (
    "inputTokenCount",
    "outputTokenCount",
    "cacheReadInputTokenCount",
    "cacheWriteInputTokenCount",
)
METRICS = "amazon-bedrock-invocationMetrics"
STATUS_OF_ERROR = {
    "AccessDeniedException": 403,
    "ConflictException": 409,
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}
UNKNOWN_ERROR = 500
"""Status of a failure whose name is not in the table."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says of units and money."""

    usage: Usage | None
    recorded_cost_nano: int | None
    problems: tuple[tuple[str, str], ...] = ()
    """(kind of flag, what is wrong)."""


def measured(record: dict[str, Any], answered: Usage | None) -> Measured:
    """The record's usage, checked against the usage in the logged answer."""
    problems: list[tuple[str, str]] = []
    usage = answered
    own: Usage | None = None
    counts = _counts(record)
    try:
        if counts:
            own = read_usage(counts, "bedrock_invoke")[0]
    except BadInput as bad:
        problems.append(("usage_suspect", bad.message))
    if own is not None:
        usage = own if answered is None else _one_of(own, answered, counts, problems)
    usage = _with_images(usage, record, problems)
    return Measured(
        usage=usage, recorded_cost_nano=_recorded(record, problems), problems=tuple(problems)
    )


def _counts(record: dict[str, Any]) -> dict[str, Any]:
    """The record's counts, wherever this record has them."""
    sides = (record, as_map(record.get("input")), as_map(record.get("output")))
    return {name: side[name] for name in COUNTS for side in sides if side.get(name) is not None}


def _one_of(
    own: Usage, answered: Usage, counts: dict[str, Any], problems: list[tuple[str, str]]
) -> Usage:
    """The answer's usage where the record's agrees with it, else the record's."""
    knows_cache = bool({"cacheReadInputTokenCount", "cacheWriteInputTokenCount"} & counts.keys())
    writes = answered.cache_write_5m + answered.cache_write_1h
    same_prompt = (
        own.input == answered.input
        and (
            not knows_cache or (own.cache_read, own.cache_write_5m) == (answered.cache_read, writes)
        )
    ) or own.input == answered.prompt
    answer_known = "outputTokenCount" in counts
    same_answer = not answer_known or own.answer == answered.answer
    if same_prompt and (same_answer or not own.answer):
        return answered
    problems.append(
        (
            "contradiction",
            f"the record counts {own.input}+{own.cache_read}+{own.cache_write_5m} prompt and"
            f" {own.answer} answer tokens, the logged answer {answered.input}"
            f"+{answered.cache_read}+{writes} and {answered.answer}",
        )
    )
    return own


def _with_images(
    usage: Usage | None, record: dict[str, Any], problems: list[tuple[str, str]]
) -> Usage | None:
    images = at(record, ("output", "outputImageCount"))
    if images is None:
        return usage
    try:
        made = count(images, "outputImageCount")
    except BadInput as bad:
        problems.append(("usage_suspect", bad.message))
        return usage
    usage = usage or Usage()
    return msgspec.structs.replace(usage, other={**usage.other, "output_images": made})


def _recorded(record: dict[str, Any], problems: list[tuple[str, str]]) -> int | None:
    """Dollars that somebody added to the record."""
    found: int | None = None
    for name in ("inputTokenCostUSD", "outputTokenCostUSD"):
        if record.get(name) is None:
            continue
        try:
            found = (found or 0) + nano_from_usd(record[name], name)
        except BadInput as bad:
            problems.append(("usage_suspect", bad.message))
    return found


def failure_status(record: dict[str, Any]) -> int | None:
    """The HTTP status of a failed call, None of one that went well."""
    code, status = record.get("errorCode"), record.get("status")
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    numeric = status if type(status) is int and 400 <= status <= 599 else None
    if isinstance(code, (str, int)) and str(code):
        name = str(code).rpartition("#")[2]
        if name.isdecimal() and 400 <= int(name) <= 599:
            return int(name)
        return numeric or STATUS_OF_ERROR.get(name, UNKNOWN_ERROR)
    if numeric is not None:
        return numeric
    failed = isinstance(status, str) and status.lower() in ("error", "failed", "failure")
    return UNKNOWN_ERROR if failed else None


def times_ms(record: dict[str, Any], body: object) -> tuple[int | None, int | None]:
    """(to the first byte, in all), from the record or its answer."""
    last = as_list(body)[-1:] or [body]
    metrics = as_map(as_map(last[0]).get(METRICS))
    total = (
        at(body, ("metrics", "latencyMs")),
        at(last[0], ("metadata", "metrics", "latencyMs")),
        metrics.get("invocationLatency"),
        record.get("invocationLatency"),
    )
    first_byte = (metrics.get("firstByteLatency"), record.get("firstByteLatency"))
    return _whole(first_byte), _whole(total)


def _whole(values: tuple[object, ...]) -> int | None:
    for value in values:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 2**31:
            return int(value)
    return None
