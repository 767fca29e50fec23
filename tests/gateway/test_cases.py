"""Bad input to the running gateway: a clear error of the right dialect, and nothing is lost.

Every prompt here holds MARK, and no line that the gateway writes may hold it, or a key.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bursar.gateway.settings.keys import new_key
from tests.gateway.rig import (
    BEARER,
    JSON_TYPE,
    KEY,
    TENANT,
    UPSTREAM_KEYS,
    Answered,
    Rig,
    chat_body,
    converse_body,
    message_body,
    running,
    settings_for,
    until,
)

MARK = "Grünkohl-Marzipan"
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CONVERSE = "/model/us.anthropic.claude-sonnet-4-6/converse"
CONVERSE_STREAM = f"{CONVERSE}-stream"
NEAR = ("a" * 62) + "1", ("a" * 62) + "2"
NEAR_KEYS = {name: new_key(name) for name in NEAR}
EXPIRED, EXPIRED_DIGEST = new_key("expired")
BLOCKED, BLOCKED_DIGEST = new_key("blocked")


def _settings(sim: Any) -> dict[str, Any]:
    settings = settings_for(
        sim,
        calls={"drain_for": "5s"},
        routes=[
            {"name": "hurried", "when": {"tags": {"route": "hurried"}}, "answer_within": "150ms"},
            {"name": "dropped", "when": {"tags": {"route": "dropped"}}, "disconnect": "cancel"},
        ],
    )
    settings["keys"] |= {
        **{name: {"sha256": NEAR_KEYS[name][1], "tenant": f"t{name[-1]}"} for name in NEAR},
        "expired": {"sha256": EXPIRED_DIGEST, "expires": "2025-01-01"},
        "blocked": {"sha256": BLOCKED_DIGEST, "blocked": True},
    }
    return settings


@pytest.fixture(scope="module", name="rig")
def rig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("cases"), _settings) as one:
        yield one
        log = one.log()
        for secret in (MARK, json.dumps(MARK)[1:-1], "bsr_", *UPSTREAM_KEYS, "Traceback"):
            assert secret not in log, log
        assert "fault" not in log, log


@pytest.fixture(autouse=True)
def _alive(rig: Rig) -> Iterator[None]:
    """Whatever happened, the next client is served."""
    yield
    assert rig.chat(f"{MARK} is well").status == 200


def shape_of(found: Answered, path: str = CHAT) -> str:
    """The message of an error, in the shape that the dialect of `path` has."""
    told = found.json()
    if path == MESSAGES:
        assert told["type"] == "error"
        return told["error"]["message"]
    if path.startswith("/model"):
        assert found.header("x-amzn-errortype")
        return told["message"]
    assert told["error"].keys() >= {"message", "type", "param", "code"}
    return told["error"]["message"]


def refused(rig: Rig, found: Answered, status: int, path: str = CHAT) -> str:
    assert found.status == status, found
    assert MARK not in found.body.decode()
    return shape_of(found, path)


def raw(rig: Rig, sent: bytes, seconds: float = 5) -> bytes:
    """What comes back for these bytes, until the gateway closes or is silent."""
    with socket.create_connection(("127.0.0.1", rig.port), seconds) as line:
        told = b""
        try:
            line.sendall(sent)
            line.settimeout(seconds)
            while piece := line.recv(65_536):
                told += piece
        except OSError:
            pass
        return told


def raw_post(path: str, body: bytes, **headers: str) -> bytes:
    named = {"host": "gw", "content-length": str(len(body)), "authorization": f"Bearer {KEY}"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


# -- 1 to 8: keys


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Bearer ' OR '1'='1", id="1-sql"),
        pytest.param("", id="5-empty"),
        pytest.param("Bearer", id="5-word-alone"),
        pytest.param("bearer  x", id="5-two-blanks"),
        pytest.param("Basic dXNlcjpwYXNz", id="5-basic"),
        pytest.param(f"Bearer {KEY[:-1]}", id="4-shorter"),
        pytest.param(f"Bearer {KEY}x", id="4-longer"),
        pytest.param(f"Bearer {KEY[:40]}{'x' * 160}", id="4-same-start"),
        pytest.param(f"Bearer {EXPIRED}", id="6-expired"),
        pytest.param(f"Bearer {BLOCKED}", id="6-blocked"),
        pytest.param(None, id="5-none"),
    ],
)
@pytest.mark.parametrize("path", [CHAT, MESSAGES, CONVERSE])
def test_no_key_no_call(rig: Rig, path: str, value: str | None) -> None:
    before = len(rig.sim.invoice.lines)
    headers = JSON_TYPE if value is None else {**JSON_TYPE, "authorization": value}
    found = rig.ask("POST", path, json.dumps(chat_body(MARK)).encode(), headers)
    told = refused(rig, found, 401, path)
    assert found.header("www-authenticate")
    assert "sql" not in told.lower()
    assert "KeyError" not in told
    assert len(rig.sim.invoice.lines) == before


def test_every_unknown_key_hears_the_same(rig: Rig) -> None:
    keys = ("' OR '1'='1", "bsr_tests_x", "bsr_nobody_x", "sk-upstream", "bsr_blocked_x")
    bodies = {rig.chat(MARK, {"authorization": f"Bearer {key}"}).body for key in keys}
    assert len(bodies) == 1


def test_2_a_key_of_a_mebibyte(rig: Rig) -> None:
    sent = raw_post(CHAT, b"{}", authorization="Bearer " + "x" * 2**20)
    assert raw(rig, sent)[9:12] in (b"431", b"401", b"")


@pytest.mark.parametrize("bad", ["\0", "\r", "\n", "\r\n", "\xe9", "\x7f"])
def test_3_bytes_that_no_key_has(rig: Rig, bad: str) -> None:
    sent = raw_post(
        CHAT, b"{}", authorization=f"Bearer {KEY[:20]}{bad}{KEY[20:]}", connection="close"
    )
    assert raw(rig, sent)[9:12] in (b"400", b"401")


def test_4_keys_that_begin_alike_are_two_identities(rig: Rig) -> None:
    for name in NEAR:
        rig.chat(f"{MARK} of {name}", {"authorization": f"Bearer {NEAR_KEYS[name][0]}"})
        row = rig.attempt_of(rig.sim.invoice.lines[-1])
        assert row["tenant"] == f"t{name[-1]}"


def test_7_the_tenant_is_the_keys(rig: Rig) -> None:
    told = refused(rig, rig.chat(MARK, {"x-bursar-tenant": "other"}), 400)
    assert "tenant" in told
    refused(rig, rig.chat(MARK, metadata={"tenant": "other"}), 400)
    refused(rig, rig.chat(MARK, {"baggage": "bursar.tenant=other"}), 400)
    assert rig.chat(f"{MARK} 7", {"x-tenant": "other"}).status == 200
    assert rig.attempt_of(rig.sim.invoice.lines[-1])["tenant"] == TENANT
    assert rig.chat(MARK, {"x-bursar-tenant": TENANT}).status == 200


def test_8_one_key_in_several_places(rig: Rig) -> None:
    assert rig.chat(MARK, {"x-api-key": KEY, "api-key": KEY}).status == 200
    assert rig.chat(MARK, {"authorization": f"bearer {KEY}"}).status == 200
    other = NEAR_KEYS[NEAR[0]][0]
    for more in ({"x-api-key": other}, {"api-key": "x"}, {"x-api-key": ""}):
        refused(rig, rig.chat(MARK, more), 400)
    body = json.dumps(chat_body(MARK)).encode()
    refused(rig, rig.ask("POST", f"{CHAT}?api_key={KEY}", body, JSON_TYPE), 401)


# -- 18 to 21: where calls go


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/../admin", "/v1/%2e%2e/admin", "//v1/chat/completions", "/v1//chat/completions"),
        *("/v1/chat/completions/", "/V1/chat/completions", "/v1/chat/completions%00"),
        *("/v1/./chat/completions", "/model/../converse/x", "/model//converse", "/", "/admin"),
        *("/v1/chat/completions;x=1", "/v1/chat%2fcompletions", "/model/a/b/converse"),
    ],
)
def test_18_paths_are_taken_as_they_are(rig: Rig, path: str) -> None:
    before = len(rig.sim.invoice.lines)
    refused(rig, rig.post(path, chat_body(MARK)), 404, path)
    assert len(rig.sim.invoice.lines) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods(rig: Rig, method: str) -> None:
    found = rig.ask(method, CHAT, None, BEARER)
    refused(rig, found, 405)
    assert found.header("allow") == "POST"


@pytest.mark.parametrize("field", ["api_base", "base_url", "api_key"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_20_nobody_chooses_our_provider(rig: Rig, field: str, path: str) -> None:
    make = {CHAT: chat_body, MESSAGES: message_body}[path]
    before = len(rig.sim.invoice.lines)
    told = refused(rig, rig.post(path, make(MARK, **{field: "http://evil.example"})), 400, path)
    assert field in told
    assert len(rig.sim.invoice.lines) == before


def test_21_and_50_nothing_that_a_client_names_is_fetched(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bait:
        bait.settimeout(0.2)
        url = f"http://127.0.0.1:{bait.getsockname()[1]}/x.png"
        image = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": MARK}]
        hosts: list[str] = ["x-portkey-custom-host", "x-custom-host", "x-forwarded-host"]
        named = dict.fromkeys(hosts, url)
        body = chat_body(MARK)
        body["messages"][0]["content"] = image
        assert rig.post(CHAT, body, named).status in (200, 400)
        with pytest.raises(TimeoutError):
            bait.accept()


# -- 37 to 48: bodies


def test_37_too_large_is_said_before_it_is_read(rig: Rig) -> None:
    size = 9 * 2**20
    told = raw(rig, raw_post(CHAT, b"", content_length=str(size)))
    assert told[9:12] == b"413"
    told = raw(rig, raw_post(CHAT, b"", content_length=str(size), expect="100-continue"))
    assert told[9:12] in (b"413", b"417")
    sent = raw_post(CHAT, b"{", content_length="1", connection="close", expect="100-continue")
    assert b" 400 " in raw(rig, sent).splitlines()[0] + b" " or b"100" in raw(rig, sent)[9:12]


BODIES = {
    "40-deep": b"[" * 100_000,
    "40-deep-inside": b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "41-twice": b'{"model":"gpt-4o-mini","model":"gpt-5","messages":[]}',
    "41-twice-inside": b'{"model":"gpt-4o-mini","messages":[{"role":"user","role":"x"}]}',
    "47-surrogate": b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
    "48-bom": b'\xef\xbb\xbf{"model":"m","messages":[{"role":"user","content":"x"}]}',
    "48-utf16": json.dumps(chat_body("x")).encode("utf-16"),
    "48-latin1": '{"model":"m","messages":[{"role":"user","content":"é"}]}'.encode("latin-1"),
    "empty": b"",
    "list": b"[]",
    "null": b"null",
    "cut": b'{"model":"m","mess',
    "two": b'{"model":"m"}{"model":"m"}',
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("path", [CHAT, MESSAGES, CONVERSE])
def test_bodies_that_are_none(rig: Rig, path: str, name: str) -> None:
    before = len(rig.sim.invoice.lines)
    refused(rig, rig.post(path, BODIES[name]), 400, path)
    assert len(rig.sim.invoice.lines) == before


NUMBERS = {
    **{name: name.encode() for name in ("NaN", "Infinity", "-Infinity", "1e400", "-1", "0")},
    **{name: name.encode() for name in ("1.5", '"100"', "true", "[]", "1000000000000")},
    "2^70": str(2**70).encode(),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("path", [CHAT, MESSAGES, CONVERSE])
def test_42_to_44_limits_that_are_none(rig: Rig, path: str, name: str) -> None:
    if (path, name) == (MESSAGES, "0"):
        pytest.skip("0 is legal there: it fills the prompt cache")
    make: dict[str, Callable[[], dict[str, Any]]] = {
        CHAT: lambda: chat_body(MARK, max_tokens=4_242),
        MESSAGES: lambda: message_body(MARK, max_tokens=4_242),
        CONVERSE: lambda: converse_body(MARK, inferenceConfig={"maxTokens": 4_242}),
    }
    body = json.dumps(make[path]()).encode().replace(b"4242", NUMBERS[name])
    before = len(rig.sim.invoice.lines)
    refused(rig, rig.post(path, body), 400, path)
    assert len(rig.sim.invoice.lines) == before


def test_43_null_is_as_good_as_nothing(rig: Rig) -> None:
    assert rig.chat(f"{MARK} null", max_tokens=None).status == 200


@pytest.mark.parametrize("many", [0, -1, 1_000, 1.5, "2", True])
def test_45_answers_to_one_prompt(rig: Rig, many: object) -> None:
    refused(rig, rig.chat(MARK, n=many), 400)


def test_46_messages(rig: Rig) -> None:
    for path, make in ((CHAT, chat_body), (MESSAGES, message_body), (CONVERSE, converse_body)):
        for bad in ([], None, "x", [7], [{"role": "king", "content": [{"text": "x"}]}]):
            refused(rig, rig.post(path, {**make(MARK), "messages": bad}), 400, path)
    many = [{"role": "user", "content": "x"}] * 100_001
    refused(rig, rig.post(CHAT, {**chat_body(MARK), "messages": many}), 400)


# -- 52 to 57: providers and clients that break off


@pytest.mark.parametrize("how", ["negative", "huge", "null", "zero"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES, CONVERSE])
def test_52_usage_that_cannot_be_true(rig: Rig, path: str, how: str) -> None:
    make = {CHAT: chat_body, MESSAGES: message_body, CONVERSE: converse_body}[path]
    fault = {"x-simulate": f"absurd={how}"}
    assert rig.post(path, make(f"{MARK} {how}"), fault).status == 200
    row = rig.attempt_of(rig.sim.invoice.lines[-1])
    assert (row["usage_basis"], row["cost_basis"]) == ("modelled", "modelled")
    assert 0 < row["cost_nano"] < 10 * (rig.sim.invoice.lines[-1].cost_nano or 0)
    assert b"bursar_unread_answers_total{" in rig.get("/metrics").body


def test_52_counts_that_are_texts(rig: Rig) -> None:
    """Digits in quotes are counts all the same; they are read, and cost what was billed."""
    assert rig.chat(f"{MARK} text", {"x-simulate": "absurd=text"}).status == 200
    line = rig.sim.invoice.lines[-1]
    assert rig.attempt_of(line)["cost_nano"] == line.cost_nano


def test_an_error_with_status_200_is_a_failure(rig: Rig) -> None:
    assert rig.chat(f"{MARK} body", {"x-simulate": "error_body"}).status == 200
    row = rig.attempt_of(rig.sim.invoice.lines[-1])
    assert (row["outcome"], row["stop"]) == ("failed", "error")


def test_52_no_usage_at_all(rig: Rig) -> None:
    for stream in (False, True):
        found = rig.chat(f"{MARK} none", {"x-simulate": "no_usage"}, stream=stream)
        assert found.status == 200
        assert rig.attempt_of(rig.sim.invoice.lines[-1])["usage_basis"] == "modelled"


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_53_a_line_without_end(rig: Rig, path: str) -> None:
    make = {CHAT: chat_body, MESSAGES: message_body}[path]
    found = rig.post(path, make(f"{MARK} long", stream=True), {"x-simulate": "huge_line=4000000"})
    assert len(found.body) < 2 * 2**20
    assert b"upstream_protocol" in found.body or b"error" in found.body
    rig.attempt_of(rig.sim.invoice.lines[-1])


def test_54_an_answer_after_our_patience_is_paid_once(rig: Rig) -> None:
    before = len(rig.sim.invoice.lines)
    fault = {"x-simulate": "none; latency_ms=1500", "x-bursar-route": "hurried"}
    for path, make in ((CHAT, chat_body), (MESSAGES, message_body), (CONVERSE, converse_body)):
        refused(rig, rig.post(path, make(f"{MARK} late"), fault), 504, path)
    until(lambda: len(rig.sim.invoice.lines) == before + 3, rig.log)
    for line in list(rig.sim.invoice.lines)[before:]:
        row = rig.attempt_of(line)
        assert row["cost_nano"] == line.cost_nano
        assert row["cost_nano"] > 0
        assert line.fate == "complete"


def test_55_a_wait_of_thirty_years(rig: Rig) -> None:
    for fault in ("rate_limit=1000000000", "error=503; retry_after_s=1000000000"):
        found = rig.chat(MARK, {"x-simulate": fault})
        assert found.status in (429, 503)
        assert int(found.header("retry-after") or 0) <= 3_600


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", MESSAGES, CONVERSE_STREAM])
def test_56_a_provider_that_breaks_off(rig: Rig, path: str) -> None:
    found = rig.post(path, _streamed(path, "cut"), {"x-simulate": "cut=3"})
    told = {CHAT: b'"error":{', "/v1/responses": b"event: error", MESSAGES: b"event: error"}
    assert told.get(path, b":exception-type") in found.body
    assert b"did not answer to the end" in found.body
    row = rig.attempt_of(rig.sim.invoice.lines[-1])
    assert row["outcome"] != "ok"
    assert row["usage_basis"] == "modelled" or row["cost_nano"] is None


def _streamed(path: str, text: str) -> dict[str, Any]:
    text = f"{MARK} {text}"
    return {
        CHAT: chat_body(text, stream=True),
        "/v1/responses": {"model": "gpt-6-sol", "input": text, "stream": True},
        MESSAGES: message_body(text, stream=True),
        CONVERSE_STREAM: converse_body(text),
    }[path]


def _left(rig: Rig, path: str, body: dict[str, Any], headers: dict[str, str], seen: int) -> None:
    """A client that leaves once it has seen so many bytes of the answer; 0: before any."""
    before = len(rig.sim.invoice.lines)
    sent = raw_post(path, json.dumps(body).encode(), **headers)
    with socket.create_connection(("127.0.0.1", rig.port), 5) as line:
        line.sendall(sent)
        got = 0
        while got < seen:
            piece = line.recv(seen - got)
            assert piece
            got += len(piece)
        if not seen:
            time.sleep(0.05)
    until(lambda: len(rig.sim.invoice.lines) > before, rig.log)


@pytest.mark.parametrize("seen", [0, 700, 1_500])
@pytest.mark.parametrize("path", [CHAT, "/v1/responses", MESSAGES, CONVERSE_STREAM])
def test_57_a_client_that_leaves_has_spent(rig: Rig, path: str, seen: int) -> None:
    """The rest is drained: what is booked is what the provider bills, measured."""
    fault = {"x-simulate": "none; latency_ms=120; event_ms=8"}
    _left(rig, path, _streamed(path, f"left {seen}"), fault, seen)
    line = rig.sim.invoice.lines[-1]
    row = rig.attempt_of(line)
    assert (line.fate, row["usage_basis"]) == ("complete", "measured")
    assert row["cost_nano"] == line.cost_nano
    assert row["cost_nano"] > 0
    assert row["outcome"] == "left"


@pytest.mark.parametrize("path", [CHAT, MESSAGES, CONVERSE])
def test_57_before_a_whole_answer(rig: Rig, path: str) -> None:
    make = {CHAT: chat_body, MESSAGES: message_body, CONVERSE: converse_body}[path]
    _left(rig, path, make(f"{MARK} whole"), {"x-simulate": "none; latency_ms=200"}, 0)
    line = rig.sim.invoice.lines[-1]
    row = rig.attempt_of(line)
    assert (row["cost_nano"], row["outcome"]) == (line.cost_nano, "left")


@pytest.mark.parametrize("seen", [0, 700])
@pytest.mark.parametrize("path", [CHAT, MESSAGES, CONVERSE_STREAM])
def test_57_a_route_that_cancels(rig: Rig, path: str, seen: int) -> None:
    """The provider is stopped, and what was spent is an estimate or unknown, never measured."""
    fault = {"x-simulate": "none; latency_ms=120; event_ms=20", "x-bursar-route": "dropped"}
    before = rig.rows("SELECT count(*) AS n FROM attempts WHERE route = 'dropped'")[0]["n"]
    _left(rig, path, _streamed(path, f"dropped {seen}"), fault, seen)
    assert rig.sim.invoice.lines[-1].fate == "cut_by_client"

    def booked() -> Any:
        rows = rig.rows("SELECT * FROM attempts WHERE route = 'dropped' ORDER BY call_id")
        return rows if len(rows) > before else None

    rows = until(booked, rig.log)
    assert len(rows) == before + 1
    assert rows[-1]["outcome"] == "left"
    assert rows[-1]["cost_nano"] is None or rows[-1]["usage_basis"] == "modelled"


def test_39_a_slow_reader_holds_nobody_else_back(rig: Rig) -> None:
    answers: list[int] = []
    sent = raw_post(CHAT, json.dumps(chat_body(f"{MARK} slow", stream=True, n=50)).encode())
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        line.connect(("127.0.0.1", rig.port))
        line.sendall(sent)
        asking = threading.Thread(target=lambda: answers.append(rig.chat(f"{MARK} quick").status))
        asking.start()
        asking.join(5)
        assert answers == [200]


def test_nothing_was_lost(rig: Rig) -> None:
    """Each line of the invoice once, at its own cost where the usage could be believed."""
    lines = rig.paid()
    rows = rig.attempts(len(lines))
    priced = [row for row in rows.values() if row["usage_basis"] == "measured"]
    by_digest = {row["request_digest"]: row["cost_nano"] for row in priced}
    for line in lines:
        row = rig.attempt_of(line) if line.fate != "cut_by_client" else None
        if row is not None and row["cost_nano"] is not None and row["request_digest"] in by_digest:
            assert row["cost_nano"] == line.cost_nano


# -- 6 and 58: with a gateway of their own, since its settings change

LOST, LOST_DIGEST = new_key("lost")
OTHER_DIGEST = new_key("lost")[1]
LOSSES: dict[str, dict[str, Any] | None] = {
    "blocked": {"sha256": LOST_DIGEST, "blocked": True},
    "expired": {"sha256": LOST_DIGEST, "expires": "2025-01-01"},
    "rotated": {"sha256": OTHER_DIGEST},
    "removed": None,
}
STREAMED = (CHAT, "/v1/responses", MESSAGES, CONVERSE_STREAM)
SLOW = {"x-simulate": "none; event_ms=200; output_tokens=150", "authorization": f"Bearer {LOST}"}
LATE = {"x-simulate": "none; latency_ms=6000", "authorization": f"Bearer {LOST}"}


def _with_lost(sim: Any, rules: dict[str, Any] | None, **calls: Any) -> dict[str, Any]:
    settings = settings_for(sim, calls={"drain_for": "20s", **calls})
    if rules is not None:
        settings["keys"]["lost"] = rules
    return settings


@pytest.fixture(scope="module", name="losing")
def losing_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    def start(sim: Any) -> dict[str, Any]:
        return _with_lost(sim, {"sha256": LOST_DIGEST})

    with running(tmp_path_factory.mktemp("losing"), start) as one:
        yield one
        assert "fault" not in one.log(), one.log()
        assert LOST not in one.log()


def _until_read(rig: Rig, times: int) -> None:
    until(lambda: rig.log().count("was read again") > times, rig.log)


def _change(rig: Rig, rules: dict[str, Any] | None, **calls: Any) -> None:
    rig.write(_with_lost(rig.sim, rules, **calls))


@pytest.mark.parametrize("how", LOSSES)
def test_6_live_calls_of_a_lost_key_end_soon(losing: Rig, how: str) -> None:
    """A stream ends with an error event, a call that waits gets 401; both are booked as billed."""
    held = {"authorization": f"Bearer {LOST}"}
    policy = {"disconnect": "drain" if how == "blocked" else "cancel"}
    _change(losing, {"sha256": LOST_DIGEST}, **policy)
    until(lambda: losing.chat(f"{MARK} in", held).status == 200, losing.log)
    before = len(losing.sim.invoice.lines)
    many = "SELECT count(*) AS n FROM attempts WHERE outcome = 'left'"
    left = losing.rows(many)[0]["n"]
    ends: dict[str, Answered] = {}

    def ask(path: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        found = losing.post(path, body, headers)
        ends["late" if headers is LATE else path] = found

    asks = [(path, _streamed(path, f"lost {how}"), SLOW) for path in STREAMED]
    asks.append((CHAT, chat_body(f"{MARK} late {how}"), LATE))
    asking = [threading.Thread(target=ask, args=one) for one in asks]
    for one in asking:
        one.start()
    time.sleep(0.4)
    assert not ends
    _change(losing, LOSSES[how], **policy)
    for one in asking:
        one.join()
    refused(losing, ends.pop("late"), 401)
    for path, found in ends.items():
        assert found.status == 200
        assert {CONVERSE_STREAM: b":exception-type"}.get(path, b"error") in found.body
    assert losing.chat(MARK, held).status == 401
    assert losing.chat(f"{MARK} of another key").status == 200
    until(lambda: losing.rows(many)[0]["n"] == left + len(asks), losing.log)
    if policy["disconnect"] == "cancel":
        return
    until(lambda: len(losing.sim.invoice.lines) == before + len(asks) + 1, losing.log)
    rows = [losing.attempt_of(line) for line in list(losing.sim.invoice.lines)[before:]]
    costs = [line.cost_nano for line in list(losing.sim.invoice.lines)[before:]]
    assert [row["cost_nano"] for row in rows] == costs
    assert sorted(row["outcome"] for row in rows) == ["left"] * len(asks) + ["ok"]


def test_6_a_policy_lets_them_end(losing: Rig) -> None:
    read = losing.log().count("was read again")
    _change(losing, {"sha256": LOST_DIGEST}, lost_key="finish")
    _until_read(losing, read)
    told: list[Answered] = []
    fault = {**SLOW, "x-simulate": "none; latency_ms=2500"}
    asking = threading.Thread(target=lambda: told.append(losing.chat(f"{MARK} end", fault)))
    asking.start()
    time.sleep(0.3)
    _change(losing, LOSSES["blocked"], lost_key="finish")
    asking.join()
    assert told[0].status == 200
    until(lambda: losing.chat(MARK, {**SLOW, "x-simulate": "none"}).status == 401, losing.log)


PATHS_58 = {CHAT: chat_body, MESSAGES: message_body, CONVERSE: converse_body}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS_58)
def test_58_the_same_key_in_parallel_is_one_call(rig: Rig, path: str, stream: bool) -> None:
    """And one more time later; each client hears the same."""
    streams = {"stream": True} if stream and path != CONVERSE else {}
    body = PATHS_58[path](f"{MARK} twice {stream}", **streams)
    sent = {"x-simulate": "none; latency_ms=300", "idempotency-key": f"k{path}{stream}"}
    place = CONVERSE_STREAM if stream and path == CONVERSE else path
    before = len(rig.sim.invoice.lines)
    heard: list[Answered] = []
    asking = [
        threading.Thread(target=lambda: heard.append(rig.post(place, body, sent))) for _ in range(4)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    heard.append(rig.post(place, body, sent))
    assert {(one.status, one.body) for one in heard} == {(200, heard[0].body)}
    assert sum(one.header("x-bursar-repeated") == "1" for one in heard) == 4
    assert len({one.header("x-bursar-call-id") for one in heard}) == 1
    assert len(rig.sim.invoice.lines) == before + 1
    rig.attempt_of(rig.sim.invoice.lines[-1])
    told = rig.post(place, PATHS_58[path](f"{MARK} otherwise", **streams), sent)
    assert "idempotency" in refused(rig, told, 422, place)
    assert len(rig.sim.invoice.lines) == before + 1
    other = {**sent, "authorization": f"Bearer {NEAR_KEYS[NEAR[0]][0]}"}
    assert rig.post(place, body, other).header("x-bursar-repeated") is None


def test_58_a_failure_is_not_kept(rig: Rig) -> None:
    """A retry with the same key is a new call, and so is one after a stream that broke."""
    for fault, stream in (("error=503", False), ("error_body", False), ("cut=3", True)):
        sent = {"x-simulate": fault, "idempotency-key": f"failed {fault}"}
        body = chat_body(f"{MARK} {fault}", stream=stream)
        rig.post(CHAT, body, sent)
        found = rig.post(CHAT, body, {**sent, "x-simulate": "none"})
        assert (found.status, found.header("x-bursar-repeated")) == (200, None)
        assert rig.post(CHAT, body, sent).header("x-bursar-repeated") == "1"


def test_58_the_first_client_may_leave(rig: Rig) -> None:
    """Its call goes on, and whoever asks again hears the answer."""
    body = chat_body(f"{MARK} left and asked again", stream=True)
    fault = {"x-simulate": "none; latency_ms=150; event_ms=30", "idempotency-key": "left"}
    before = len(rig.sim.invoice.lines)
    sent = raw_post(CHAT, json.dumps(body).encode(), **fault)
    with socket.create_connection(("127.0.0.1", rig.port), 5) as line:
        line.sendall(sent)
        time.sleep(0.2)
    found = rig.post(CHAT, body, fault)
    assert found.body.endswith(b"data: [DONE]\n\n")
    assert found.header("x-bursar-repeated") == "1"
    assert len(rig.sim.invoice.lines) == before + 1


def test_58_a_key_that_is_too_long(rig: Rig) -> None:
    refused(rig, rig.chat(MARK, {"idempotency-key": "x" * 256}), 400)
