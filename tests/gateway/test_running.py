"""The running whole: its pages, its settings read anew, its children killed, its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bursar.gateway.settings.keys import new_key
from bursar.ledger.engines.duck import Duck
from bursar.ledger.schema import request_digest
from tests.gateway.rig import KEY_DIGEST, Rig, running, settings_for, until


def children(rig: Rig) -> dict[int, int]:
    """Children of the supervisor -> their niceness; the keeper alone is nice."""
    assert rig.process is not None
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == rig.process.pid and fields[0] != "Z":
            found[int(entry.name)] = int(fields[16])
    return found


def keeper_of(rig: Rig) -> int:
    return until(lambda: [pid for pid, nice in children(rig).items() if nice > 0], rig.log)[0]


def worker_of(rig: Rig) -> int:
    keeper_of(rig)
    return next(pid for pid, nice in children(rig).items() if nice == 0)


def series(rig: Rig) -> dict[str, float]:
    """The metrics page: name with labels -> value."""
    lines = rig.get("/metrics").body.decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def calls(counted: dict[str, float], status: int) -> float:
    named = (name for name in counted if name.startswith("bursar_calls_total{"))
    return sum(counted[name] for name in named if f'status="{status}"' in name)


def test_health_and_readiness_need_no_key(rig: Rig) -> None:
    for path in ("/health", "/ready"):
        found = rig.get(path)
        assert (found.status, found.header("content-type")) == (200, "application/json")


def test_metrics_count_what_was_paid(rig: Rig) -> None:
    rig.chat("counted", {"x-bursar-route": "shown"})
    rig.chat("counted", stream=True)
    rig.chat("counted", {"x-simulate": "error=503"})
    rig.chat("counted", {"authorization": "Bearer wrong"})
    found = rig.get("/metrics")
    assert (found.header("content-type") or "").startswith("text/plain")
    page, counted = found.body.decode(), series(rig)
    cost_usd = sum(value for name, value in counted.items() if "cost_usd_total" in name)
    assert round(cost_usd * 1e9) == rig.sim.invoice.total_nano
    assert (calls(counted, 200), calls(counted, 503)) == (2, 1)
    assert counted['bursar_refused_total{kind="unknown_key"}'] == 1
    assert "counted" not in page.replace("counted units", "")


def test_a_blocked_key_is_refused_soon(tmp_path: Path) -> None:
    key, digest = new_key("other")

    def with_other(sim: Any, **rules: Any) -> dict[str, Any]:
        keys = {"tests": {"sha256": KEY_DIGEST}, "other": {"sha256": digest, **rules}}
        return settings_for(sim, keys=keys)

    with running(tmp_path, with_other) as rig:
        other = {"authorization": f"Bearer {key}"}
        assert rig.chat("hi", other).status == 200
        rig.write(with_other(rig.sim, blocked=True))
        until(lambda: rig.chat("hi", other).status == 401, rig.log)
        assert rig.chat("hi").status == 200
        rig.settings_file.write_text("providers: [nonsense")
        until(lambda: "the settings stay as they were" in rig.log(), rig.log)
        assert rig.chat("hi").status == 200
        assert rig.chat("hi", other).status == 401
        assert key not in rig.log()


def test_a_killed_worker_is_replaced_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        acknowledged: set[str] = set()
        for n in range(2):
            for turn in range(5):
                found = rig.chat(f"before the kill {n} {turn}")
                acknowledged.add(str(found.header("x-request-id")))
            worker = worker_of(rig)
            os.kill(worker, signal.SIGKILL)
            until(lambda worker=worker: worker not in children(rig), rig.log)
            until(rig.is_ready, rig.log)
        assert rig.chat("after the kill").status == 200
        acknowledged.add(rig.sim.invoice.lines[-1].request_id)
        found = rig.attempts(len(acknowledged))
        assert found.keys() == {request_digest(one) for one in acknowledged}
        assert sum(row["cost_nano"] for row in found.values()) == rig.sim.invoice.total_nano
        assert "ended (signal 9); started again" in rig.log()


def test_a_killed_keeper_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        for n in range(2):
            keeper = keeper_of(rig)
            for turn in range(4):
                assert rig.chat(f"hello {n} {turn}").status == 200
            os.kill(keeper, signal.SIGKILL)
            assert rig.chat(f"without a keeper {n}").status == 200
            until(lambda keeper=keeper: keeper not in children(rig), rig.log)
        keeper_of(rig)
        found = until(lambda: _all_of(rig, 10), rig.log)
        assert sum(row[0] for row in found) == rig.sim.invoice.total_nano


def _all_of(rig: Rig, count: int) -> Any:
    rows = rig.rows("SELECT cost_nano, request_digest FROM attempts")
    assert len({row["request_digest"] for row in rows}) == len(rows) <= count
    return [tuple(row.values()) for row in rows] if len(rows) == count else None


def test_a_stop_lets_calls_end_and_their_records_be_kept(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        told: list[Any] = []
        fault = {"x-simulate": "none; latency_ms=800"}
        waiting = threading.Thread(target=lambda: told.append(rig.chat("slow", fault)))
        waiting.start()
        until(lambda: series(rig)["bursar_open_calls"] == 1, rig.log)
        assert rig.stop() == 0
        waiting.join()
        assert told[0].status == 200
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", rig.port), 1)
        duck = Duck(rig.home / "ledger.duckdb", read_only=True)
        try:
            rows = duck.rows("SELECT cost_nano FROM attempts")
        finally:
            duck.close()
        assert rows == [(rig.sim.invoice.total_nano,)]


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    settings = tmp_path / "bursar.yaml"
    settings.write_text("calls: {disconnect: drain}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = subprocess.run(
            [sys.executable, "-m", "bursar", "serve", str(settings), "--port", port],
            env={**os.environ, "BURSAR_HOME": str(tmp_path)},
            capture_output=True,
            timeout=20,
            check=False,
        )
    assert found.returncode == 2
    assert b"cannot listen on" in found.stderr
    assert b"Traceback" not in found.stderr


def test_traces_are_continued(rig: Rig) -> None:
    """The provider sees the client's trace with the call as its parent."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as provider:
        port = provider.getsockname()[1]

        def answer() -> None:
            peer, _ = provider.accept()
            with peer:
                seen.append(peer.recv(65_536))
                peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

        answering = threading.Thread(target=answer)
        answering.start()
        base = {"base_url": f"http://127.0.0.1:{port}/v1", "private": True, "key": "none"}
        settings = settings_for(rig.sim)
        settings["providers"]["raw"] = base
        settings["models"].append({"match": "raw", "provider": "raw"})
        rig.write(settings)
        until(lambda: "was read again" in rig.log(), rig.log)
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        sent = {
            "traceparent": trace,
            "tracestate": "a=b",
            "cookie": "c=d",
            "baggage": "bursar.team=x",
            "x-forwarded-for": "1.2.3.4",
            "openai-beta": "x=1",
            "x-portkey-custom-host": "http://evil.example",
        }
        found = rig.chat("traced", sent, model="raw")
        answering.join()
    call_id = int(found.header("x-bursar-call-id") or 0)
    head = seen[0].partition(b"\r\n\r\n")[0].lower()
    ours = f"traceparent: 00-0af7651916cd43dd8448eb211c80319c-{call_id:016x}-01"
    assert ours.encode() in head
    assert b"tracestate: a=b" in head
    assert b"openai-beta: x=1" in head
    for word in (b"cookie", b"baggage", b"forwarded", b"custom-host", b"authorization", b"bsr_"):
        assert word not in head


def test_two_workers_are_one_gateway(tmp_path: Path) -> None:
    def with_two(sim: Any) -> dict[str, Any]:
        return settings_for(sim, listen={"workers": 2})

    with running(tmp_path, with_two) as rig:
        ids = {rig.chat(f"shared {n}").header("x-bursar-call-id") for n in range(40)}
        assert len(ids) == 40
        found = rig.attempts(40)
        assert sum(row["cost_nano"] for row in found.values()) == rig.sim.invoice.total_nano
        assert {int(one or 0) for one in ids} == {row["call_id"] for row in found.values()}
        until(lambda: calls(series(rig), 200) == 40, rig.log)
