"""The response cache at the gateway: what is the same is answered from memory, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from bursar.gateway.settings.keys import new_key
from bursar.simulator.server import Simulator
from tests.gateway.rig import KEY, Answered, Rig, running, settings_for, until

OTHER, OTHER_DIGEST = new_key("other")
SAME, SAME_DIGEST = new_key("same")
AS_OTHER = {"authorization": f"Bearer {OTHER}"}
AS_SAME = {"authorization": f"Bearer {SAME}"}
HIT = "x-bursar-cache"


def _settings(sim: Simulator) -> dict[str, Any]:
    made = settings_for(sim, levers={"response_cache": {"version_tag": None}})
    made["keys"]["other"] = {"sha256": OTHER_DIGEST, "tenant": "globex"}
    made["keys"]["same"] = {"sha256": SAME_DIGEST, "tenant": "acme"}
    made["routes"] = [
        {
            "name": "short",
            "when": {"tags": {"task_type": "short"}},
            "levers": {"response_cache": {"ttl_s": 1}},
        },
        {"name": "none", "when": {"tags": {"task_type": "none"}}, "levers": {}},
    ]
    return made


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("recall"), _settings) as one:
        yield one


def _chat(rig: Rig, text: str, headers: Any = None, **more: Any) -> Answered:
    return rig.chat(text, headers, **{"temperature": 0, **more})


def _paid(rig: Rig) -> int:
    return len(rig.paid())


def _explained(rig: Rig, answered: Answered) -> dict[str, Any]:
    call = answered.header("x-bursar-call-id") or ""
    command = [sys.executable, "-m", "bursar", "explain", call, "--json"]
    environ = {**os.environ, "BURSAR_HOME": str(rig.home)}

    def told() -> dict[str, Any] | None:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    return until(told, rig.log)


def test_the_same_call_is_paid_once(rig: Rig) -> None:
    """And the ledger says so: no attempt, no cost, the tokens that were not bought."""
    first = _chat(rig, "what is a parcel?")
    paid = _paid(rig)
    again = _chat(rig, "what is a parcel?")
    assert _paid(rig) == paid
    assert again.status == 200
    assert again.body == first.body
    assert again.header(HIT) == "hit"
    assert first.header(HIT) is None
    assert again.header("x-bursar-call-id") != first.header("x-bursar-call-id")
    told = _explained(rig, again)
    assert told["attempts"] == []
    assert told["cost_usd"] == "0"
    (decision,) = told["decisions"]
    usage = first.json()["usage"]
    assert (decision["verdict"], decision["tokens_after"]) == ("answered", 0)
    assert decision["tokens_before"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_30_another_tenant_is_a_miss(rig: Rig) -> None:
    """Case 30, and 31 for the key: nobody reads what another key's call brought."""
    _chat(rig, "whose is it?")
    for headers in (AS_OTHER, AS_SAME):
        paid = _paid(rig)
        assert _chat(rig, "whose is it?", headers).header(HIT) is None
        assert _paid(rig) == paid + 1
        assert _chat(rig, "whose is it?", headers).header(HIT) == "hit"


@pytest.mark.parametrize(
    "more",
    [
        {"model": "gpt-4o"},
        {"seed": 7},
        {"n": 2},
        {"stream": True},
        {"max_tokens": 4_000},
        {"user": "u1"},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"top_p": 0.5},
    ],
)
def test_31_32_another_call_is_a_miss(rig: Rig, more: dict[str, Any]) -> None:
    """Cases 31 and 32: whatever may change the answer, or its form."""
    _chat(rig, "the same words")
    assert _chat(rig, "the same words", **more).header(HIT) is None
    assert _chat(rig, "the same words", **more).header(HIT) == "hit"


def test_33_a_stream_comes_again_byte_for_byte(rig: Rig) -> None:
    """Case 33: with its usage, and at no cost."""
    wish = {"stream": True, "stream_options": {"include_usage": True}}
    first = _chat(rig, "tell me all", **wish)
    paid = _paid(rig)
    again = _chat(rig, "tell me all", **wish)
    assert again.body == first.body
    assert b'"usage":{' in again.body.replace(b" ", b"")
    assert _paid(rig) == paid
    assert _explained(rig, again)["cost_usd"] == "0"


@pytest.mark.parametrize("fault", ["filter", "cut_stream", "http_500", "rate_limit"])
def test_34_what_went_wrong_is_not_kept(rig: Rig, fault: str) -> None:
    """Case 34."""
    stream = {"stream": True} if fault == "cut_stream" else {}
    for _ in range(2):
        headers = {"x-simulate": fault}
        found = _chat(rig, f"with {fault}", headers, **stream)
        assert found.header(HIT) is None


def test_35_no_store_and_no_cache(rig: Rig) -> None:
    """Case 35: not kept, not answered; `no-cache` asks anew."""
    no_store, no_cache = {"cache-control": "no-store"}, {"cache-control": "no-cache"}
    _chat(rig, "do not keep this", no_store)
    assert _chat(rig, "do not keep this").header(HIT) is None
    assert _chat(rig, "do not keep this", no_store).header(HIT) is None
    assert _chat(rig, "do not keep this", no_cache).header(HIT) is None
    assert _chat(rig, "do not keep this").header(HIT) == "hit"


def test_36_bytes_are_the_truth(rig: Rig) -> None:
    """Case 36: the same letters, composed and not."""
    _chat(rig, "caf\u00e9")
    assert _chat(rig, "cafe\u0301").header(HIT) is None


def test_many_at_once_are_sent_once(rig: Rig) -> None:
    paid = _paid(rig)
    slow = {"x-simulate": "none; latency_ms=400"}
    with ThreadPoolExecutor(20) as crowd:
        found = list(crowd.map(lambda _: _chat(rig, "all together", slow), range(20)))
    assert {one.status for one in found} == {200}
    assert len({one.body for one in found}) == 1
    assert _paid(rig) == paid + 1


def test_an_answer_grows_old(rig: Rig) -> None:
    headers = {"x-bursar-task-type": "short"}
    assert _chat(rig, "for a second", headers).header(HIT) is None
    assert _chat(rig, "for a second", headers).header(HIT) == "hit"
    until(lambda: _chat(rig, "for a second", headers).header(HIT) is None, rig.log)


def test_a_route_may_have_none(rig: Rig) -> None:
    headers = {"x-bursar-task-type": "none"}
    assert [_chat(rig, "never kept", headers).header(HIT) for _ in range(2)] == [None, None]


def test_real_clients_do_not_notice(rig: Rig) -> None:
    with openai.OpenAI(base_url=rig.openai_url, api_key=KEY, max_retries=0) as client:
        turns: Any = [{"role": "user", "content": "from a client"}]
        asked: Any = {"model": "gpt-4o-mini", "messages": turns, "temperature": 0}
        first, again = (client.chat.completions.create(**asked) for _ in range(2))
        assert first == again
        chunks = [
            [one.model_dump() for one in client.chat.completions.create(**asked, stream=True)]
            for _ in range(2)
        ]
        assert chunks[0] == chunks[1]
    with anthropic.Anthropic(base_url=rig.url, api_key=KEY, max_retries=0) as client:
        asked = {"model": "claude-sonnet-4-6", "max_tokens": 4_000, "messages": turns}
        asked["extra_body"] = {"temperature": 0}
        paid = _paid(rig)
        texts: list[str] = []
        for _ in range(2):
            with client.messages.stream(**asked) as stream:
                texts.append(stream.get_final_text())
        assert texts[0] == texts[1]
        assert _paid(rig) == paid + 1
