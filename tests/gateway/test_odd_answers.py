"""Answers that a provider should not give: the client gets them as they are, the books say what.

The provider is a scripted one: it answers with the bytes that the request's header names.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.rig import Answered, Rig, chat_body, message_body, running, settings_for, until
from tests.trials import bursar

JSON, SSE = "application/json", "text/event-stream"
USAGE = {"prompt_tokens": 21, "completion_tokens": 5, "total_tokens": 26}


class Script(BaseHTTPRequestHandler):
    """Says what `x-simulate` holds: status, type and body."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, kind, body = json.loads(base64.b64decode(self.headers["x-simulate"]))
        raw = base64.b64decode(body)
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is theirs."""


@pytest.fixture(scope="module", name="rig")
def rig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Script)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]

    def with_script(sim: Any) -> dict[str, Any]:
        settings = settings_for(sim)
        near = {"private": True, "key": "none"}
        settings["providers"] |= {
            "odd": {"base_url": f"http://127.0.0.1:{port}/v1", "prices": "openai", **near},
            "strange": {
                "base_url": f"http://127.0.0.1:{port}",
                "dialects": ["anthropic_messages"],
                "prices": "anthropic",
                **near,
            },
        }
        settings["models"][:0] = [
            {"match": "odd", "provider": "odd", "model": "gpt-4o-mini"},
            {"match": "strange", "provider": "strange", "model": "claude-sonnet-4-6"},
        ]
        return settings

    try:
        with running(tmp_path_factory.mktemp("odd"), with_script) as one:
            yield one
            assert "fault" not in one.log(), one.log()
    finally:
        server.shutdown()
        server.server_close()


def said(
    rig: Rig, body: bytes, kind: str = JSON, *, model: str = "odd", status: int = 200, **more: Any
) -> Answered:
    answer = json.dumps([status, kind, base64.b64encode(body).decode()])
    fault = {"x-simulate": base64.b64encode(answer.encode()).decode()}
    if model == "strange" and "crossing" not in more:
        return rig.post("/v1/messages", message_body(model=model, **more), fault)
    more.pop("crossing", None)
    return rig.post("/v1/chat/completions", chat_body(model=model, **more), fault)


def booked(rig: Rig, found: Answered) -> dict[str, Any]:
    """The attempt of a call, once the ledger has it."""
    sql = f"SELECT * FROM attempts WHERE call_id = {found.header('x-bursar-call-id')}"
    (row,) = until(lambda: rig.rows(sql), rig.log)
    return row


NO_ANSWERS = {
    "empty": (b"", JSON),
    "blank": (b" \n", JSON),
    "html": (b"<html><body>Sign in to the network</body></html>", "text/html"),
    "text": (b"upstream connect error", "text/plain"),
    "cut": (b'{"id": "chatcmpl-1", "choices": [{"mess', JSON),
    "bytes": (bytes(range(256)), "application/octet-stream"),
    "empty stream": (b"", SSE),
    "comments alone": (b": ping\n\n: ping\n\n", SSE),
    "html as a stream": (b"<html>", SSE),
}


@pytest.mark.parametrize("model", ["odd", "strange"])
@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer_has_no_price_and_goes_on_as_it_is(
    rig: Rig, name: str, model: str
) -> None:
    raw, kind = NO_ANSWERS[name]
    found = said(rig, raw, kind, model=model, stream=kind == SSE)
    assert (found.status, found.body, found.header("content-type")) == (200, raw, kind)
    row = booked(rig, found)
    assert (row["outcome"], row["stop"], row["status"]) == ("failed", "unreadable", 200)
    assert (row["cost_nano"], row["usage_basis"], row["prompt_tokens"]) == (None, None, None)
    assert "provider" in row["unpriced"]


def test_a_refusal_in_no_known_form_is_still_free(rig: Rig) -> None:
    found = said(rig, b"<html>Bad gateway</html>", "text/html", status=502)
    row = booked(rig, found)
    assert (found.status, row["outcome"], row["stop"], row["cost_nano"]) == (502, "failed", None, 0)


def test_an_answer_without_usage_is_modelled_as_before(rig: Rig) -> None:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "hi"},
        "finish_reason": "stop",
    }
    found = said(rig, json.dumps({"id": "x", "choices": [choice]}).encode())
    row = booked(rig, found)
    assert (row["outcome"], row["usage_basis"], row["stop"]) == ("ok", "modelled", "end")


@pytest.mark.parametrize("name", ["empty", "html"])
def test_no_answer_cannot_be_brought_back_from_another_dialect(rig: Rig, name: str) -> None:
    raw, kind = NO_ANSWERS[name]
    found = said(rig, raw, kind, model="strange", crossing=True)
    assert found.status == 502
    assert found.json()["error"]["code"] == "upstream_protocol"
    row = until(lambda: rig.rows("SELECT * FROM attempts ORDER BY call_id DESC LIMIT 1"), rig.log)
    assert row[0]["dialect"] == "openai_chat"


def test_a_crossing_is_told_in_the_books(rig: Rig) -> None:
    """What the provider was asked otherwise than the client did."""
    answer = {
        "id": "msg_crossed",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 3},
    }
    raw = json.dumps(answer).encode()
    more = {"crossing": True, "parallel_tool_calls": True, "prompt_cache_key": "k"}
    found = said(rig, raw, model="strange", **more)
    assert found.status == 200, found.body
    booked(rig, found)
    rows = rig.rows("SELECT lever, verdict, why FROM decisions ORDER BY rowid")
    assert {(row["lever"], row["verdict"]) for row in rows} == {("crossing", "rewrote")}
    whys = [row["why"] for row in rows]
    assert "openai_chat went over as anthropic_messages" in whys
    assert any("/prompt_cache_key" in why for why in whys), whys
    shown = bursar("show", "msg_crossed", home=rig.home).text
    assert "crossing rewrote: openai_chat went over as anthropic_messages" in shown


def test_counts_in_quotes_are_read_and_flagged(rig: Rig) -> None:
    quoted = {name: str(count) for name, count in USAGE.items()}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "hi"},
        "finish_reason": "stop",
    }
    costs = []
    for usage in (USAGE, quoted):
        body = {"id": f"q{len(costs)}", "model": "gpt-4o-mini", "choices": [choice], "usage": usage}
        row = booked(rig, said(rig, json.dumps(body).encode()))
        costs.append((row["cost_nano"], row["usage_basis"], row["prompt_tokens"]))
    assert costs[0] == costs[1] == (costs[0][0], "measured", 21)
    (flag,) = rig.rows("SELECT * FROM flags WHERE kind = 'usage_suspect'")
    assert "prompt_tokens" in flag["what"]


def test_a_stream_is_the_one_of_a_client_that_did_not_ask_for_usage(rig: Rig) -> None:
    """OpenAI's chunks say `"usage":null` only to those who asked."""

    def chunk(tail: str, **delta: str) -> bytes:
        choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]
        text = json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": choices})
        return b"data: " + text.encode()[:-1] + tail.encode() + b"}\n\n"

    last = b'data: {"id":"c","choices":[],"usage":' + json.dumps(USAGE).encode() + b"}\n\n"
    for end in ("", ',"obfuscation":"xYz"'):
        asked = chunk(f',"usage":null{end}', content="a") + chunk(f',"usage":null{end}') + last
        direct = chunk(end, content="a") + chunk(end)
        done = b"data: [DONE]\n\n"
        found = said(rig, asked + done, SSE, stream=True)
        assert found.body == direct + done
        assert booked(rig, found)["prompt_tokens"] == 21
        wanted = {"include_usage": True}
        found = said(rig, asked + done, SSE, stream=True, stream_options=wanted)
        assert found.body == asked + done


def test_a_responses_call_that_asks_for_a_tool_stops_for_it(rig: Rig, tmp_path: Path) -> None:
    tool = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    body = {"model": "gpt-6-sol", "input": "look", "tools": [tool], "tool_choice": "required"}
    found = rig.post("/v1/responses", body)
    assert any(item["type"] == "function_call" for item in found.json()["output"]), found.body
    row = booked(rig, found)
    assert (row["stop"], row["tool"]) == ("tool_use", "look")
