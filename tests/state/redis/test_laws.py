"""Redis under the same laws as memory, and answer by answer the same as it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from bursar.state.redis import RedisStore
from state.machine import Subject, machine_of
from state.redis.rig import NAMES, Server, a_loop

KEPT = 40
"""Stores; a history makes fewer."""
LAWS = settings(
    max_examples=12,
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def test_laws(server: Server) -> None:
    with a_loop() as loop:
        made: list[RedisStore] = []

        def make(nodes: Sequence[str]) -> RedisStore:
            while len(made) > KEPT:
                loop.run_until_complete(made.pop(0).close())
            made.append(
                RedisStore(server.url, name=next(NAMES), nodes=len(nodes), timeout_ms=5_000)
            )
            return made[-1]

        def drive(step: Coroutine[Any, Any, Any]) -> Any:
            return loop.run_until_complete(asyncio.wait_for(step, 10))

        run_state_machine_as_test(machine_of(Subject(make, drive)), settings=LAWS)
        for store in made:
            loop.run_until_complete(store.close())
