"""`bursar demo`: the live run end to end, what it leaves behind, and a run without packages."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bursar.cli import live
from bursar.cli.live import Bill
from bursar.extras import missing_for_demo
from bursar.model.errors import BadInput
from bursar.simulator.agent.cast import FAULTS, RUNAWAY_STEPS, TENANTS, TRIES, script_of, tasks
from bursar.simulator.agent.work import work_off
from bursar.simulator.asking import Asked
from bursar.simulator.faults import Fault
from bursar.simulator.saying import Said
from bursar.simulator.server import Simulator
from trials import Run, bursar, bursar_apart

TIMEOUT_S = 60
NEEDS_PACKAGES = pytest.mark.skipif(
    bool(missing_for_demo()) and os.environ.get("CI") != "true",
    reason="the demo's packages are not installed",
)
CALLS = sum(len(task.said) for task in tasks())
"""Turns that the cast gives, so many answers are paid."""


def alive_with(folder: Path) -> list[str]:
    """Command lines of processes that name the folder. Linux only; elsewhere none is found."""
    found: list[str] = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.fixture(name="ran", scope="module")
def ran_fixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path, Path]:
    """One live run with hostile surroundings: its folder for temporary files, and its page."""
    place = tmp_path_factory.mktemp("live")
    temporary, page = place / "tmp", place / "page.html"
    temporary.mkdir()
    surroundings: Any = {
        "TMPDIR": str(temporary),
        "ANTHROPIC_AUTH_TOKEN": "somebody-else",
        "ANTHROPIC_CUSTOM_HEADERS": "authorization: Bearer somebody-else",
        "OPENAI_BASE_URL": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }
    options = ("--live", "--json", "--html", page)
    return bursar_apart("demo", *options, home=place / "home", **surroundings), temporary, page


@NEEDS_PACKAGES
def test_the_live_run_is_billed_as_the_simulator_says(ran: tuple[Run, Path, Path]) -> None:
    run, _, page = ran
    assert run.code == 0, run.err
    assert "GENERATED" in run.err
    found = run.json
    bill, totals = found["bill"], found["totals"]
    assert found["generated"] is True
    assert bill["simulator_usd"] == bill["ledger_usd"] == totals["cost_usd"]
    assert totals["basis"] == {"measured_usd": totals["cost_usd"], "modelled_usd": "0"}
    assert totals["attempts"] == bill["requests"] == bill["billed"] + (bill["requests"] - CALLS)
    assert totals["unpriced_attempts"] == 0
    assert found["flags"] == []
    assert "a generated live run" in page.read_text(encoding="utf-8")


@NEEDS_PACKAGES
def test_the_live_run_shows_what_the_cast_does(ran: tuple[Run, Path, Path]) -> None:
    found = ran[0].json
    assert {row["key"] for row in found["by"]["tenant"]} == set(TENANTS)
    assert {row["key"] for row in found["by"]["route"]} == {task.route.name for task in tasks()}
    assert found["iterations"]["max"] == RUNAWAY_STEPS + 1
    causes = {row["cause"]: row["retries"] for row in found["retries"]["by_cause"]}
    assert causes["parse"] == sum(TRIES) - len(TRIES)
    assert causes["sdk"] == found["bill"]["requests"] - found["bill"]["billed"] > 0
    assert found["totals"]["sessions"] == len(tasks())
    kinds = {one["kind"] for one in found["suspects"]}
    assert kinds >= {"uncached_prefix", "parse_retries", "repeated_actions"}


@NEEDS_PACKAGES
def test_the_live_run_leaves_nothing(ran: tuple[Run, Path, Path]) -> None:
    _, temporary, page = ran
    assert list(temporary.iterdir()) == []
    assert {path.name for path in page.parent.iterdir()} == {"tmp", "page.html"}
    assert alive_with(temporary) == []


@NEEDS_PACKAGES
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_stopped_leaves_nothing(number: int, tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "bursar", "demo", "--live"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with run:
        port = _port_of(tmp_path)
        run.send_signal(number)
        said = run.communicate(timeout=TIMEOUT_S)[0]
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert alive_with(tmp_path) == []
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", port))


def _port_of(folder: Path) -> int:
    """The port of the gateway that a demo in this folder has started."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        for log in folder.glob("*/gateway.log"):
            if found := re.search(r"serves on http://127\.0\.0\.1:(\d+)", log.read_text()):
                return int(found[1])
        time.sleep(0.02)
    pytest.fail("the demo's gateway did not start")


def _without_packages() -> list[str]:
    return ["openai"]


def test_without_the_packages_live_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "missing_for_demo", _without_packages)
    ran = bursar("demo", "--live", home=tmp_path)
    assert ran.code == 2
    assert "openai not installed" in ran.err
    assert "pip install 'bursar[gateway,demo]'" in ran.err


@pytest.mark.parametrize("options", [(), ("--sample",)])
def test_without_the_packages_the_sample_is_read(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "missing_for_demo", _without_packages)
    ran = bursar("demo", *options, "--json", home=tmp_path)
    assert ran.code == 0
    assert "GENERATED sample" in ran.err
    assert ("openai not installed" in ran.err) is not bool(options)
    assert ran.json["totals"]["calls"] > 900
    assert "bill" not in ran.json


def test_live_and_sample_exclude_each_other(tmp_path: Path) -> None:
    ran = bursar("demo", "--live", "--sample", home=tmp_path)
    assert ran.code == 2
    assert "mend: give one of them" in ran.err


@pytest.mark.parametrize(("ledger_usd", "agrees"), [("1.5", True), ("1.50001", False)])
def test_a_ledger_that_says_otherwise_is_told(
    ledger_usd: str, agrees: bool, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    bill = Bill(simulator_usd="1.5", ledger_usd=ledger_usd, requests=3, billed=2)
    monkeypatch.setattr(live.Screen, "analysis", lambda *_: None)
    live._print(None, bill, None, as_json=False)  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert bill.agrees is agrees
    assert ("$1.5 = ledger $1.5 " in said) is agrees
    assert ("fault in Bursar" in said) is not agrees


def test_a_gateway_that_does_not_start_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bursar.yaml").write_text("listen: {port: never}\n")
    with pytest.raises(BadInput, match=r"did not start: .*port"), live._gateway(tmp_path):
        pass


def test_each_task_has_a_question_of_its_own() -> None:
    known = tasks()
    assert known == tasks()
    for task in known:
        said = script_of(known)(_asked(f"... {task.question} ..."))
        assert said == task.said[0]
    assert script_of(known)(_asked("nobody's")) is None


def _asked(raw: str) -> Asked:
    class Stand(Asked):
        turn = 0  # type: ignore[assignment]

    return Stand(model="m", body={}, prompt=None, digest=0, raw=raw.encode())  # type: ignore[arg-type]


@NEEDS_PACKAGES
def test_an_agent_that_is_always_refused_gives_up_in_a_sentence() -> None:
    broken = Simulator(faults=[Fault(kind="error", status=400)])
    with broken.running(), pytest.raises(BadInput, match="could not go on: BadRequestError"):
        asyncio.run(work_off(broken.url, dict.fromkeys(TENANTS, "key"), tasks(), lambda: None))
    assert broken.invoice.total.billed == 0


def test_the_cast_holds_every_fault() -> None:
    known = tasks()
    assert max(len(task.said) for task in known) == RUNAWAY_STEPS + 1
    assert any(task.leaves for task in known)
    assert any(not task.route.names_sessions for task in known)
    assert {fault.kind for fault in FAULTS} == {"rate_limit", "error"}
    assert all(isinstance(one, Said) for task in known for one in task.said)
