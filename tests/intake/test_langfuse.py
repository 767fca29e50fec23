"""Langfuse exports: leaf generations once, disjoint counts, every container and spelling."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.intake import langfuse
from bursar.intake.langfuse_usage import usage_of_details
from bursar.intake.source import Source
from bursar.model.entry import Entry, Flag, SessionFact, Skip

QUICK = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
COUNTS = st.integers(0, 10**6)


def generation(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"g{number}",
        "traceId": "t1",
        "type": "GENERATION",
        "name": "answer",
        "startTime": f"2026-05-01T10:00:{number:02d}.000Z",
        "completionStartTime": f"2026-05-01T10:00:{number:02d}.250Z",
        "endTime": f"2026-05-01T10:00:{number:02d}.900Z",
        "model": "gpt-4o-mini",
        "modelParameters": {"max_tokens": "300"},
        "usageDetails": {"input": 40, "output": 12, "total": 52},
        "costDetails": {"total": 0.0000132},
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"Question {number}"},
        ],
        "output": {"role": "assistant", "content": "Answer."},
        "level": "DEFAULT",
        **more,
    }


def span(number: int, kind: str = "SPAN", **more: Any) -> dict[str, Any]:
    row = generation(number, type=kind, **more)
    for name in ("usageDetails", "costDetails", "model", "input", "output"):
        del row[name]
    return row


TRACE = {
    "id": "t1",
    "name": "support",
    "timestamp": "2026-05-01T10:00:00.000Z",
    "sessionId": "s-1",
    "userId": "u-1",
    "tags": ["beta", "tenant:acme"],
    "release": "r9",
    "environment": "production",
    "metadata": {"feature": "refunds", "scope": {"name": "x"}, "attempt_of": 3},
}


def read(path: Path) -> tuple[list[Entry], list[Any], list[Skip]]:
    source = Source(path)
    assert langfuse.recognises(source.head), path
    items = list(langfuse.read(source))
    rest = [item for item in items if not isinstance(item, Entry)]
    return [item for item in items if isinstance(item, Entry)], rest, source.skips


def read_rows(tmp_path: Path, rows: Any) -> tuple[list[Entry], list[Any], list[Skip]]:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(rows))
    return read(path)


def snake(row: dict[str, Any]) -> dict[str, Any]:
    """The same observation as a blob export writes it."""
    names = {"model": "provided_model_name"}
    spelled = {
        names.get(key, "".join("_" + c.lower() if c.isupper() else c for c in key)): held
        for key, held in row.items()
    }
    for key in ("start_time", "end_time", "completion_start_time"):
        spelled[key] = spelled[key].replace("T", " ").removesuffix("Z")
    return spelled


# -- laws


@QUICK
@given(fresh=COUNTS, cached=COUNTS, written=COUNTS, answer=COUNTS, thought=COUNTS)
def test_one_usage_whatever_is_inside_what(
    fresh: int, cached: int, written: int, answer: int, thought: int
) -> None:
    """The total tells how the parts lie; each way of writing gives the same disjoint counts."""
    total = fresh + cached + written + answer + thought
    parts = {"input_cache_read": cached, "input_cache_creation": written}
    apart = {"input": fresh, "output": answer, **parts, "output_reasoning": thought}
    inside = {
        "input": fresh + cached + written,
        "output": answer + thought,
        "prompt_details.cache_read": cached,
        "prompt_details.cache_write": written,
        "completion_details.reasoning": thought,
    }
    mixed = {**apart, "input": fresh + cached + written, "output": answer + thought, "total": total}
    ways = [apart, {**apart, "total": total}, {**inside, "total": total}, inside]
    if (cached + written and thought) or not (cached + written + thought):
        ways.append(mixed)
    for details in ways:
        usage, notes = usage_of_details(details)
        assert (usage.input, usage.cache_read, usage.cache_write_5m) == (fresh, cached, written)
        assert (usage.output, usage.reasoning) == (answer, thought)
        assert not notes


def test_audio_stands_beside_the_text() -> None:
    details = {"input": 10, "input_audio": 5, "output": 7, "output_audio": 2, "total": 24}
    usage, notes = usage_of_details(details)
    assert (usage.input, usage.output) == (10, 7)
    assert not notes
    assert usage.other == {"input_audio_tokens": 5, "output_audio_tokens": 2}


@QUICK
@given(
    tree=st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(["GENERATION", "EMBEDDING", "SPAN", "AGENT"])),
        min_size=1,
        max_size=9,
    )
)
def test_only_leaves_count(tmp_path: Path, tree: list[tuple[int, str]]) -> None:
    rows, parents = [], {}
    for number, (above, kind) in enumerate(tree, 1):
        parents[number] = min(above, number - 1)
        parent = f"g{parents[number]}" if parents[number] else None
        made = generation if kind in ("GENERATION", "EMBEDDING") else span
        row = made(number, parentObservationId=parent)
        rows.append({**row, "type": kind})
    covered: set[int] = set()
    for number, (_, kind) in enumerate(tree, 1):
        above = parents[number]
        while above and kind in ("GENERATION", "EMBEDDING"):
            covered.add(above)
            above = parents[above]
    expected = {
        f"langfuse:t1:g{number}"
        for number, (_, kind) in enumerate(tree, 1)
        if kind in ("GENERATION", "EMBEDDING") and number not in covered
    }
    found, _, _ = read_rows(tmp_path, {"trace": TRACE, "observations": rows})
    assert {entry.call.key for entry in found} == expected


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()})
    return out.getvalue()


def test_every_container_gives_the_same_calls(tmp_path: Path) -> None:
    rows = [generation(n) for n in (1, 2, 3)]
    plain, _, _ = read_rows(tmp_path, rows)
    assert [entry.call.key for entry in plain] == [f"langfuse:t1:g{n}" for n in (1, 2, 3)]
    texts = {
        "lines": "\n".join(map(json.dumps, rows)),
        "pretty": json.dumps(rows, indent=2),
        "page": json.dumps({"data": rows, "meta": {"page": 1}}),
        "blob": "\n".join(json.dumps(snake(row)) for row in rows),
        "csv": as_csv(rows),
        "csv_snake": as_csv([snake(row) for row in rows]),
        "late": json.dumps(rows[::-1]),
        "texts": json.dumps(
            [
                {**row, "input": json.dumps(row["input"]), "output": json.dumps(row["output"])}
                for row in rows
            ]
        ),
    }
    for name, text in texts.items():
        path = tmp_path / f"{name}.txt"
        path.write_text(text)
        found, rest, skips = read(path)
        assert [entry.call for entry in found] == [entry.call for entry in plain], name
        assert [entry.attempts for entry in found] == [entry.attempts for entry in plain], name
        assert [entry.answer for entry in found] == [entry.answer for entry in plain], name
        assert not rest, name
        assert not skips, name


@pytest.mark.parametrize("indent", [None, 1])
def test_documents_larger_than_the_head(tmp_path: Path, indent: int | None) -> None:
    rows = [generation(n % 60, id=f"g{n}", traceId=f"t{n}") for n in range(700)]
    for held in (rows, {"data": rows}):
        path = tmp_path / "x.json"
        path.write_text(json.dumps(held, indent=indent))
        assert not Source(path).head.complete
        assert len(read(path)[0]) == 700


def test_a_trace_in_full(tmp_path: Path) -> None:
    scores = [
        {"name": "success", "value": 1},
        {"name": "reward", "value": 0.5},
        {"name": "x", "value": 2},
    ]
    whole = {
        "trace": TRACE,
        "observations": [span(1), generation(2, promptName="p", promptVersion=4)],
    }
    for shape in (whole | {"scores": scores}, {**TRACE, **whole, "scores": scores}):
        (entry,), (fact,), skips = read_rows(tmp_path, shape)
        attempt, tags = entry.attempts[0], entry.call.tags
        assert (attempt.first_byte_ms, attempt.total_ms, attempt.status) == (250, 900, 200)
        assert attempt.recorded_cost_nano == 13_200
        assert attempt.usage is not None
        assert (attempt.usage.input, attempt.usage.output) == (40, 12)
        assert (tags.session, tags.user, tags.environment) == ("s-1", "u-1", "production")
        assert (tags.tenant, tags.route, tags.workflow) == ("acme", "refunds", "support")
        assert tags.prompt_version == "p:4"
        assert tags.other["release"] == "r9"
        assert tags.other["attempt_of"] == "3"
        assert entry.call.limits.max_tokens == 300
        assert [block.kind.value for block in entry.call.blocks or ()] == ["system", "user"]
        assert entry.answer is not None
        assert len(entry.answer.blocks) == 1
        assert isinstance(fact, SessionFact)
        assert (fact.session, fact.success, fact.score) == ("s-1", True, 0.5)
        assert not skips


@pytest.mark.parametrize(
    ("given_input", "kinds"),
    [
        ("What now?", ["user"]),
        (
            {"messages": [{"role": "user", "content": "a"}], "tools": [{"name": "t"}]},
            ["tools", "user"],
        ),
        ({"contents": [{"role": "user", "parts": [{"text": "a"}]}]}, ["user"]),
        ({"prompt": "a"}, ["user"]),
        ({"args": ["a"]}, ["user"]),
        ([{"role": "user", "parts": [{"type": "text", "content": "a"}]}], ["user"]),
        (
            [
                {"role": "user", "content": "a"},
                {"role": "tool", "content": {"type": "function", "function": {"name": "t"}}},
            ],
            ["tools", "user"],
        ),
        ("[HumanMessage(content='a')]", None),
        ({"messages": ["role='user' content='a' name=None"]}, None),
        ({"x": 1}, None),
        (None, None),
    ],
)
def test_input_shapes(tmp_path: Path, given_input: Any, kinds: list[str] | None) -> None:
    (entry,), _, _ = read_rows(tmp_path, [generation(1, input=given_input)])
    blocks = entry.call.blocks
    assert (None if blocks is None else [block.kind.value for block in blocks]) == kinds


def test_failed_and_empty_generations(tmp_path: Path) -> None:
    nothing = {"usageDetails": {}, "costDetails": {}, "totalCost": 0, "input": None, "output": None}
    failed = generation(1, **nothing, level="ERROR", statusMessage="RateLimitError: slow down")
    found, _, skips = read_rows(tmp_path, [failed, generation(2, **nothing), generation(3)])
    assert [entry.attempts[0].status for entry in found] == [429, 200]
    assert found[0].attempts[0].usage is None
    assert found[0].attempts[0].recorded_cost_nano is None
    assert found[0].answer is not None
    assert found[0].answer.status == "failed"
    assert [skip.reason for skip in skips] == ["generation g2 has neither counts nor content"]


def test_older_counts_are_read(tmp_path: Path) -> None:
    rows = [
        generation(1, usageDetails=None, usage={"input": 5, "output": 6, "unit": "TOKENS"}),
        generation(2, usageDetails={}, promptTokens=5, completionTokens=6, totalTokens=11),
        generation(
            3, usageDetails={"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
        ),
    ]
    for entry in read_rows(tmp_path, rows)[0]:
        usage = entry.attempts[0].usage
        assert usage is not None
        assert (usage.input, usage.output) == (5, 6)


def test_a_logged_response_is_compared(tmp_path: Path) -> None:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini",
        "service_tier": "flex",
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
        "usage": {
            "prompt_tokens": 40,
            "completion_tokens": 12,
            "total_tokens": 52,
            "prompt_tokens_details": {"cached_tokens": 30},
        },
    }
    (entry,), rest, _ = read_rows(tmp_path, [generation(1, output=body)])
    usage = entry.attempts[0].usage
    assert usage is not None
    assert (usage.input, usage.cache_read) == (10, 30)
    assert entry.attempts[0].price_class == "flex"
    assert not rest
    body["usage"] = {"prompt_tokens": 900, "completion_tokens": 12, "total_tokens": 912}
    (entry,), (flag,), _ = read_rows(tmp_path, [generation(1, output=body)])
    assert isinstance(flag, Flag)
    assert flag.kind == "contradiction"
    usage = entry.attempts[0].usage
    assert usage is not None
    assert usage.input == 40


def test_bad_counts_are_flagged(tmp_path: Path) -> None:
    rows = [generation(1, usageDetails={"input": -7, "output": 1}), generation(2)]
    found, (flag,), _ = read_rows(tmp_path, rows)
    assert [entry.attempts[0].usage is None for entry in found] == [True, False]
    assert flag.kind == "usage_suspect"
    assert flag.where.endswith("x.json:1")


def test_damage_loses_only_itself(tmp_path: Path) -> None:
    good = [json.dumps(generation(n)) for n in (1, 2)]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join([good[0], good[1][:50], '{"a": 1}', "\x00", "words", good[1]]))
    found, _, skips = read(path)
    assert len(found) == 2
    assert [skip.line for skip in skips] == [2, 3, 4, 5]


@QUICK
@given(at=st.integers(0, 2_000), noise=st.binary(max_size=20), cut=st.integers(0, 2_000))
def test_no_damage_raises(tmp_path: Path, at: int, noise: bytes, cut: int) -> None:
    rows = [generation(n) for n in (1, 2)]
    for text in (json.dumps({"trace": TRACE, "observations": rows}, indent=1), as_csv(rows)):
        raw = text.encode()
        path = tmp_path / "x"
        path.write_bytes((raw[:at] + noise + raw[at:])[: max(1, len(raw) - cut)])
        source = Source(path)
        langfuse.recognises(source.head)
        list(langfuse.read(source))


def leaf_generations(document: dict[str, Any]) -> set[str]:
    """An own count: generations that no other generation stands below, if they hold anything."""
    rows = {row["id"]: row for row in document["observations"]}
    models = {key for key, row in rows.items() if row["type"] in ("GENERATION", "EMBEDDING")}
    above: set[str] = set()
    for key in models:
        parent = rows[key]["parentObservationId"]
        while parent in rows:
            above.add(parent)
            parent = rows[parent]["parentObservationId"]
    shown = {key for key in models if rows[key]["input"] or rows[key]["output"]}
    return (models - above) & (shown | {key for key in models if rows[key]["usageDetails"]})


def test_real_traces(shared_data: Callable[[str], Path]) -> None:
    files = sorted(shared_data("langfuse_framework_traces").glob("worker/**/*.trace.json"))
    assert len(files) == 20
    calls = contradictions = 0
    for file in files:
        document = json.loads(file.read_text())
        rows = {row["id"]: row for row in document["observations"]}
        expected = leaf_generations(document)
        found, rest, _ = read(file)
        assert {entry.call.key.rpartition(":")[2] for entry in found} == expected, file.name
        for entry in found:
            row = rows[entry.call.key.rpartition(":")[2]]
            usage = entry.attempts[0].usage
            details = row["usageDetails"]
            assert usage is not None
            said = details["total"]
            if not any(isinstance(item, Flag) for item in rest):
                assert usage.prompt + usage.answer == said, file.name
            assert entry.attempts[0].total_ms is not None
            if row["totalCost"]:
                assert entry.attempts[0].recorded_cost_nano == round(row["totalCost"] * 10**9)
        calls += len(found)
        contradictions += sum(isinstance(item, Flag) for item in rest)
    assert calls == 37
    assert contradictions == 1, (
        "one trace has a total that leaves hidden reasoning out of its parts"
    )


def test_seeder_traces_are_read_too(shared_data: Callable[[str], Path]) -> None:
    files = sorted(
        shared_data("langfuse_framework_traces").glob("packages/**/framework-traces/*.json")
    )
    assert files
    for file in files:
        found, _, _ = read(file)
        assert found, file.name
