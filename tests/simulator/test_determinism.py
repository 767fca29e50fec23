"""Under one seed the same requests get the same bytes; a gateway's additions do not change them."""

from __future__ import annotations

import pytest

from bursar.simulator.desk import Terms
from bursar.simulator.faults import Fault
from bursar.simulator.server import Simulator
from simulator.asks import CASES, ask, chat, prices, read

FAULTS = (
    Fault(kind="rate_limit", probability=0.2, first=1),
    Fault(kind="no_usage", probability=0.2),
)


def played(seed: int, worker: int = 0) -> tuple[list[tuple[bytes, object]], list[str]]:
    terms = Terms(worker=worker)
    with Simulator(
        seed=seed, prices=prices(), faults=FAULTS, terms=terms, clock=lambda: 1_795_000_000.0
    ).running() as sim:
        got = [ask(sim, case) for case in CASES.values() for _ in range(2)]
        lines = [str(line) for line in sim.invoice.lines]
    return [(one.body, sorted(one.headers.items())) for one in got], lines


def test_the_same_seed_gives_the_same_bytes_and_invoice() -> None:
    assert played(3) == played(3)


def test_another_seed_or_worker_gives_other_ids() -> None:
    bodies = [{body for body, _ in played(*one)[0]} for one in ((3,), (4,), (3, 1))]
    assert len(bodies[0]) > len(CASES)
    assert len(bodies[0] & bodies[1]) < len(bodies[0]) / 3
    assert bodies[0] != bodies[2]


def test_the_same_request_twice_is_told_apart_but_answered_alike(sim: Simulator) -> None:
    first, second = ask(sim, chat()).json(), ask(sim, chat()).json()
    assert first["id"] != second["id"]
    assert first["choices"] == second["choices"]
    sim.reset()
    assert ask(sim, chat()).json() == first
    assert sim.invoice.total.requests == 1


def test_asking_for_usage_changes_nothing_else(sim: Simulator) -> None:
    plain = ask(sim, chat(stream=True)).body
    sim.reset()
    counted = ask(sim, chat(stream=True, stream_options={"include_usage": True})).body
    events = counted.replace(b',"usage":null', b"").split(b"\n\n")
    assert [one for one in events if b'"usage"' not in one] == plain.split(b"\n\n")


def test_key_order_and_spaces_do_not_matter(sim: Simulator) -> None:
    case = chat(temperature=0)
    first = ask(sim, case).body
    sim.reset()
    turned = case._replace(body=dict(reversed(case.body.items())))
    assert ask(sim, turned).body == first


@pytest.mark.parametrize("name", CASES)
def test_ids_are_unique(name: str) -> None:
    with Simulator(seed=1, prices=prices()).running() as sim:
        for _ in range(3):
            read(ask(sim, CASES[name]), CASES[name])
        assert len(sim.invoice.by_request()) == 3
