"""How many decisions a second workers get out of the purse, across its socket.

    python benchmarks/admission_purse.py [--seconds 3] [--waiting 200] [--runs 3] [--claims 3]

A decision is a reservation and its settlement, over some accounts each; `--waiting` calls are under
way at any moment, and then one alone. The purse is a process of its own, as under `bursar serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from bursar.extras import event_loop
from bursar.gateway.purse.host import keep_purse
from bursar.gateway.purse.sharing import SharedStore
from bursar.state.terms import Ask, Claim

NUMBERS = itertools.count()
NODE = "here"


class Figures(NamedTuple):
    """Of one stretch."""

    rate: float
    p50_us: float
    p99_us: float
    cpu_us: float
    """Of this process, for each call."""


async def call(store: SharedStore, claims: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    slot = now_ms - now_ms % 60_000
    taken = [Claim("day", 1_000, 10**15, slot - slot % 86_400_000, until=slot + 10**8)]
    taken += [
        Claim(f"rolling {one}", 1_000, 10**15, slot, slot - 3_540_000, 60_000, slot + 3_660_000)
        for one in range(claims - 1)
    ]
    key = f"{next(NUMBERS)}.0"
    assert await store.reserve(Ask(key, now_ms, 60_000, tuple(taken), owner="worker")) is None
    await store.settle(key, (900,) * claims, now_ms)


async def measure(store: SharedStore, waiting: int, seconds: float, claims: int) -> Figures:
    took: list[float] = []
    begun, cpu = time.perf_counter(), time.process_time()
    ends = begun + seconds

    async def one() -> None:
        while (now := time.perf_counter()) < ends:
            await call(store, claims)
            took.append(time.perf_counter() - now)

    await asyncio.gather(*(one() for _ in range(waiting)))
    lasted, cpu = time.perf_counter() - begun, time.process_time() - cpu
    took.sort()
    p50, p99 = (took[int(len(took) * share)] * 1e6 for share in (0.5, 0.99))
    return Figures(len(took) / lasted, p50, p99, cpu / len(took) * 1e6)


async def run(place: Path, asked: argparse.Namespace) -> None:
    store = SharedStore(place, "worker")
    while not await store.open():
        await asyncio.sleep(0.05)
    await store.rebuild(NODE, (), (), 0)
    for waiting in (asked.waiting, 1):
        best = max(
            [await measure(store, waiting, asked.seconds, asked.claims) for _ in range(asked.runs)]
        )
        print(
            f"{waiting:>5} at once: {best.rate:>8,.0f} calls/s ({2 * best.rate:,.0f} decisions/s)"
            f"   p50 {best.p50_us:,.0f} us   p99 {best.p99_us:,.0f} us"
            f"   {best.cpu_us:.1f} us of the worker's CPU per call"
        )
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--waiting", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--claims", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bursar-purse-") as folder:
        place = Path(folder) / "purse.sock"
        purse = get_context("fork").Process(target=keep_purse, args=(place, NODE))
        purse.start()
        try:
            with asyncio.Runner(loop_factory=event_loop()) as runner:
                runner.run(run(place, asked))
        finally:
            purse.terminate()
            purse.join()


if __name__ == "__main__":
    main()
