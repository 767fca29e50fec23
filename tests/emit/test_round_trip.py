"""What we export, our own import reads: over the real wire, the attempt that it was made from."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.emit.otlp import Spans, resource_of
from bursar.emit.paid import Paid
from bursar.extras import opentelemetry
from bursar.intake import otlp
from bursar.intake.source import Source
from bursar.ledger.journal.spans import PARENT_TAG, TRACE_TAG
from bursar.model.call import Call, Limits, Tags
from bursar.model.entry import Attempt, Entry
from bursar.model.usage import Basis, Usage
from tests.emit.made import options

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

COUNTS = st.integers(0, 10**7)
WORDS = st.text("abcdefgh-:./é", min_size=1, max_size=60)
USAGES = st.builds(
    Usage,
    **dict.fromkeys(("input", "cache_read", "cache_write_5m", "cache_write_1h"), COUNTS),
    output=COUNTS,
    reasoning=COUNTS,
    other=st.dictionaries(st.sampled_from(["web_searches", "input_images"]), st.integers(1, 99)),
)
MAYBE = st.none() | WORDS


@st.composite
def paids(draw: Any) -> Paid:
    usage = draw(st.none() | USAGES)
    stream = draw(st.booleans())
    status = draw(st.none() | st.sampled_from([200, 400, 429, 500, 529]))
    bad = status is None or status >= 400
    model = draw(WORDS)
    attempt = Attempt(
        provider=draw(st.sampled_from(["openai", "anthropic", "groq"])),
        model=model,
        price_class=draw(st.sampled_from(["standard", "batch", "flex", "priority"])),
        usage=usage,
        basis=Basis.MEASURED if usage is None else draw(st.sampled_from(Basis)),
        cost_nano=draw(st.none() | st.integers(0, 10**13)),
        status=status,
        first_byte_ms=draw(st.none() | COUNTS) if stream else None,
        total_ms=draw(st.none() | st.integers(1, 10**7)),
        provider_request_id=draw(MAYBE),
    )
    tags = Tags(
        session=draw(WORDS),
        tenant=draw(MAYBE),
        route=draw(MAYBE),
        user=draw(MAYBE),
        is_retry=draw(st.booleans()),
        retry_cause=draw(st.none() | st.sampled_from(["tool", "parse"])),
        other=draw(st.dictionaries(st.sampled_from(["color", "size"]), WORDS)),
    )
    call = Call(
        key="k",
        at=datetime(2026, 11, 22) + timedelta(microseconds=draw(st.integers(0, 10**12))),
        dialect=draw(st.sampled_from(["openai_chat", "openai_embeddings", "anthropic_messages"])),
        provider=attempt.provider,
        model=draw(WORDS) if usage is not None else model,
        tags=tags,
        limits=Limits(max_tokens=draw(st.none() | st.integers(1, 10**6))),
        stream=stream,
    )
    return Paid(
        call_id=draw(st.integers(1, 2**62)),
        call=call,
        attempt=attempt,
        cost_basis=None,
        step=0,
        stop=draw(st.none() | st.sampled_from(["end", "max_tokens", "tool_use", "filter"])),
        outcome=draw(st.sampled_from(["failed"] if bad else ["ok", "left"])),
    )


@pytest.fixture(name="place", scope="module")
def place_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wire") / "spans.pb"


def back(many: list[Paid], place: Path) -> list[Entry]:
    """Through the SDK's own encoder, a file, and `bursar import`'s reader."""
    encoder = pytest.importorskip("opentelemetry.exporter.otlp.proto.common.trace_encoder")
    tools = opentelemetry()
    spans = Spans(tools, options("http://127.0.0.1:9"), resource_of(tools))
    try:
        made = [spans.span(one) for one in many]
    finally:
        spans.close()
    place.write_bytes(encoder.encode_spans(made).SerializeToString())
    source = Source(place)
    assert otlp.recognises(source.head)
    items = list(otlp.read(source))
    assert not source.skips
    assert all(isinstance(item, Entry) for item in items), items
    return [item for item in items if isinstance(item, Entry)]


def same(one: Paid, entry: Entry) -> None:
    (attempt,) = entry.attempts
    mine = one.attempt
    wanted = replace(mine, recorded_cost_nano=mine.cost_nano, cost_nano=None, n=0)
    assert attempt == wanted
    call = entry.call
    for name in ("at", "dialect", "provider", "model", "limits", "stream"):
        assert getattr(call, name) == getattr(one.call, name), name
    tags = replace(call.tags, application=None, inference_type=None)
    named = {key: word for key, word in tags.other.items() if not key.startswith("service")}
    assert replace(tags, other=named) == one.call.tags
    assert entry.answer is not None
    assert (entry.answer.stop, entry.answer.status) == (one.stop, one.outcome)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(many=st.lists(paids(), min_size=1, max_size=4, unique_by=lambda one: one.call_id))
def test_our_own_spans_are_the_same_attempts(place: Path, many: list[Paid]) -> None:
    """What nobody knew is unknown again: no status, no time, no cost becomes 0 or 200."""
    found = back(many, place)
    assert len(found) == len(many)
    for one, entry in zip(
        sorted(many, key=lambda one: (one.call.at, one.call_id)),
        sorted(found, key=lambda one: (one.call.at, int(one.call.key.rpartition(":")[2], 16))),
        strict=True,
    ):
        same(one, entry)


def test_the_trace_of_the_client_joins_them(place: Path) -> None:
    """Two calls of one trace are two attempts, each known by trace and span: we have no response
    id to tell."""
    trace = {TRACE_TAG: "0af7651916cd43dd8448eb211c80319c", PARENT_TAG: "b7ad6b7169203331"}
    many = [
        Paid(
            call_id=number,
            call=Call(key="k", model="gpt-4o", provider="openai", tags=Tags(other=trace)),
            attempt=Attempt(provider="openai", model="gpt-4o", usage=Usage(input=5), status=200),
            cost_basis=None,
            step=0,
            stop="end",
            outcome="ok",
        )
        for number in (1, 2)
    ]
    keys = [entry.call.key for entry in back(many, place)]
    assert keys == [f"otel:{trace[TRACE_TAG]}:{number:016x}" for number in (1, 2)]
