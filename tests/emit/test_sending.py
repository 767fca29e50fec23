"""At most once: what is tried again, what is not, and what each fate is called."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.emit.line import REFUSED, SENT, UNCERTAIN, UNREACHABLE
from bursar.emit.otlp import Spans, quiet, resource_of
from bursar.emit.outbox import Outbox
from bursar.emit.teller import NO_ROOM, UNFINISHED, Teller
from bursar.extras import opentelemetry
from bursar.ledger.journal.spans import FLAGS_TAG, PARENT_TAG, TRACE_TAG
from bursar.model.call import Tags
from tests.emit.collector import Collector, collecting
from tests.emit.made import options, paid

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture(name="collector")
def collector_fixture() -> Iterator[Collector]:
    quiet()
    with collecting() as collector:
        yield collector


def spans_to(endpoint: str, **more: Any) -> Spans:
    tools = opentelemetry()
    return Spans(tools, options(endpoint, **more), resource_of(tools))


def sent(endpoint: str, count: int = 3, **more: Any) -> dict[str, int]:
    spans = spans_to(endpoint, **more)
    try:
        return spans.send([spans.span(paid(number)) for number in range(1, count + 1)])
    finally:
        spans.close()


@pytest.mark.parametrize("gzip", [True, False])
def test_a_batch_arrives(collector: Collector, gzip: bool) -> None:
    assert sent(collector.url, gzip=gzip) == {SENT: 3}
    assert [one.span_id[-1] for one in collector.spans()] == [1, 2, 3]


@pytest.mark.parametrize("status", [429, 503])
def test_a_collector_that_took_nothing_is_asked_again(collector: Collector, status: int) -> None:
    collector.status, collector.refusals = status, 1
    assert sent(collector.url) == {SENT: 3}
    assert len(collector.bodies) == 2


@pytest.mark.parametrize(
    ("status", "fate"), [(400, REFUSED), (401, REFUSED), (500, REFUSED), (502, UNCERTAIN)]
)
def test_any_other_answer_is_final(collector: Collector, status: int, fate: str) -> None:
    collector.status = status
    assert sent(collector.url) == {fate: 3}
    assert len(collector.bodies) == 1


def test_a_broken_connection_is_not_tried_again(collector: Collector) -> None:
    collector.cut = True
    assert sent(collector.url) == {UNCERTAIN: 3}
    assert len(collector.bodies) == 1


def test_a_silent_collector_is_not_asked_again(collector: Collector) -> None:
    collector.wait_s = 1.0
    assert sent(collector.url, timeout_s=0.3) == {UNCERTAIN: 3}
    time.sleep(1.0)
    assert len(collector.bodies) == 1


def test_a_redirect_is_not_followed(collector: Collector) -> None:
    with collecting() as other:
        collector.status, collector.location = 307, f"{other.url}/v1/traces"
        assert sent(collector.url) == {REFUSED: 3}
        assert (len(collector.bodies), other.bodies) == (1, [])


def test_spans_that_the_collector_rejects_are_counted(collector: Collector) -> None:
    collector.rejected = 2
    assert sent(collector.url) == {SENT: 1, "rejected": 2}


def nobody() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_nobody_there() -> None:
    assert sent(nobody(), timeout_s=0.5) == {UNREACHABLE: 3}


def test_failures_leave_nothing_for_the_collector_of_garbage(collector: Collector) -> None:
    collector.cut = True
    for endpoint, fate in ((nobody(), UNREACHABLE), (collector.url, UNCERTAIN)):
        spans = spans_to(endpoint, timeout_s=0.3)
        batch = [spans.span(paid())]
        assert spans.send(batch) == {fate: 1}
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                spans.send(batch)
            assert gc.collect() < 100, "the keeper does not look for cycles"
        finally:
            gc.enable()
        spans.close()


def test_an_address_that_is_not_allowed_is_not_connected_to(collector: Collector) -> None:
    assert sent(collector.url, may_connect=lambda _: False) == {UNREACHABLE: 3}
    assert collector.bodies == []


def test_the_environment_adds_no_header_and_no_proxy(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = "x-of-another=secret,authorization=secret"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", others)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert sent(collector.url) == {SENT: 3}
    (headers,) = collector.headers
    assert headers["authorization"] == "Bearer one"
    assert "x-of-another" not in headers


def test_a_name_may_come_from_the_environment(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-gateway")
    sent(collector.url)
    assert b"shop-gateway" in collector.bodies[0]


def test_half_a_character_costs_no_batch(collector: Collector) -> None:
    spans = spans_to(collector.url)
    odd = paid(2, model="\ud83d", tags=Tags(route="\udc00"))
    assert spans.send([spans.span(paid(1)), spans.span(odd)]) == {SENT: 2}
    spans.close()


@pytest.mark.parametrize("unsampled", [True, False])
def test_a_trace_that_is_not_recorded(collector: Collector, unsampled: bool) -> None:
    place = {TRACE_TAG: TRACE, PARENT_TAG: PARENT, FLAGS_TAG: "00"}
    spans = spans_to(collector.url, unsampled=unsampled)
    span = spans.span(paid(tags=Tags(other=place)))
    assert (span is not None) == unsampled
    spans.close()


@pytest.mark.parametrize("odd", ["", "0" * 32, "xyz", TRACE.upper(), TRACE + "0"])
def test_a_tag_that_is_no_trace_begins_none(collector: Collector, odd: str) -> None:
    spans = spans_to(collector.url)
    one = spans.span(paid(tags=Tags(other={TRACE_TAG: odd, PARENT_TAG: PARENT})))
    assert one.parent is None
    assert one.context.trace_id > 0
    spans.close()


# -- the queue


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=20), st.integers(1, 60))
def test_what_is_taken_is_delivered_once_in_order(sizes: list[int], most: int) -> None:
    got: list[int] = []
    box: Outbox[int] = Outbox("t", got.extend, lambda *_: None, most=most)
    put: list[int] = []
    number = 0
    for size in sizes:
        items = list(range(number, number + size))
        number += size
        put += items[: size - box.put(items)]
    assert box.close(5.0) == (0, 0)
    assert got == put


def test_whoever_puts_never_waits_and_the_rest_is_counted() -> None:
    free = threading.Event()
    box: Outbox[int] = Outbox("t", lambda _: free.wait(5.0) and None, lambda *_: None, most=10)
    began_s = time.monotonic()
    refused = sum(box.put([1] * 7) for _ in range(10))
    assert time.monotonic() - began_s < 4.0, "it waited for the delivery"
    assert 70 - 10 - 7 <= refused <= 70 - 10
    left, under_way = box.close(0.05)
    assert left + under_way == 70 - refused
    free.set()
    assert box.put([1]) == 1


def test_a_fault_costs_one_batch() -> None:
    got: list[int] = []
    spoilt: list[int] = []

    def deliver(batch: list[int]) -> None:
        if 1 in batch:
            raise KeyError(1)
        got.extend(batch)

    box: Outbox[int] = Outbox("t", deliver, lambda _, count: spoilt.append(count), most=10)
    box.put([1, 1])
    while not spoilt:
        time.sleep(0.01)
    box.put([2])
    assert box.close(5.0) == (0, 0)
    assert (got, spoilt) == ([2], [2])


# -- the whole


def test_a_teller_stops_in_time_and_says_what_is_left(collector: Collector) -> None:
    collector.wait_s = 3.0
    noted: Counter[str] = Counter()
    teller = Teller(
        options(collector.url, most_waiting=5, metrics=False),
        lambda fate, count: noted.update({fate: count}),
    )
    for _ in range(4):
        teller._note(NO_ROOM, teller._in.put([paid(number) for number in range(1, 6)]))
        time.sleep(0.1)
    began_s = time.monotonic()
    teller.close(0.3)
    assert time.monotonic() - began_s < 2.0
    assert noted[UNFINISHED] >= 5
    assert noted[UNFINISHED] + noted[NO_ROOM] == 20


def test_metrics_are_sent_at_the_end(collector: Collector) -> None:
    noted: Counter[str] = Counter()
    teller = Teller(
        options(collector.url, spans=False, labels=("tenant",), most_series=3),
        lambda fate, count: noted.update({fate: count}),
    )
    teller._in.put([paid(n, tags=Tags(tenant=f"t{n}")) for n in range(1, 9)])
    teller.close(5.0)
    points = collector.points()["bursar.client.cost"]
    assert sum(point.as_double for _, point in points) == pytest.approx(8 * 0.0035)
    assert len(points) <= 4
    assert any("otel.metric.overflow" in told for told, _ in points)
    assert collector.bodies == []
    assert noted == {"metrics_sent": 1}
