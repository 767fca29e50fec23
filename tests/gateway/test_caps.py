"""Caps in the running gateway: they hold under a burst, and each client raises its proper error."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bursar.simulator.server import Simulator
from tests.gateway.rig import KEY, Rig, converse_body, message_body, running, settings_for, until

openai = pytest.importorskip("openai", reason="openai is not installed")
anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed")
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
config = pytest.importorskip("botocore.config", reason="botocore is not installed")
exceptions = pytest.importorskip("botocore.exceptions", reason="botocore is not installed")

CAPS: dict[str, Any] = {
    "budgets": {
        "people": {"limit": "$0.01", "every": "day", "each": "user", "unknown": "pass"},
        "strangers": {"limit": "$0.01", "every": "day", "where": {"tags": {"team": "strangers"}}}
        | {"each": "user"},
        "thrice": {"limit": "3 calls", "every": "day", "where": {"tags": {"team": "thrice"}}},
        "counted": {"limit": "3 calls", "every": "day", "where": {"tags": {"team": "counted"}}},
        "words": {"limit": "4k tokens", "every": "24h", "where": {"tags": {"team": "words"}}},
    },
    "tasks": {
        "steps": {"steps": 3, "where": {"tags": {"team": "steps"}}},
    },
    "rates": {"slow": {"limit": "2 calls/s", "each": "user", "where": {"tags": {"team": "slow"}}}},
    "concurrency": {
        "few": {"limit": 2, "where": {"tags": {"team": "few"}}, "wait": "10s"},
        "one": {"limit": 1, "where": {"tags": {"team": "one"}}},
    },
}
LIMIT_NANO = 10_000_000
OURS = ("budget_exceeded", "rate_exceeded", "concurrency_exceeded")


def _settings(sim: Simulator) -> dict[str, Any]:
    return settings_for(sim, **CAPS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("caps"), _settings) as one:
        yield one


def _as(team: str, user: str = "", **more: str) -> dict[str, str]:
    named = {"x-bursar-team": team, **more}
    return {**named, "x-bursar-user": user} if user else named


def _burst(rig: Rig, calls: int, headers: dict[str, str], **asked: Any) -> Counter[int]:
    """So many calls at once; how many had which status."""
    found: Counter[int] = Counter()

    async def one(client: Any, number: int) -> None:
        try:
            await client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": f"{headers} {number}"}],
                extra_headers=headers,
                **asked,
            )
            found[200] += 1
        except openai.APIStatusError as bad:
            found[bad.status_code] += 1

    async def run() -> None:
        async with openai.AsyncOpenAI(
            base_url=rig.openai_url, api_key=KEY, max_retries=0, timeout=30
        ) as client:
            await asyncio.gather(*(one(client, number) for number in range(calls)))

    asyncio.run(run())
    return found


def _spent(rig: Rig, where: str) -> int:
    (row,) = rig.rows(f"SELECT coalesce(sum(cost_nano), 0) AS nano FROM attempts WHERE {where}")
    return int(row["nano"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("calls", [10, 150])
def test_a_burst_never_passes_the_limit_and_ledger_and_invoice_agree(
    rig: Rig, calls: int, stream: bool
) -> None:
    """Each costs about $0.0006 and could cost $0.0096."""
    user = f"burst-{calls}-{stream}"
    before = len(rig.paid())
    headers = _as("any", user, **{"x-simulate": "none; output_tokens=1000"})
    if stream:
        done = [
            rig.chat(f"{user} {n}", headers, stream=True, max_tokens=16_000).status
            for n in range(min(calls, 30))
        ]
        assert set(done) <= {200, 402}
    else:
        found = _burst(rig, calls, headers, max_tokens=16_000)
        assert set(found) <= {200, 402}
        assert found[200] >= 1
    billed = sum(line.cost_nano or 0 for line in rig.paid()[before:])
    assert 0 < billed <= LIMIT_NANO
    assert until(lambda: _spent(rig, f"user_id = '{user}'") == billed, rig.log)


def test_people_without_a_name_share_one_account(rig: Rig) -> None:
    headers = _as("strangers", **{"x-simulate": "none; output_tokens=4000"})
    found = _burst(rig, 40, headers, max_tokens=4_000)
    assert found[402] > 0
    assert 0 < _spent(rig, "team = 'strangers'") <= LIMIT_NANO


def test_nothing_is_held_when_all_is_over(rig: Rig) -> None:
    """Three calls fit, one after the other, and one that leaves gives its place back."""
    for number in range(3):
        assert rig.chat(f"counted {number}", _as("thrice")).status == 200
    refused = rig.chat("counted 4", _as("thrice"))
    assert refused.status == 402
    assert refused.header("x-should-retry") == "false"
    assert refused.json()["error"]["code"] == "budget_exceeded"


def test_tokens_are_counted_as_they_were_used(rig: Rig) -> None:
    headers = _as("words", **{"x-simulate": "none; output_tokens=700"})
    statuses = [rig.chat(f"words {n}", headers, max_tokens=1_000).status for n in range(8)]
    assert statuses[0] == 200
    assert statuses[-1] == 402
    (row,) = rig.rows(
        "SELECT sum(prompt_tokens + output_tokens + reasoning_tokens) AS tokens"
        " FROM attempts WHERE team = 'words'"
    )
    assert 0 < row["tokens"] <= 4_000


def test_a_task_has_so_many_steps(rig: Rig) -> None:
    for session in ("s-1", "s-2"):
        headers = _as("steps", **{"x-bursar-session": session})
        statuses = [rig.chat(f"{session} step {n}", headers).status for n in range(5)]
        assert statuses == [200, 200, 200, 402, 402]
    words = rig.chat("more", _as("steps", **{"x-bursar-session": "s-1"})).json()["error"]["message"]
    assert "tasks.steps for" in words
    assert "session s-1" in words
    assert "s-2" not in words


def test_so_many_at_once_and_the_others_wait(rig: Rig) -> None:
    headers = _as("few", **{"x-simulate": "none; latency_ms=60"})
    assert _burst(rig, 20, headers) == {200: 20}
    assert _burst(rig, 6, _as("one", **{"x-simulate": "none; latency_ms=400"})) == {200: 1, 429: 5}
    assert _burst(rig, 1, _as("one")) == {200: 1}


def test_who_leaves_gives_the_place_back(rig: Rig) -> None:
    slow = _as("one", **{"x-simulate": "none; latency_ms=3000"})

    def leave() -> None:
        with (
            openai.OpenAI(
                base_url=rig.openai_url, api_key=KEY, max_retries=0, timeout=0.6
            ) as client,
            pytest.raises(openai.APITimeoutError),
        ):
            client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "who leaves"}],
                extra_headers=slow,
            )

    one = threading.Thread(target=leave)
    one.start()
    one.join()
    assert rig.chat("at once", _as("one")).status == 429
    until(lambda: rig.chat("later", _as("one")).status == 200, rig.log)


# -- what the clients make of it


def _openai_call(rig: Rig, headers: dict[str, str], retries: int) -> None:
    with openai.OpenAI(base_url=rig.openai_url, api_key=KEY, max_retries=retries) as client:
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "hi"}], extra_headers=headers
        )


def _anthropic_call(rig: Rig, headers: dict[str, str], retries: int) -> None:
    with anthropic.Anthropic(base_url=rig.url, api_key=KEY, max_retries=retries) as client:
        client.messages.create(**message_body(), extra_headers=headers)


def _boto_call(rig: Rig, headers: dict[str, str], retries: int) -> None:
    with _bedrock(rig, headers, retries) as client:
        client.converse(modelId="us.anthropic.claude-sonnet-4-6", **converse_body())


@contextmanager
def _bedrock(rig: Rig, headers: dict[str, str], retries: int) -> Iterator[Any]:
    client = boto3.client(
        "bedrock-runtime",
        config=config.Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}),
        endpoint_url=rig.url,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key="not-needed",
    )

    def add(request: Any, **_: object) -> None:
        for name, value in headers.items():
            request.headers[name] = value

    client.meta.events.register("before-send.bedrock-runtime.*", add)
    try:
        yield client
    finally:
        client.close()


def _refusals(rig: Rig) -> float:
    lines = rig.get("/metrics").body.decode().splitlines()
    told = [line for line in lines if line.startswith("bursar_refused_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in told if any(k in line for k in OURS))


@pytest.mark.parametrize("call", [_openai_call, _anthropic_call, _boto_call])
def test_a_budget_stop_is_an_error_that_no_client_tries_again(
    rig: Rig, call: Callable[..., None]
) -> None:
    for n in range(4):
        rig.chat(f"fill {n}", _as("counted"))
    until(lambda: _refusals(rig) > 0, rig.log)
    before = _refusals(rig)
    with pytest.raises(
        (openai.APIStatusError, anthropic.APIStatusError, exceptions.ClientError)
    ) as caught:
        call(rig, _as("counted"), 3)
    bad = caught.value
    if isinstance(bad, exceptions.ClientError):
        assert bad.response["ResponseMetadata"]["HTTPStatusCode"] == 402
        assert bad.response["Error"]["Code"] == "ServiceQuotaExceededException"
    else:
        assert bad.status_code == 402
    assert "budgets.counted is used up" in str(bad)
    until(lambda: _refusals(rig) >= before + 1, rig.log)
    assert _refusals(rig) == before + 1


@pytest.mark.parametrize("call", [_openai_call, _anthropic_call, _boto_call])
def test_too_fast_is_an_error_that_clients_wait_out(rig: Rig, call: Callable[..., None]) -> None:
    headers = _as("slow", call.__name__)
    for _ in range(2):
        assert rig.chat("quick", headers).status == 200
    refused = rig.chat("too quick", headers)
    assert refused.status == 429
    assert refused.header("retry-after") == "1"
    call(rig, headers, 3)


# -- streams


def test_streams_beyond_the_limit_are_cut_and_say_why(tmp_path: Path) -> None:
    """Answers were short so far, so five streams are let in; then all of them get long."""
    limit_nano = 4_000_000

    def settings(sim: Simulator) -> dict[str, Any]:
        return settings_for(sim, budgets={"all": {"limit": "$0.004", "every": "day"}})

    with running(tmp_path, settings, when_gone="generated") as rig:
        short = {"x-simulate": "none; output_tokens=60"}
        for n in range(32):
            rig.chat(f"short {n}", short, max_tokens=8_000, stream=True)
        ends: Counter[str] = Counter()

        def stream(number: int) -> None:
            client = openai.OpenAI(base_url=rig.openai_url, api_key=KEY, max_retries=0)
            try:
                for chunk in client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": f"a long one {number}"}],
                    max_tokens=8_000,
                    stream=True,
                    extra_headers={"x-simulate": "none; output_tokens=3000; event_ms=1"},
                ):
                    if chunk.choices and chunk.choices[0].finish_reason:
                        ends[chunk.choices[0].finish_reason] += 1
            except openai.APIStatusError as bad:
                ends[str(bad.status_code)] += 1
            except openai.APIError as bad:
                ends[f"cut: {bad.code}"] += 1
            finally:
                client.close()

        many = [threading.Thread(target=stream, args=(n,)) for n in range(5)]
        for one in many:
            one.start()
        for one in many:
            one.join()
        assert ends["cut: budget_exceeded"] >= 1, ends
        spent = until(lambda: _spent(rig, "outcome = 'refused'"), rig.log)
        assert 0 < spent <= _spent(rig, "true") <= limit_nano
        assert sum(line.cost_nano or 0 for line in rig.paid()) <= limit_nano
