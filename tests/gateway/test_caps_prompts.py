"""What a prompt holds in the running gateway: less, once the provider has counted it."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from bursar.simulator.saying import WORDS
from bursar.simulator.server import Simulator
from tests.gateway.rig import (
    BEARER,
    HOST,
    JSON_TYPE,
    PATIENCE_S,
    Rig,
    message_body,
    running,
    settings_for,
    until,
)

SESSION_NANO, PAIR_NANO = 8_000_000, 200_000_000
BYTES = 40_000
"""Of a prompt: at most so many tokens, and about a fifth of that in truth."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    day: dict[str, Any] = {"every": "day", "each": "user"}

    def capped(sim: Simulator) -> dict[str, Any]:
        steps = {"limit": "$0.008", "where": {"tags": {"team": "steps"}}, **day}
        pair = {"limit": "$0.2", "where": {"tags": {"team": "pair"}}, **day}
        return settings_for(sim, budgets={"steps": steps, "pair": pair})

    with running(tmp_path_factory.mktemp("prompts"), capped, when_gone="generated") as one:
        yield one


def prose(seed: str) -> str:
    words = random.Random(seed).choices(WORDS, k=BYTES // 4)
    return " ".join(words)[:BYTES]


def steps(rig: Rig, user: str, *, fresh: bool) -> list[int]:
    """A session of eight steps, each with all that was said before; `fresh`: with other words."""
    statuses: list[int] = []
    history: list[dict[str, str]] = [{"role": "user", "content": prose(user)}]
    for n in range(8):
        if fresh:
            history[0] = {"role": "user", "content": prose(f"{user} {n}")}
        answer = rig.post(
            "/v1/chat/completions",
            {"model": "gpt-4o-mini", "messages": history, "max_tokens": 60},
            {"x-bursar-team": "steps", "x-bursar-user": user},
        )
        statuses.append(answer.status)
        if answer.status != 200:
            break
        said = answer.json()["choices"][0]["message"]["content"]
        history += [
            {"role": "assistant", "content": said},
            {"role": "user", "content": f"and then {n}?"},
        ]
    return statuses


def test_a_session_goes_on_where_the_bytes_of_its_prompt_would_not_fit(rig: Rig) -> None:
    alone = steps(rig, "always-new", fresh=True)
    along = steps(rig, "goes-on", fresh=False)
    assert alone.count(200) <= 2
    assert along.count(200) >= alone.count(200) + 2
    billed = sum(line.cost_nano or 0 for line in rig.paid())
    assert 0 < billed <= 2 * SESSION_NANO


def test_a_stream_that_tells_its_prompt_frees_the_rest_at_once(rig: Rig) -> None:
    """Two prompts that nobody has seen; by their bytes they would not fit beside each other."""
    before = len(rig.paid())
    headers = {"x-bursar-team": "pair", "x-bursar-user": "two"}
    slow = {**headers, "x-simulate": "none; output_tokens=200; event_ms=100"}
    body = json.dumps(message_body(prose("first"), stream=True, max_tokens=300))
    first = http.client.HTTPConnection(HOST, rig.port, timeout=PATIENCE_S)
    first.request("POST", "/v1/messages", body, {**BEARER, **JSON_TYPE, **slow})
    with first.getresponse() as stream:
        assert stream.status == 200
        second = message_body(prose("second"), max_tokens=300)
        until(lambda: rig.post("/v1/messages", second, headers).status == 200, rig.log)
        lines = len(rig.paid()) - before
        said = stream.read()
    first.close()
    assert b"message_stop" in said
    assert lines == 1, "the first one had ended"
    assert sum(line.cost_nano or 0 for line in rig.paid()[before:]) <= PAIR_NANO
