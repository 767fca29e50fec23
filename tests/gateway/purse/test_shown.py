"""The running gateway's events, snapshots, metrics and raises, and its ledger after its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursar.gateway.purse.events import Event, events_in
from tests.gateway.rig import Rig, running, settings_for, until
from tests.gateway.test_running import series
from trials import bursar

CAPS = {
    "budgets": {
        "users": {"limit": "$0.01/day", "each": "user", "unknown": "pass", "forecast": False},
        "counted": {"limit": "4 calls/day", "where": {"tags": {"team": "counted"}}},
    },
    "tasks": {"agents": {"steps": 2, "where": {"tags": {"team": "agents"}}}},
    "calls": {"large_request_tokens": 3_000},
}
ANSWER = {"x-simulate": "none; output_tokens=1000"}


@pytest.fixture(name="rig", scope="module")
def rig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    home = tmp_path_factory.mktemp("shown")
    with running(home, lambda sim: settings_for(sim, **CAPS)) as one:
        yield one


def _events(rig: Rig, kind: str, **scope: str) -> list[Event]:
    def fits(one: Event) -> bool:
        return one.kind == kind and scope.items() <= one.scope.items()

    return events_in(rig.home / "run", 100, fits)


def _line(rig: Rig, *words: str) -> Any:
    """Of one account; nothing is spent in one that is not seen yet."""
    lines = bursar("budgets", *words, "--json", home=rig.home).json["lines"]
    assert len(lines) <= 1
    return lines[0] if lines else {"spent": None, "limit": None, "judged": None}


def test_spending_is_seen_by_events_the_command_and_metrics_alike(rig: Rig) -> None:
    headers = {"x-bursar-user": "ann", **ANSWER}
    statuses = [rig.chat(f"ann {n}", headers, max_tokens=1_000).status for n in range(25)]
    assert set(statuses) == {200, 402}
    until(lambda: _events(rig, "refused", user="ann"), rig.log)
    assert [one.percent for one in _events(rig, "warn", user="ann")] == [50, 80]
    assert len(_events(rig, "refused", user="ann")) == 1
    billed = sum(one.cost_nano or 0 for one in rig.paid())

    def posted() -> bool:
        line = _line(rig, "--of", "user=ann")
        return line["spent"] is not None and round(float(line["spent"]) * 1e9) == billed

    until(posted, rig.log)
    line = _line(rig, "--of", "user=ann")
    assert line["refusals"] == statuses.count(402)
    assert (line["held"], line["suspect"], line["most_over"]) == ("0", "0", "0")
    until(lambda: _line(rig, "--of", "user=ann")["judged"] == line["refusals"], rig.log)
    counted = series(rig)
    labels = 'cap="budgets.users",scope="user=ann",unit="usd",window="day"'
    assert round(counted[f"bursar_cap_posted{{{labels}}}"] * 1e9) == billed
    assert counted[f"bursar_cap_limit{{{labels}}}"] == 0.01
    refusals = counted['bursar_cap_refusals_total{cap="budgets.users",unit="usd"}']
    assert refusals == line["refusals"]
    assert counted['bursar_cap_events_total{cap="budgets.users",kind="warn"}'] == 2
    assert "budgets.users: 50% of $0.01 is spent" in rig.log()
    assert "ann" not in rig.log()
    shown = bursar("budgets", "show", "users", "--of", "user=ann", home=rig.home)
    assert "Latest events" in shown.text


def test_a_task_at_its_ceiling_and_a_large_request_are_told(rig: Rig) -> None:
    headers = {"x-bursar-team": "agents", "x-bursar-session": "run-7"}
    assert [rig.chat(f"step {n}", headers).status for n in range(4)] == [200, 200, 402, 402]
    (event,) = until(lambda: _events(rig, "runaway", session="run-7"), rig.log)
    assert event.basis == "it spent 2 calls"
    assert rig.chat("word " * 5_000).status == 200
    (event,) = until(lambda: _events(rig, "large"), rig.log)
    assert event.level > (event.limit or 0) == 3_000


def test_a_raise_by_command_acts_soon_and_can_be_taken_back(rig: Rig) -> None:
    headers = {"x-bursar-team": "counted"}
    assert [rig.chat(f"{n}", headers).status for n in range(5)] == [200] * 4 + [402]
    words = ("raise", "counted", "--to", "5 calls/day", "--until", "2099-01-01")
    assert bursar("budgets", *words, home=rig.home).code == 0
    until(lambda: rig.chat("again", headers).status == 200, rig.log)
    until(lambda: _line(rig, "--name", "counted")["spent"] == 5, rig.log)
    assert _line(rig, "--name", "counted")["limit"] == 5
    assert bursar("budgets", "unraise", "counted", home=rig.home).code == 0
    until(lambda: _line(rig, "--name", "counted")["limit"] == 4, rig.log)
    assert rig.chat("once more", headers).status == 402


def test_after_its_end_the_ledger_says_the_same(tmp_path: Path) -> None:
    with running(tmp_path, lambda sim: settings_for(sim, **CAPS)) as rig:
        for user in ("bob", "eve"):
            assert rig.chat(user, {"x-bursar-user": user, **ANSWER}).status == 200
        until(lambda: _line(rig, "--of", "user=eve")["spent"] not in (None, "0"), rig.log)
        running_says = [_line(rig, "--of", f"user={one}")["spent"] for one in ("bob", "eve")]
        billed = sum(one.cost_nano or 0 for one in rig.paid())
    for place in (tmp_path / "run").glob("*.accounts"):
        place.unlink()
    settings = ("--settings", str(rig.settings_file))
    found = [_line(rig, "--of", f"user={one}", *settings) for one in ("bob", "eve")]
    assert [one["spent"] for one in found] == running_says
    assert round(sum(float(one["spent"]) for one in found) * 1e9) == billed
    assert [one["held"] for one in found] == [None, None]
