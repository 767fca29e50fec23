"""Keys and signatures, where the terms ask for them."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from bursar.simulator.desk import Terms
from bursar.simulator.server import Simulator
from simulator.asks import ANTHROPIC, CLAUDE_ON_BEDROCK, ask, chat, converse, message, prices

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = {"sk-test": "", "sk-ant-test": "", "AKIDTEST": SECRET}
BOTO = "boto3 is not installed: pip install boto3"


@pytest.fixture
def locked() -> Iterator[Simulator]:
    with Simulator(prices=prices(), terms=Terms(keys=KEYS)).running() as running:
        yield running


def test_known_keys_are_let_in(locked: Simulator) -> None:
    assert ask(locked, chat()).status == 200
    assert ask(locked, message()).status == 200


def test_unknown_and_missing_keys_are_not(locked: Simulator) -> None:
    unknown = chat()._replace(headers={"authorization": "Bearer sk-none"})
    got = ask(locked, unknown)
    assert (got.status, got.json()["error"]["code"]) == (401, "invalid_api_key")
    missing = message()._replace(headers={"anthropic-version": "2023-06-01"})
    got = ask(locked, missing)
    assert (got.status, got.json()["error"]["type"]) == (401, "authentication_error")
    assert ask(locked, converse()).headers["x-amzn-errortype"].startswith("Unrecognized")
    assert ask(locked, message()._replace(headers={**ANTHROPIC, "x-api-key": ""})).status == 401


def bedrock(sim: Simulator, secret: str) -> Any:
    boto3 = pytest.importorskip("boto3", reason=BOTO)
    config = pytest.importorskip("botocore.config", reason=BOTO)
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=sim.url,
        region_name="eu-west-1",
        aws_access_key_id="AKIDTEST",
        aws_secret_access_key=secret,
        config=config.Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.parametrize(
    "model",
    [
        CLAUDE_ON_BEDROCK,
        "amazon.nova-pro-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
    ],
)
def test_real_signatures_are_right(locked: Simulator, model: str) -> None:
    with closing(bedrock(locked, SECRET)) as client:
        client.converse(modelId=model, messages=[{"role": "user", "content": [{"text": "hi"}]}])


def test_a_wrong_secret_is_seen(locked: Simulator) -> None:
    client = bedrock(locked, SECRET[::-1])
    exceptions = pytest.importorskip("botocore.exceptions", reason=BOTO)
    with closing(client), pytest.raises(exceptions.ClientError, match="InvalidSignature"):
        client.converse(
            modelId=CLAUDE_ON_BEDROCK, messages=[{"role": "user", "content": [{"text": "hi"}]}]
        )


def test_a_signed_body_cannot_be_changed(locked: Simulator) -> None:
    auth = pytest.importorskip("botocore.auth", reason=BOTO)
    request = pytest.importorskip("botocore.awsrequest", reason=BOTO)
    credentials = pytest.importorskip("botocore.credentials", reason=BOTO)
    path = f"/model/{CLAUDE_ON_BEDROCK}/converse"
    body = b'{"messages":[{"role":"user","content":[{"text":"hi"}]}]}'
    made = request.AWSRequest("POST", locked.url + path, data=body)
    auth.SigV4Auth(credentials.Credentials("AKIDTEST", SECRET), "bedrock", "us-east-1").add_auth(
        made
    )
    for sent, status in ((body, 200), (body.replace(b"hi", b"ho"), 403)):
        connection = http.client.HTTPConnection("127.0.0.1", locked.port, timeout=10)
        connection.request("POST", path, sent, dict(made.headers))
        with connection.getresponse() as answer:
            assert answer.status == status
        connection.close()
