"""How `caps_beside.py` prints its rows, and of which versions they are."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _caps_sums import NANO

Row = Mapping[str, Any]

CENT_HEAD = (
    f"{'tool':16}{'scope':19}{'nodes':>5}{'calls':>8}{'sent':>8}{'at once':>9}{'upstream':>9}"
    f"{'billed':>8}{'refused':>8}{'broken':>7}{'spent':>10}{'x budget':>9}{'over':>10}  own counter"
)


def cent_line(row: Row) -> str:
    return (
        f"{row['tool']:16}{row['scope']:19}{row['nodes']:>5}{row['calls']:>8,}{row['sent']:>8,}"
        f"{row['client']:>9,}{row['provider']:>9,}{row['billed']:>8,}{row['refused']:>8,}"
        f"{row['broken']:>7,}{row['spent_nano'] / NANO:>10.4f}{row['times']:>9.4f}"
        f"{row['over_nano'] / NANO:>10.4f}  {row['own']}"
        + (f"  ({row['odd']} answers shortened)" if row["odd"] else "")
        + (f"  {row['statuses']}" if row["broken"] and "statuses" in row else "")
    )


LENGTH_HEAD = (
    f"{'tool':20}{'form':8}{'calls':>7}{'at once':>9}{'fitting':>9}{'admitted':>9}{'false':>8}"
    f"{'cut':>8}{'spent':>9}{'x budget':>9}{'over':>9}  own counter, statuses"
)


def length_line(row: Row) -> str:
    return (
        f"{row['tool']:20}{row['form']:8}{row['calls']:>7,}{row['client']:>9,}{row['fitting']:>9,}"
        f"{row['admitted']:>9,}{100 * row['false_share']:>6.1f} %{100 * row['cut_share']:>6.2f} %"
        f"{row['spent_nano'] / NANO:>9.4f}{row['times']:>9.4f}{row['over_nano'] / NANO:>9.4f}"
        f"  {row['own']}, {row['statuses']}"
    )


def versions_of(litellm: Path | None, redis: str | None) -> dict[str, str]:
    """Of what else takes part: the environment of LiteLLM, and the program of Redis."""
    found: dict[str, str] = {}
    if litellm is not None:
        words = "from importlib.metadata import version; print(version('litellm'))"
        found["litellm"] = _told([str(litellm / "bin" / "python"), "-c", words])
    if redis is not None:
        found["redis"] = _told([redis, "--version"]).partition("v=")[2].partition(" ")[0]
    return found


def _told(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return "not found"
    return done.stdout.strip() or "not found"
