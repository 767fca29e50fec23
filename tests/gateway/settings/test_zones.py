"""Time zones where the system has none: from the package, or a clear word before the first call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = 'budgets: {all: {limit: "$5/day", timezone: "%s"}}\n'
RUN = "import sys; sys.modules.update(%s); from bursar.cli import main; sys.exit(main())"


def _check(place: Path, zone: str, *, packaged: bool) -> subprocess.CompletedProcess[str]:
    """`bursar check` on a machine whose system has no time zones; `packaged`: but the package."""
    settings = place / "bursar.yaml"
    settings.write_text(TEXT % zone)
    environ = {**os.environ, "PYTHONTZPATH": "", "BURSAR_HOME": str(place)}
    code = RUN % ({} if packaged else {"tzdata": None})
    return subprocess.run(
        [sys.executable, "-c", code, "check", str(settings)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_any_time_zones_the_check_says_what_to_install(tmp_path: Path) -> None:
    found = _check(tmp_path, "Europe/Berlin", packaged=False)
    assert found.returncode == 2
    assert "this machine has no time zones" in found.stderr
    assert "pip install tzdata" in found.stderr
    assert "budgets.all.timezone" in found.stderr
    assert "Traceback" not in found.stderr
    assert _check(tmp_path, "UTC", packaged=False).returncode == 0


def test_the_package_is_enough(tmp_path: Path) -> None:
    """It is part of the extra `gateway`."""
    pytest.importorskip("tzdata", reason="tzdata is not installed")
    found = _check(tmp_path, "Europe/Berlin", packaged=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert "Europe/Berlin" in found.stdout
    wrong = _check(tmp_path, "Europe/Munich", packaged=True)
    assert "no time zone that this machine knows" in wrong.stderr
