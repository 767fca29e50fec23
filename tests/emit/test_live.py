"""A real gateway tells a real collector: each attempt once, as the ledger has it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.ledger.engines.duck import Duck
from bursar.model.money import usd
from simulator.asks import MARKED
from tests.emit.collector import Collector, collecting, plain
from tests.gateway.rig import Rig, chat_body, message_body, running, settings_for, until
from trials import bursar

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOLD = 7
SECRET = "Bearer of the collector"
PROMPT = "words that nobody but the provider may read"
USAGE = ("prompt_tokens", "cache_read_tokens", "cache_write_5m_tokens", "output_tokens")


class Live:
    """A gateway that has answered seven calls and was stopped, and what its collector got."""

    def __init__(self, home: Path, collector: Collector) -> None:
        self.home = home
        self.collector = collector
        self.ids: dict[str, int] = {}
        self.log = ""

    def ask(self, rig: Rig) -> None:
        trace = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-bursar-route": "support"}
        session = {"x-bursar-session": "talk-1", "x-bursar-color": "green"}
        unheard = {"traceparent": f"00-{TRACE[::-1]}-{PARENT}-00"}
        marked = message_body(PROMPT, system=MARKED)
        limited = chat_body("try me", stream=False)
        fault = {"x-simulate": "rate_limit=1; first=1"}
        asked: dict[str, Any] = {
            "chat": rig.post("/v1/chat/completions", chat_body(PROMPT), {**trace, **session}),
            "stream": rig.post("/v1/chat/completions", chat_body(PROMPT, stream=True), trace),
            "written": rig.post("/v1/messages", marked),
            "read": rig.post("/v1/messages", marked),
            "refused": rig.post("/v1/chat/completions", limited, fault),
            "again": rig.post("/v1/chat/completions", limited, {"x-stainless-retry-count": "1"}),
            "broken": rig.chat(PROMPT, {"x-simulate": "close"}),
            "unheard": rig.chat(PROMPT, unheard),
        }
        for name, answer in asked.items():
            self.ids[name] = int(answer.header("x-bursar-call-id") or 0)
        assert asked["refused"].status == 429
        until(lambda: len(self.collector.spans()) >= TOLD, rig.log)
        rest = set(self.rows_of(rig)) - set(self.ids.values())
        (self.ids["broken"],) = rest  # a call that got no answer got no header
        counted = f'bursar_otlp_spans_total{{fate="sent"}} {float(TOLD)}'
        until(lambda: counted in rig.get("/metrics").body.decode(), rig.log)

    def rows_of(self, rig: Rig) -> list[int]:
        rows = rig.rows("SELECT call_id FROM attempts")
        return [row["call_id"] for row in rows]

    def span(self, name: str) -> Any:
        (found,) = [one for one in self.collector.spans() if _id(one) == self.ids[name]]
        return found

    def told(self, name: str) -> dict[str, Any]:
        return plain(self.span(name).attributes)

    def rows(self) -> dict[int, dict[str, Any]]:
        duck = Duck(self.home / "ledger.duckdb")
        try:
            return {row["call_id"]: row for row in duck.named("SELECT * FROM attempts")}
        finally:
            duck.close()


def _id(span: Any) -> int:
    return int.from_bytes(span.span_id, "big")


@pytest.fixture(name="live", scope="module")
def live_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("told")
    secret = home / "collector-key"
    secret.write_text(SECRET)
    with collecting() as collector:
        otlp = {
            "on": True,
            "endpoint": collector.url,
            "headers": {"authorization": f"file:{secret}"},
            "linger": "200ms",
            "interval": "1s",
        }
        live = Live(home, collector)

        def settings(sim: Any) -> dict[str, Any]:
            return settings_for(sim, telemetry={"otlp": otlp})

        with running(home, settings) as rig:
            live.ask(rig)
        live.log = rig.log()
        yield live


def test_each_attempt_is_told_once(live: Live) -> None:
    told = sorted(map(_id, live.collector.spans()))
    assert told == sorted(one for name, one in live.ids.items() if name != "unheard")
    assert len(told) == TOLD


def test_the_trace_goes_on(live: Live) -> None:
    for name in ("chat", "stream"):
        span = live.span(name)
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    alone = live.span("written")
    assert not alone.parent_span_id
    assert len({live.span(name).trace_id for name in ("written", "read", "again")}) == 3


def test_names_and_places(live: Live) -> None:
    rows = live.rows()
    for name in live.ids:
        if name == "unheard":
            continue
        span, row, told = live.span(name), rows[live.ids[name]], live.told(name)
        assert span.name == f"chat {told['gen_ai.request.model']}"
        assert span.kind == 3
        took_ms = (span.end_time_unix_nano - span.start_time_unix_nano) // 1_000_000
        assert took_ms == row["total_ms"]
        assert told["server.address"] == "127.0.0.1"
        assert told["bursar.call_id"] == str(row["call_id"])
        assert told["bursar.tenant"] == "acme"
    assert live.told("written")["gen_ai.provider.name"] == "anthropic"


def test_counts_and_costs_are_the_ledgers(live: Live) -> None:
    rows = live.rows()
    for name in ("chat", "stream", "written", "read", "again"):
        row, told = rows[live.ids[name]], live.told(name)
        assert told["gen_ai.usage.input_tokens"] == row["prompt_tokens"]
        assert told["gen_ai.usage.cache_read.input_tokens"] == row["cache_read_tokens"]
        written = row["cache_write_5m_tokens"] + row["cache_write_1h_tokens"]
        assert told["gen_ai.usage.cache_creation.input_tokens"] == written
        answer = row["output_tokens"] + row["reasoning_tokens"]
        assert told["gen_ai.usage.output_tokens"] == answer
        assert told["gen_ai.usage.reasoning.output_tokens"] == row["reasoning_tokens"]
        assert told["bursar.cost_nano"] == row["cost_nano"] > 0
        assert told["bursar.cost_usd"] == float(usd(row["cost_nano"]) or 0)
        assert told["bursar.cost.basis"] == "measured"
        assert told["bursar.price_version"] == row["price_version"]
    assert live.told("written")["gen_ai.usage.cache_creation.input_tokens"] > 1_000
    assert live.told("read")["gen_ai.usage.cache_read.input_tokens"] > 1_000


def test_what_a_call_says_of_itself(live: Live) -> None:
    told = live.told("chat")
    assert told["bursar.route"] == "support"
    assert told["gen_ai.conversation.id"] == "talk-1"
    assert told["bursar.tag.color"] == "green"
    assert not {name for name in told if "trace" in name or "parent" in name}
    assert live.told("written")["gen_ai.conversation.id"].startswith("auto-")
    assert live.told("again")["bursar.is_retry"] is True
    assert live.told("chat")["gen_ai.response.finish_reasons"] == ["stop"]
    stream = live.told("stream")
    assert stream["gen_ai.request.stream"] is True
    assert stream["gen_ai.response.time_to_first_chunk"] >= 0


def test_errors(live: Live) -> None:
    refused, broken = live.told("refused"), live.told("broken")
    assert (refused["error.type"], refused["http.response.status_code"]) == ("429", 429)
    assert live.span("refused").status.code == 2
    assert "gen_ai.usage.input_tokens" not in refused
    assert (refused["bursar.cost_nano"], refused["bursar.cost.basis"]) == (0, "assumed")
    assert broken["error.type"] == "_OTHER"
    assert live.span("broken").status.code == 2
    assert live.span("chat").status.code == 0


def test_no_word_of_a_prompt_leaves(live: Live) -> None:
    answer = b"words that nobody"
    assert live.collector.bodies
    assert not [body for body in live.collector.bodies if answer in body]
    assert "Bearer" not in live.log
    assert {one["authorization"] for one in live.collector.headers} == {SECRET}


def test_metrics(live: Live) -> None:
    points = live.collector.points()
    rows = list(live.rows().values())
    spent = sum(row["cost_nano"] or 0 for row in rows)
    assert sum(point.as_double for _, point in points["bursar.client.cost"]) == pytest.approx(
        spent / 1e9
    )
    tokens = points["gen_ai.client.token.usage"]
    prompt = sum(row["prompt_tokens"] or 0 for row in rows)
    found = sum(point.sum for told, point in tokens if told["gen_ai.token.type"] == "input")
    assert found == prompt
    durations = points["gen_ai.client.operation.duration"]
    assert sum(point.count for _, point in durations) == len(rows) == TOLD + 1
    assert {told.get("error.type") for told, _ in durations} == {None, "429", "_OTHER"}
    assert points["gen_ai.client.operation.time_to_first_chunk"][0][1].count == 1
    few = {"bursar.tenant", "bursar.route", "server.address", "server.port", "error.type"}
    for told, _ in [pair for pairs in points.values() for pair in pairs]:
        assert {name for name in told if not name.startswith("gen_ai.")} <= few


def test_nothing_was_lost(live: Live) -> None:
    assert "did not get everything" not in live.log


def test_read_back_they_give_the_same_ledger(live: Live, tmp_path: Path) -> None:
    place = tmp_path / "spans.pb"
    place.write_bytes(b"".join(live.collector.bodies))
    assert bursar("import", place, home=tmp_path).code == 0
    duck = Duck(tmp_path / "ledger.duckdb")
    try:
        back = duck.named('SELECT * FROM attempts ORDER BY "at"')
    finally:
        duck.close()
    here = [row for call_id, row in sorted(live.rows().items()) if call_id != live.ids["unheard"]]
    assert len(back) == len(here) == TOLD
    same = (*USAGE, "cost_nano", "provider", "tenant", "route", "stop", "first_byte_ms")
    for mine, theirs in zip(here, back, strict=True):
        if mine["call_id"] == live.ids["broken"]:
            continue
        for name in same[:-1]:
            assert theirs[name] == mine[name], (name, mine["model"])
        assert theirs["recorded_cost_nano"] == mine["cost_nano"]
    colors = [json.loads(row["other_tags"] or "{}").get("color") for row in back]
    assert colors[0] == "green"


def test_a_collector_that_is_down_holds_nothing_up(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"

    def settings(sim: Any) -> dict[str, Any]:
        otlp = {"on": True, "endpoint": nobody, "timeout": "1s", "linger": "100ms"}
        return settings_for(sim, telemetry={"otlp": otlp})

    with running(tmp_path, settings) as rig:
        for _ in range(20):
            assert rig.chat().status == 200
        assert len(rig.attempts(20)) == 20
        lost = 'bursar_otlp_spans_total{fate="unreachable"} 20.0'
        until(lambda: lost in rig.get("/metrics").body.decode(), rig.log)
    assert "did not get everything" in rig.log()
