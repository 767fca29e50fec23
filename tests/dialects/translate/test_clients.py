"""The clients' own types and parsers take what is written: openai, anthropic, botocore."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from bursar.dialects.frames import frames_of
from bursar.dialects.refusals import FAMILIES, refusal_body, stream_error
from bursar.dialects.translate.crossing import SOURCES, TARGETS, WRITTEN, StreamBack, Terms
from bursar.dialects.translate.neutral import (
    TOOL_USE,
    Neutral,
    NeutralAnswer,
    Text,
    Thinking,
    ToolUse,
)
from bursar.dialects.translate.telling import write_answer
from bursar.model.usage import Usage
from tests.dialects.translate.made import (
    ANTHROPIC,
    CHAT,
    CONVERSE,
    MODEL,
    RESPONSES,
    answers,
    asked,
)
from tests.dialects.translate.test_streams import BACK, streamed

openai = pytest.importorskip("openai", reason="the openai client is not installed")
anthropic = pytest.importorskip("anthropic", reason="the anthropic client is not installed")
botocore = pytest.importorskip("botocore.session", reason="botocore is not installed")
pydantic = pytest.importorskip("pydantic", reason="pydantic comes with the clients")

from anthropic.lib.streaming import _messages as accumulating  # noqa: E402
from anthropic.types import Message, MessageCreateParams, RawMessageStreamEvent  # noqa: E402
from botocore.eventstream import EventStreamBuffer  # noqa: E402
from botocore.parsers import create_parser  # noqa: E402
from botocore.serialize import create_serializer  # noqa: E402
from openai.types.chat import ChatCompletion, ChatCompletionChunk, CompletionCreateParams  # noqa: E402
from openai.types.responses import Response, ResponseStreamEvent  # noqa: E402

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
OWN = settings(max_examples=25, deadline=None, database=None)


@pytest.fixture(name="bedrock", scope="module")
def bedrock_fixture() -> Any:
    return botocore.get_session().get_service_model("bedrock-runtime")


def _lists(value: Any) -> Any:
    """pydantic gives iterables of TypedDicts back as generators: run through them all."""
    if isinstance(value, dict):
        return {key: _lists(inner) for key, inner in value.items()}
    if isinstance(value, str | bytes | int | float | None):
        return value
    return [_lists(inner) for inner in value]


@pytest.mark.parametrize("target", [CHAT, ANTHROPIC])
def test_calls_fit_the_clients_types(target: str) -> None:
    kinds = {CHAT: CompletionCreateParams, ANTHROPIC: MessageCreateParams}
    adapter = pydantic.TypeAdapter(kinds[target])

    @FEW
    @given(asked(target))
    def law(call: Neutral) -> None:
        body = json.loads(WRITTEN[target](call, MODEL, Terms()).body)
        if target == ANTHROPIC:
            body.pop("speed", None)
        _lists(adapter.validate_python(body, strict=False))

    law()


def test_converse_calls_pass_botocores_validator(bedrock: Any) -> None:
    operation = bedrock.operation_model("Converse")
    serializer = create_serializer("rest-json")

    @FEW
    @given(asked(CONVERSE))
    def law(call: Neutral) -> None:
        body = json.loads(WRITTEN[CONVERSE](call, MODEL, Terms()).body)
        sent = serializer.serialize_to_request(_blobs(body) | {"modelId": MODEL}, operation)
        assert json.loads(sent["body"]) == body

    law()


def _blobs(value: Any) -> Any:
    """boto3 takes bytes where the wire has base64."""
    if isinstance(value, list):
        return [_blobs(one) for one in value]
    if isinstance(value, dict):
        return {
            key: BLOBS[inner] if key in ("bytes", "redactedContent") else _blobs(inner)
            for key, inner in value.items()
        }
    return value


BLOBS = {"aGVsbG8=": b"hello", "c2VjcmV0": b"secret"}


def test_answers_fit_the_clients_models(bedrock: Any) -> None:
    shape = bedrock.operation_model("Converse").output_shape

    @OWN
    @given(answers())
    def law(answer: NeutralAnswer) -> None:
        ChatCompletion.model_validate_json(write_answer(answer, CHAT, BACK))
        Response.model_validate_json(write_answer(answer, RESPONSES, BACK))
        message = json.loads(write_answer(answer, ANTHROPIC, BACK))
        if message["usage"].get("service_tier") == "flex":
            message["usage"]["service_tier"] = "standard"
        Message.model_validate(message)
        raw = {
            "status_code": 200,
            "headers": {"content-type": "application/json"},
            "body": write_answer(answer, CONVERSE, BACK),
        }
        parsed = create_parser("rest-json").parse(raw, shape)
        for member in ("output", "stopReason", "usage", "metrics"):
            assert member in parsed

    law()


def _events(raw: bytes, adapter: Any) -> list[Any]:
    lines = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: {")]
    return [adapter.validate_json(line) for line in lines]


def test_anthropics_own_accumulator_builds_the_same_message() -> None:
    adapter = pydantic.TypeAdapter(RawMessageStreamEvent)

    @OWN
    @given(answers())
    def law(answer: NeutralAnswer) -> None:
        snapshot = None
        held: dict[int, bytes] = {}
        for event in _events(streamed(answer, ANTHROPIC), adapter):
            snapshot = accumulating.accumulate_event(
                event=event, current_snapshot=snapshot, json_bufs=held
            )
        assert snapshot is not None
        whole = Message.construct(**json.loads(write_answer(answer, ANTHROPIC, BACK)))
        content = [block.to_dict() for block in snapshot.content]
        assert content == [block.to_dict() for block in whole.content]
        assert snapshot.stop_reason == whole.stop_reason
        assert snapshot.usage.input_tokens == whole.usage.input_tokens
        assert snapshot.usage.cache_read_input_tokens == whole.usage.cache_read_input_tokens
        assert snapshot.usage.output_tokens == whole.usage.output_tokens

    law()


def test_chunks_fit_openais_models() -> None:
    chunks = pydantic.TypeAdapter(ChatCompletionChunk)
    events = pydantic.TypeAdapter(ResponseStreamEvent)

    @OWN
    @given(answers())
    def law(answer: NeutralAnswer) -> None:
        assert _events(streamed(answer, CHAT), chunks)
        found = _events(streamed(answer, RESPONSES), events)
        assert [event.sequence_number for event in found] == list(range(len(found)))
        whole = json.loads(write_answer(answer, RESPONSES, BACK))
        last = json.loads(found[-1].response.model_dump_json(exclude_unset=True))
        assert last == json.loads(
            Response.model_validate(whole).model_dump_json(exclude_unset=True)
        )

    law()


def test_frames_pass_botocores_decoder(bedrock: Any) -> None:
    shape = bedrock.operation_model("ConverseStream").output_shape.members["stream"]
    parser = create_parser("rest-json")._event_stream_parser

    @OWN
    @given(answers())
    def law(answer: NeutralAnswer) -> None:
        buffer = EventStreamBuffer()
        buffer.add_data(streamed(answer, CONVERSE))
        names: list[str] = []
        for message in buffer:
            parsed = parser.parse(message.to_response_dict(), shape)
            names += parsed
        assert names[0] == "messageStart"
        assert names[-2:] == ["messageStop", "metadata"]

    law()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 408, 413, 422, 424, 429, 500, 502, 503]
)
def test_errors_are_the_clients_own(target: str, status: int, bedrock: Any) -> None:
    headers, body = refusal_body(target, status, "our_word", "no room")
    if FAMILIES[target] == "bedrock":
        raw = {
            "status_code": status,
            "headers": {key.decode(): value.decode() for key, value in headers},
            "body": body,
        }
        shape = bedrock.operation_model("Converse").output_shape
        error = create_parser("rest-json").parse(raw, shape)["Error"]
        assert error["Message"] == "no room"
        assert error["Code"] in {shape.name for shape in bedrock.error_shapes}
        return
    client, module = {
        CHAT: (openai.OpenAI(api_key="k", max_retries=0), openai),
        ANTHROPIC: (anthropic.Anthropic(api_key="k", max_retries=0), anthropic),
    }[target]
    names = {
        400: "BadRequestError",
        401: "AuthenticationError",
        403: "PermissionDeniedError",
        404: "NotFoundError",
        422: "UnprocessableEntityError",
        429: "RateLimitError",
        500: "InternalServerError",
        502: "InternalServerError",
    }
    found = client._make_status_error("x", body=json.loads(body), response=_Answered(status))
    assert isinstance(found, getattr(module, names.get(status, "APIStatusError")))
    if target == CHAT:
        assert found.code == "our_word"
    else:
        assert found.body["error"]["message"] == "no room"


class _Answered:
    """As much of an HTTP response as the clients' errors look at."""

    def __init__(self, status: int) -> None:
        self.status_code = status
        self.headers: dict[str, str] = {}
        self.request = None


def test_an_exception_frame_is_botocores_own(bedrock: Any) -> None:
    shape = bedrock.operation_model("ConverseStream").output_shape.members["stream"]
    buffer = EventStreamBuffer()
    buffer.add_data(stream_error(CONVERSE, "rate_limited", "slow down"))
    (message,) = list(buffer)
    response = message.to_response_dict()
    assert response["status_code"] == 400
    parsed = create_parser("rest-json")._event_stream_parser.parse(response, shape)
    assert parsed["Error"] == {"Code": "throttlingException", "Message": "slow down"}


def test_every_member_of_an_exception_is_named(bedrock: Any) -> None:
    shape = bedrock.operation_model("ConverseStream").output_shape.members["stream"]
    for kind in ("rate_limited", "bad_request", "overloaded_error", "upstream_cut", "else"):
        (event,) = frames_of(stream_error(CONVERSE, kind, "x")).events
        assert set(event) <= set(shape.members)


def test_thinking_without_words_streams_to_everyone() -> None:
    answer = NeutralAnswer(id="a", parts=(Thinking(redacted="c2VjcmV0"), Text("hi")))
    for source in SOURCES:
        stream = StreamBack(ANTHROPIC, source, BACK)
        assert b"hi" in stream.feed(streamed(answer, ANTHROPIC)) + stream.finish()
        assert stream.broken is None


def _client(kind: Any, body: bytes, status: int = 200) -> Any:
    """A real client whose every call is answered with `body`."""
    httpx2 = pytest.importorskip("httpx2", reason="httpx2 comes with the clients")
    content_type = "application/json" if status >= 400 else "text/event-stream"
    answered = httpx2.MockTransport(
        lambda _: httpx2.Response(status, content=body, headers={"content-type": content_type})
    )
    client = httpx2.Client(transport=answered)
    return kind(api_key="k", base_url="http://localhost", max_retries=0, http_client=client)


SAID = NeutralAnswer(
    id="a",
    model="m",
    parts=(Thinking("hm", "sig"), Text("hello world"), ToolUse("t", "f", '{"a":1}')),
    stop=TOOL_USE,
    usage=Usage(input=5, cache_read=7, output=3, reasoning=2),
)


def _back(target: str, source: str, lost: int = 0) -> bytes:
    raw = streamed(SAID, target)
    stream = StreamBack(target, source, BACK)
    return stream.feed(raw[: len(raw) - lost]) + stream.finish()


ASKED_CHAT: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
ASKED_MESSAGES: Any = ASKED_CHAT | {"max_tokens": 9}


@pytest.mark.parametrize("target", [ANTHROPIC, CONVERSE])
def test_openais_client_streams_what_others_said(target: str) -> None:
    client = _client(openai.OpenAI, _back(target, CHAT))
    with client.chat.completions.stream(**ASKED_CHAT) as stream:
        found = stream.until_done().get_final_completion()
    assert found.choices[0].message.content == "hello world"
    assert found.choices[0].message.tool_calls[0].function.arguments == '{"a":1}'
    assert found.usage.prompt_tokens == 12
    client = _client(openai.OpenAI, _back(target, RESPONSES))
    with client.responses.stream(model="m", input="hi") as stream:
        response = stream.until_done().get_final_response()
    assert response.output_text == "hello world"
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.usage.input_tokens == 12


@pytest.mark.parametrize("target", [CHAT, CONVERSE])
def test_anthropics_client_streams_what_others_said(target: str) -> None:
    client = _client(anthropic.Anthropic, _back(target, ANTHROPIC))
    with client.messages.stream(**ASKED_MESSAGES) as stream:
        found = stream.get_final_message()
    assert [block.type for block in found.content] == ["thinking", "text", "tool_use"]
    assert found.content[2].input == {"a": 1}
    assert (found.usage.input_tokens, found.usage.cache_read_input_tokens) == (5, 7)
    assert found.stop_reason == "tool_use"


def test_the_clients_raise_when_a_stream_breaks() -> None:
    client = _client(openai.OpenAI, _back(ANTHROPIC, CHAT, lost=300))
    with pytest.raises(openai.APIError, match="ended before"):
        list(client.chat.completions.create(**ASKED_CHAT, stream=True))
    client = _client(openai.OpenAI, _back(ANTHROPIC, RESPONSES, lost=300))
    with pytest.raises(openai.APIError, match="ended before"):
        list(client.responses.create(model="m", input="hi", stream=True))
    client = _client(anthropic.Anthropic, _back(CONVERSE, ANTHROPIC, lost=300))
    with pytest.raises(anthropic.APIStatusError, match="ended before"):
        list(client.messages.create(**ASKED_MESSAGES, stream=True))


def test_the_clients_raise_their_own_errors() -> None:
    client = _client(openai.OpenAI, refusal_body(CHAT, 429, "our_word", "slow down")[1], 429)
    with pytest.raises(openai.RateLimitError, match="slow down"):
        client.chat.completions.create(**ASKED_CHAT)
    body = refusal_body(ANTHROPIC, 404, "unknown_model", "no such model")[1]
    client = _client(anthropic.Anthropic, body, 404)
    with pytest.raises(anthropic.NotFoundError, match="no such model"):
        client.messages.create(**ASKED_MESSAGES)
