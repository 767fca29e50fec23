"""What goes wrong on purpose goes wrong as it says, and is billed as it says."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dialects.frames import frames_of
from bursar.dialects.requests import Prompt
from bursar.model.errors import BadInput, BadUsage
from bursar.simulator.asking import Asked
from bursar.simulator.desk import Terms
from bursar.simulator.faults import FREE, KINDS, UNWORKED, Fate, Fault, read_header
from bursar.simulator.invoice import Line
from bursar.simulator.server import Simulator
from simulator.asks import CASES, LONG, ask, chat, converse, message, prices, read, responses

BROKEN = (http.client.HTTPException, OSError)
STREAMS = {
    "chat": chat(stream=True, stream_options={"include_usage": True}),
    "responses": responses(stream=True),
    "messages": message(stream=True),
    "converse": converse(stream=True),
    "invoke": CASES["invoke-claude-stream"],
}
each_stream = pytest.mark.parametrize("name", STREAMS)


def settled(sim: Simulator, count: int = 1) -> Line:
    """The last line, once there are so many."""
    until = time.monotonic() + 5
    while len(sim.invoice.lines) < count and time.monotonic() < until:
        time.sleep(0.005)
    assert len(sim.invoice.lines) == count
    return sim.invoice.lines[-1]


def test_rate_limit(sim: Simulator) -> None:
    got = ask(sim, chat(), x_simulate="rate_limit=7")
    assert (got.status, got.headers["retry-after"]) == (429, "7")
    line = settled(sim)
    assert (line.billed, line.cost_nano, line.fault, line.status) == (False, 0, "rate_limit", 429)


@pytest.mark.parametrize("kind", sorted(UNWORKED - {"close"}))
def test_no_work_leaves_no_trace_in_the_cache(sim: Simulator, kind: str) -> None:
    ask(sim, chat(LONG), x_simulate=kind)
    case = chat(LONG)
    usage = read(ask(sim, case), case).usage
    assert usage is not None
    assert usage.cache_read == 0


def test_an_error_after_the_work_is_free_but_cached(sim: Simulator) -> None:
    assert ask(sim, chat(LONG), x_simulate="error_after=502").status == 502
    assert settled(sim).cost_nano == 0
    again = read(ask(sim, chat(LONG)), chat(LONG)).usage
    assert again is not None
    assert again.cache_read > 0


def test_an_error_after_the_work_may_be_billed(sim: Simulator) -> None:
    ask(sim, chat(LONG), x_simulate="error_after; bill=true")
    line = settled(sim)
    assert line.billed
    assert line.status == 500
    assert line.cost_nano


def test_garbage_and_an_error_under_200(sim: Simulator) -> None:
    garbage = ask(sim, chat(), x_simulate="garbage")
    assert garbage.status == 200
    with pytest.raises(BadInput):
        read(garbage, chat())
    error = ask(sim, chat(), x_simulate="error_body")
    assert error.status == 200
    assert read(error, chat()).stop == "error"
    assert sim.invoice.total_nano == 0


@each_stream
@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_stream_is_cut_after_so_many_events(sim: Simulator, name: str, at: int) -> None:
    with pytest.raises(BROKEN) as broken:
        ask(sim, STREAMS[name], x_simulate=f"cut={at}")
    line = settled(sim)
    assert (line.fate, line.sent, line.fault) == ("cut_by_fault", at, "cut")
    assert line.billed
    assert line.cost_nano
    if at and isinstance(broken.value, http.client.IncompleteRead):
        reading = read(ask(sim, STREAMS[name]), STREAMS[name])
        assert len(broken.value.partial) < 10_000
        assert not reading.truncated


def test_a_plain_answer_is_cut_in_half(sim: Simulator) -> None:
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(sim, chat(), x_simulate="cut")
    assert broken.value.partial
    assert settled(sim).fate == "cut_by_fault"


@each_stream
def test_a_stream_may_end_in_an_error(sim: Simulator, name: str) -> None:
    got = ask(sim, STREAMS[name], x_simulate="error_event=2")
    events = frames_of(got.body).events
    assert len(events) == 3
    assert "simulated fault" in str(events[-1])


def test_closed_before_any_header(sim: Simulator) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(sim, chat(), x_simulate="close")
    line = settled(sim)
    assert (line.status, line.fate, line.cost_nano) == (0, "cut_by_fault", 0)


def test_hangs_until_it_closes(sim: Simulator) -> None:
    began = time.monotonic()
    with pytest.raises(BROKEN):
        ask(sim, chat(), x_simulate="hang=0.2")
    assert time.monotonic() - began >= 0.2
    with pytest.raises(BROKEN):
        ask(sim, STREAMS["chat"], x_simulate="hang=0.2; at=2")
    line = settled(sim, 2)
    assert line.sent == 2
    assert line.billed


def test_slow_bytes(sim: Simulator) -> None:
    began = time.monotonic()
    got = ask(sim, chat(max_completion_tokens=5), x_simulate="slow=4000")
    assert time.monotonic() - began >= len(got.body) / 4_000 * 0.8
    assert read(got, chat()).usage == settled(sim).usage


def test_latency_and_time_between_events(sim: Simulator) -> None:
    began = time.monotonic()
    ask(sim, STREAMS["messages"], x_simulate="latency_ms=100; event_ms=2")
    line = settled(sim)
    assert time.monotonic() - began >= 0.1 + 0.002 * line.events


@pytest.mark.parametrize("name", CASES)
def test_missing_usage_is_missing_and_still_billed(sim: Simulator, name: str) -> None:
    reading = read(ask(sim, CASES[name], x_simulate="no_usage"), CASES[name])
    assert reading.usage is None
    assert settled(sim).cost_nano


@pytest.mark.parametrize("how", ["negative", "huge", "text", "zero", "null"])
@pytest.mark.parametrize("name", STREAMS)
def test_absurd_usage_never_reaches_the_invoice(sim: Simulator, name: str, how: str) -> None:
    case = STREAMS[name]
    got = ask(sim, case, x_simulate=f"absurd={how}")
    true = settled(sim).usage
    assert true is not None
    assert 0 < true.prompt < 10**6
    try:
        told = read(got, case).usage
    except BadUsage:
        assert how in ("negative", "huge", "text")
    else:
        assert how != "negative"
        assert told == true or how != "text"


@each_stream
def test_a_huge_event(sim: Simulator, name: str) -> None:
    got = ask(sim, STREAMS[name], x_simulate="huge_line=300000")
    assert len(got.body) > 300_000
    assert settled(sim).cost_nano
    assert max(map(len, got.body.split(b"\n"))) > 300_000 or name in ("converse", "invoke")


def test_how_long_an_answer_is_said_to_be(sim: Simulator) -> None:
    ask(sim, chat(), x_simulate="output_tokens=777")
    usage = settled(sim).usage
    assert usage is not None
    assert usage.output == 777


@pytest.mark.parametrize("text", ["nonsense", "cut=x", "error; status=99", "none; odd=1"])
def test_a_header_that_is_not_understood_is_refused(sim: Simulator, text: str) -> None:
    got = ask(sim, chat(), x_simulate=text)
    assert got.status == 400
    assert b"x-simulate" in got.body


def test_every_kind_is_described_and_its_value_is_a_field() -> None:
    for told, field in KINDS.values():
        assert told.endswith(".")
        assert field is None or field in Fault.__struct_fields__
    assert KINDS.keys() > FREE


def asked(digest: int, n: int = 0) -> Asked:
    return Asked(model="m", body={}, prompt=Prompt(blocks=()), digest=digest, n=n)


@given(st.floats(0, 1), st.integers(0, 2**31))
def test_chance_is_drawn_from_the_request(probability: float, seed: int) -> None:
    fate = Fate([Fault(kind="cut", probability=probability)], seed)
    drawn = [fate.of(asked(digest)).kind for digest in range(400)]
    assert drawn == [fate.of(asked(digest)).kind for digest in range(400)]
    share = drawn.count("cut") / len(drawn)
    assert abs(share - probability) < 0.15


def test_the_header_wins_over_chance() -> None:
    with Simulator(prices=prices(), faults=[Fault(kind="rate_limit")]).running() as sim:
        assert ask(sim, chat()).status == 429
        assert ask(sim, chat(), x_simulate="none").status == 200


def test_faults_by_model_content_and_first_times() -> None:
    faults = [
        Fault(kind="error", model="gpt-6*"),
        Fault(kind="rate_limit", contains="parcel", first=1),
    ]
    with Simulator(prices=prices(), faults=faults).running() as sim:
        assert ask(sim, responses()).status == 500
        assert [ask(sim, chat()).status for _ in range(3)] == [429, 200, 200]
        assert ask(sim, chat("hello")).status == 200


def left_after(sim: Simulator, events: int) -> None:
    """A client that goes away after so many events of a slow stream."""
    case = STREAMS["messages"]
    body = msgspec.json.encode(case.body)
    head = (
        f"POST {case.path} HTTP/1.1\r\nhost: x\r\nx-api-key: k\r\ncontent-length: {len(body)}\r\n"
        "x-simulate: event_ms=5\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", sim.port)) as client:
        client.sendall(head.encode() + body)
        seen = b""
        while seen.count(b"event: ") < events:
            seen += client.recv(4_096)


@pytest.fixture(params=["full", "generated"])
def leaving(request: pytest.FixtureRequest) -> Iterator[tuple[Simulator, str]]:
    terms = Terms(when_gone=request.param)
    with Simulator(seed=7, prices=prices(), terms=terms).running() as running:
        yield running, request.param


def test_a_client_that_leaves_pays_by_the_terms(leaving: tuple[Simulator, str]) -> None:
    sim, when_gone = leaving
    whole = read(ask(sim, STREAMS["messages"]), STREAMS["messages"]).usage
    left_after(sim, 4)
    line = settled(sim, 2)
    assert whole is not None
    assert line.usage is not None
    assert line.fate == "cut_by_client"
    assert 3 <= line.sent < line.events
    share = line.sent if when_gone == "generated" else line.events
    assert line.usage.output == whole.output * share // line.events
    assert line.usage.prompt == whole.prompt


def test_a_client_that_leaves_before_the_first_byte() -> None:
    terms = Terms(when_gone="generated", latency_ms=500)
    with Simulator(prices=prices(), terms=terms).running() as sim:
        with socket.create_connection(("127.0.0.1", sim.port)) as client:
            body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}'
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            time.sleep(0.05)
        line = settled(sim)
        assert (line.fate, line.sent) == ("cut_by_client", 0)
        assert line.usage is not None
        assert line.usage.output == 0
        assert line.usage.input > 0


MISREAD: list[Callable[[], object]] = [
    lambda: read_header("cut=many"),
    lambda: Fate([Fault(kind="nonsense")]),
    lambda: Fate([Fault(kind="cut", probability=2)]),
]


@pytest.mark.parametrize("wrong", MISREAD)
def test_wrong_faults_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(BadInput):
        wrong()
