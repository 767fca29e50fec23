"""One server for the tests that leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from state.redis.rig import Server, a_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with a_server() as one:
        yield one
