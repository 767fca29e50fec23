"""Levers at the gateway: the provider's invoice tells what they saved, the ledger what they did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.simulator.invoice import Line
from bursar.simulator.server import Simulator
from tests.gateway.rig import Answered, Rig, running, settings_for, until

STEPS = 12
SYSTEM = "You are an agent of a parcel service. " * 600
BEDROCK = "/model/us.anthropic.claude-sonnet-4-6/converse"
INVOKE = "/model/us.anthropic.claude-sonnet-4-6/invoke"


RULES = [
    {"to": "claude-haiku-4-5", "prompt_below": 400, "words": ["short"]},
    {"to": "over-here", "words": ["elsewhere"]},
    {"to": "gpt-nowhere", "words": ["forbidden"]},
]
LEAN = {"lean_context": {"result_tokens": 100}}
EASY = {"model_route": {"rules": RULES}}


def _settings(sim: Simulator) -> dict[str, Any]:
    return settings_for(
        sim,
        levers={"prompt_cache": {}, "no_progress": {}},
        routes=[
            {"name": "plain", "when": {"tags": {"task_type": "plain"}}, "levers": {}},
            {
                "name": "bounded",
                "when": {"tags": {"task_type": "bounded"}},
                "levers": {"effort": {"most": "low"}, "max_tokens": {"least_answers": 5}},
            },
            {"name": "easy", "when": {"tags": {"task_type": "easy"}}, "levers": EASY},
            {"name": "lean", "when": {"tags": {"task_type": "lean"}}, "levers": LEAN},
        ],
    )


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("levers"), _settings) as one:
        yield one


def _turns(step: int) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for n in range(step + 1):
        turns.append({"role": "user", "content": f"Step {n}: where is parcel {n}? " * 30})
        if n < step:
            turns.append({"role": "assistant", "content": f"Parcel {n} is in hall {n}. " * 20})
    return turns


def _message(step: int) -> dict[str, Any]:
    asked = {"model": "claude-sonnet-4-6", "max_tokens": 200, "stream": step % 2 == 1}
    return {**asked, "system": SYSTEM, "messages": _turns(step)}


def _invoke(step: int) -> dict[str, Any]:
    version = {"anthropic_version": "bedrock-2023-05-31"}
    return {**version, "max_tokens": 200, "system": SYSTEM, "messages": _turns(step)}


def _converse(step: int) -> dict[str, Any]:
    turns = [{**one, "content": [{"text": one["content"]}]} for one in _turns(step)]
    return {"system": [{"text": SYSTEM}], "messages": turns}


ASKED = {
    "anthropic messages": ("/v1/messages", _message),
    "bedrock converse": (BEDROCK, _converse),
    "bedrock invoke": (INVOKE, _invoke),
}


def _cost(lines: list[Line]) -> int:
    assert len(lines) == STEPS
    return sum(line.cost_nano or 0 for line in lines)


@pytest.mark.parametrize("name", ASKED)
def test_marks_save_on_the_invoice(rig: Rig, name: str) -> None:
    path, body = ASKED[name]
    before = len(rig.sim.invoice.lines), len(rig.twin.invoice.lines)
    for step in range(STEPS):
        rig.direct(path, body(step))
        assert rig.post(path, body(step)).status == 200
    with_marks = _cost(list(rig.sim.invoice.lines)[before[0] :])
    without = _cost(list(rig.twin.invoice.lines)[before[1] :])
    assert with_marks < without * 0.45
    rows = rig.attempts(len(rig.paid()))
    assert sum(row["cost_nano"] for row in rows.values()) == sum(
        line.cost_nano or 0 for line in rig.paid()
    )


def _said(rig: Rig, answered: Answered) -> list[dict[str, Any]]:
    """What the ledger keeps of the levers of a call."""
    call = answered.header("x-bursar-call-id")
    sql = f"SELECT lever, verdict, why, tokens_after FROM decisions WHERE call_id = {call}"
    rig.attempts(len(rig.paid()))
    return rig.rows(sql)


def test_the_ledger_says_what_the_lever_did(rig: Rig) -> None:
    (said,) = _said(rig, rig.post("/v1/messages", _message(3)))
    assert (said["lever"], said["verdict"]) == ("prompt_cache", "rewrote")
    assert "system" in said["why"]


def test_a_route_may_have_none(rig: Rig) -> None:
    headers = {"x-bursar-task-type": "plain"}
    assert _said(rig, rig.post("/v1/messages", _message(3), headers)) == []


def test_circles_are_refused_and_cost_nothing(rig: Rig) -> None:
    turns: list[dict[str, Any]] = [{"role": "user", "content": "find it"}]
    for n in range(3):
        use = {"type": "tool_use", "id": f"c{n}", "name": "look", "input": {"q": "it"}}
        back = {"type": "tool_result", "tool_use_id": f"c{n}", "content": "nothing"}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [back]}]
    before = len(rig.sim.invoice.lines)
    answered = rig.post("/v1/messages", {**_message(0), "messages": turns})
    assert answered.status == 422
    assert answered.header("x-should-retry") == "false"
    assert answered.json()["error"]["type"] != "api_error"
    assert "no progress" in answered.json()["error"]["message"]
    assert len(rig.sim.invoice.lines) == before


def test_effort_and_bounds_reach_the_provider(rig: Rig) -> None:
    headers = {"x-bursar-task-type": "bounded"}
    body = {"model": "gpt-5.5", "messages": _turns(0), "reasoning_effort": "high"}
    answers = [rig.post("/v1/chat/completions", body, headers) for _ in range(6)]
    assert {one.status for one in answers} == {200}
    said = {one["lever"]: one for one in _said(rig, answers[-1])}
    assert said["effort"]["why"] == "high -> low"
    assert said["max_tokens"]["tokens_after"] >= 256


def _explained(rig: Rig, call: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bursar", "explain", call, *more]
    environ = {**os.environ, "BURSAR_HOME": str(rig.home)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_explain_tells_what_each_lever_did(rig: Rig) -> None:
    answered = rig.post("/v1/messages", _message(3))
    rig.attempts(len(rig.paid()))
    call = answered.header("x-bursar-call-id") or ""
    said = _explained(rig, call)
    assert said.returncode == 0, said.stderr
    assert "prompt_cache" in said.stdout
    assert "marks: system" in said.stdout
    told = json.loads(_explained(rig, call, "--json").stdout)
    line = rig.paid()[-1]
    assert told["cost_usd"] is not None
    assert round(float(told["cost_usd"]) * 1e9) == line.cost_nano
    by_request = json.loads(_explained(rig, line.request_id, "--json").stdout)
    assert by_request == told


def test_explain_of_no_call(rig: Rig) -> None:
    for call in ("1", "req_unknown", "9" * 30, "-5"):
        said = _explained(rig, "--", call) if call.startswith("-") else _explained(rig, call)
        assert said.returncode == 2
        assert "there is no call" in said.stderr


@pytest.mark.parametrize(
    ("words", "model", "said"),
    [
        ("a short question", "claude-haiku-4-5", "rule 1: claude-sonnet-4-6 -> claude-haiku-4-5"),
        ("go elsewhere", "gpt-4o-mini", "rule 2: claude-sonnet-4-6 -> over-here"),
        ("nothing of it", "claude-sonnet-4-6", "no rule fits"),
    ],
)
def test_easy_calls_go_to_another_model(rig: Rig, words: str, model: str, said: str) -> None:
    """The second crosses from the Anthropic dialect to OpenAI's."""
    turns = [{"role": "user", "content": words}]
    body = {"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": turns}
    answered = rig.post("/v1/messages", body, {"x-bursar-task-type": "easy"})
    assert answered.status == 200
    assert answered.json()["role"] == "assistant"
    assert rig.paid()[-1].model.startswith(model)
    found = {one["lever"]: one["why"] for one in _said(rig, answered)}
    assert found["model_route"] == said


def test_a_model_that_is_refused_leaves_the_call_as_it_was(tmp_path: Path) -> None:
    def settings(sim: Simulator) -> dict[str, Any]:
        made = _settings(sim)
        made["keys"]["tests"]["models"] = ["claude-*"]
        return made

    with running(tmp_path, settings) as rig:
        turns = [{"role": "user", "content": "this is forbidden"}]
        body = {"model": "claude-sonnet-4-6", "max_tokens": 50, "messages": turns}
        answered = rig.post("/v1/messages", body, {"x-bursar-task-type": "easy"})
        assert answered.status == 200
        assert rig.paid()[-1].model.startswith("claude-sonnet-4-6")
        assert any("cannot be asked here" in one["why"] for one in _said(rig, answered))


def test_metrics_count_what_levers_did(rig: Rig) -> None:
    rig.post("/v1/messages", _message(3))

    def counted() -> bool:
        page = rig.get("/metrics").body.decode()
        labels = 'lever="prompt_cache",rule="default",verdict="rewrote"'
        return f"bursar_lever_decisions_total{{{labels}}}" in page

    until(counted, rig.log)


def _agent(step: int) -> dict[str, Any]:
    """An agent whose tools answer at length."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": "Find all parcels of Mr X."}]
    for n in range(step):
        use = {"type": "tool_use", "id": f"c{n}", "name": "look", "input": {"hall": n}}
        found = f"hall {n}: " + f"parcel {n} is on shelf {n}. " * 400
        back = {"type": "tool_result", "tool_use_id": f"c{n}", "content": found}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [back]}]
    asked = {"model": "claude-sonnet-4-6", "max_tokens": 200}
    return {**asked, "system": "You look for parcels.", "messages": turns}


def test_a_long_conversation_is_shortened_where_it_pays(rig: Rig) -> None:
    """The invoice is smaller, and what is sent is what its Decision says."""
    headers = {"x-bursar-task-type": "lean", "x-bursar-session": "lean-1"}
    before = len(rig.sim.invoice.lines), len(rig.twin.invoice.lines)
    steps = 30
    for step in range(1, steps):
        rig.direct("/v1/messages", _agent(step))
        assert rig.post("/v1/messages", _agent(step), headers).status == 200
    rig.direct("/v1/messages", _agent(steps))
    answered = rig.post("/v1/messages", _agent(steps), headers)
    ours = sum(line.cost_nano or 0 for line in list(rig.sim.invoice.lines)[before[0] :])
    without = sum(line.cost_nano or 0 for line in list(rig.twin.invoice.lines)[before[1] :])
    assert ours < without * 0.5
    (said,) = _said(rig, answered)
    assert said["verdict"] == "rewrote"
    line = rig.paid()[-1]
    assert line.usage is not None
    assert line.usage.prompt == pytest.approx(said["tokens_after"], rel=0.25)


def test_a_refused_call_stands_in_the_ledger(rig: Rig) -> None:
    """Nothing was sent for it, and it says why."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": "seek"}]
    for n in range(3):
        use = {"type": "tool_use", "id": f"c{n}", "name": "look", "input": {"q": "me"}}
        back = {"type": "tool_result", "tool_use_id": f"c{n}", "content": "nobody"}
        turns += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [back]}]
    assert rig.post("/v1/messages", {**_message(0), "messages": turns}).status == 422
    sql = "SELECT call_id FROM decisions WHERE verdict = 'refused' ORDER BY call_id DESC LIMIT 1"
    (row,) = until(lambda: rig.rows(sql), rig.log)
    told = json.loads(_explained(rig, str(row["call_id"]), "--json").stdout)
    assert told["attempts"] == []
    assert told["decisions"][0]["lever"] == "no_progress"
