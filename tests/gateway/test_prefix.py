"""Prefix safety: what a provider's prompt cache finds is the same with Bursar in front as without.

An agent's growing transcript is sent to a simulator that caches by each provider's own rules, once
directly and once through the gateway; the invoices tell what was read from the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bursar.simulator.invoice import Line
from tests.gateway.rig import Rig, running

STEPS = 12
SYSTEM = "You are an agent of a parcel service. " * 400
MARK = {"cache_control": {"type": "ephemeral"}}
POINT = {"cachePoint": {"type": "default"}}
BEDROCK = "/model/us.anthropic.claude-sonnet-4-6/converse"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("prefix")) as one:
        yield one


def _chat(step: int) -> dict[str, Any]:
    turns = [{"role": "system", "content": SYSTEM}]
    for n in range(step + 1):
        turns.append({"role": "user", "content": f"Step {n}: where is parcel {n}? " * 30})
        if n < step:
            turns.append({"role": "assistant", "content": f"Parcel {n} is in hall {n}. " * 20})
    return {"model": "gpt-4o-mini", "messages": turns, "stream": step % 2 == 1}


def _message(step: int) -> dict[str, Any]:
    turns = [dict(one) for one in _chat(step)["messages"][1:]]
    turns[-1] = {"role": "user", "content": [{"type": "text", "text": turns[-1]["content"]} | MARK]}
    system = [{"type": "text", "text": SYSTEM} | MARK]
    asked = {"model": "claude-sonnet-4-6", "max_tokens": 200, "stream": step % 2 == 1}
    return {**asked, "system": system, "messages": turns}


def _converse(step: int) -> dict[str, Any]:
    turns = [
        {"role": one["role"], "content": [{"text": one["content"]}]}
        for one in _chat(step)["messages"][1:]
    ]
    turns[-1]["content"].append(POINT)
    return {"system": [{"text": SYSTEM}, POINT], "messages": turns}


ASKED = {
    "openai chat": ("/v1/chat/completions", _chat),
    "anthropic messages": ("/v1/messages", _message),
    "bedrock converse": (BEDROCK, _converse),
}


def _read_share(lines: list[Line]) -> float:
    """Prompt tokens that came from the cache, of all."""
    used = [line.usage for line in lines if line.usage is not None]
    assert len(used) == STEPS
    return sum(one.cache_read for one in used) / sum(one.prompt for one in used)


@pytest.mark.parametrize("name", ASKED)
def test_the_provider_finds_as_much_in_its_cache(rig: Rig, name: str) -> None:
    path, body = ASKED[name]
    before = len(rig.sim.invoice.lines), len(rig.twin.invoice.lines)
    for step in range(STEPS):
        rig.direct(path, body(step))
        assert rig.post(path, body(step)).status == 200
    through = _read_share(list(rig.sim.invoice.lines)[before[0] :])
    directly = _read_share(list(rig.twin.invoice.lines)[before[1] :])
    assert directly > 0.5
    assert abs(through - directly) < 0.01
