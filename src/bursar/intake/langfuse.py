"""Langfuse exports: traces with their observations, or observations alone, as JSON, JSONL or CSV.

A generation is a model call; one inside another wraps the same call and only the inner one
counts. Field names come in camel case (interface, API) and in snake case (blob export), values as
JSON or as texts that hold JSON. Langfuse writes times in UTC, also where it leaves the zone out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from bursar.dialects.wire import as_map, maps, parse_or_none, text_of
from bursar.intake.documents import objects, text_lines
from bursar.intake.langfuse_calls import NAME, Observation, labels_of, pick, session_of
from bursar.intake.ordering import Item
from bursar.intake.source import LONGEST_LINE, Head, Source
from bursar.intake.times import EPOCH, parse_time
from bursar.intake.traces import Node, Traces
from bursar.model.entry import SessionFact

__all__ = ["NAME", "TITLE", "read", "recognises"]
TITLE = "Langfuse traces and observations"
ARRAYS = ("data",)
GENERATIONS = frozenset(("GENERATION", "EMBEDDING"))
KINDS = GENERATIONS | frozenset("SPAN EVENT AGENT TOOL CHAIN RETRIEVER EVALUATOR GUARDRAIL".split())
SIGNS = (
    (b'"observations"', b'"parentObservationId"'),
    (b'"traceId"', b'"parentObservationId"'),
    (b'"traceId"', b'"GENERATION"'),
    (b'"trace_id"', b'"parent_observation_id"'),
    (b'"trace_id"', b'"GENERATION"'),
)
"""What the start of a large document holds, if it is one of Langfuse."""
TRACE_KEYS = ("traceId", "trace_id")
SUCCESS_NAMES = frozenset(("success", "task_success", "resolved", "solved", "passed", "correct"))
SCORE_NAMES = frozenset(("score", "reward", "quality", "overall"))


def recognises(head: Head) -> bool:
    """Observations, or a trace with its observations."""
    tops = [*head.records, *maps([head.document])]
    tops += maps(head.document)[:5]
    for top in tops:
        inner = maps(top.get("data"))[:3]
        if any(_is_observation(one) or _is_trace(one) for one in (top, *inner)):
            return True
    if tops and any(tops):
        return False
    if _csv_names(head.raw):
        return True
    starts_json = head.raw.lstrip()[:1] in (b"{", b"[")
    return starts_json and any(all(sign in head.raw for sign in signs) for signs in SIGNS)


def read(source: Source) -> Iterator[Item]:
    """Entries of every model call; a file that has none says so."""
    traces = Traces()
    for line, element in _elements(source):
        if _is_observation(element):
            yield from _observation(source, traces, line, element, {})
        elif _is_trace(element):
            yield from _trace(source, traces, line, element)
        else:
            source.skip(line, "is neither a trace nor an observation of Langfuse")
    yield from traces.end()
    if not traces.given:
        source.skip(None, f"holds {traces.taken} observations, but none is a call of a model")


def _elements(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    names = _csv_names(source.head.raw)
    if not names:
        yield from objects(source, *ARRAYS)
        return
    csv.field_size_limit(LONGEST_LINE)
    rows = csv.reader(text_lines(source))
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as bad:
            source.skip(line, f"is not CSV: {bad}")
            continue
        if row is None:
            return
        if line == 1:
            continue
        if len(row) != len(names):
            source.skip(line, f"has {len(row)} fields, not {len(names)}")
            continue
        yield line, {name: _cell(text) for name, text in zip(names, row, strict=True) if text}


def _cell(text: str) -> Any:
    if text[:1] in ("{", "["):
        found = parse_or_none(text)
        return text if found is None else found
    return text


def _csv_names(raw: bytes) -> list[str]:
    """The column names, where the file is a table of observations."""
    first = raw.partition(b"\n")[0].decode("utf-8", "replace").strip()
    if first[:1] in ("{", "["):
        return []
    try:
        names = next(csv.reader([first]))
    except (csv.Error, StopIteration):
        return []
    has = frozenset(names)
    looks = has & {*TRACE_KEYS} and "type" in has and has & {"usageDetails", "usage_details"}
    return names if looks else []


def _is_observation(value: dict[str, Any]) -> bool:
    return str(value.get("type")) in KINDS and any(key in value for key in TRACE_KEYS)


def _is_trace(value: dict[str, Any]) -> bool:
    return isinstance(value.get("observations"), list) and (
        isinstance(value.get("trace"), dict)
        or any(_is_observation(one) for one in maps(value["observations"]))
    )


def _trace(source: Source, traces: Traces, line: int, element: dict[str, Any]) -> Iterator[Item]:
    trace = as_map(element.get("trace")) or element
    for observation in maps(element.get("observations")):
        if _is_observation(observation):
            yield from _observation(source, traces, line, observation, trace)
        else:
            source.skip(line, "holds an observation of no known type")
    session = session_of(trace) or text_of(trace.get("id"))
    scores = maps(element.get("scores")) or maps(trace.get("scores"))
    fact = _fact(session, trace, scores)
    if fact is not None:
        yield fact


def _fact(
    session: str | None, trace: dict[str, Any], scores: list[dict[str, Any]]
) -> SessionFact | None:
    """What people or judges said of the whole trace."""
    success: bool | None = None
    numbers: dict[str, float] = {}
    for score in scores:
        name = str(score.get("name")).lower()
        value = score.get("value")
        if not isinstance(value, (int, float)):
            continue
        if name in SUCCESS_NAMES and value in (0, 1):
            success = bool(value)
        else:
            numbers[name] = float(value)
    named = [value for name, value in numbers.items() if name in SCORE_NAMES]
    one = named or (list(numbers.values()) if len(numbers) == 1 else [])
    if session is None or (success is None and not one):
        return None
    at = parse_time(trace.get("timestamp"))[0]
    return SessionFact(session=session, at=at, success=success, score=one[0] if one else None)


def _observation(
    source: Source, traces: Traces, line: int, value: dict[str, Any], trace: dict[str, Any]
) -> Iterator[Item]:
    start, end = (_nano(pick(value, name)) for name in ("startTime", "endTime"))
    node = Node(
        parent=str(pick(value, "parentObservationId") or ""),
        start_nano=start,
        end_nano=end or start,
        session=session_of(value) or session_of(trace),
        labels=(*labels_of(value), *labels_of(trace)),
    )
    if value.get("type") in GENERATIONS:
        observation = Observation(value, source.origin(line, NAME))
        if observation.is_call():
            node.entry = observation.entry()
            node.flags = observation.flags
        else:
            source.skip(line, f"generation {value.get('id')} has neither counts nor content")
    trace_id = str(pick(value, "traceId") or "")
    yield from traces.take(trace_id, str(value.get("id")), node)


def _nano(value: object) -> int:
    at = parse_time(value)[0]
    if at is None:
        return 0
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000
