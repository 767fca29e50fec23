"""A row is a call; its tokens are counted once; what LiteLLM computed is kept beside."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.intake import litellm
from bursar.intake.source import Source
from bursar.model.entry import Entry, Flag
from bursar.model.usage import Usage

Json = dict[str, Any]
ROW: Json = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": "a" * 64,
    "spend": 0.00123,
    "total_tokens": 1100,
    "prompt_tokens": 1000,
    "completion_tokens": 100,
    "startTime": "2026-05-01 10:00:00.000",
    "endTime": "2026-05-01 10:00:02.500",
    "completionStartTime": "2026-05-01 10:00:00.750",
    "model": "claude-sonnet-4-5",
    "model_id": "m1",
    "model_group": "smart",
    "custom_llm_provider": "anthropic",
    "user": "u1",
    "metadata": {},
    "cache_hit": "False",
    "cache_key": "k",
    "request_tags": [],
    "team_id": "t1",
    "end_user": "customer",
    "session_id": "sess",
    "status": "success",
    "messages": {},
    "response": {},
}
CACHED: Json = {
    "usage_object": {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
        "cache_read_input_tokens": 600,
        "cache_creation_input_tokens": 300,
        "prompt_tokens_details": {
            "cached_tokens": 600,
            "cache_creation_tokens": 300,
            "cache_creation_token_details": {
                "ephemeral_5m_input_tokens": 100,
                "ephemeral_1h_input_tokens": 200,
            },
        },
        "completion_tokens_details": {"reasoning_tokens": 40},
    },
    "additional_usage_values": {
        "cache_read_input_tokens": 600,
        "cache_creation_input_tokens": 300,
    },
}


def table(rows: list[Json]) -> bytes:
    """As a database writes it: objects are JSON in a cell, nothing is an empty cell."""
    out = io.StringIO()
    write = csv.DictWriter(out, fieldnames=list(ROW), lineterminator="\r\n")
    write.writeheader()
    for row in rows:
        cells = {
            name: json.dumps(value) if isinstance(value, dict | list) else value
            for name, value in row.items()
        }
        write.writerow(cells)
    return out.getvalue().encode()


def lines(rows: list[Json]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


FORMS = {
    "csv": table,
    "jsonl": lines,
    "array": lambda rows: json.dumps(rows).encode(),
    "pretty": lambda rows: json.dumps(rows, indent=2).encode(),
    "data": lambda rows: json.dumps({"data": rows, "total": len(rows)}).encode(),
}


def read(folder: Path, raw: bytes) -> tuple[list[Any], Source]:
    path = folder / "spend"
    path.write_bytes(raw)
    source = Source(path, "spend")
    assert litellm.recognises(source.head)
    return list(litellm.read(source)), source


def entries(folder: Path, rows: list[Json], form: str = "csv") -> list[Entry]:
    found, source = read(folder, FORMS[form](rows))
    assert not source.skips
    return [item for item in found if isinstance(item, Entry)]


def entry_of(folder: Path, form: str = "csv", **changed: Any) -> Entry:
    (entry,) = entries(folder, [ROW | changed], form)
    return entry


# -- laws

PLAN = st.lists(
    st.tuples(st.integers(0, 9000), st.integers(0, 900), st.integers(0, 900), st.integers(1, 900)),
    min_size=1,
    max_size=6,
)


@given(PLAN)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_form_holds_the_same_calls_and_no_token_twice(
    tmp_path: Path, plan: list[tuple[int, int, int, int]]
) -> None:
    rows: list[Json] = []
    for number, (plain, cached, written, answer) in enumerate(plan):
        prompt = plain + cached + written
        details = {"cached_tokens": cached, "cache_creation_tokens": written}
        told = {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written,
            "prompt_tokens_details": details,
        }
        counts = {"prompt_tokens": prompt, "completion_tokens": answer}
        total = {"total_tokens": prompt + answer}
        metadata = {"usage_object": told | total}
        rows.append(ROW | counts | total | {"request_id": f"r{number}", "metadata": metadata})
    expected = [
        Usage(input=plain, cache_read=cached, cache_write_5m=written, output=answer)
        for plain, cached, written, answer in plan
    ]
    for form in FORMS:
        found = entries(tmp_path, rows, form)
        assert [one.attempts[0].usage for one in found] == expected, form
        assert [one.call.key for one in found] == [f"litellm:r{n}" for n in range(len(plan))]


# -- what a row holds


@pytest.mark.parametrize("form", FORMS)
def test_a_row(tmp_path: Path, form: str) -> None:
    entry = entry_of(tmp_path, form)
    call, (attempt,) = entry.call, entry.attempts
    assert call.at == datetime(2026, 5, 1, 10)
    assert (call.dialect, call.provider, call.model) == ("openai_chat", "anthropic", "smart")
    assert attempt.model == "claude-sonnet-4-5"
    assert attempt.usage == Usage(input=1000, output=100)
    assert attempt.recorded_cost_nano == 1_230_000
    assert (attempt.first_byte_ms, attempt.total_ms) == (750, 2500)
    tags = call.tags
    assert (tags.team, tags.tenant, tags.user, tags.session) == ("t1", "customer", "u1", "sess")
    assert tags.other == {"key": "aaaaaaaa", "call_type": "acompletion"}
    assert call.blocks is None


@pytest.mark.parametrize("form", FORMS)
def test_cache_details(tmp_path: Path, form: str) -> None:
    entry = entry_of(tmp_path, form, metadata=CACHED)
    assert entry.attempts[0].usage == Usage(
        input=100,
        cache_read=600,
        cache_write_5m=100,
        cache_write_1h=200,
        output=60,
        reasoning=40,
    )


def test_cache_details_without_a_usage_object(tmp_path: Path) -> None:
    metadata = {"additional_usage_values": CACHED["additional_usage_values"]}
    entry = entry_of(tmp_path, metadata=metadata)
    assert entry.attempts[0].usage == Usage(
        input=100, cache_read=600, cache_write_5m=300, output=100
    )


def test_a_cached_answer_spent_nothing(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, cache_hit="True", spend=0.0)
    assert entry.answer is not None
    assert entry.answer.status == "cached"
    assert entry.attempts[0].usage == Usage()
    assert entry.attempts[0].recorded_cost_nano == 0


def test_a_success_at_zero_is_kept_as_recorded(tmp_path: Path) -> None:
    attempt = entry_of(tmp_path, spend=0.0).attempts[0]
    assert attempt.recorded_cost_nano == 0
    assert attempt.usage == Usage(input=1000, output=100)


FAILED: Json = {
    "status": "failure",
    "spend": 0.0,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
}


@pytest.mark.parametrize(("code", "status"), [("429", 429), (529, 529), ("", None), ("odd", None)])
def test_a_failed_row(tmp_path: Path, code: object, status: int | None) -> None:
    metadata = {"status": "failure", "error_information": {"error_code": code}}
    entry = entry_of(tmp_path, metadata=metadata, **FAILED)
    assert entry.attempts[0].status == status
    assert entry.attempts[0].usage is None
    assert entry.answer is not None
    assert entry.answer.status == "failed"


def test_retries_below_the_log_are_told(tmp_path: Path) -> None:
    assert not entry_of(tmp_path, metadata={"attempted_retries": 0}).attempts[0].is_retry
    assert entry_of(tmp_path, metadata={"attempted_retries": 2}).attempts[0].is_retry


@pytest.mark.parametrize("key", ["sk-secret-1234", "the-master-key"])
def test_a_key_is_never_shown(tmp_path: Path, key: str) -> None:
    entry = entry_of(tmp_path, api_key=key)
    assert entry.call.tags.other["key"] == sha256(key.encode()).hexdigest()[:8]
    assert key not in repr(entry)


def test_tags_of_the_client(tmp_path: Path) -> None:
    tags = entry_of(
        tmp_path,
        request_tags=["feature:search", "User-Agent: curl/8", "beta"],
        metadata={"spend_logs_metadata": {"env": "production", "run": 7, "deep": {"x": 1}}},
    ).call.tags
    assert (tags.route, tags.environment) == ("search", "production")
    assert tags.other["User-Agent"] == "curl/8"
    assert (tags.other["tags"], tags.other["run"]) == ("beta", "7")


@pytest.mark.parametrize(
    ("kind", "dialect"),
    [
        ("aembedding", "openai_embeddings"),
        ("aresponses", "openai_responses"),
        ("anthropic_messages", "anthropic_messages"),
        ("aimage_generation", None),
    ],
)
def test_call_types(tmp_path: Path, kind: str, dialect: str | None) -> None:
    assert entry_of(tmp_path, call_type=kind).call.dialect == dialect


def test_upkeep_is_no_call_unless_it_is_billed(tmp_path: Path) -> None:
    rows = [
        ROW | FAILED | {"status": "success", "call_type": "acreate_file"},
        ROW | FAILED | {"status": "success", "call_type": "aretrieve_batch", "spend": 1.5},
    ]
    (entry,) = entries(tmp_path, rows)
    assert entry.attempts[0].recorded_cost_nano == 1_500_000_000


def test_content_where_the_proxy_keeps_it(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a prompt\nof two lines, with a comma"},
    ]
    answer = {"role": "assistant", "content": "yes"}
    response = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-5",
        "choices": [{"index": 0, "finish_reason": "length", "message": answer}],
        "service_tier": "flex",
    }
    entry = entry_of(tmp_path, messages=messages, response=response)
    assert [block.kind.value for block in entry.call.blocks or ()] == ["system", "user"]
    assert entry.answer is not None
    assert (entry.answer.stop, len(entry.answer.blocks)) == ("max_tokens", 1)
    assert entry.attempts[0].price_class == "flex"


def test_the_payload_of_callbacks(tmp_path: Path) -> None:
    payload: Json = {
        "id": "chatcmpl-9",
        "trace_id": "trace",
        "call_type": "completion",
        "response_cost": "0.0005",
        "status": "success",
        "custom_llm_provider": "openai",
        "prompt_tokens": 50,
        "completion_tokens": 5,
        "total_tokens": 55,
        "startTime": 1777629600.5,
        "endTime": 1777629601.75,
        "completionStartTime": 1777629601.75,
        "model": "gpt-5",
        "model_group": "gpt",
        "metadata": {"user_api_key_hash": "b" * 64, "user_api_key_team_id": "t2"},
        "cache_hit": None,
        "request_tags": ["feature:chat"],
        "end_user": "",
        "messages": [{"role": "user", "content": "hi"}],
        "model_parameters": {"max_tokens": 99, "stream": False},
        "stream": False,
    }
    found, source = read(tmp_path, lines([payload]))
    (entry,) = found
    assert not source.skips
    assert entry.call.key == "litellm:chatcmpl-9"
    assert entry.call.at == datetime(2026, 5, 1, 10, 0, 0, 500_000)
    assert entry.call.limits.max_tokens == 99
    assert (entry.attempts[0].first_byte_ms, entry.attempts[0].total_ms) == (None, 1250)
    assert entry.attempts[0].recorded_cost_nano == 500_000
    assert (entry.call.tags.session, entry.call.tags.team) == ("trace", "t2")


# -- damage


@pytest.mark.parametrize("form", FORMS)
def test_impossible_counts_are_flagged_and_the_call_is_kept(tmp_path: Path, form: str) -> None:
    rows = [
        ROW | {"request_id": "a", "prompt_tokens": -5},
        ROW | {"request_id": "b", "completion_tokens": 10**30},
        ROW | {"request_id": "c", "spend": "dear"},
    ]
    found, _ = read(tmp_path, FORMS[form](rows))
    assert [item.kind for item in found if isinstance(item, Flag)] == ["usage_suspect"] * 3
    kept = [item for item in found if isinstance(item, Entry)]
    assert [one.attempts[0].usage is None for one in kept] == [True, True, False]
    assert kept[2].attempts[0].recorded_cost_nano is None


def test_two_counts_that_differ_are_a_contradiction(tmp_path: Path) -> None:
    metadata = {"usage_object": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}
    found, _ = read(tmp_path, FORMS["csv"]([ROW | {"metadata": metadata}]))
    assert [item.kind for item in found if isinstance(item, Flag)] == ["contradiction"]


def test_one_broken_row_loses_nothing_else(tmp_path: Path) -> None:
    raw = table([ROW | {"request_id": f"r{number}"} for number in range(5)])
    head, first, *rest = raw.splitlines(keepends=True)
    broken = [b"only,three,cells\r\n", b"\r\n", b",".join([b""] * len(ROW)) + b"\r\n"]
    found, source = read(tmp_path, head + first + b"".join(broken) + b"".join(rest)[:-40])
    assert len([item for item in found if isinstance(item, Entry)]) == 4
    assert [(skip.line, skip.reason[:18]) for skip in source.skips] == [
        (3, "has 3 columns wher"),
        (5, "has no request_id:"),
        (9, "has 17 columns whe"),
    ]


def test_a_cell_of_many_lines_and_megabytes(tmp_path: Path) -> None:
    text = 'two\nlines, "quoted"\r\n' * 100_000
    rows = [ROW | {"messages": text}, ROW | {"request_id": "next"}]
    first, second = entries(tmp_path, rows)
    assert (first.call.blocks or ())[0].size_bytes == len(text)
    assert second.origin is not None
    assert second.origin.line == 200_003
    assert second.call.key == "litellm:next"


@pytest.mark.parametrize(
    "raw",
    [
        b"date,amount\n1,2\n",
        b'{"type":"user","message":{}}\n',
        b'{"messages":[{"role":"user","content":"request_id,spend,prompt_tokens"}]}\n',
        b"[]",
        b"",
    ],
)
def test_other_formats_are_left_alone(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(raw)
    assert not litellm.recognises(Source(path).head)
