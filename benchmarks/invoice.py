"""Whether the ledger agrees with the provider's invoice, while everything goes wrong.

Run: python benchmarks/invoice.py [--calls N] [--seed N] [--workers N] [--kills N] [--json]
A seeded crowd of raw HTTP clients calls a simulated provider through `bursar serve`: all wires,
growing sessions, retries, clients that leave at every point, faults of every kind; workers and the
keeper are killed (--kills) and as many times ended or given new settings. Afterwards invoice,
journal, ledger and the clients' log are compared attempt by attempt. Exit code 1: a law is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from _invoice_client import Crowd
from _invoice_mix import Mix
from _invoice_sides import (
    Verdict,
    compare,
    counted,
    lives,
    read_invoice,
    read_journal,
    read_ledger,
)
from _invoice_stage import Stage, Trouble, Watch

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.keeper import take_in
from bursar.model.money import usd
from bursar.price.book import load_book

try:
    from uvloop import run
except ImportError:
    from asyncio import run

TOLD_S = 5.0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000, help="tries of all clients together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=4, help="kill -9, of workers and the keeper")
    parser.add_argument("--at-once", type=int, default=96, help="sessions under way")
    parser.add_argument("--seconds", type=int, default=900, help="give up after this long")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep everything here; it must not exist")
    return parser.parse_args()


async def drive(stage: Stage, crowd: Crowd, trouble: Trouble, watch: Watch, calls: int) -> None:
    """Until all calls are made; tells how far it is."""
    begun = time.monotonic()
    watching = asyncio.create_task(watch.run())
    troubling = asyncio.create_task(trouble.run(lambda: len(crowd.log) / calls))
    calling = asyncio.create_task(crowd.run())
    while not calling.done():
        await asyncio.wait([calling], timeout=TOLD_S)
        spent_s = time.monotonic() - begun
        made = len(crowd.log)
        print(
            f"{spent_s:5.0f} s  {made:,} of {calls:,} calls, {made / spent_s:,.0f}/s;"
            f" {', '.join(f'{n} x {deed}' for deed, n in trouble.done.items() if n)}",
            file=sys.stderr,
            flush=True,
        )
        if not stage.alive:
            raise SystemExit(f"a process ended by itself; see {stage.folder}/*.log")
    await calling
    for task in (troubling, watching):
        failed = task.done() and task.exception()
        task.cancel()
        if failed:
            raise failed


def take_later(home: Path, ledger: Path) -> int:
    """What the next reader takes in, where the keeper was killed shortly before the stop."""
    duck = Duck(ledger)
    try:
        return take_in(home, duck, load_book(home=home, now=datetime.now(UTC).replace(tzinfo=None)))
    finally:
        duck.close()


def show(verdict: Verdict, found: dict[str, object]) -> None:
    print(f"\n{'side':38}{'attempts':>10}{'dollars':>20}")
    for name, sums in verdict.sides.items():
        cost = f"${usd(sums['nano'])}" if "nano" in sums else ""
        print(f"{name:38}{sums['attempts']:>10,}{cost:>20}")
    print(
        f"\n{'equal to the nanodollar':38}{verdict.equal:>10,}{'$' + usd(verdict.equal_nano):>20}"
    )
    print(f"\n{'explained residual: cause | label':86}{'attempts':>9}{'invoice':>15}{'ledger':>15}")
    for cause, (count, invoice, ledger) in sorted(verdict.residual.items()):
        print(f"{cause[:85]:86}{count:>9,}{'$' + usd(invoice):>15}{'$' + usd(ledger):>15}")
    print("\nlaws")
    for law, count in verdict.failures.items():
        print(f"{count:>6}  {law}")
        for example in verdict.examples.get(law, ()):
            print(f"          {example}")
    print()
    for name, value in found.items():
        print(f"{name}: {value}")


def main() -> int:
    wish = options()
    folder = wish.folder or Path(tempfile.mkdtemp(prefix="bursar-invoice-"))
    folder.mkdir(parents=True, exist_ok=wish.folder is None)
    begun = time.monotonic()
    with Stage(folder, wish.workers) as stage:
        crowd = Crowd(stage.port, Mix(wish.seed), wish.calls, wish.at_once)
        trouble, watch = Trouble(stage, wish.kills), Watch(stage)
        called = time.monotonic()
        run(asyncio.wait_for(drive(stage, crowd, trouble, watch, wish.calls), wish.seconds))
        called_s = time.monotonic() - called
    ledger = stage.home / "ledger.duckdb"
    left = len(list(stage.home.glob("journal/*/*.wal")))
    taken_later = take_later(stage.home, ledger)
    verdict = compare(
        crowd.log,
        read_invoice(stage.invoice),
        read_ledger(ledger),
        read_journal(stage.kept),
    )
    ends = sum(n for deed, n in trouble.done.items() if deed != "reload")
    if len(stage.deaths()) > ends:
        verdict.fail("a child that ended by itself", stage.deaths())
    found: dict[str, object] = {
        "calls a second": round(len(crowd.log) / called_s),
        "seconds in all": round(time.monotonic() - begun, 1),
        "done to it": trouble.done,
        "exit code of bursar serve": stage.exit_code,
        "segments that a killed keeper left, and their calls": [left, taken_later],
        "skips": [str(row) for row in counted(ledger, "skips")][:5],
        "flags": [str(row) for row in counted(ledger, "flags")][:5],
        "memory (child, seconds, MiB over its life)": lives(watch.memory)[:8],
    }
    if wish.json:
        sys.stdout.buffer.write(msgspec.json.encode({"verdict": verdict, "found": found}) + b"\n")
    else:
        show(verdict, found)
    failed = any(verdict.failures.values()) or bool(found["exit code of bursar serve"])
    if wish.folder is None and not failed:
        shutil.rmtree(folder)
    else:
        print(f"logs, invoice, journal and ledger: {folder}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
