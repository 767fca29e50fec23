"""A simulator for a test, in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bursar.simulator.server import Simulator
from simulator.asks import prices


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=7, prices=prices()).running() as running:
        yield running
