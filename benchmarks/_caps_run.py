"""One run of `caps_beside.py`: what is wished, what was found, and the time that is left."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _caps_worlds as worlds
from _caps_show import CENT_HEAD, LENGTH_HEAD, cent_line, length_line
from _caps_stage import Stage, Trouble
from _caps_sums import NANO

import bursar

BUDGET, BUDGET_NANO = "$1", 1 * NANO
PATIENCE_S = 120.0
SETTLE_S = 1.2
"""Until a tool has counted what it has answered."""
CENTS_SHARE = 0.65
"""Of the time, for the first part; the second has the rest."""
Row = dict[str, Any]


class Run:
    """One run of the script: its rows, what was skipped, and the time that is left."""

    def __init__(self, wish: argparse.Namespace, stage: Stage, begun_s: float) -> None:
        self.wish, self.stage = wish, stage
        self.rows: list[Row] = []
        self.skipped: list[str] = []
        self.versions: dict[str, str] = {
            "bursar": bursar.__version__,
            "python": platform.python_version(),
        }
        self.sizes = (200, 1_000) if wish.quick else (10, 100, 1_000, 10_000)
        self.dollars = 2 if wish.quick else 5
        """The budget of answers of unknown length."""
        rate = wish.tokens_per_s or (720.0 if wish.quick else 240.0)
        self.pace = worlds.Pace(wish.per_s, rate, 3_000 if wish.quick else 8_000)
        self.short = worlds.prompt_for(stage, worlds.SHORT_TOKENS)
        system, tokens = worlds.system_prompt(), worlds.PROMPT_TOKENS
        self.prompts = {
            shared: (worlds.prompt_for(stage, tokens, head), head)
            for shared, head in ((True, system), (False, ""))
        }
        """Whether a system prompt is shared -> prompt and system prompt."""
        lasts_s = wish.seconds or (50.0 if wish.quick else 580.0)
        share = 1.0 if wish.part else CENTS_SHARE
        self._ends = {"cents": begun_s + share * lasts_s, "lengths": begun_s + lasts_s}
        stage.new_lines()

    def left_s(self, part: str) -> float:
        return self._ends[part] - time.monotonic()

    def wants(self, tool: str, part: str) -> bool:
        return self.wish.only.lower() in tool.lower() and self.wish.part in (None, part)

    def litellm(self) -> Path | None:
        """Its environment; None where it is not to be measured."""
        if self.wish.quick:
            self.skip("LiteLLM: --quick, and it takes half a minute to start")
            return None
        if self.wish.litellm is None:
            self.skip("LiteLLM: no --litellm was given")
        return self.wish.litellm

    def skip(self, why: str) -> None:
        if why not in self.skipped:
            self.skipped.append(why)

    def add(self, row: Row) -> None:
        part = row["part"]
        if not self.wish.json:
            if not self.rows or self.rows[-1]["part"] != part:
                print(f"\n{self._title(part)}")
            print((cent_line if part == "cents" else length_line)(row), flush=True)
        self.rows.append(row)

    def _title(self, part: str) -> str:
        if part == "cents":
            return f"A cent each, a budget of {BUDGET}.00\n{CENT_HEAD}"
        return (
            f"Unknown lengths, max_tokens=16000, a budget of ${self.dollars}.00;"
            f" {self.pace.per_s:g} arrivals a second, {self.pace.tokens_per_s:g} tokens a second"
            f" each\n{LENGTH_HEAD}"
        )


@contextmanager
def standing(run: Run, name: str, make: Callable[[], Any]) -> Iterator[Any]:
    """A tool while it runs; None where it cannot."""
    try:
        tool = make()
    except Trouble as bad:
        run.skip(f"{name}: {bad}")
        yield None
        return
    try:
        yield tool
    finally:
        tool.stop()
