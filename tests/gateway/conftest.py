"""One gateway for each module: it takes a second or two to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.rig import Rig, running


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("gateway")) as one:
        yield one
