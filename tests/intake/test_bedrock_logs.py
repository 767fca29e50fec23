"""Bedrock invocation logs in every wrapping: the same calls, counts that add up, nothing lost."""

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

from bursar.intake import bedrock_logs
from bursar.intake.source import Source
from bursar.model.entry import Entry, Flag, Skip

QUICK = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def record(n: int = 1, **more: Any) -> dict[str, Any]:
    """A Converse call of an agent with a cached prefix."""
    usage = {"inputTokens": 30, "outputTokens": 12, "totalTokens": 42 + 500 + 70}
    usage |= {"cacheReadInputTokens": 500, "cacheWriteInputTokens": 70}
    usage |= {"cacheDetails": [{"ttl": "1h", "inputTokens": 50}, {"ttl": "5m", "inputTokens": 20}]}
    at = datetime(2026, 5, 1, 10) + timedelta(seconds=n)
    return {
        "schemaType": "ModelInvocationLog",
        "schemaVersion": "1.0",
        "timestamp": at.isoformat() + "Z",
        "accountId": "111122223333",
        "region": "eu-west-1",
        "requestId": f"req-{n}",
        "operation": "ConverseStream",
        "modelId": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "input": {
            "inputContentType": "application/json",
            "inputBodyJson": {
                "system": [{"text": "Answer briefly."}],
                "messages": [{"role": "user", "content": [{"text": f"Question {n}"}]}],
                "inferenceConfig": {"maxTokens": 200},
            },
            "inputTokenCount": 30,
            "cacheReadInputTokenCount": 500,
            "cacheWriteInputTokenCount": 70,
        },
        "output": {
            "outputContentType": "application/json",
            "outputBodyJson": {
                "output": {"message": {"role": "assistant", "content": [{"text": "Yes."}]}},
                "stopReason": "end_turn",
                "metrics": {"latencyMs": 640},
                "usage": usage,
            },
            "outputTokenCount": 12,
        },
        **more,
    }


def failed(n: int, code: str) -> dict[str, Any]:
    body = record(n, errorCode=code)
    del body["output"]
    body["input"] = {"inputBodyJson": body["input"]["inputBodyJson"], "inputTokenCount": 0}
    return body


def read(path: Path) -> tuple[list[Entry], list[Flag], list[Skip]]:
    source = Source(path)
    assert bedrock_logs.recognises(source.head), path
    items = list(bedrock_logs.read(source))
    entries = [item for item in items if isinstance(item, Entry)]
    return entries, [item for item in items if isinstance(item, Flag)], source.skips


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def wrapped(rows: list[dict[str, Any]], shape: str) -> bytes:
    lines = [json.dumps(row) for row in rows]
    events = [{"timestamp": 1, "message": line} for line in lines]
    fields = [
        [{"field": "@message", "value": line}, {"field": "@ptr", "value": "x"}] for line in lines
    ]
    texts = {
        "lines": "\n".join(lines),
        "array": json.dumps(rows),
        "pretty": json.dumps(rows, indent=2),
        "objects": "\n".join(json.dumps(row, indent=4) for row in rows),
        "records": json.dumps({"Records": rows}),
        "log_events": json.dumps({"messageType": "DATA_MESSAGE", "logEvents": events}),
        "filter": json.dumps({"events": events, "searchedLogStreams": []}, indent=4),
        "insights": json.dumps([{"@timestamp": "t", "@message": line} for line in lines]),
        "insights_objects": json.dumps([{"@message": row} for row in rows]),
        "query_results": json.dumps({"results": fields, "status": "Complete"}),
        "tail": "\n".join(f"2026-05-01T10:00:00.123000+00:00 stream/1 {line}" for line in lines),
        "events_by_line": "\n".join(json.dumps(event) for event in events),
    }
    return texts[shape].encode()


SHAPES = (
    *("lines", "array", "pretty", "objects", "records", "log_events", "filter", "insights"),
    *("insights_objects", "query_results", "tail", "events_by_line"),
)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_wrapping_gives_the_same_calls(tmp_path: Path, shape: str, packed: bool) -> None:
    rows = [record(n) for n in range(1, 4)]
    plain, _, _ = read(write(tmp_path / "plain.jsonl", "\n".join(json.dumps(row) for row in rows)))
    raw = wrapped(rows, shape)
    path = tmp_path / ("x.json.gz" if packed else "x.json")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    found, flags, skips = read(path)
    assert [entry.call for entry in found] == [entry.call for entry in plain]
    assert [entry.attempts for entry in found] == [entry.attempts for entry in plain]
    assert len(found) == 3
    assert not flags
    assert not skips


@pytest.mark.parametrize("shape", SHAPES)
def test_files_larger_than_the_head(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(wrapped([record(n) for n in range(400)], shape))
    assert not Source(path).head.complete
    found, _, skips = read(path)
    assert len(found) == 400
    assert not skips


def test_a_record_in_full(tmp_path: Path) -> None:
    (entry,), flags, _ = read(write(tmp_path / "x.json", json.dumps(record())))
    attempt = entry.attempts[0]
    assert attempt.usage is not None
    assert (attempt.usage.input, attempt.usage.cache_read, attempt.usage.output) == (30, 500, 12)
    assert (attempt.usage.cache_write_5m, attempt.usage.cache_write_1h) == (20, 50)
    assert (attempt.status, attempt.total_ms, attempt.provider) == (200, 640, "aws")
    assert entry.call.key == "bedrock:req-1"
    assert entry.call.at == datetime(2026, 5, 1, 10, 0, 1)
    assert entry.call.dialect == "bedrock_converse"
    assert entry.call.stream is True
    assert entry.call.limits.max_tokens == 200
    assert entry.call.blocks is not None
    assert len(entry.call.blocks) == 2
    assert entry.call.tags.session is None
    assert entry.answer is not None
    assert entry.answer.stop == "end"
    assert entry.answer.blocks
    assert entry.origin is not None
    assert entry.origin.line == 1
    assert not flags


@QUICK
@given(
    counts=st.tuples(*[st.integers(0, 10_000)] * 5),
    claimed=st.tuples(*[st.integers(0, 10_000)] * 4),
    agree=st.booleans(),
)
def test_two_accounts_agree_or_are_flagged(
    tmp_path: Path, counts: tuple[int, ...], claimed: tuple[int, ...], agree: bool
) -> None:
    fresh, answer, read_tokens, short, long = counts
    own = (fresh, answer, read_tokens, short + long) if agree else claimed
    body = record()
    body["output"]["outputBodyJson"]["usage"] = {
        "inputTokens": fresh,
        "outputTokens": answer,
        "totalTokens": fresh + answer + read_tokens + short + long,
        "cacheReadInputTokens": read_tokens,
        "cacheWriteInputTokens": short + long,
        "cacheDetails": [{"ttl": "1h", "inputTokens": long}, {"ttl": "5m", "inputTokens": short}],
    }
    body["input"]["inputTokenCount"], body["output"]["outputTokenCount"] = own[:2]
    body["input"]["cacheReadInputTokenCount"] = own[2]
    body["input"]["cacheWriteInputTokenCount"] = own[3]
    (entry,), flags, _ = read(write(tmp_path / "x.json", json.dumps(body)))
    usage = entry.attempts[0].usage
    assert usage is not None
    if own == (fresh, answer, read_tokens, short + long):
        assert not flags
        assert (usage.cache_write_5m, usage.cache_write_1h) == (short, long)
    elif flags:
        assert [flag.kind for flag in flags] == ["contradiction"]
        assert flags[0].where.endswith("x.json:1")
        assert (usage.input, usage.answer, usage.cache_read) == own[:3]
        assert usage.cache_write_5m + usage.cache_write_1h == own[3]
    else:
        assert usage.prompt == fresh + read_tokens + short + long


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 429),
        ("ValidationException", 400),
        ("NewException", 500),
        ("503", 503),
    ],
)
def test_failures_have_a_status_and_no_usage(tmp_path: Path, code: str, status: int) -> None:
    (entry,), flags, _ = read(write(tmp_path / "x.json", json.dumps(failed(1, code))))
    assert entry.attempts[0].status == status
    assert entry.attempts[0].usage is None
    assert entry.answer is not None
    assert entry.answer.status == "failed"
    assert not flags


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0",
            "us.amazon.nova-pro-v1:0",
        ),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
        ),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc1", None),
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/xyz", None),
        ("amazon.nova-lite-v1:0", None),
    ],
)
def test_model_ids(tmp_path: Path, given_id: str, kept: str | None) -> None:
    (entry,), _, _ = read(write(tmp_path / "x.json", json.dumps(record(modelId=given_id))))
    assert entry.attempts[0].model == (kept or given_id)


def test_who_it_was_for(tmp_path: Path) -> None:
    body = record(
        requestMetadata={
            "TenantId": "acme",
            "cost-center": "cc7",
            "Feature": "refunds",
            "conversation_id": "c-1",
            "build": "77",
        },
        identity={"arn": "arn:aws:sts::111122223333:assumed-role/app-role/maria"},
    )
    (entry,), _, _ = read(write(tmp_path / "x.json", json.dumps(body)))
    tags = entry.call.tags
    assert (tags.tenant, tags.cost_center, tags.route) == ("acme", "cc7", "refunds")
    assert (tags.session, tags.user) == ("c-1", "maria")
    assert tags.other == {"build": "77", "aws_region": "eu-west-1", "aws_account": "111122223333"}


def test_sessions_come_in_the_order_of_time(tmp_path: Path) -> None:
    rows = [record(n, requestMetadata={"session": "s"}) for n in (5, 2, 9, 1)]
    found, _, _ = read(write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows))))
    assert [entry.call.key for entry in found] == [f"bedrock:req-{n}" for n in (1, 2, 5, 9)]


def test_a_body_moved_out_is_found_beside(tmp_path: Path) -> None:
    body = record()
    request = body["input"].pop("inputBodyJson")
    body["input"]["inputBodyS3Path"] = "s3://logs/AWSLogs/1/x/data/req-1_input.json.gz"
    path = write(tmp_path / "x.json", json.dumps(body))
    (entry,), _, _ = read(path)
    assert entry.call.blocks is None
    (tmp_path / "data").mkdir()
    beside = tmp_path / "data" / "req-1_input.json.gz"
    beside.write_bytes(gzip.compress(json.dumps(request).encode()))
    (entry,), _, _ = read(path)
    assert entry.call.blocks is not None
    assert len(entry.call.blocks) == 2
    assert entry.attempts[0].usage is not None
    assert entry.attempts[0].usage.input == 30


def test_bad_counts_are_flagged_and_the_rest_goes_on(tmp_path: Path) -> None:
    for bad in (-5, 2**60, "many", 1.5):
        broken = record(1)
        broken["input"]["inputTokenCount"] = bad
        del broken["output"]["outputBodyJson"]
        rows = [broken, record(2)]
        found, flags, _ = read(write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows))))
        assert [entry.attempts[0].usage is None for entry in found] == [True, False]
        assert [(flag.kind, flag.where[-7:]) for flag in flags] == [("usage_suspect", "jsonl:1")]


def test_damage_is_listed_by_line(tmp_path: Path) -> None:
    good = [json.dumps(record(n)) for n in range(3)]
    lone = good[2].replace("Question 2", "Question \\ud800 2")
    lines = [good[0], good[1][:200], "\x00" * 5, '{"other": 1}', "[1, 2]", "{}", lone]
    found, _, skips = read(write(tmp_path / "x.jsonl", "\n".join(lines)))
    assert [entry.call.key for entry in found] == ["bedrock:req-0", "bedrock:req-2"]
    assert {skip.line for skip in skips} == {2, 3, 4, 5, 6}
    assert all(skip.reason for skip in skips)


@QUICK
@given(cut=st.integers(0, 4_000), noise=st.binary(max_size=40), at=st.integers(0, 4_000))
def test_no_damage_raises(tmp_path: Path, cut: int, noise: bytes, at: int) -> None:
    raw = json.dumps([record(n) for n in range(3)], indent=1).encode()
    path = tmp_path / "x.json"
    path.write_bytes((raw[:at] + noise + raw[at:])[: len(raw) - cut])
    list(bedrock_logs.read(Source(path)))


def test_not_ours(tmp_path: Path) -> None:
    said = json.dumps({"type": "user", "message": {"content": json.dumps(record())}})
    for text in (said, "[]", "{}", "", '{"modelId": "x"}', "plain text"):
        source = Source(write(tmp_path / "x.json", text))
        assert not bedrock_logs.recognises(source.head), text


def test_real_records(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("bedrock_invocation_logs") / "pkg" / "model" / "test_data"
    expected = {
        "input_invoke.json": (4, 160, None),
        "input_invoke_stream.json": (20, 354, None),
        "output_invoke_generated.json": (4, 160, 163_000),
        "output_invoke_stream_generated.json": (20, 354, 147_600),
    }
    for name, (prompt, answer, recorded) in expected.items():
        (entry,), flags, skips = read(folder / name)
        usage = entry.attempts[0].usage
        assert usage is not None
        assert (usage.prompt, usage.answer) == (prompt, answer)
        assert entry.attempts[0].recorded_cost_nano == recorded
        assert not flags
        assert not skips
