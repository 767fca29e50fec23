"""`kill -9` at any moment: what was acknowledged is in the ledger, once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.slow, id="200 of each")])
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    rounds: int, tmp_path: Path
) -> None:
    run = subprocess.run(
        [sys.executable, HERE / "killing.py", tmp_path, str(rounds), "11"],
        capture_output=True,
        text=True,
        timeout=30 + 2 * rounds,
        check=True,
    )
    figures = json.loads(run.stdout)
    print(figures)
    assert figures["killed_workers"] == figures["killed_keepers"] == rounds
    assert figures["acked"] > 20 * rounds, "too little was written to prove anything"
    assert (figures["lost"], figures["duplicated"], figures["never_begun"]) == (0, 0, 0)
    assert (figures["flags"], figures["journals_left"], figures["keeper_exit"]) == (0, 0, 0)
