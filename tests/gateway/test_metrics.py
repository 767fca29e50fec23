"""What the gateway counts: bounded over all workers, never falling, and what stands beside it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.gateway.keeping import COUNTS, After
from bursar.gateway.pages import JOURNAL, KEEPER_DOWN, SESSIONS, exposed
from bursar.gateway.standing import DEGRADED, journal_bytes
from bursar.gateway.tally import OTHER, Counts, Tally, found, leave, summed
from bursar.ledger.journal.rules import Tally as JournalTally
from tests.gateway.rig import Rig, running, settings_for, until
from tests.gateway.test_running import series

labels = st.tuples(st.text("abc", max_size=3), st.text("abc", max_size=3))
MOST = 8


@given(
    st.lists(st.lists(st.tuples(labels, st.integers(1, 9)), max_size=60), min_size=1, max_size=5)
)
def test_labels_are_bounded_over_all_workers_and_no_count_is_lost(
    workers: list[list[tuple[tuple[str, str], int]]],
) -> None:
    tallies = [Tally((), MOST) for _ in workers]
    before: dict[tuple[str, ...], int] = {}
    longest = max(len(adds) for adds in workers)
    for place in range(longest):
        for tally, adds in zip(tallies, workers, strict=True):
            if not place:
                tally.share(len(workers))
            if place < len(adds):
                tally.add("unread", *adds[place])
        now = summed((tally.counts for tally in tallies), MOST).unread
        assert all(now.get(one, 0) >= count for one, count in before.items()), "a counter fell"
        before = dict(now)
    assert len(before.keys() - {(OTHER, OTHER)}) <= MOST
    assert sum(before.values()) == sum(more for adds in workers for _, more in adds)


@given(st.lists(st.dictionaries(labels, st.integers(1, 9)), max_size=5))
def test_snapshots_of_another_bound_do_not_break_this_one(left: list[dict[Any, int]]) -> None:
    total = summed((Counts(unread=counts) for counts in left), MOST).unread
    assert len(total.keys() - {(OTHER, OTHER)}) <= MOST
    assert sum(total.values()) == sum(sum(counts.values()) for counts in left)


def test_all_that_happens_to_the_journal_and_to_sessions_is_shown_with_its_help() -> None:
    assert JOURNAL.keys() <= set(JournalTally.__struct_fields__)
    counts = Counts(
        journal={(name,): place for place, name in enumerate(JOURNAL, 2)},
        sessions={(name,): 77 for name in SESSIONS},
        restarts={("keeper",): 3},
    )
    page = exposed(counts, {})[1].decode()
    for place, (name, what) in enumerate(JOURNAL.items(), 2):
        assert f"bursar_journal_{name}_total {float(place)}" in page
        assert f"# HELP bursar_journal_{name}_total {what}" in page
    assert "bursar_sessions_forgotten_total 77.0" in page
    assert 'bursar_restarts_total{process="keeper"} 3.0' in page
    assert "bursar_journal_lost_records_total 0.0" in exposed(Counts(), {})[1].decode()


@pytest.fixture(scope="module", name="rig")
def rig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("metrics")

    def start(sim: Any) -> dict[str, Any]:
        place = home / "run" / "worker-0.counts"
        place.parent.mkdir()
        leave(Counts(journal={("failures",): 5}), place)
        return settings_for(sim, journal={"space": "64KiB"}, metrics={"most_series": 3})

    with running(home, start) as one:
        yield one


def test_counts_of_the_journal_go_on_where_they_stood(rig: Rig) -> None:
    counted = series(rig)
    assert counted["bursar_journal_failures_total"] == 5
    assert counted["bursar_journal_lost_records_total"] == 0
    assert counted["bursar_keeper_up"] == 1


def test_a_keeper_that_does_not_stay_up_is_said_and_calls_go_on(rig: Rig) -> None:
    mark = rig.home / "run" / DEGRADED
    mark.touch()
    try:
        assert rig.get("/ready").json() == {"status": "degraded", "reason": KEEPER_DOWN}
        assert rig.get("/ready").status == 200
        assert series(rig)["bursar_keeper_up"] == 0
        assert rig.chat("meanwhile").status == 200
    finally:
        mark.unlink()
    assert rig.get("/ready").json() == {"status": "ready"}


def test_journals_have_their_own_bound_on_disk(rig: Rig) -> None:
    heap = rig.home / "journal" / "elsewhere"
    heap.mkdir(parents=True)
    (heap / "hold.wal").write_bytes(bytes(70_000))
    assert journal_bytes(rig.home) > 70_000 - 1
    full = until(lambda: (one := rig.chat("full")).status == 503 and one, rig.log)
    assert full.json()["error"]["code"] == "journal_full"
    assert series(rig)["bursar_journal_refused_calls_total"] >= 1
    for one in heap.iterdir():
        one.unlink()
    heap.rmdir()
    until(lambda: rig.chat("room again").status == 200, rig.log)


def test_a_reload_reads_price_overlays_again(rig: Rig) -> None:
    """By the ledger and by the workers; a broken one changes nothing."""

    def cost(model: str) -> Any:
        found = rig.chat(f"cost of {model}", model=model)
        sql = f"SELECT * FROM attempts WHERE call_id = {found.header('x-bursar-call-id')}"
        return until(lambda: rig.rows(sql), rig.log)[0]["cost_nano"]

    def reload(overlay: str, told: str) -> None:
        place.write_text(overlay)
        times = rig.log().count(told)
        assert rig.process is not None
        os.kill(rig.process.pid, signal.SIGHUP)
        until(lambda: rig.log().count(told) > times, rig.log)

    place = rig.home / "prices" / "mine.toml"
    place.parent.mkdir(exist_ok=True)
    listed = cost("gpt-4o-mini")
    row = '[[price]]\nprovider = "openai"\nmodel = "gpt-4o-mini"\nfrom = 2026-01-01\n'
    reload(row + 'input = "1000"\noutput = "1000"\n', "the ledger's prices were read again")
    dear = cost("gpt-4o-mini")
    assert dear > 100 * listed
    reload("[[price]]\nnonsense", "the ledger's prices stay as they were")
    assert cost("gpt-4o-mini") > 100 * listed
    spent = [value for name, value in series(rig).items() if "cost_usd_total{" in name]
    assert sum(spent) * 1e9 > dear


def test_labels_beyond_the_bound_are_one(rig: Rig) -> None:
    for n in range(6):
        rig.chat("many", {"x-bursar-route": f"route{n}"})
    named = [name for name in series(rig) if name.startswith("bursar_cost_usd_total{")]
    assert len(named) == 4
    assert any(OTHER in name for name in named)


def test_forgotten_sessions_are_left_for_the_page(tmp_path: Path) -> None:
    class Inference:
        forgotten = 0

    class Keeper:
        inference = Inference()

    (tmp_path / "run").mkdir()
    keeper: Any = Keeper()
    for start in (0, 7):
        after = After(tmp_path, print)
        for keeper.inference.forgotten in (0, 3, 7):
            after(keeper)
            seen = found(tmp_path / "run" / COUNTS).sessions.get(("forgotten",), 0)
            assert seen == start + keeper.inference.forgotten
