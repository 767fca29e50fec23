"""Anthropic's own client, unchanged but for its base URL.

Skipped, saying so, where the client is not installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from simulator.asks import BOTH_LIVES, MARKED, THINK, TOOLS_SCHEMA
from tests.gateway.rig import KEY, Rig

anthropic = pytest.importorskip("anthropic", reason="the anthropic client is not installed")

USER = [{"role": "user", "content": "Where is my parcel?"}]
ASKED = {"model": "claude-sonnet-4-6", "max_tokens": 3_000, "messages": USER}
TOOLS = [{"name": "find_order", "input_schema": TOOLS_SCHEMA}]
ALONE = {**ASKED, "messages": [{"role": "user", "content": "Asked of the gateway alone"}]}
"""The twin counts how often it saw a request: what it is not asked too must not be asked here."""
Script = Callable[[Any], Any]


def _dumped(found: Any) -> Any:
    return found.model_dump(mode="json", exclude_unset=True)


def _stream(client: Any) -> Any:
    with client.messages.stream(**ASKED, system=MARKED, **THINK) as stream:
        events = [_dumped(event) for event in stream]
        return events, _dumped(stream.get_final_message())


def _stream_of_a_tool(client: Any) -> Any:
    with client.messages.stream(**ASKED, tools=TOOLS, tool_choice={"type": "any"}) as stream:
        return _dumped(stream.get_final_message())


def _raw_stream(client: Any) -> Any:
    with client.messages.create(**ASKED, stream=True) as stream:
        return [_dumped(event) for event in stream]


def _raw(client: Any) -> Any:
    raw = client.messages.with_raw_response.create(**ASKED)
    return raw.http_response.content, raw.headers["request-id"]


SCRIPTS: dict[str, Script] = {
    "message": lambda client: _dumped(client.messages.create(**ASKED)),
    "thinking": lambda client: _dumped(client.messages.create(**ASKED, **THINK)),
    "cache marks": lambda client: _dumped(client.messages.create(**ASKED, system=BOTH_LIVES)),
    "cache hit": lambda client: _dumped(client.messages.create(**ASKED, system=BOTH_LIVES)),
    "tools": lambda client: _dumped(client.messages.create(**ASKED, tools=TOOLS)),
    "stream": _stream,
    "stream of a tool": _stream_of_a_tool,
    "stream of events": _raw_stream,
    "raw": _raw,
    "count": lambda client: _dumped(
        client.messages.count_tokens(model="claude-sonnet-4-6", messages=USER, system=MARKED)
    ),
    "models": lambda client: sorted(model.id for model in client.models.list()),
}


def _client(kind: Any, base_url: str, key: str = KEY, **more: Any) -> Any:
    return kind(base_url=base_url, api_key=key, **{"max_retries": 0, **more})


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_the_client_gets_is_what_it_gets_direct(rig: Rig, name: str) -> None:
    script = SCRIPTS[name]
    with _client(anthropic.Anthropic, rig.url) as client:
        got = script(client)
    with _client(anthropic.Anthropic, rig.twin.url) as client:
        assert got == script(client)


def test_a_bearer_token_does_as_well(rig: Rig) -> None:
    with anthropic.Anthropic(base_url=rig.url, auth_token=KEY, max_retries=0) as client:
        assert client.messages.create(**ALONE).content


def test_the_async_client(rig: Rig) -> None:
    async def script(client: Any) -> Any:
        async with client:
            plain = _dumped(await client.messages.create(**ASKED))
            async with client.messages.stream(**ASKED, **THINK) as stream:
                events = [_dumped(event) async for event in stream]
            counted = await client.messages.count_tokens(model=ASKED["model"], messages=USER)
            return plain, events, _dumped(counted)

    async def both() -> None:
        got = await script(_client(anthropic.AsyncAnthropic, rig.url))
        assert got == await script(_client(anthropic.AsyncAnthropic, rig.twin.url))

    asyncio.run(both())


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("rate_limit", "RateLimitError"),
        ("error=500", "InternalServerError"),
        ("error=529", "OverloadedError"),
        ("error=404", "NotFoundError"),
        ("close", "InternalServerError"),
    ],
)
def test_it_raises_its_own_errors(rig: Rig, fault: str, name: str) -> None:
    with (
        _client(anthropic.Anthropic, rig.url) as client,
        pytest.raises(anthropic.APIStatusError) as raised,
    ):
        client.messages.create(**ALONE, extra_headers={"x-simulate": fault})
    assert type(raised.value).__name__ == name


def test_our_refusals_are_its_own_errors(rig: Rig) -> None:
    with (
        _client(anthropic.Anthropic, rig.url, "bsr_tests_wrong") as client,
        pytest.raises(anthropic.AuthenticationError) as raised,
    ):
        client.messages.create(**ALONE)
    assert raised.value.body["error"]["type"] == "authentication_error"


def test_hidden_retries_are_attempts_and_marked(rig: Rig) -> None:
    before = len(rig.paid())
    with _client(anthropic.Anthropic, rig.url, max_retries=2) as client:
        client.messages.create(
            **{**ASKED, "messages": [{"role": "user", "content": "try again"}]},
            extra_headers={"x-simulate": "error=529; retry_after_s=0; first=1"},
        )
    rows = [rig.attempt_of(line) for line in rig.paid()[before:]]
    assert [(row["status"], row["is_retry"]) for row in rows] == [(529, False), (200, True)]


def test_metadata_and_headers_are_tags(rig: Rig) -> None:
    with _client(anthropic.Anthropic, rig.url) as client:
        client.messages.create(
            **ALONE,
            metadata={"user_id": "u-7"},
            extra_headers={"x-bursar-task-type": "triage", "x-bursar-floor": "3"},
        )
    row = rig.attempt_of(rig.paid()[-1])
    assert (row["tenant"], row["user_id"], row["task_type"]) == ("acme", "u-7", "triage")
    assert '"floor"' in row["other_tags"]
