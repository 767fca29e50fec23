"""Foreign traces as exchange lines: the ten lines that any other log is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TAUBENCH = "taubench_gpt4o_airline/gpt-4o-airline.json"


def taubench(file: Path, model: str = "gpt-4o") -> Iterator[dict[str, Any]]:
    """Sessions of a tau-bench result file: a message list and a reward each, no usage."""
    for run in json.loads(file.read_text(encoding="utf-8")):
        yield {
            "session": f"task-{run['task_id']}-trial-{run['trial']}",
            "route": "airline",
            "provider": "openai",
            "model": model,
            "messages": run["traj"],
            "outcome": {"success": run["reward"] == 1.0, "score": run["reward"]},
        }


def write_lines(lines: Iterator[dict[str, Any]], file: Path) -> Path:
    """The lines as a JSONL file."""
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file
