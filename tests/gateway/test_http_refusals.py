"""What HTTP itself refuses, heard by the real clients: each raises its proper error.

No call has been read when these are said, so the dialect is told by the path, as far as that came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import boto3
import botocore.exceptions
import openai
import pytest
from botocore.config import Config

from tests.gateway.rig import (
    BEARER,
    KEY,
    Answered,
    Rig,
    chat_body,
    converse_body,
    message_body,
    running,
    settings_for,
)
from tests.gateway.test_cases import raw, shape_of

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
MODEL = "us.anthropic.claude-sonnet-4-6"
CONVERSE = f"/model/{MODEL}/converse"
PATHS = (CHAT, RESPONSES, "/v1/embeddings", MESSAGES, CONVERSE, "/model/m/invoke", "/nowhere")
LONG = "long " * 20_000


def _small(sim: Any) -> dict[str, Any]:
    limits = {"body_bytes": "64KiB", "header_bytes": "2KiB", "target_bytes": "1KiB"}
    return settings_for(sim, limits=limits)


@pytest.fixture(scope="module", name="rig")
def rig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("http"), _small) as one:
        yield one


def told(rig: Rig, sent: bytes) -> Answered:
    """The answer to these bytes."""
    head, _, body = raw(rig, sent).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    return Answered(int(first.split()[1]), pairs, body)


def _head(path: str, *lines: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "host: gw", *lines, "", "")).encode("latin-1")


REFUSED = {
    "413": lambda path: _head(path, "content-length: 70000"),
    "413-chunked": lambda path: (
        _head(path, f"authorization: Bearer {KEY}", "transfer-encoding: chunked")
        + (b"3000\r\n%b\r\n" % (b"x" * 0x3000)) * 8
    ),
    "414": lambda path: _head(path + "?" + "x" * 2_000),
    "431": lambda path: _head(path, "a: " + "b" * 3_000),
    "431-many": lambda path: _head(path, *["a: b"] * 120),
    "400-header": lambda path: _head(path, "a: \xe9"),
    "400-parser": lambda path: _head(path, "content-length: x"),
    "400-lengths": lambda path: _head(path, "content-length: 1", "content-length: 2"),
    "415": lambda path: _head(path, "content-length: 1", "content-encoding: gzip"),
    "417": lambda path: _head(path, "content-length: 1", "expect: more"),
    "505": lambda path: _head(path).replace(b"HTTP/1.1", b"HTTP/2.0"),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("why", REFUSED)
def test_the_shape_is_that_of_the_path(rig: Rig, path: str, why: str) -> None:
    if (path, why) == ("/nowhere", "413-chunked"):
        pytest.skip("that path is refused before its body is read")
    found = told(rig, REFUSED[why](path))
    assert found.status == int(why[:3])
    assert found.header("connection") == "close"
    assert len(shape_of(found, path)) > 10
    assert not path.startswith("/v1") or found.header("x-amzn-errortype") is None


def test_what_has_no_path_is_told_in_the_shape_that_most_read(rig: Rig) -> None:
    for sent in (b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n"):
        found = told(rig, sent)
        assert found.status == 400
        shape_of(found, CHAT)


def test_the_path_of_an_earlier_request_tells_nothing(rig: Rig) -> None:
    """The second request of a connection is judged by itself."""
    first = "\r\n".join(("GET /model/m/converse HTTP/1.1", "host: gw", "", "")).encode()
    answers = raw(rig, first + b"nonsense\r\n\r\n").split(b"HTTP/1.1 ")[1:]
    assert len(answers) <= 2
    assert b'"code":' in raw(rig, b"nonsense\r\n\r\n")


def test_models_are_anthropics_by_their_header(rig: Rig) -> None:
    lines = ("anthropic-version: 2023-06-01", "a: \xe9")
    found = told(rig, _head("/v1/models", *lines).replace(b"POST", b"GET", 1))
    assert found.json()["type"] == "error"
    found = told(rig, _head("/v1/models", "a: \xe9").replace(b"POST", b"GET", 1))
    assert found.json()["error"]["code"] == "bad_request"


def test_they_are_counted(rig: Rig) -> None:
    def counted() -> float:
        page = rig.get("/metrics").body.decode()
        rows = [line for line in page.splitlines() if line.startswith("bursar_refused_total{")]
        return sum(float(line.rpartition(" ")[2]) for line in rows if 'kind="too_large"' in line)

    before = counted()
    told(rig, REFUSED["413"](CHAT))
    assert counted() == before + 1


# -- the real clients


def test_openai_raises_its_own(rig: Rig) -> None:
    with openai.OpenAI(base_url=rig.openai_url, api_key=KEY, max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as large:
            client.chat.completions.create(**chat_body(LONG))
        assert (large.value.status_code, large.value.code) == (413, "too_large")
        with pytest.raises(openai.APIStatusError) as heads:
            client.responses.create(
                model="gpt-5-mini", input="hi", extra_headers={"a": "b" * 3_000}
            )
        assert (heads.value.status_code, heads.value.code) == (431, "too_large")
        coded = {"content-encoding": "gzip"}
        with pytest.raises(openai.APIStatusError) as packed:
            client.embeddings.create(model="m", input="hi", extra_headers=coded)
        assert (packed.value.status_code, packed.value.type) == (415, "invalid_request_error")


def test_anthropic_raises_its_own(rig: Rig) -> None:
    with anthropic.Anthropic(base_url=rig.url, api_key=KEY, max_retries=0) as client:
        with pytest.raises(anthropic.RequestTooLargeError) as large:
            client.messages.create(**message_body(LONG))
        body: Any = large.value.body
        assert body["error"]["type"] == "request_too_large"
        with pytest.raises(anthropic.APIStatusError) as heads:
            client.messages.create(**message_body(), extra_headers={"a": "b" * 3_000})
        body = heads.value.body
        assert (heads.value.status_code, body["type"]) == (431, "error")


def test_boto3_raises_its_own(rig: Rig) -> None:
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=rig.url,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key="unused",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(client.exceptions.ValidationException) as large:
        client.converse(modelId=MODEL, **converse_body(LONG))
    client.close()
    error: botocore.exceptions.ClientError = large.value
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert "larger" in error.response["Error"]["Message"]


def test_the_next_client_is_served(rig: Rig) -> None:
    assert rig.post(CHAT, chat_body(), BEARER).status == 200
