"""Byte for byte: what goes up, what comes back, and what is booked, for every kind of call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from simulator.asks import CASES, Case
from tests.gateway.rig import BEARER, JSON_TYPE, KEY, Answered, Rig, ask, chat_body

ADDED = {"x-bursar-call-id"}
HOP = {"connection", "content-length", "transfer-encoding"}
USAGE = (
    ("prompt_tokens", "prompt"),
    ("cache_read_tokens", "cache_read"),
    ("cache_write_5m_tokens", "cache_write_5m"),
    ("cache_write_1h_tokens", "cache_write_1h"),
    ("output_tokens", "output"),
    ("reasoning_tokens", "reasoning"),
)


def through(rig: Rig, case: Case, **more: str) -> Answered:
    keyed = {name: KEY for name in case.headers if name == "x-api-key"} or BEARER
    version = {name: value for name, value in case.headers.items() if name[:9] == "anthropic"}
    return rig.ask(
        "POST", case.path, json.dumps(case.body).encode(), {**JSON_TYPE, **keyed, **version, **more}
    )


def direct(rig: Rig, case: Case, **more: str) -> Answered:
    raw = json.dumps(case.body).encode()
    return ask(rig.twin.port, "POST", case.path, raw, {**JSON_TYPE, **case.headers, **more})


def seen(answered: Answered) -> list[tuple[str, str]]:
    return sorted(pair for pair in answered.headers if pair[0] not in HOP | ADDED)


@pytest.mark.parametrize("name", sorted(CASES))
def test_bytes_go_through_and_the_ledger_is_the_invoice(rig: Rig, name: str) -> None:
    case = CASES[name]
    got, plain = through(rig, case), direct(rig, case)
    assert (got.status, got.body) == (plain.status, plain.body) == (200, plain.body)
    assert seen(got) == seen(plain)
    line, twin = rig.sim.invoice.lines[-1], rig.twin.invoice.lines[-1]
    assert line.body_digest == twin.body_digest
    assert (line.cost_nano, line.usage) == (twin.cost_nano, twin.usage)
    assert line.billed
    assert got.header("x-bursar-call-id")


def test_every_attempt_once_to_the_nanodollar(rig: Rig) -> None:
    """Every case again, now with caches that are warm, then the whole ledger."""
    for case in CASES.values():
        through(rig, case)
        direct(rig, case)
    lines = rig.paid()
    found = rig.attempts(len(lines))
    for line in lines:
        row = rig.attempt_of(line)
        assert (row["cost_nano"], row["unpriced"]) == (line.cost_nano, None), line
        assert line.usage is not None
        for column, field in USAGE:
            assert row[column] == getattr(line.usage, field), (column, line)
        assert (row["status"], row["tenant"], row["usage_basis"]) == (200, "acme", "measured")
        assert (row["provider"], row["price_class"]) == (line.provider, line.price_class)
    assert len(found) == len({line.request_id for line in lines})
    assert sum(row["cost_nano"] for row in found.values()) == rig.sim.invoice.total_nano


STREAMED = chat_body("where is it?", stream=True)


def events(raw: bytes) -> list[Any]:
    told = [line[6:] for line in raw.split(b"\n") if line.startswith(b"data: ")]
    return [one if one == b"[DONE]" else json.loads(one) for one in told]


def test_the_usage_that_we_ask_for_is_hidden(rig: Rig) -> None:
    case = CASES["chat"]._replace(body=STREAMED)
    got, plain = through(rig, case), direct(rig, case)
    assert b'"usage":{' not in got.body
    shown = [
        {key: value for key, value in event.items() if key != "usage"}
        if isinstance(event, dict)
        else event
        for event in events(got.body)
    ]
    assert shown == events(plain.body)
    line, twin = rig.sim.invoice.lines[-1], rig.twin.invoice.lines[-1]
    assert line.body_digest != twin.body_digest
    assert (line.usage, line.cost_nano) == (twin.usage, twin.cost_nano)
    assert rig.attempt_of(line)["cost_nano"] == line.cost_nano


@pytest.mark.parametrize("name", ["chat", "responses", "messages", "converse", "invoke-claude"])
@pytest.mark.parametrize("fault", ["error=500", "error=503", "rate_limit=3", "error=418"])
def test_errors_go_through(rig: Rig, name: str, fault: str) -> None:
    more = {"x-simulate": fault}
    got, plain = through(rig, CASES[name], **more), direct(rig, CASES[name], **more)
    assert (got.status, got.body) == (plain.status, plain.body)
    assert got.status >= 400
    assert seen(got) == seen(plain)
    row = rig.attempt_of(rig.sim.invoice.lines[-1])
    assert (row["status"], row["cost_nano"] or 0) == (got.status, 0)


@pytest.mark.parametrize("name", ["chat-stream", "responses-stream", "messages-stream"])
def test_an_error_inside_a_stream_goes_through(rig: Rig, name: str) -> None:
    more = {"x-simulate": "error_event=2"}
    got, plain = through(rig, CASES[name], **more), direct(rig, CASES[name], **more)
    assert (got.status, got.body) == (plain.status, plain.body)


@pytest.mark.parametrize("name", ["chat-cached", "messages-lives", "converse-stream"])
def test_the_prompt_cache_hits_as_without_us(rig: Rig, name: str) -> None:
    """A conversation that grows: read and written tokens of each turn are the twin's."""
    case, line = CASES[name], None
    for turn in range(3):
        told = [*case.body["messages"], *_more(case, turn)]
        longer = case._replace(body={**case.body, "messages": told})
        assert through(rig, longer).body == direct(rig, longer).body
        line, twin = rig.sim.invoice.lines[-1], rig.twin.invoice.lines[-1]
        assert (line.body_digest, line.usage) == (twin.body_digest, twin.usage)
    assert line is not None
    assert line.usage is not None
    assert line.usage.cache_read > 0


def _more(case: Case, turn: int) -> list[dict[str, Any]]:
    def said(role: str, text: str) -> dict[str, Any]:
        content: Any = [{"text": text}] if case.dialect == "bedrock_converse" else text
        return {"role": role, "content": content}

    return [
        one
        for n in range(turn)
        for one in (said("assistant", f"Answer {n}. " * 20), said("user", f"And then {n}?"))
    ]
