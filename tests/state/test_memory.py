"""The store in memory under the laws of `machine`, and its own few promises."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from bursar.state.memory import Memory
from state.machine import Subject, machine_of

LAWS = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_laws() -> None:
    run_state_machine_as_test(machine_of(Subject(Memory)), settings=LAWS)
