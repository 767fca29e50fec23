"""OpenTelemetry traces: the model calls in them, each once, with what stands around them.

Read are the conventions of OpenTelemetry GenAI, OpenInference, OpenLLMetry, Strands, pydantic-ai,
Langfuse's SDK and Vercel's AI SDK; `otlp_spans` reads the files, `otlp_calls` a span, `traces`
finds which spans are calls.
"""

from __future__ import annotations

from collections.abc import Iterator

from bursar.dialects.wire import text_of
from bursar.intake.ordering import Item
from bursar.intake.otlp_calls import (
    NAME,
    Reader,
    first_text,
    is_model,
    is_tool,
    labels_of,
    session_of,
)
from bursar.intake.otlp_spans import Span, is_protobuf, recognises_json, spans
from bursar.intake.source import Head, Source
from bursar.intake.traces import Node, Traces
from bursar.model.entry import ToolOutcome

__all__ = ["NAME", "TITLE", "read", "recognises"]
TITLE = "OpenTelemetry traces (OTLP)"
TOOL_ID = ("gen_ai.tool.call.id", "tool_call.id", "ai.toolCall.id", "tool.call.id")
TOOL_NAME = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "traceloop.entity.name")
FAILED_WORDS = {"error": True, "failed": True, "success": False, "ok": False}


def recognises(head: Head) -> bool:
    return recognises_json(head) or is_protobuf(head.raw)


def read(source: Source) -> Iterator[Item]:
    """Entries of every model call; a file that has none says so."""
    traces = Traces()
    for span in spans(source):
        yield from traces.take(span.trace, span.id, _node(source, span))
    yield from traces.end()
    if not traces.given:
        source.skip(None, f"holds {traces.taken} spans, but none is a call of a model")


def _node(source: Source, span: Span) -> Node:
    attributes = {**span.resource, **span.attributes}
    node = Node(
        parent=span.parent,
        start_nano=span.start_nano,
        end_nano=span.end_nano,
        session=session_of(attributes),
        labels=tuple(labels_of(attributes)),
    )
    if is_model(span):
        reader = Reader(span, source.origin(span.line, NAME))
        node.entry = reader.entry()
        node.flags = reader.flags
    elif is_tool(span):
        status = text_of(attributes.get("gen_ai.tool.status"))
        failed = True if span.failed else FAILED_WORDS.get(status or "")
        node.tool = ToolOutcome(
            id=first_text(attributes, TOOL_ID),
            tool=first_text(attributes, TOOL_NAME),
            failed=failed,
        )
        attempt = attributes.get("pydantic_ai.tool.retry.attempt")
        node.retried = isinstance(attempt, int) and attempt > 0
    return node
