"""boto3 for Bedrock, unchanged but for its endpoint: the gateway signs anew with its own keys.

The simulator behind the gateway checks each signature. Skipped, saying so, where boto3 is not
installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from simulator.asks import CLAUDE_ON_BEDROCK, LONG, THINK, TOOLS_SCHEMA, claude_body, nova_body
from tests.gateway.rig import KEY, Rig

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
config = pytest.importorskip("botocore.config", reason="botocore is not installed")
exceptions = pytest.importorskip("botocore.exceptions", reason="botocore is not installed")

USER = [{"role": "user", "content": [{"text": "Where is my parcel?"}]}]
ASKED = {"modelId": CLAUDE_ON_BEDROCK, "messages": USER}
ALONE = {**ASKED, "messages": [{"role": "user", "content": [{"text": "Asked here alone"}]}]}
"""The twin counts how often it saw a request: what it is not asked too must not be asked here."""
SYSTEM = [{"text": LONG}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
TOOLS = {
    "tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": TOOLS_SCHEMA}}}],
    "toolChoice": {"any": {}},
}
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
Script = Callable[[Any], Any]


@contextmanager
def _client(url: str, key: str = KEY, attempts: int = 1, fault: str = "") -> Iterator[Any]:
    client = boto3.client(
        "bedrock-runtime",
        config=config.Config(retries={"total_max_attempts": attempts}),
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key="not-needed",
    )

    def add(request: Any, **_: object) -> None:
        request.headers["x-simulate"] = fault

    if fault:
        client.meta.events.register("before-send.bedrock-runtime.*", add)
    try:
        yield client
    finally:
        client.close()


def _plain(found: dict[str, Any]) -> Any:
    meta = found.pop("ResponseMetadata")
    headers = meta["HTTPHeaders"]
    for name in ("x-bursar-call-id", "connection", "transfer-encoding", "content-length"):
        headers.pop(name, None)
    return found, meta["RequestId"], headers


def _converse_stream(client: Any) -> Any:
    asked = {**ASKED, "system": SYSTEM, "additionalModelRequestFields": THINK}
    with closing(client.converse_stream(**asked)["stream"]) as stream:
        return list(stream)


def _invoke(model: str, body: dict[str, Any]) -> Script:
    def script(client: Any) -> Any:
        found = client.invoke_model(modelId=model, body=json.dumps(body))
        with found["body"] as answer:
            return answer.read(), found["contentType"]

    return script


def _invoke_stream(model: str, body: dict[str, Any]) -> Script:
    def script(client: Any) -> Any:
        found = client.invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
        with closing(found["body"]) as stream:
            return list(stream)

    return script


def _count(client: Any) -> Any:
    raw = {"invokeModel": {"body": json.dumps(claude_body()).encode()}}
    asked: tuple[Any, ...] = ({"converse": {"messages": USER}}, raw)
    return [
        client.count_tokens(modelId=CLAUDE_ON_BEDROCK, input=one)["inputTokens"] for one in asked
    ]


SCRIPTS: dict[str, Script] = {
    "converse": lambda client: _plain(client.converse(**ASKED)),
    "converse cached": lambda client: _plain(client.converse(**ASKED, system=SYSTEM)),
    "converse cache hit": lambda client: _plain(client.converse(**ASKED, system=SYSTEM)),
    "converse tools": lambda client: _plain(client.converse(**ASKED, toolConfig=TOOLS)),
    "converse an ARN": lambda client: _plain(client.converse(modelId=ARN, messages=USER)),
    "converse stream": _converse_stream,
    "invoke claude": _invoke(CLAUDE_ON_BEDROCK, claude_body()),
    "invoke nova": _invoke("amazon.nova-lite-v1:0", nova_body()),
    "invoke titan": _invoke(TITAN, {"inputText": "hello there"}),
    "invoke claude stream": _invoke_stream(CLAUDE_ON_BEDROCK, claude_body()),
    "invoke nova stream": _invoke_stream("amazon.nova-lite-v1:0", nova_body()),
    "count": _count,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_the_client_gets_is_what_it_gets_direct(rig: Rig, name: str) -> None:
    script = SCRIPTS[name]
    with _client(rig.url) as client:
        got = script(client)
    with _client(rig.twin.url) as client:
        assert got == script(client)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("rate_limit", "ThrottlingException"),
        ("error=500", "InternalServerException"),
        ("error=503", "ServiceUnavailableException"),
        ("error=400", "ValidationException"),
        ("error=424", "ModelErrorException"),
        ("close", "ServiceUnavailableException"),
    ],
)
def test_it_raises_its_own_errors(rig: Rig, fault: str, code: str) -> None:
    with _client(rig.url, fault=fault) as client, pytest.raises(exceptions.ClientError) as raised:
        client.converse(**ALONE)
    assert raised.value.response["Error"]["Code"] == code


def test_a_stream_that_breaks_raises_its_exception(rig: Rig) -> None:
    with _client(rig.url, fault="error_event=2") as client:
        streamed = client.converse_stream(**ALONE)
        with (
            closing(streamed["stream"]) as stream,
            pytest.raises(exceptions.EventStreamError, match="internalServerException"),
        ):
            list(stream)


def test_our_refusals_are_its_own_errors(rig: Rig) -> None:
    with (
        _client(rig.url, "AKIDUNKNOWN") as client,
        pytest.raises(client.exceptions.AccessDeniedException) as raised,
    ):
        client.converse(**ALONE)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401


def test_hidden_retries_are_attempts_and_marked(rig: Rig) -> None:
    before = len(rig.paid())
    user = [{"role": "user", "content": [{"text": "try again"}]}]
    with _client(rig.url, attempts=3, fault="error=503; first=1") as client:
        client.converse(modelId=CLAUDE_ON_BEDROCK, messages=user)
    rows = [rig.attempt_of(line) for line in rig.paid()[before:]]
    assert [(row["status"], row["is_retry"]) for row in rows] == [(503, False), (200, True)]


def test_request_metadata_is_tags_and_traces_are_kept(rig: Rig) -> None:
    with _client(rig.url) as client:
        client.converse(**ALONE, requestMetadata={"route": "refunds", "floor": "3"})
    row = rig.attempt_of(rig.paid()[-1])
    assert (row["tenant"], row["route"]) == ("acme", "refunds")
    assert '"floor"' in row["other_tags"]
    assert (row["provider"], row["model"]) == ("aws", CLAUDE_ON_BEDROCK)
