"""Whether caps hold: Bursar and the tools of others under the same calls, told by the invoice.

    python benchmarks/caps_beside.py [--quick] [--json]
        [--litellm ENVIRONMENT] [--pydantic-ai ENVIRONMENT]

An ENVIRONMENT is a virtual environment that has the tool; what is not given is skipped, and so
said. A simulated provider answers and writes the invoice, the only source of what was spent; what
each tool believes of itself stands beside it.

*A cent each*: a budget of $1.00 and N calls at once that cost exactly $0.01 each, for several
scopes, on one node and on two that share a Redis. *Unknown lengths*: max_tokens=16000, answers of
about 800 tokens in the mean (lognormal, seeded), arriving by chance; a budget of $5.00.
`_caps_sums.py` says what is counted. Exit code 1: Bursar let a budget be exceeded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import _caps_tools as tools
import _caps_worlds as worlds
from _caps_client import Fleet
from _caps_show import CENT_HEAD, LENGTH_HEAD, cent_line, length_line, versions_of
from _caps_stage import Stage, Trouble
from _caps_sums import NANO, Paid, broken, of_a_burst, refused, summed
from _caps_tools import NOBODY, PROVIDER, Bursar, Cell, LiteLLM, Tool, Wish, asking

import bursar

BUDGET, BUDGET_NANO = "$1", 1 * NANO
LATENCY_MS = 1_000
PATIENCE_S = 120.0
WARM_CALLS = 1_000
SETTLE_S = 1.2
LARGE = 10_000
"""So many calls are asked of a slow tool in one scope alone."""
SCOPES = ("tenant", "session", "end user", NOBODY)
NOT_LITELLM = "LiteLLM: a call that names no end user is under no end-user budget: not measured"
ONE_PROCESS = "pydantic-ai: its usage lives in one process, so two nodes are two budgets"
Row = dict[str, Any]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less than a minute")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--litellm", type=Path, help="environment with litellm[proxy]")
    parser.add_argument("--pydantic-ai", type=Path, help="environment with pydantic-ai")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sockets", type=int, default=1_000, help="connections of the client")
    parser.add_argument("--seconds", type=float, help="give up the rest after so long")
    parser.add_argument("--only", default="", help="tools whose names hold this")
    parser.add_argument("--part", choices=["cents", "lengths"], help="one of the two alone")
    parser.add_argument("--per-s", type=float, default=60.0, help="arrivals, of unknown length")
    parser.add_argument("--tokens-per-s", type=float, help="of one answer")
    return parser.parse_args()


class Run:
    """One run of the script: its rows, what was skipped, and the time that is left."""

    def __init__(self, wish: argparse.Namespace, stage: Stage) -> None:
        self.wish, self.stage = wish, stage
        self.rows: list[Row] = []
        self.skipped: list[str] = []
        self.versions: dict[str, str] = {
            "bursar": bursar.__version__,
            "python": platform.python_version(),
        }
        self.sizes = (100, 1_000) if wish.quick else (10, 100, 1_000, 10_000)
        self.dollars = 2 if wish.quick else 5
        """The budget of answers of unknown length."""
        rate = wish.tokens_per_s or (720.0 if wish.quick else 240.0)
        self.pace = worlds.Pace(wish.per_s, rate, 3_000 if wish.quick else 8_000)
        self.short = worlds.prompt_for(stage, worlds.SHORT_TOKENS)
        self.prompt = worlds.prompt_for(stage, worlds.PROMPT_TOKENS)
        self.ends = time.monotonic() + (wish.seconds or (50.0 if wish.quick else 580.0))
        stage.new_lines()

    def left_s(self) -> float:
        return self.ends - time.monotonic()

    def wants(self, tool: str, part: str) -> bool:
        return self.wish.only.lower() in tool.lower() and self.wish.part in (None, part)

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


# -- a cent each


def bursar_cents(run: Run, nodes: int) -> None:
    if not run.wants("bursar", "cents"):
        return
    if nodes > 1 and run.stage.redis_program is None:
        run.skip("Bursar on two nodes: there is no redis-server here")
        return
    scopes = SCOPES[:1] if run.wish.quick else SCOPES
    cells = [Cell(scope, str(size)) for size in run.sizes for scope in scopes]
    warm = Cell(tools.FREE, "warm")
    with standing(run, "Bursar", lambda: Bursar(run.stage, [*cells, warm], BUDGET, nodes)) as tool:
        if tool is not None:
            burst_all(run, tool, cells, most_s=20.0)


def litellm_cents(run: Run, nodes: int) -> None:
    place = run.wish.litellm
    if not run.wants("litellm", "cents"):
        return
    if place is None:
        run.skip("LiteLLM: no --litellm was given")
        return
    if run.wish.quick and nodes > 1:
        run.skip("LiteLLM on two nodes: --quick")
        return
    run.skip(NOT_LITELLM)
    run.skip(tools.NO_DATABASE)
    sizes = [size for size in run.sizes if size >= (1_000 if run.wish.quick else 10 * nodes)]
    scopes = SCOPES[:1] if run.wish.quick else SCOPES[: 4 - nodes]
    cells = [
        Cell(scope, str(size))
        for size in sizes
        for scope in (scopes if size < LARGE else scopes[: 2 - nodes])
    ]
    with standing(run, "LiteLLM", lambda: LiteLLM(run.stage, place, 1.0, nodes)) as tool:
        if tool is not None:
            knock(run, tool, Cell(tools.FREE, "warm"))
            burst_all(run, tool, cells, most_s=8.0 if run.wish.quick else 12.0)
    if run.wish.quick:
        run.skip("LiteLLM's provider budgets: --quick")
        return
    cells = [Cell(PROVIDER, str(size)) for size in sizes if size < LARGE]
    with standing(
        run, "LiteLLM", lambda: LiteLLM(run.stage, place, 1.0, nodes, providers=True)
    ) as tool:
        if tool is not None:
            knock(run, tool, cells[0])
            burst_all(run, tool, cells, most_s=12.0)


def knock(run: Run, tool: Tool, cell: Cell) -> None:
    """Some first calls, which load what is loaded late."""
    fleet = Fleet(tool.ports, PATIENCE_S)
    ask = asking(tool, cell, Wish(run.short, 16, simulate=["none; output_tokens=1"] * 20))
    asyncio.run(fleet.burst(ask, 20, 4, 10.0))
    run.stage.new_lines()


def burst_all(run: Run, tool: Tool, cells: list[Cell], most_s: float) -> None:
    """Each cell: N calls at once, and what the invoice says afterwards."""
    for cell in cells:
        calls = int(cell.name)
        if run.left_s() < (5.0 if run.wish.quick else most_s):
            run.skip(f"{tool.title}, {cell.scope}, {calls:,} at once: no time was left")
            continue
        tool.ready(cell)
        fleet = Fleet(tool.ports, PATIENCE_S)
        ask = asking(tool, cell, Wish(run.short, worlds.ANSWER_TOKENS))
        asyncio.run(fleet.burst(ask, calls, run.wish.sockets, most_s))
        paid = worlds.billed(run.stage)
        time.sleep(SETTLE_S)
        sums = {
            "sent": fleet.sent,
            "client": fleet.most_at_once,
            "refused": refused(fleet.statuses),
            "broken": broken(fleet.statuses),
            "own": tool.counter(cell),
        }
        run.add(cent_row((tool.title, cell.scope, len(tool.ports)), calls, paid, sums))


def agents_cents(run: Run) -> None:
    place: Path | None = run.wish.pydantic_ai
    if not run.wants("pydantic-ai", "cents"):
        return
    program = place / "bin" / "python" if place is not None else None
    if program is None or not program.exists():
        run.skip("pydantic-ai: no --pydantic-ai was given")
        return
    run.skip(ONE_PROCESS)
    for calls in run.sizes[-1:] if run.wish.quick else run.sizes:
        most_s = 8.0 if run.wish.quick else 15.0
        if run.left_s() < most_s:
            run.skip(f"pydantic-ai, {calls:,} at once: no time was left")
            continue
        run.stage.new_lines()
        wish = {
            "url": run.stage.provider_url,
            "model": tools.MODEL,
            "prompt": run.short,
            "calls": calls,
            "sockets": run.wish.sockets,
            "max_tokens": worlds.ANSWER_TOKENS,
            "budget": BUDGET.strip("$"),
            "seconds": most_s,
        }
        script = Path(__file__).with_name("_caps_pydantic_ai.py")
        done = subprocess.run(
            [program, script, json.dumps(wish)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            run.skip(f"pydantic-ai: {done.stderr.strip().splitlines()[-1][:200]}")
            return
        told = json.loads(done.stdout)
        run.versions["pydantic-ai"] = f"{told['version']} (genai-prices {told['prices']})"
        sums = {
            "sent": told["sent"],
            "client": told["most"],
            "refused": told["refused"],
            "broken": told["failed"],
            "own": f"${told['own']}",
        }
        paid = worlds.billed(run.stage)
        run.add(cent_row(("pydantic-ai", "one usage", 1), calls, paid, sums))


def cent_row(name: tuple[str, str, int], calls: int, paid: Sequence[Paid], told: Row) -> Row:
    """`name`: tool, scope, nodes."""
    named = dict(zip(("tool", "scope", "nodes"), name, strict=True))
    sums = of_a_burst(paid, worlds.CENT_NANO, BUDGET_NANO, LATENCY_MS)
    return {"part": "cents", **named, "calls": calls, **told, **sums}


# -- unknown lengths

Way = tuple[str, bool, dict[str, Any]]
"""Tool, whether it streams, its settings."""
OURS: tuple[Way, ...] = (
    ("Bursar", True, {}),
    ("Bursar", False, {}),
    ("Bursar", True, {"wait": "10s"}),
)
THEIRS: tuple[Way, ...] = (
    ("LiteLLM", False, {}),
    ("LiteLLM", False, {"strict": True}),
    ("LiteLLM", True, {}),
)


def our_lengths(run: Run) -> None:
    lengths(run, OURS[:1] if run.wish.quick else OURS)


def their_lengths(run: Run) -> None:
    lengths(run, THEIRS)


def lengths(run: Run, ways: Sequence[Way]) -> None:
    for name, stream, more in ways:
        if not run.wants(name, "lengths"):
            continue
        title = (
            f"{name}{''.join(f', {k} {v}' if v is not True else f', {k}' for k, v in more.items())}"
        )
        if name == "LiteLLM" and run.wish.litellm is None:
            run.skip("LiteLLM: no --litellm was given")
            continue
        if run.left_s() < (15 if run.wish.quick else 45):
            run.skip(f"{title}, {form_of(stream)}: no time was left")
            continue
        cell = Cell("tenant", "long")
        with standing(run, name, partial(long_tool, run, name, cell, more)) as tool:
            if tool is not None:
                run.add(long_row(run, tool, title, cell, stream=stream))


def long_tool(run: Run, name: str, cell: Cell, more: dict[str, Any]) -> Any:
    if name == "Bursar":
        warm = Cell(tools.FREE, "warm")
        made: Any = Bursar(run.stage, [cell, warm], f"${run.dollars}", 1, **more)
        warm_up(run, made, warm)
        return made
    return LiteLLM(run.stage, run.wish.litellm, float(run.dollars), 1, **more)


def warm_up(run: Run, tool: Tool, cell: Cell) -> None:
    """Calls outside of the budget, so that the lengths of this route's answers are known."""
    rng = random.Random(f"{run.wish.seed} warm")
    found = worlds.drawn(rng, 200 if run.wish.quick else WARM_CALLS)
    simulate = [f"none; latency_ms=0; output_tokens={tokens}" for tokens in found]
    wish = Wish(run.prompt, 16_000, simulate=simulate)
    fleet = Fleet(tool.ports, PATIENCE_S)
    asyncio.run(fleet.burst(asking(tool, cell, wish), len(found), 20, 30.0))
    run.stage.new_lines()


def long_row(run: Run, tool: Tool, title: str, cell: Cell, *, stream: bool) -> Row:
    calls = 420 if run.wish.quick else 1_000
    world = worlds.world(run.wish.seed, calls, run.pace, stream=stream)
    wish = Wish(run.prompt, 16_000, stream=stream, simulate=world.simulate)
    fleet = Fleet(tool.ports, PATIENCE_S)
    begun = time.monotonic()
    asyncio.run(fleet.arrivals(asking(tool, cell, wish), world.moments_s, run.wish.sockets))
    lasted_s = time.monotonic() - begun
    paid = worlds.billed(run.stage)
    time.sleep(SETTLE_S)
    sums = summed(world.wanted, paid, run.dollars * NANO)
    return {
        "part": "lengths",
        "tool": title,
        "form": form_of(stream),
        "calls": calls,
        "client": fleet.most_at_once,
        "statuses": {str(status): n for status, n in sorted(fleet.statuses.items())},
        **sums._asdict(),
        "false_share": sums.false_share,
        "cut_share": sums.cut_share,
        "times": sums.spent_nano / (run.dollars * NANO),
        "own": tool.counter(cell),
        "seconds": round(lasted_s, 1),
    }


def form_of(stream: bool) -> str:
    return "stream" if stream else "whole"


# -- the whole


def steps(wish: argparse.Namespace) -> list[Callable[[Run], None]]:
    """What comes late may find no time."""
    ours = [partial(bursar_cents, nodes=nodes) for nodes in (1, 2)]
    theirs = [agents_cents, *(partial(litellm_cents, nodes=nodes) for nodes in (1, 2))]
    if wish.quick:
        return [*ours, our_lengths, *theirs]
    return [*ours, our_lengths, *theirs, their_lengths]


def show_begin(run: Run) -> None:
    wish = run.wish
    told = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {told}")
    print(
        f"seed {wish.seed}; {tools.MODEL}, 40 + 1,240 tokens at $2 and $8 per million = $0.01;"
        f" each answer takes {LATENCY_MS:,} ms; {wish.sockets:,} connections"
    )


def main() -> int:
    wish = options()
    folder = Path(tempfile.mkdtemp(prefix="bursar-caps-"))
    begun = time.monotonic()
    with Stage(folder, worlds.ANSWER_TOKENS, LATENCY_MS) as stage:
        run = Run(wish, stage)
        run.versions |= versions_of(wish.litellm, stage.redis_program)
        if not wish.json:
            show_begin(run)
        for step in steps(wish):
            step(run)
    seconds = round(time.monotonic() - begun, 1)
    if wish.json:
        told = {"versions": run.versions, "seed": wish.seed, "rows": run.rows}
        print(json.dumps({**told, "skipped": run.skipped, "seconds": seconds}))
    else:
        print("\nnot measured, or otherwise than one might think")
        for why in run.skipped:
            print(f"  {why}")
        print(f"{seconds:g} s")
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if any(row["over_nano"] for row in run.rows if row["tool"].startswith("Bursar")) else 0


if __name__ == "__main__":
    sys.exit(main())
