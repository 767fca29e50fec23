"""Whether caps hold: Bursar and the tools of others under the same calls, told by the invoice.

    python benchmarks/caps_beside.py [--quick] [--json]
        [--litellm ENVIRONMENT] [--pydantic-ai ENVIRONMENT]

An ENVIRONMENT is a virtual environment that has the tool; what is not given is skipped, and so
said. A simulated provider answers and writes the invoice, the only source of what was spent; what
each tool believes of itself stands beside it.

*A cent each*: a budget of $1.00 and N calls at once that cost exactly $0.01 each, for several
scopes, on one node and on two that start together and share a Redis. *Unknown lengths*, Bursar
alone: max_tokens=16000, answers of about 800 tokens in the mean (lognormal, seeded), arriving by
chance; a budget of $5.00; prompts of 1,000 tokens that share their system prompt, or nothing.
`_caps_sums.py` says what is counted. Exit code 1: Bursar let a budget be exceeded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import _caps_tools as tools
import _caps_worlds as worlds
from _caps_client import Fleet
from _caps_lengths import lengths
from _caps_run import BUDGET, BUDGET_NANO, PATIENCE_S, SETTLE_S, Row, Run, standing
from _caps_show import versions_of
from _caps_stage import Stage
from _caps_sums import Paid, broken, of_a_burst, refused
from _caps_tools import NOBODY, PROVIDER, Bursar, Cell, LiteLLM, Tool, Wish, asking

LATENCY_MS = 1_000
LARGE = 10_000
"""So many calls are asked of a slow tool in one scope alone."""
SCOPES = ("tenant", "session", "end user", NOBODY, PROVIDER)
NOT_LITELLM = "LiteLLM: a call that names no end user is under no end-user budget: not measured"
ONE_PROCESS = "pydantic-ai: its usage lives in one process, so two nodes are two budgets"


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


# -- a cent each


def bursar_cents(run: Run, nodes: int) -> None:
    if not run.wants("bursar", "cents"):
        return
    if nodes > 1 and run.stage.redis_program is None:
        run.skip("Bursar on two nodes: there is no redis-server here")
        return
    scopes = SCOPES[:1] if run.wish.quick else SCOPES
    sizes = run.sizes[2 - nodes :] if run.wish.quick else run.sizes
    cells = [Cell(scope, str(size)) for size in sizes for scope in scopes]
    warm = Cell(tools.FREE, "warm")
    with standing(run, "Bursar", lambda: Bursar(run.stage, [*cells, warm], BUDGET, nodes)) as tool:
        if tool is not None:
            burst_all(run, tool, cells, most_s=20.0)


def litellm_cents(run: Run, nodes: int) -> None:
    if not run.wants("litellm", "cents") or (place := run.litellm()) is None:
        return
    run.skip(NOT_LITELLM)
    run.skip(tools.NO_DATABASE)
    sizes = [size for size in run.sizes if size >= 10 * nodes]
    cells = [
        Cell(scope, str(size))
        for size in sizes
        for scope in SCOPES[: 4 - nodes if size < LARGE else 1]
    ]
    with standing(run, "LiteLLM", lambda: LiteLLM(run.stage, place, 1.0, nodes)) as tool:
        if tool is not None:
            knock(run, tool, Cell(tools.FREE, "warm"))
            burst_all(run, tool, cells, most_s=12.0)
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
        if run.left_s("cents") < (5.0 if run.wish.quick else most_s):
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
            "statuses": fleet.by_status(),
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
        if run.left_s("cents") < most_s:
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


# -- the whole


def steps() -> list[Callable[[Run], None]]:
    """What comes late in a part may find no time."""
    cents = [partial(bursar_cents, nodes=nodes) for nodes in (1, 2)]
    theirs = [agents_cents, *(partial(litellm_cents, nodes=nodes) for nodes in (1, 2))]
    return [*cents, *theirs, lengths]


def show_begin(run: Run) -> None:
    wish = run.wish
    told = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {told}")
    print(
        f"seed {wish.seed}; {tools.MODEL}, 40 + 1,240 tokens at $2 and $8 per million = $0.01;"
        f" such an answer takes {LATENCY_MS:,} ms; {wish.sockets:,} connections"
    )


def main() -> int:
    wish = options()
    folder = Path(tempfile.mkdtemp(prefix="bursar-caps-"))
    begun = time.monotonic()
    with Stage(folder, worlds.ANSWER_TOKENS, LATENCY_MS) as stage:
        run = Run(wish, stage, begun)
        run.versions |= versions_of(wish.litellm, stage.redis_program)
        if not wish.json:
            show_begin(run)
        for step in steps():
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
