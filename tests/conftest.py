"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
"""A machine that stalls for a moment is no fault of the code: laws are judged by what they say."""

DATA = Path(
    os.environ.get("BURSAR_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)


def shared_path(name: str) -> Path:
    """A folder or file of the shared real data; skips where it is absent, fails under CI=true."""
    path = DATA / name
    if path.exists():
        return path
    reason = f"{name} is not in {DATA}; set BURSAR_SHARED_DATA to the folder that holds it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the ledgers and price files of whoever runs it."""
    home = tmp_path_factory.getbasetemp() / "bursar-home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("BURSAR_HOME", str(home))


@pytest.fixture(name="shared_data")
def shared_data_fixture() -> Callable[[str], Path]:
    return shared_path
