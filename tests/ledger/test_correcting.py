"""A call that was read while its answer was still being written."""

from __future__ import annotations

import json
from pathlib import Path

from bursar.ledger.engines.duck import Duck
from trials import ledger, take_in

HEAD = {"session": "s", "provider": "anthropic", "model": "claude-sonnet-4-6"}


def line(output: int, uses: int, file: Path) -> Path:
    content = [{"type": "text", "text": "on it"}] + [
        {"type": "tool_use", "id": f"t{n}", "name": f"tool{n}", "input": {}} for n in range(uses)
    ]
    body = {
        "kind": "call",
        "id": "c1",
        "at": "2026-11-01T10:00:00Z",
        **HEAD,
        "messages": [
            {"role": "user", "content": "please look into the order"},
            {"role": "assistant", "content": content},
        ],
        "usage": {"input": 1000, "output": output},
    }
    file.write_text(json.dumps(body) + "\n")
    return file


def sums(duck: Duck) -> tuple[object, ...]:
    return duck.rows(
        "SELECT (SELECT sum(cost_nano) FROM attempts), (SELECT count(*) FROM attempts),"
        " (SELECT sum(fresh_nano + carried_nano) FROM parts),"
        " (SELECT sum(tokens) FROM parts WHERE kind = 'output'),"
        " (SELECT count(*) FROM tool_uses)"
    )[0]


def test_the_larger_answer_is_the_true_one(tmp_path: Path) -> None:
    duck = ledger(line(5, 0, tmp_path / "early.jsonl"))
    assert sums(duck)[:2] == (1000 * 3_000 + 5 * 15_000, 1)
    take_in(duck, line(400, 2, tmp_path / "later.jsonl"))
    cost = 1000 * 3_000 + 400 * 15_000
    assert sums(duck) == (cost, 1, cost, 400, 2)
    kept = duck.rows("SELECT row FROM superseded")
    assert len(kept) == 1
    assert json.loads(str(kept[0][0]))["output_tokens"] == 5


def test_a_smaller_answer_or_another_prompt_changes_nothing(tmp_path: Path) -> None:
    duck = ledger(line(400, 2, tmp_path / "whole.jsonl"))
    before = sums(duck)
    take_in(duck, line(5, 0, tmp_path / "early.jsonl"))
    other = line(900, 2, tmp_path / "other.jsonl")
    other.write_text(other.read_text().replace("1000", "2000"))
    take_in(duck, other)
    assert sums(duck) == before
    assert duck.rows("SELECT count(*) FROM superseded") == [(0,)]


def test_a_corrected_call_is_the_call_read_whole(tmp_path: Path) -> None:
    whole = ledger(line(400, 2, tmp_path / "whole.jsonl"))
    corrected = ledger(line(5, 0, tmp_path / "early.jsonl"))
    take_in(corrected, line(400, 2, tmp_path / "later.jsonl"))
    assert sums(corrected) == sums(whole)
    for table in ("blocks", "parts"):
        query = f"SELECT * FROM {table} ORDER BY ALL"
        assert corrected.rows(query) == whole.rows(query)
