"""The exchange format: every field as the contract says, and any JSON in any of them."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bursar.advisor.analysis import analyse
from bursar.intake.exchange_line import Line
from bursar.ledger.engines.duck import Duck
from trials import COST_NANO, FAULTS, GOOD, book, call_line, jsonl, ledger, take_in

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(
        ["1e999", "-1", "NaN", "\0", "2100-01-01", "'; DROP TABLE attempts; --", "\x1b[31m"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = Line.__struct_fields__
MESSAGE_FIELDS = (
    *("role", "content", "tool_calls", "tool_call_id", "model", "usage", "cost_usd", "stop", "at"),
    *("latency_ms", "is_retry", "retry_cause", "id", "name", "finish_reason", "function_call"),
    *("refusal", "reasoning", "parts", "type"),
)
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": [{"type": "text", "text": "hello"}]},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "t1", "function": {"name": "f"}}]},
    {"role": "tool", "tool_call_id": "t1", "content": "ok"},
    {"role": "assistant", "content": "done", "usage": {"input": 7, "output": 2}},
]
REQUEST = {"model": "gpt-4o", "messages": MESSAGES[:2], "max_tokens": 100}
RESPONSE = {
    "id": "r-1",
    "object": "chat.completion",
    "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGES[-1]}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}
BODY_FIELDS = [*REQUEST, *RESPONSE, "tools", "system", "content", "stop_reason"]


def several(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Some changes at a time: a ledger costs more to make than a line to read."""
    return st.lists(st.tuples(*parts), min_size=1, max_size=8)


CALM = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read_beside_good(lines: list[dict[str, Any]]) -> Duck:
    """Import lines beside the good ones: those are all there, and only lines are skipped."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "f.jsonl"
        file.write_bytes(GOOD + jsonl(lines))
        duck = Duck(None)
        done = take_in(duck, file)
    rows = duck.rows(
        "SELECT count(*), sum(cost_nano) FROM attempts a JOIN sessions s USING (session)"
        " WHERE s.id LIKE 'good-%' AND a.line <= 10"
    )
    assert rows == [(10, 10 * COST_NANO)]
    for skip in done.skips:
        assert (skip.file, skip.line) == (str(file), skip.line)
        assert skip.line is not None
        assert 10 < skip.line <= 10 + len(lines)
        assert not any(fault in skip.reason for fault in FAULTS), skip.reason
    return duck


@CALM
@given(several(st.sampled_from(["total", "session", "call"]), st.sampled_from(FIELDS), ANY))
@example([("total", "status", 10**30), ("total", "cost_usd", "1e999999")])
@example([("session", "latency_ms", 1e300), ("session", "outcome", {"score": 1e308})])
@example([("session", "tags", {"a": {"b": [1]}, "tenant": ["x"], "": None})])
def test_any_json_in_any_field(changes: list[tuple[str, str, object]]) -> None:
    base: dict[str, dict[str, Any]] = {
        "total": call_line("odd"),
        "session": call_line("odd", messages=MESSAGES),
        "call": call_line("odd", kind="call", request=REQUEST, response=RESPONSE),
    }
    read_beside_good([base[kind] | {name: value} for kind, name, value in changes])


@CALM
@given(several(st.integers(0, len(MESSAGES) - 1), st.sampled_from(MESSAGE_FIELDS), ANY))
@example([(4, "latency_ms", 10**30), (4, "cost_usd", {"a": 1}), (4, "usage", [1])])
@example([(2, "tool_calls", [{"id": 10**30, "function": {"name": ["x"], "arguments": 5}}])])
def test_any_json_in_any_field_of_a_message(changes: list[tuple[int, str, object]]) -> None:
    lines: list[dict[str, Any]] = []
    for number, (place, name, value) in enumerate(changes):
        messages = [dict(one) for one in MESSAGES]
        messages[place][name] = value
        lines.append(call_line(f"odd-{number}", messages=messages))
    duck = read_beside_good(lines)
    assert duck.rows("SELECT count(*) FROM attempts WHERE cost_nano < 0") == [(0,)]


@CALM
@given(several(st.sampled_from(BODY_FIELDS), ANY))
@example([("max_tokens", 10**30), ("usage", {"prompt_tokens": 1, "completion_tokens": 10**30})])
def test_any_json_in_any_field_of_a_raw_body(changes: list[tuple[str, object]]) -> None:
    bodies: list[tuple[object, object]] = []
    for name, value in changes:
        bodies += [(REQUEST | {name: value}, RESPONSE), (REQUEST, RESPONSE | {name: value})]
        bodies += [(value, RESPONSE), (REQUEST, value)]
    read_beside_good(
        [
            call_line("odd", kind="call", id=number, request=request, response=response)
            for number, (request, response) in enumerate(bodies)
        ]
    )


@CALM
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=6), max_size=8))
def test_any_json_at_all(lines: list[dict[str, object]]) -> None:
    read_beside_good(lines)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=6).map(b"\n".join))
def test_any_bytes_in_a_line(raw: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "f.jsonl"
        file.write_bytes(GOOD + raw + b"\n")
        assert ledger(file).rows("SELECT sum(cost_nano) FROM attempts") == [(10 * COST_NANO,)]


# -- what the contract says of each field


@pytest.fixture(name="read")
def read_fixture(tmp_path: Path) -> Any:
    def read(*lines: dict[str, Any]) -> Duck:
        file = tmp_path / "f.jsonl"
        file.write_bytes(jsonl(lines))
        return ledger(file)

    return read


def test_tags_stand_in_their_columns(read: Any) -> None:
    names = ("tenant", "team", "route", "task_type", "workflow", "environment", "prompt_version")
    duck = read(
        call_line(
            "s",
            **{name: f"my {name}" for name in names},
            user="u",
            tags={"any": "thing", "cost_center": "c-7", "n": 5, "deep": {"a": 1}, "no": None},
        )
    )
    rows = duck.named("SELECT * FROM attempts")[0]
    assert {name: rows[name] for name in names} == {name: f"my {name}" for name in names}
    assert (rows["user_id"], rows["cost_center"]) == ("u", "c-7")
    assert json.loads(rows["other_tags"]) == {"any": "thing", "n": "5", "deep": '{"a":1}'}


def test_each_assistant_message_ends_a_call(read: Any) -> None:
    turns = [
        {"role": "assistant", "content": f"a{n}", "usage": {"input": 100 * n, "output": n},
         "at": f"2026-05-01T10:0{n}:00Z", "latency_ms": 10 * n, "stop": "max_tokens",
         "cost_usd": f"0.00{n}", "model": "gpt-4o-mini", "is_retry": n == 2, "retry_cause": "parse"}
        for n in (1, 2)
    ]  # fmt: skip
    user = {"role": "user", "content": "q"}
    duck = read(call_line("s", usage=None, messages=[user, turns[0], user, turns[1]]))
    rows = duck.rows(
        "SELECT step, input_tokens, output_tokens, model, total_ms, stop, recorded_cost_nano,"
        " is_retry, retry_cause, extract(minute FROM a.at) FROM attempts AS a ORDER BY step"
    )
    assert rows == [
        (0, 100, 1, "gpt-4o-mini", 10, "max_tokens", 1_000_000, False, "parse", 1),
        (1, 200, 2, "gpt-4o-mini", 20, "max_tokens", 2_000_000, True, "parse", 2),
    ]


@given(
    st.lists(st.tuples(st.text("ab ", max_size=30), st.text("cd ", max_size=30)), min_size=1),
    st.tuples(*[st.integers(0, 10**6)] * 6),
)
@settings(max_examples=25, deadline=None)
def test_totals_of_a_session_are_split_exactly(
    turns: list[tuple[str, str]], counts: tuple[int, ...]
) -> None:
    names = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    messages: list[dict[str, str]] = []
    for asked, answered in turns:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    line = call_line("s", messages=messages, usage=dict(zip(names, counts, strict=True)))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "f.jsonl"
        file.write_bytes(jsonl([line]))
        duck = ledger(file)
    sums = ", ".join(f"sum({name}_tokens)" for name in names)
    assert duck.rows(f"SELECT count(*), {sums} FROM attempts") == [(len(turns), *counts)]


def test_a_total_that_contradicts_its_calls_is_flagged(read: Any) -> None:
    turn = {
        "role": "assistant",
        "content": "a",
        "usage": {"input": 100, "output": 5},
        "cost_usd": 1,
    }
    duck = read(call_line("s", messages=[turn], usage={"input": 900, "output": 5}, cost_usd="2.5"))
    whats = [row[0] for row in duck.rows("SELECT what FROM flags WHERE kind = 'contradiction'")]
    assert "records 900 input tokens, its calls 100" in whats[0]
    assert "records $2.5, its calls $1" in whats[0]


def test_money_is_read_to_the_nanodollar(read: Any) -> None:
    costs = [
        "0.123456789012",
        "0.1",
        0.1,
        1,
        "12.000000001",
        "1e-9",
        "0.0000000005",
        "0.0000000015",
    ]
    duck = read(*(call_line(f"s{n}", cost_usd=cost) for n, cost in enumerate(costs)))
    rows = duck.rows(
        "SELECT a.recorded_cost_nano FROM attempts a JOIN sessions USING (session) ORDER BY id"
    )
    nano = [123456789, 10**8, 10**8, 10**9, 12_000_000_001, 1, 0, 2]
    assert [row[0] for row in rows] == nano


ANTHROPIC_REQUEST = {
    "model": "claude-sonnet-4-6",
    "max_tokens": 50,
    "system": "Be terse.",
    "tools": [{"name": "find", "description": "finds", "input_schema": {"type": "object"}}],
    "messages": [{"role": "user", "content": "hello"}],
}
ANTHROPIC_RESPONSE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "tool_use", "id": "u1", "name": "find", "input": {"q": 1}}],
    "stop_reason": "tool_use",
    "usage": {
        "input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 40,
    },
}


def test_raw_bodies_of_anthropic(read: Any) -> None:
    duck = read(
        {
            "kind": "call", "session": "s1", "step_index": 3, "id": "c-1", "status": 200,
            "dialect": "anthropic_messages", "request": ANTHROPIC_REQUEST,
            "response": ANTHROPIC_RESPONSE, "latency_ms": 812, "at": "2026-05-01T10:00:00Z",
        }
    )  # fmt: skip
    (row,) = duck.named("SELECT * FROM attempts")
    assert (row["step"], row["provider"], row["model"]) == (3, "anthropic", "claude-sonnet-4-6")
    assert (row["input_tokens"], row["cache_read_tokens"]) == (100, 1000)
    assert (row["cache_write_5m_tokens"], row["cache_write_1h_tokens"]) == (10, 20)
    assert (row["output_tokens"], row["tool"], row["stop"]) == (40, "find", "tool_use")
    assert (row["max_tokens"], row["status"], row["total_ms"]) == (50, 200, 812)
    # $3 / $0.30 / $3.75 / $6 / $15 per million tokens
    assert row["cost_nano"] == 100 * 3000 + 1000 * 300 + 10 * 3750 + 20 * 6000 + 40 * 15000
    kinds = duck.rows("SELECT kind FROM blocks ORDER BY block")
    assert [kind[0] for kind in kinds] == ["tools", "system", "user"]


@pytest.mark.parametrize("form", ["object", "text", "sse"])
def test_raw_bodies_of_openai(form: str, read: Any) -> None:
    chunk = {k: v for k, v in RESPONSE.items() if k != "choices"} | {
        "object": "chat.completion.chunk",
        "choices": [],
    }
    response: object = {
        "object": RESPONSE,
        "text": json.dumps(RESPONSE),
        "sse": f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n",
    }[form]
    duck = read({"kind": "call", "provider": "openai", "request": REQUEST, "response": response})
    (row,) = duck.named("SELECT * FROM attempts")
    assert (row["input_tokens"], row["output_tokens"], row["model"]) == (1000, 100, "gpt-4o")
    assert row["cost_nano"] == COST_NANO


@pytest.mark.parametrize(
    ("usage", "dialect", "counts"),
    [
        ({"prompt_tokens": 100, "completion_tokens": 9,
          "prompt_tokens_details": {"cached_tokens": 60}}, None, (40, 60, 9)),
        ({"prompt_tokens": 100, "completion_tokens": 9,
          "prompt_tokens_details": {"cached_tokens": 60}}, "openai_chat", (40, 60, 9)),
        ({"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 9},
         "anthropic_messages", (40, 60, 9)),
        ({"inputTokens": 40, "cacheReadInputTokens": 60, "outputTokens": 9,
          "totalTokens": 109}, "bedrock_converse", (40, 60, 9)),
        ({"input": 40, "cache_read": 60, "output": 9}, None, (40, 60, 9)),
    ],
)  # fmt: skip
def test_usage_in_the_words_of_its_provider(
    usage: dict[str, Any], dialect: str | None, counts: tuple[int, ...], read: Any
) -> None:
    duck = read(call_line("s", usage=usage, usage_dialect=dialect))
    rows = duck.rows("SELECT input_tokens, cache_read_tokens, output_tokens FROM attempts")
    assert rows == [counts]


def test_usage_is_disjoint_in_every_reading(read: Any) -> None:
    duck = read(
        call_line(
            "s",
            usage={
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 60},
                "completion_tokens_details": {"reasoning_tokens": 45},
            },
        )
    )
    row = duck.rows(
        "SELECT input_tokens, cache_read_tokens, output_tokens, reasoning_tokens, prompt_tokens"
        " FROM attempts"
    )
    assert row == [(40, 60, 5, 45, 100)]


ONE_FIELD: list[dict[str, Any]] = [
    {"messages": [{"role": "assistant", "content": "a"}]},
    {"usage": {"input": 1, "output": 1}},
    {"cost_usd": "0.1"},
    {"response": RESPONSE},
]


@pytest.mark.parametrize("line", ONE_FIELD, ids=lambda line: next(iter(line)))
def test_one_field_is_enough(line: dict[str, Any], read: Any) -> None:
    duck = read(line)
    assert duck.rows("SELECT count(*) FROM attempts") == [(1,)]
    assert duck.rows("SELECT count(*) FROM skips") == [(0,)]
    found = analyse(duck, book())
    assert found.period == {"from": None, "to": None, "days": None}


HOSTILE = [
    "'; DROP TABLE attempts; --",
    '"); DELETE FROM sessions; --',
    "\x1b[31mred\x1b[0m\x07",
    "[bold]x[/bold] [/] [link=file:///etc/passwd]y[/link]",
    "<script>alert(1)</script>",
    "{scope} {dimension} %s ? $1",
    "a\nb\tc\r\0d",
    "\u202eabc\u2066",
    ":100: :warning:",
    "x" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_only_texts(text: str, read: Any) -> None:
    tags = ("tenant", "route", "workflow", "user", "model", "session", "provider")
    line = call_line("x") | dict.fromkeys(tags, text) | {"tags": {text: text}}
    duck = read(*(json.loads(one) for one in GOOD.splitlines()), line)
    found = analyse(duck, book())
    assert found.totals["calls"] == 11
    assert text in {row["key"] for row in found.by["tenant"]}
    assert duck.rows("SELECT count(*) FROM sessions WHERE id = ?", [text]) == [(1,)]
