"""OTLP traces of every emitter: leaf calls once, disjoint counts, the same from protobuf."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bursar.intake import otlp, traces
from bursar.intake.otlp_calls import usage_of_counts
from bursar.intake.source import Source
from bursar.model.entry import Entry, Flag, Skip
from bursar.model.errors import BadUsage

QUICK = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
START = 1_780_000_000_000_000_000
T1, T2 = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"


def value(given: Any) -> dict[str, Any]:
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {"doubleValue": given}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(one) for one in given]}}
    if isinstance(given, dict):
        return {"kvlistValue": {"values": attributes(given)}}
    return {"stringValue": given}


def attributes(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(one)} for key, one in given.items()]


def span(
    number: int,
    given: dict[str, Any],
    parent: int = 0,
    trace: str = T1,
    **more: Any,
) -> dict[str, Any]:
    """A span that starts `number` seconds into the trace and takes 1.5 s."""
    return {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": "x",
        "kind": 3,
        "startTimeUnixNano": str(START + number * 10**9),
        "endTimeUnixNano": str(START + number * 10**9 + 1_500_000_000),
        "attributes": attributes(given),
        "status": {},
        **more,
    }


def batch(
    spans: list[dict[str, Any]], scope: str = "own", resource: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "resource": {"attributes": attributes(resource or {"service.name": "shop"})},
        "scopeSpans": [{"scope": {"name": scope, "version": "1"}, "spans": spans}],
    }


def chat(**more: Any) -> dict[str, Any]:
    """A call by the current convention."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.input_tokens": 90,
        "gen_ai.usage.output_tokens": 25,
        **{key.replace("__", "."): held for key, held in more.items()},
    }


def read(path: Path) -> tuple[list[Entry], list[Flag], list[Skip]]:
    source = Source(path)
    assert otlp.recognises(source.head), path
    items = list(otlp.read(source))
    entries = [item for item in items if isinstance(item, Entry)]
    return entries, [item for item in items if isinstance(item, Flag)], source.skips


def read_spans(
    tmp_path: Path, spans: list[dict[str, Any]], scope: str = "own"
) -> tuple[list[Entry], list[Flag], list[Skip]]:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"resourceSpans": [batch(spans, scope)]}))
    return read(path)


def counts(entry: Entry) -> tuple[int, int, int, int, int] | None:
    usage = entry.attempts[0].usage
    if usage is None:
        return None
    return (usage.input, usage.cache_read, usage.cache_write_5m, usage.output, usage.reasoning)


# -- laws


@QUICK
@given(
    fresh=st.integers(0, 10**6),
    cached=st.integers(0, 10**6),
    written=st.integers(0, 10**6),
    answer=st.integers(0, 10**5),
    thought=st.integers(0, 10**5),
    inside=st.sampled_from([True, False, None]),
)
def test_inclusive_and_exclusive_counts_are_one_usage(
    fresh: int, cached: int, written: int, answer: int, thought: int, inside: bool | None
) -> None:
    """Whatever a known emitter includes, the disjoint counts are the same."""
    given_input = fresh if inside is False else fresh + cached + written
    given_counts = {
        "input": given_input,
        "output": answer + thought,
        "cache_read": cached,
        "cache_write": written,
        "reasoning": thought,
    }
    if inside is None:
        given_counts["total"] = given_input + answer + thought
    usage = usage_of_counts(given_counts, inside)
    assert (usage.input, usage.cache_read, usage.cache_write_5m) == (fresh, cached, written)
    assert (usage.output, usage.reasoning) == (answer, thought)


@QUICK
@given(number=st.one_of(st.integers(max_value=-1), st.integers(min_value=2**54), st.just("lots")))
def test_counts_that_cannot_be_true_are_refused(number: object) -> None:
    with pytest.raises(BadUsage):
        usage_of_counts({"input": number, "output": 1}, True)


trees = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(["model", "bare", "agent", "none"])),
    min_size=1,
    max_size=8,
)


@QUICK
@given(tree=trees)
def test_only_leaves_count(tmp_path: Path, tree: list[tuple[int, str]]) -> None:
    """Every counted model span without a counted model span below it, and no other."""
    spans = []
    parents: dict[int, int] = {}
    for number, (above, kind) in enumerate(tree, 1):
        parents[number] = min(above, number - 1)
        given_attributes = {
            "model": chat(),
            "bare": {"gen_ai.operation.name": "chat"},
            "agent": {**chat(), "gen_ai.operation.name": "invoke_agent"},
            "none": {},
        }[kind]
        spans.append(span(number, given_attributes, parents[number]))
    below: set[int] = set()
    for number, (_, kind) in enumerate(tree, 1):
        above = parents[number]
        while kind == "model" and above:
            below.add(above)
            above = parents[above]
    expected = {
        f"otel:{T1}:{number:016x}"
        for number, (_, kind) in enumerate(tree, 1)
        if kind == "model" and number not in below
    }
    found, _, _ = read_spans(tmp_path, spans)
    counted = {entry.call.key for entry in found if counts(entry) is not None}
    assert counted == expected


def wire(spans: list[dict[str, Any]]) -> bytes:
    """The same batches as protobuf, built without any JSON reader of protobuf's."""
    request = ExportTraceServiceRequest()
    out = request.resource_spans.add()
    out.resource.attributes.add(key="service.name").value.string_value = "shop"
    group = out.scope_spans.add()
    group.scope.name = "own"
    for one in spans:
        made = group.spans.add(
            trace_id=bytes.fromhex(one["traceId"]),
            span_id=bytes.fromhex(one["spanId"]),
            parent_span_id=bytes.fromhex(one["parentSpanId"]),
            name=one["name"],
            start_time_unix_nano=int(one["startTimeUnixNano"]),
            end_time_unix_nano=int(one["endTimeUnixNano"]),
        )
        for pair in one["attributes"]:
            set_value(made.attributes.add(key=pair["key"]).value, pair["value"])
        for event in one.get("events", []):
            kept = made.events.add(name=event["name"])
            for pair in event["attributes"]:
                set_value(kept.attributes.add(key=pair["key"]).value, pair["value"])
        made.status.code = one["status"].get("code", 0)
    return request.SerializeToString()


def set_value(target: Any, wrapped: dict[str, Any]) -> None:
    ((kind, held),) = wrapped.items()
    if kind == "intValue":
        target.int_value = int(held)
    elif kind == "arrayValue":
        for one in held["values"]:
            set_value(target.array_value.values.add(), one)
    elif kind == "kvlistValue":
        for pair in held["values"]:
            set_value(target.kvlist_value.values.add(key=pair["key"]).value, pair["value"])
    else:
        setattr(
            target,
            {"stringValue": "string_value", "boolValue": "bool_value"}.get(kind, "double_value"),
            held,
        )


MESSAGES = [
    {"role": "user", "parts": [{"type": "text", "content": "Where is parcel 7?"}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c7", "name": "track", "arguments": {"n": 7}}],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c7", "response": "Lyon"}]},
]


def agent_trace() -> list[dict[str, Any]]:
    first = chat(
        gen_ai__response__id="chatcmpl-aaaaaaaaaaaaaaaa", gen_ai__conversation__id="conv-1"
    )
    second = chat(
        gen_ai__response__id="chatcmpl-bbbbbbbbbbbbbbbb",
        gen_ai__conversation__id="conv-1",
        gen_ai__input__messages=json.dumps(MESSAGES),
        gen_ai__system_instructions=json.dumps([{"type": "text", "content": "Be kind."}]),
        gen_ai__tool__definitions=json.dumps([{"type": "function", "name": "track"}]),
        gen_ai__response__finish_reasons=["stop"],
        metadata={"tenant_id": "acme"},
    )
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "track",
        "gen_ai.tool.call.id": "c7",
    }
    agent = {**chat(), "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "parcels"}
    return [
        span(1, agent),
        span(2, first, 1),
        span(4, tool, 1, status={"code": 2, "message": "late"}),
        span(6, second, 1, events=[{"name": "e", "attributes": attributes({"a": 1.5})}]),
    ]


def test_protobuf_and_json_give_the_same_entries(tmp_path: Path) -> None:
    spans = agent_trace()
    raw = wire(spans)
    plain, _, _ = read_spans(tmp_path, spans)
    assert len(plain) == 2
    shapes = {
        "request.pb": raw,
        "request.pb.gz": gzip.compress(raw),
        "framed.pb": len(raw).to_bytes(4, "big") + raw,
        "two.pb": raw + wire([span(9, {}, trace=T2)]),
        "frames.pb": b"".join(
            len(one).to_bytes(4, "big") + one for one in (wire(spans[:2]), wire(spans[2:]))
        ),
    }
    for name, body in shapes.items():
        path = tmp_path / name
        path.write_bytes(body)
        found, flags, _ = read(path)
        assert [one.call for one in found] == [one.call for one in plain], name
        assert [one.attempts for one in found] == [one.attempts for one in plain], name
        assert [one.tool_outcomes for one in found] == [one.tool_outcomes for one in plain], name
        assert not flags


def test_every_json_shape_gives_the_same_entries(tmp_path: Path) -> None:
    spans = agent_trace()
    plain, _, _ = read_spans(tmp_path, spans)
    batches = [batch(spans[:2]), batch(spans[2:])]
    old = [
        {
            "resource": one["resource"],
            "instrumentationLibrarySpans": [
                {"instrumentationLibrary": group["scope"], "spans": group["spans"]}
                for group in one["scopeSpans"]
            ],
        }
        for one in batches
    ]
    texts = {
        "one": json.dumps({"resourceSpans": batches}),
        "pretty": json.dumps({"resourceSpans": batches}, indent=2),
        "array": json.dumps([{"resourceSpans": [one]} for one in batches]),
        "lines": "\n".join(json.dumps({"resourceSpans": [one]}) for one in batches),
        "old": json.dumps({"resourceSpans": old}),
        "tempo": json.dumps({"batches": batches}),
    }
    for name, text in texts.items():
        path = tmp_path / f"{name}.json"
        path.write_text(text)
        found, _, skips = read(path)
        assert [one.call for one in found] == [one.call for one in plain], name
        assert not skips


def test_files_larger_than_the_head(tmp_path: Path) -> None:
    spans = [span(n, chat(), trace=f"{n:032x}") for n in range(1, 600)]
    batches = [batch(spans[:300]), batch(spans[300:])]
    texts = [
        json.dumps({"resourceSpans": batches}),
        json.dumps({"resourceSpans": batches}, indent=2),
        json.dumps([{"resourceSpans": [one]} for one in batches]),
        "\n".join(json.dumps({"resourceSpans": [one]}) for one in batches),
    ]
    for text in texts:
        path = tmp_path / "x.json"
        path.write_text(text)
        assert not Source(path).head.complete
        assert len(read(path)[0]) == 599
    raw = wire([*spans, *(span(n, chat(), trace=f"{n:032x}") for n in range(600, 2_000))])
    for body in (raw, len(raw).to_bytes(4, "big") + raw):
        path.write_bytes(body)
        assert not Source(path).head.complete
        assert len(read(path)[0]) == 1_999


# -- one trace in full


def test_an_agent_in_full(tmp_path: Path) -> None:
    (first, second), flags, skips = read_spans(tmp_path, agent_trace())
    assert first.call.key == "otel:chatcmpl-aaaaaaaaaaaaaaaa"
    assert first.call.at == datetime(1970, 1, 1) + timedelta(seconds=START // 10**9 + 2)
    assert first.attempts[0].total_ms == 1500
    assert first.attempts[0].status == 200
    assert first.call.model == "gpt-4o-mini"
    assert first.attempts[0].model == "gpt-4o-mini-2024-07-18"
    assert first.call.blocks is None
    tags = second.call.tags
    assert (tags.session, tags.application, tags.workflow) == ("conv-1", "shop", "parcels")
    assert tags.tenant == "acme"
    assert second.call.blocks is not None
    kinds = [block.kind.value for block in second.call.blocks]
    assert kinds == ["tools", "system", "user", "history", "tool_result"]
    (outcome,) = second.tool_outcomes
    assert (outcome.id, outcome.tool, outcome.failed) == ("c7", "track", True)
    assert second.answer is not None
    assert second.answer.stop == "end"
    assert not flags
    assert not skips


def test_a_tool_that_no_prompt_shows_reaches_the_next_call(tmp_path: Path) -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "track"}
    tool |= {"gen_ai.tool.call.id": "c7", "pydantic_ai.tool.retry.attempt": 1}
    spans = [span(1, chat()), span(3, tool, status={"code": 2}), span(5, chat()), span(8, chat())]
    first, second, third = read_spans(tmp_path, spans)[0]
    assert not first.tool_outcomes
    assert not third.tool_outcomes
    assert [one.failed for one in second.tool_outcomes] == [True]
    assert (second.call.tags.is_retry, second.call.tags.retry_cause) == (True, "tool")
    assert not third.call.tags.is_retry


def test_two_reports_of_one_call_are_one(tmp_path: Path) -> None:
    """An SDK's own span and an instrumentation's, in traces of their own."""
    known = chat(gen_ai__response__id="msg_01abcdefghijkl")
    full = {**known, "gen_ai.input.messages": json.dumps(MESSAGES[:1])}
    spans = [span(1, known), span(1, full, trace=T2)]
    (entry,), flags, _ = read_spans(tmp_path, spans)
    assert entry.call.blocks is not None
    assert not flags
    full["gen_ai.usage.input_tokens"] = 80
    (entry,), flags, _ = read_spans(tmp_path, [span(1, known), span(1, full, trace=T2)])
    assert [flag.kind for flag in flags] == ["contradiction"]


def test_ids_that_local_servers_count_up_are_not_identities(tmp_path: Path) -> None:
    reused = chat(gen_ai__response__id="chatcmpl-12")
    found, _, _ = read_spans(tmp_path, [span(1, reused), span(50, reused)])
    assert len({entry.call.key for entry in found}) == 2
    found, _, _ = read_spans(tmp_path, [span(1, reused), span(1, reused, trace=T2)])
    assert len(found) == 1


def test_traces_beyond_the_bound_are_given_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "HELD_SPANS", 4)
    spans = [span(n, chat(), trace=f"{n:032x}") for n in range(1, 20)]
    found, _, _ = read_spans(tmp_path, spans)
    assert len(found) == 19


# -- emitters, as they were seen to write


@pytest.mark.parametrize(
    ("scope", "given_input", "expected"),
    [
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", 20, (20, 60, 5, 8, 0)),
        ("opentelemetry.instrumentation.bedrock", 20, (20, 60, 5, 8, 0)),
        ("opentelemetry.instrumentation.botocore.bedrock-runtime", 200, (200, 60, 5, 8, 0)),
        ("opentelemetry.instrumentation.anthropic", 85, (20, 60, 5, 8, 0)),
        ("com.anthropic.sdk.python", 85, (20, 60, 5, 8, 0)),
        ("strands.telemetry.tracer", 85, (20, 60, 5, 8, 0)),
        ("pydantic-ai", 85, (20, 60, 5, 8, 0)),
        ("nobody.knows", 85, (20, 60, 5, 8, 0)),
        ("nobody.knows", 20, (20, 60, 5, 8, 0)),
    ],
)
def test_what_input_contains_by_emitter(
    tmp_path: Path, scope: str, given_input: int, expected: tuple[int, ...]
) -> None:
    given_attributes = chat(
        gen_ai__usage__input_tokens=given_input,
        gen_ai__usage__output_tokens=8,
        gen_ai__usage__cache_read__input_tokens=60,
        gen_ai__usage__cache_creation__input_tokens=5,
    )
    (entry,), flags, _ = read_spans(tmp_path, [span(1, given_attributes)], scope)
    assert counts(entry) == expected
    assert not flags


INFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.system": "openai",
    "llm.model_name": "gpt-4o-mini",
    "llm.token_count.prompt": 70,
    "llm.token_count.prompt_details.cache_read": 50,
    "llm.token_count.completion": 30,
    "llm.token_count.completion_details.reasoning": 10,
    "llm.token_count.total": 100,
    "llm.cost.total": 0.00125,
    "llm.invocation_parameters": '{"max_tokens": 64}',
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Short answers.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "Weather?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.tool_calls.0.tool_call.id": "t1",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "sky",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"c":1}',
    "llm.tools.0.tool.json_schema": '{"type":"function","function":{"name":"sky"}}',
    "output.value": '{"id":"chatcmpl-Zq81kfA","model":"gpt-4o-mini","service_tier":"flex"}',
    "session.id": "s-9",
    "user.id": "u-9",
    "metadata": '{"team":"ops","run":4}',
}


def test_openinference(tmp_path: Path) -> None:
    spans = [span(1, {"openinference.span.kind": "CHAIN"}), span(2, INFERENCE, 1)]
    (entry,), _, _ = read_spans(tmp_path, spans, "openinference.instrumentation.openai")
    assert counts(entry) == (20, 50, 0, 20, 10)
    assert entry.attempts[0].recorded_cost_nano == 1_250_000
    assert entry.attempts[0].price_class == "flex"
    assert entry.call.key == "otel:chatcmpl-Zq81kfA"
    assert entry.call.limits.max_tokens == 64
    tags = entry.call.tags
    assert (tags.session, tags.user, tags.team, tags.other) == ("s-9", "u-9", "ops", {"run": "4"})
    assert [block.kind.value for block in entry.call.blocks or ()] == ["tools", "system", "user"]
    assert entry.answer is not None
    assert [use.tool for use in entry.answer.tool_uses] == ["sky"]


def test_openllmetry_of_old(tmp_path: Path) -> None:
    given_attributes = {
        "llm.request.type": "chat",
        "gen_ai.system": "Anthropic",
        "gen_ai.request.model": "claude-3-5-haiku-latest",
        "gen_ai.usage.prompt_tokens": 44,
        "gen_ai.usage.completion_tokens": 6,
        "llm.usage.total_tokens": 50,
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": "Be exact.",
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": "Two plus two?",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "Four.",
        "gen_ai.completion.0.finish_reason": "stop",
        "llm.request.functions.0.name": "add",
        "llm.request.functions.0.parameters": "{}",
        "traceloop.association.properties.session_id": "chat-3",
        "traceloop.association.properties.customer": "beta",
    }
    (entry,), _, _ = read_spans(tmp_path, [span(1, given_attributes)])
    assert counts(entry) == (44, 0, 0, 6, 0)
    assert entry.attempts[0].provider == "anthropic"
    assert (entry.call.tags.session, entry.call.tags.tenant) == ("chat-3", "beta")
    assert [block.kind.value for block in entry.call.blocks or ()] == ["tools", "system", "user"]
    assert entry.answer is not None
    assert len(entry.answer.blocks) == 1


def strands_event(name: str, **held: Any) -> dict[str, Any]:
    return {"name": name, "attributes": attributes(held)}


def test_strands_events_and_sums(tmp_path: Path) -> None:
    used = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "strands-agents",
        "gen_ai.request.model": "us.amazon.nova-pro-v1:0",
        "gen_ai.usage.input_tokens": 300,
        "gen_ai.usage.prompt_tokens": 300,
        "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.total_tokens": 340,
        "gen_ai.usage.cache_read_input_tokens": 256,
        "gen_ai.server.time_to_first_token": 210,
    }
    events = [
        strands_event("gen_ai.system.message", content='[{"text": "Be brief"}]'),
        strands_event("gen_ai.user.message", content='[{"text": "Hi"}]'),
        strands_event(
            "gen_ai.tool.message",
            content=json.dumps(
                [{"toolResult": {"toolUseId": "u1", "status": "error", "content": [{"text": "n"}]}}]
            ),
        ),
        strands_event("gen_ai.choice", finish_reason="end_turn", message='[{"text": "Well."}]'),
    ]
    agent = {**used, "gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 600}
    loop = {"gen_ai.operation.name": "execute_event_loop_cycle"}
    spans = [span(1, agent), span(2, loop, 1), span(3, used, 2, events=events)]
    (entry,), _, _ = read_spans(tmp_path, spans, "strands.telemetry.tracer")
    assert counts(entry) == (44, 256, 0, 40, 0)
    assert entry.attempts[0].first_byte_ms == 210
    assert [block.kind.value for block in entry.call.blocks or ()] == [
        "system",
        "user",
        "tool_result",
    ]
    assert [one.failed for one in entry.tool_outcomes] == [True]
    assert entry.answer is not None
    assert entry.answer.stop == "end"


def test_details_event_of_the_convention(tmp_path: Path) -> None:
    name = "gen_ai.client.inference.operation.details"
    events = [
        strands_event(name, **{"gen_ai.input.messages": json.dumps(MESSAGES[:1])}),
        strands_event(name, **{"gen_ai.input.messages": json.dumps(MESSAGES[1:])}),
    ]
    (entry,), _, _ = read_spans(tmp_path, [span(1, chat(), events=events)])
    assert [block.kind.value for block in entry.call.blocks or ()] == [
        "user",
        "history",
        "tool_result",
    ]


def test_pydantic_ai(tmp_path: Path) -> None:
    given_attributes = chat(operation__cost=0.0031, gen_ai__agent__name="helper")
    answered = [
        {"role": "user", "parts": [{"type": "tool_call_response", "id": "c1", "result": "x"}]}
    ]
    again = chat(gen_ai__input__messages=json.dumps(answered))
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1"}
    tool |= {"gen_ai.tool.name": "sky", "pydantic_ai.tool.retry.attempt": 1}
    root = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.aggregated_usage.input_tokens": 180,
        "gen_ai.conversation.id": "k1",
    }
    spans = [span(1, root), span(2, given_attributes, 1), span(4, tool, 1, status={"code": 2})]
    first, second = read_spans(tmp_path, [*spans, span(6, again, 1)], "pydantic-ai")[0]
    assert first.attempts[0].recorded_cost_nano == 3_100_000
    assert first.call.tags.session == second.call.tags.session == "k1"
    assert second.call.tags.is_retry
    assert second.call.tags.retry_cause == "tool"
    assert [(one.failed, one.tool) for one in second.tool_outcomes] == [(True, "sky")]


def test_vercel_wrapper_and_leaf(tmp_path: Path) -> None:
    outer = {
        "operation.name": "ai.generateText chat-reply",
        "ai.operationId": "ai.generateText",
        "ai.model.id": "gpt-5",
        "ai.usage.inputTokens": 500,
        "ai.usage.outputTokens": 50,
        "ai.telemetry.functionId": "chat-reply",
        "ai.telemetry.metadata.tenantId": "gamma",
    }
    inner = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "gpt-5",
        "ai.model.provider": "openai.responses",
        "ai.prompt.messages": json.dumps(
            [{"role": "user", "content": [{"type": "text", "text": "Hello there"}]}]
        ),
        "ai.response.toolCalls": json.dumps(
            [{"toolCallId": "z", "toolName": "look", "input": "{}"}]
        ),
        "ai.usage.inputTokens": 62,
        "ai.usage.outputTokens": 20,
        "ai.usage.cachedInputTokens": 12,
        "ai.usage.totalTokens": 82,
        "ai.response.msToFirstChunk": 33.7,
    }
    spans = [span(1, outer), span(2, {"ai.operationId": "ai.toolCall"}, 1), span(3, inner, 1)]
    (entry,), _, _ = read_spans(tmp_path, spans, "ai")
    assert counts(entry) == (50, 12, 0, 20, 0)
    assert entry.attempts[0].provider == "openai"
    assert entry.attempts[0].first_byte_ms == 33
    assert (entry.call.tags.route, entry.call.tags.tenant) == ("chat-reply", "gamma")
    assert entry.answer is not None
    assert [use.tool for use in entry.answer.tool_uses] == ["look"]


def test_langfuse_sdk_attributes(tmp_path: Path) -> None:
    given_attributes = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o-mini",
        "langfuse.observation.usage_details": '{"input": 20, "output": 9, "input_cache_read": 60}',
        "langfuse.observation.cost_details": '{"total": "0.002"}',
        "langfuse.observation.input": json.dumps([{"role": "user", "content": "Hello"}]),
        "langfuse.trace.metadata.team": "search",
        "langfuse.environment": "staging",
        "session.id": "s4",
    }
    (entry,), _, _ = read_spans(tmp_path, [span(1, given_attributes)], "langfuse-sdk")
    assert counts(entry) == (20, 60, 0, 9, 0)
    assert entry.attempts[0].recorded_cost_nano == 2_000_000
    assert (entry.call.tags.team, entry.call.tags.environment) == ("search", "staging")
    assert entry.call.blocks is not None


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"error.type": "429"}, 429),
        ({"error.type": "RateLimitError"}, 429),
        ({"error.type": "openai.APIConnectionError"}, 503),
        ({"http.response.status_code": 529, "error.type": "APIStatusError"}, 529),
        ({"error.type": "Unheard"}, 500),
    ],
)
def test_failures(tmp_path: Path, more: dict[str, Any], status: int) -> None:
    asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **more}
    (entry,), _, _ = read_spans(tmp_path, [span(1, asked, status={"code": 2})])
    assert entry.attempts[0].status == status
    assert entry.attempts[0].usage is None
    assert entry.answer is not None
    assert entry.answer.status == "failed"


# -- damage


def test_bad_counts_are_flagged(tmp_path: Path) -> None:
    spans = [span(1, chat(gen_ai__usage__input_tokens=-4)), span(3, chat())]
    found, flags, _ = read_spans(tmp_path, spans)
    assert [counts(entry) is None for entry in found] == [True, False]
    assert [(flag.kind, flag.where[-8:]) for flag in flags] == [("usage_suspect", "x.json:1")]


def test_damage_loses_only_itself(tmp_path: Path) -> None:
    lines = [json.dumps({"resourceSpans": [batch([span(n, chat())])]}) for n in (1, 2, 3)]
    broken_span = json.dumps({"resourceSpans": [batch([span(4, chat()), {"attributes": 5}])]})
    text = [lines[0], lines[1][:100], '{"resourceSpans": 4}', "\x00", broken_span, lines[2]]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(text))
    found, _, skips = read(path)
    assert len(found) == 3
    assert {2, 4} <= {skip.line for skip in skips}


@QUICK
@given(at=st.integers(0, 900), noise=st.binary(max_size=20), cut=st.integers(0, 900))
def test_no_damage_raises(tmp_path: Path, at: int, noise: bytes, cut: int) -> None:
    for raw in (
        wire(agent_trace()),
        json.dumps({"resourceSpans": [batch(agent_trace())]}).encode(),
    ):
        path = tmp_path / "x"
        path.write_bytes((raw[:at] + noise + raw[at:])[: max(1, len(raw) - cut)])
        source = Source(path)
        otlp.recognises(source.head)
        list(otlp.read(source))


def test_not_ours(tmp_path: Path) -> None:
    for raw in (b"", b"\n\n\n\n text", b"{}", b"\x0a\x05hello", b'{"resourceLogs": []}', b"\n{}\n"):
        path = tmp_path / "x"
        path.write_bytes(raw)
        assert not otlp.recognises(Source(path).head), raw


def test_traces_without_model_calls_say_so(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("otlp_open_agent_traces") / "test-traces.json"
    found, flags, skips = read(path)
    assert not found
    assert not flags
    assert len(skips) == 1
    assert "none is a call of a model" in skips[0].reason
