"""The same idempotency key at two workers of one gateway: one paid call, one answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from bursar.simulator.server import Simulator
from tests.gateway.purse.storm import Gang
from tests.gateway.rig import Rig, chat_body, running, settings_for, until
from tests.gateway.workers import Line, stopped

ROLES = ("keeper", "worker 0", "worker 1")


def _settings(sim: Simulator) -> dict[str, Any]:
    return settings_for(sim, listen={"workers": 2})


@pytest.fixture(scope="module", name="rig")
def rig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("neighbours"), _settings) as one:
        yield one


@pytest.fixture(name="lines")
def lines_fixture(rig: Rig) -> Iterator[list[Line]]:
    """One to each worker."""
    gang = Gang(rig, ROLES)
    lines = [Line(rig, gang, worker) for worker in (0, 1)]
    yield lines
    for one in lines:
        one.close()


def _keyed(name: str, fault: str = "none") -> dict[str, str]:
    return {"idempotency-key": name, "x-simulate": fault}


def _claims(rig: Rig) -> int:
    """Keys that some worker has."""
    return len(list((rig.home / "run" / "repeats").glob("*[0-9a-f]")))


@pytest.mark.parametrize("stream", [False, True])
def test_58_the_other_worker_says_what_was_answered(
    rig: Rig, lines: list[Line], stream: bool
) -> None:
    """Case 58, where the second call reaches another worker: later, and while the first is on."""
    before = len(rig.sim.invoice.lines)
    headers = _keyed(f"twice {stream}", "none; latency_ms=300")
    for one in lines:
        one.send(chat_body("at once", stream=stream), headers)
    first, second = (one.answer() for one in lines)
    later = [one.chat("at once", headers, stream=stream) for one in lines]
    everything = [first, second, *later]
    assert {(one.status, one.body) for one in everything} == {(200, first.body)}
    assert sorted(one.header("x-bursar-repeated") or "" for one in everything) == [
        "",
        "1",
        "1",
        "1",
    ]
    assert len({one.header("x-bursar-call-id") for one in everything}) == 1
    assert len(rig.sim.invoice.lines) == before + 1
    for one in lines:
        assert one.chat("something else", headers, stream=stream).status == 422
    assert len(rig.sim.invoice.lines) == before + 1


def test_58_a_failure_at_another_worker_is_not_kept(rig: Rig, lines: list[Line]) -> None:
    assert lines[0].chat("fails", _keyed("failed", "error=503")).status == 503
    found = lines[1].chat("fails", _keyed("failed"))
    assert (found.status, found.header("x-bursar-repeated")) == (200, None)
    assert lines[0].chat("fails", _keyed("failed")).header("x-bursar-repeated") == "1"


def test_58_a_worker_that_is_stuck_gets_no_second_paid_call(rig: Rig, lines: list[Line]) -> None:
    """While it does not answer, the other one waits for it, and does not ask the provider."""
    before = len(rig.sim.invoice.lines)
    assert lines[0].chat("stuck", _keyed("stuck")).status == 200
    with stopped(Gang(rig, ROLES).pids["worker 0"]):
        lines[1].send(chat_body("stuck"), _keyed("stuck"))
    assert lines[1].answer().header("x-bursar-repeated") == "1"
    assert len(rig.sim.invoice.lines) == before + 1


def test_58_who_waits_for_a_worker_that_is_killed_asks_for_itself(
    rig: Rig, lines: list[Line]
) -> None:
    """The answer is lost with that worker."""
    before = _claims(rig)
    slow = _keyed("killed", "none; latency_ms=1500")
    lines[0].send(chat_body("killed"), slow)
    until(lambda: _claims(rig) == before + 1, rig.log)
    lines[1].send(chat_body("killed"), slow)
    os.kill(Gang(rig, ROLES).pids["worker 0"], signal.SIGKILL)
    found = lines[1].answer()
    assert (found.status, found.header("x-bursar-repeated")) == (200, None)
    assert lines[1].chat("killed", slow).header("x-bursar-repeated") == "1"
