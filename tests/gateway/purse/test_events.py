"""Events: each once, whichever worker sees it, also after a restart; bounded, and discreet."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.gateway.purse.events import LOCK, NAME, Event, EventLog, Found, events_in
from bursar.gateway.purse.leaving import begin_watch
from bursar.gateway.purse.views import SUFFIX
from bursar.state.terms import Denial
from tests.gateway.purse.watched import DAY_MS, NANO, World

TENANTS = "budgets: {tenants: {limit: $1/day, each: tenant, forecast: false}}"
PERCENTS = (50, 80, 100)


def _kinds(events: list[Event]) -> list[tuple[str, int | None]]:
    return [(one.kind, one.percent) for one in events]


def _all(folder: Path) -> list[Event]:
    return events_in(folder, 10_000, lambda _: True)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(0, 1), st.booleans()),
        max_size=20,
    )
)
def test_each_threshold_is_told_once_for_each_account_and_window(
    spends: list[tuple[str, int, int, bool]],
) -> None:
    """By two workers, one of which is started again now and then."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), TENANTS, workers=2)
        spent: Counter[str] = Counter()
        for tenant, cents, worker, restarts in spends:
            if spent[tenant] + cents > 100:
                continue
            spent[tenant] += cents
            world.spend(cents * NANO // 100, worker, tenant=tenant)
            world.now_ms += 1_000
            world.look()
            if restarts:
                world.watches[0] = world.watch()
        told = Counter((one.scope["tenant"], one.percent) for one in _all(Path(folder)))
        passed = {(one, p) for one, cents in spent.items() for p in PERCENTS if cents >= p}
        assert told == Counter(passed)


def test_a_window_and_a_limit_are_each_a_new_beginning(tmp_path: Path) -> None:
    world = World(tmp_path, TENANTS)
    world.spend(NANO // 2, tenant="a")
    assert _kinds(world.look()) == [("warn", 50)]
    world.take(TENANTS.replace("$1/", "$2/"))
    assert world.look() == []
    world.spend(NANO // 2, tenant="a")
    assert _kinds(world.look()) == [("warn", 50)], "of the limit that holds now"
    world.now_ms += DAY_MS
    assert world.look() == []
    world.spend(NANO, tenant="a")
    (event,) = world.look()
    assert event.begin_ms is not None
    assert event.begin_ms <= event.at_ms < (event.resets_ms or 0)
    assert (event.cap, event.unit, event.limit, event.level) == (
        "budgets.tenants",
        "usd",
        2 * NANO,
        NANO,
    )


def test_what_is_held_is_not_spent(tmp_path: Path) -> None:
    world = World(tmp_path, TENANTS)
    held = world.hold(NANO, tenant="a")
    assert world.look() == []
    (view,) = world.watches[0].views()
    assert (view.held, view.posted) == (NANO, 0), "seen before it ends"
    assert not isinstance(held, Denial)
    world.settle(held, 1)
    assert world.look() == []


def test_the_first_refusal_of_a_window_is_told_with_what_is_spent_and_held(tmp_path: Path) -> None:
    world = World(tmp_path, TENANTS)
    world.spend(NANO // 10, tenant="a")
    world.hold(NANO // 2, tenant="a")
    for _ in range(3):
        assert isinstance(world.hold(NANO, tenant="a"), Denial)
        world.look()
    (event,) = [one for one in _all(tmp_path) if one.kind == "refused"]
    assert event.basis == "spent $0.1, held by calls under way $0.5"
    assert (event.level, event.percent) == (NANO * 6 // 10, 60)
    world.now_ms += DAY_MS
    assert world.look() == [], "nobody was refused today"
    assert isinstance(world.hold(2 * NANO, tenant="a"), Denial)
    assert [one.kind for one in world.look()] == ["refused"]


def test_a_soft_budget_warns_past_its_limit_and_refuses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, TENANTS.replace("limit", "hard: false, warn: [100%, 150%], limit"))
    world.spend(2 * NANO, tenant="a")
    assert _kinds(world.look()) == [("warn", 100), ("warn", 150)]


@pytest.mark.parametrize(
    ("calls", "hour", "cents", "is_told"),
    [(20, 12, 3, True), (19, 12, 3, False), (20, 2, 3, False), (20, 12, 2, False)],
    ids=["all", "too few calls", "too early", "it will last"],
)
def test_a_forecast_is_linear_and_says_so(
    calls: int, hour: int, cents: int, is_told: bool, tmp_path: Path
) -> None:
    world = World(tmp_path, "budgets: {all: {limit: $1/day, warn: [99%]}}")
    world.now_ms += (hour - 12) * 3_600_000
    for _ in range(calls):
        world.spend(cents * NANO // 100)
    events = world.look()
    assert bool(events) == is_told
    assert world.look() == []
    if is_told:
        (event,) = events
        assert (event.kind, event.level, event.percent) == ("forecast", NANO * 12 // 10, 120)
        assert event.basis.startswith("linear: $0.6 in 50% of the window")


def test_a_rolling_window_is_told_once_within_its_length(tmp_path: Path) -> None:
    world = World(tmp_path, "budgets: {all: {limit: $1/2h, warn: [50%]}}")
    told = 0
    for _ in range(5):
        world.spend(NANO // 2)
        told += len(world.look())
        world.now_ms += 65 * 60_000
        told += len(world.look())
    assert told == 3, "at 0, 130 and 260 minutes"


def test_a_task_that_reaches_a_ceiling_says_what_it_spent(tmp_path: Path) -> None:
    world = World(tmp_path, "tasks: {agents: {dollars: $1, steps: 9, wall: 10m}}")
    one: dict[str, Any] = {"session": "s", "tenant": "a"}
    world.spend(NANO * 9 // 10, **one)
    world.now_ms += 60_000
    assert isinstance(world.hold(NANO, **one), Denial)
    assert isinstance(world.hold(NANO, **one), Denial)
    (event,) = world.look()
    assert (event.kind, event.cap, event.scope) == ("runaway", "tasks.agents", one)
    assert event.basis == "it spent $0.9, 1 calls, 60 s"
    world.now_ms += 10 * 60_000
    assert isinstance(world.hold(1, **one), Denial)
    (event,) = world.look()
    assert (event.kind, event.unit, event.level) == ("runaway", "wall", 660_000)


def test_large_requests_are_told_once_an_hour_for_a_tenant(tmp_path: Path) -> None:
    world = World(tmp_path, TENANTS)
    for tenant in ("a", "a", "b", None):
        world.watches[0].large("default", tenant, 30_000, 20_000)
    assert [one.scope["tenant"] for one in world.look()] == ["a", "b", None]
    world.now_ms += 3_500_000
    world.watches[0].large("default", "a", 30_000, 20_000)
    assert world.look() == []
    world.now_ms += 200_000
    world.watches[0].large("default", "a", 40_000, 20_000)
    (event,) = world.look()
    assert (event.level, event.limit, event.percent) == (40_000, 20_000, 200)


def test_lines_on_stderr_are_few_and_name_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, TENANTS)
    for number in range(30):
        world.spend(NANO // 2, tenant=f"secret-{number}")
    world.look()
    assert len(_all(tmp_path)) == 30
    assert len(world.lines) == 11
    assert "secret" not in "".join(world.lines)
    assert world.lines[0] == "bursar: budgets.tenants: 50% of $1 is spent"
    assert "20 more events" in world.lines[-1]


# -- the file


def _found(key: str, at_ms: int = 1_000) -> Found:
    event = Event(
        kind="warn",
        cap="budgets.a",
        scope={},
        unit="calls",
        limit=1,
        level=1,
        percent=100,
        begin_ms=None,
        resets_ms=None,
        at_ms=at_ms,
        basis="",
        node="",
        key=key,
    )
    return Found(event, 0)


def test_the_file_is_its_owners_alone_and_bounded(tmp_path: Path) -> None:
    log = EventLog(tmp_path, lambda _: None, most_bytes=4_000)
    for number in range(100):
        assert len(log.tell([_found(f"k{number}")])) == 1
    places = [tmp_path / NAME, tmp_path / f"{NAME}.1"]
    assert sum(one.stat().st_size for one in places) <= 8_000
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in places)
    assert _all(tmp_path)[-1].key == "k99"
    again = EventLog(tmp_path, lambda _: None, most_bytes=4_000)
    assert again.tell([_found("k99")]) == []


def test_a_worker_sees_what_another_told_before_and_after_the_file_was_turned(
    tmp_path: Path,
) -> None:
    one, other = (EventLog(tmp_path, lambda _: None, most_bytes=1_000) for _ in range(2))
    for number in range(12):
        assert len(one.tell([_found(f"k{number}")])) == 1
        if number % 3 == 2:
            last = [_found(f"k{number - back}") for back in range(3)]
            assert other.tell(last) == [], "the file was turned in between"
    assert (tmp_path / f"{NAME}.1").exists()


def test_events_wait_for_a_lock_that_another_holds(tmp_path: Path) -> None:
    log = EventLog(tmp_path, lambda _: None)
    held = os.open(tmp_path / LOCK, os.O_CREAT | os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert log.tell([_found("a")]) == []
    os.close(held)
    assert [one.key for one in log.tell([])] == ["a"]


def test_a_broken_line_costs_only_itself(tmp_path: Path) -> None:
    EventLog(tmp_path, lambda _: None).tell([_found("a")])
    with (tmp_path / NAME).open("ab") as stream:
        stream.write(b'{"kind":"warn","cap')
    log = EventLog(tmp_path, lambda _: None)
    assert [one.key for one in log.tell([_found("a"), _found("b")])] == ["b"]
    assert [one.key for one in _all(tmp_path)] == ["a", "b"]


def test_a_folder_that_cannot_be_written_is_said_once_and_events_still_are(tmp_path: Path) -> None:
    lines: list[str] = []
    log = EventLog(tmp_path / "none", lines.append)
    assert len(log.tell([_found("a")])) == 1
    assert len(log.tell([_found("a"), _found("b")])) == 1
    assert sum("cannot be written" in one for one in lines) == 1
    assert len(lines) == 3


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_forecast_is_told_once_of_what_all_workers_have_settled(
    tmp_path: Path, workers: int
) -> None:
    """Twenty calls of them together: none has settled as many, and it is said by one of them."""
    world = World(tmp_path, "budgets: {all: {limit: $1/day, warn: []}}", workers)
    leave = [
        begin_watch(watch, tmp_path / f"worker-{n}{SUFFIX}", world.caps, None, world.lines.append)
        for n, watch in enumerate(world.watches)
    ]

    def second() -> list[str]:
        world.now_ms += 1_000
        events = world.look()
        for one in leave:
            one()
        return [one.kind for one in events]

    for call in range(20):
        assert second() == [], "too few to say"
        world.spend(NANO * 3 // 100, call % workers)
    assert [kind for _ in range(6) for kind in second()] == ["forecast"]
    assert [one.kind for one in _all(tmp_path)] == ["forecast"]
    world.now_ms += DAY_MS
    world.spend(NANO * 9 // 10, 0)
    told = [kind for _ in range(6) for kind in second()]
    assert told == [], "calls of yesterday are none of today"
