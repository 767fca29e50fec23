"""The second part of `caps_beside.py`: nobody knows how long an answer gets."""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from typing import Any, NamedTuple

import _caps_tools as tools
import _caps_worlds as worlds
from _caps_client import Fleet
from _caps_run import PATIENCE_S, SETTLE_S, Row, Run, standing
from _caps_sums import NANO, summed
from _caps_tools import Bursar, Cell, Tool, Wish, asking

WARM_CALLS, WARM_STREAMS, MAX_TOKENS = 600, 100, 16_000


class Way(NamedTuple):
    """How Bursar is asked."""

    stream: bool
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    shares_system: bool = True

    @property
    def title(self) -> str:
        said = [f"{word} {value}" for word, value in self.settings.items()]
        return ", ".join(["Bursar", *said, *([] if self.shares_system else ["new prompts"])])

    @property
    def form(self) -> str:
        return "stream" if self.stream else "whole"


OURS = (
    Way(stream=True),
    Way(stream=True, settings={"wait": "10s"}),
    Way(stream=True, shares_system=False),
    Way(stream=False),
)
OTHERS = (
    "pydantic-ai has no reservation: every call is let through that asks before the first is paid,"
    " as with a cent each",
    "LiteLLM settles what it reserved only where it has its database, so here it would keep the"
    " worst case of every call: not measured",
)
"""Why the second part is about Bursar alone."""


def lengths(run: Run) -> None:
    if not run.wants("bursar", "lengths"):
        return
    for why in OTHERS:
        run.skip(f"unknown lengths: {why}")
    for way in OURS[:1] if run.wish.quick else OURS:
        if run.left_s("lengths") < (15 if run.wish.quick else 60):
            run.skip(f"{way.title}, {way.form}: no time was left")
            continue
        cell = Cell("tenant", "long")
        with standing(run, way.title, partial(long_tool, run, way, cell)) as tool:
            if tool is not None:
                run.add(long_row(run, tool, way, cell))


def long_tool(run: Run, way: Way, cell: Cell) -> Bursar:
    warm = Cell(tools.FREE, "warm")
    made = Bursar(run.stage, [cell, warm], f"${run.dollars}", 1, **way.settings)
    warm_up(run, made, way, warm)
    return made


def warm_up(run: Run, tool: Tool, way: Way, cell: Cell) -> None:
    """Calls outside of the budget: how long and how fast this route's answers are is known, as in
    daily use. Those that are not streamed come at once; streams come as fast as later ones.
    """
    rng = random.Random(f"{run.wish.seed} warm")
    found = worlds.drawn(rng, 200 if run.wish.quick else WARM_CALLS)
    at_once = [f"none; latency_ms=0; output_tokens={tokens}" for tokens in found]
    paced = [worlds.wish_for(tokens, run.pace.tokens_per_s, stream=True) for tokens in found]
    prompt, system = run.prompts[way.shares_system]
    for stream, simulate, sockets in ((False, at_once, 20), (True, paced, WARM_STREAMS)):
        wish = Wish(prompt, MAX_TOKENS, system, stream, simulate)
        fleet = Fleet(tool.ports, PATIENCE_S)
        asyncio.run(fleet.burst(asking(tool, cell, wish), len(found) // 2, sockets, 15.0))
    run.stage.new_lines()


def long_row(run: Run, tool: Tool, way: Way, cell: Cell) -> Row:
    calls = 360 if run.wish.quick else 1_000
    world = worlds.world(run.wish.seed, calls, run.pace, stream=way.stream)
    prompt, system = run.prompts[way.shares_system]
    wish = Wish(prompt, MAX_TOKENS, system, way.stream, world.simulate)
    fleet = Fleet(tool.ports, PATIENCE_S)
    begun = time.monotonic()
    asyncio.run(fleet.arrivals(asking(tool, cell, wish), world.moments_s, run.wish.sockets))
    lasted_s = time.monotonic() - begun
    paid = worlds.billed(run.stage)
    time.sleep(SETTLE_S)
    sums = summed(world.wanted, paid, run.dollars * NANO)
    return {
        "part": "lengths",
        "tool": way.title,
        "form": way.form,
        "calls": calls,
        "client": fleet.most_at_once,
        "statuses": fleet.by_status(),
        **sums._asdict(),
        "false_share": sums.false_share,
        "cut_share": sums.cut_share,
        "times": sums.spent_nano / (run.dollars * NANO),
        "own": tool.counter(cell),
        "seconds": round(lasted_s, 1),
    }
