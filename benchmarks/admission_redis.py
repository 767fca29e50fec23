"""How many decisions a second one process gets out of Redis.

    python benchmarks/admission_redis.py [--seconds 3] [--waiting 200] [--runs 3] [--claims 3]

A decision is a reservation and its settlement, over some accounts each; `--waiting` calls are under
way at any moment. Beside it, in the same run: plain INCR through the same client, one after the
other and as many at once as calls here (redis-py's own pool and its pipeline). Starts a
`redis-server` of its own, on a socket in a folder of its own, that keeps nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import redis.asyncio

from bursar import extras
from bursar.state.redis import RedisStore
from bursar.state.terms import Ask, Claim, StoreLost

NUMBERS = itertools.count()
Work = Callable[[int], Awaitable[None]]


class Figures(NamedTuple):
    """Of one stretch."""

    rate: float
    p50_ms: float
    p99_ms: float


@contextmanager
def a_server() -> Iterator[str]:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        sys.exit("no redis-server here: apt-get install redis-server")
    folder = Path(tempfile.mkdtemp(prefix="bursar-redis-"))
    path = folder / "socket"
    words = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    server = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            time.sleep(0.01)
        yield f"unix://{path}"
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


async def measure(work: Work, waiting: int, seconds: float) -> Figures:
    """As many at once as `waiting`, each after the other."""
    took: list[float] = []
    begun = time.perf_counter()
    ends = begun + seconds

    async def one(number: int) -> None:
        while (now := time.perf_counter()) < ends:
            await work(number)
            took.append(time.perf_counter() - now)

    await asyncio.gather(*(one(number) for number in range(waiting)))
    lasted = time.perf_counter() - begun
    took.sort()
    p50, p99 = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99))
    return Figures(len(took) / lasted, p50, p99)


def show(what: str, per: str, figures: Figures) -> None:
    print(
        f"{what:<46}{figures.rate:>8,.0f} {per}/s"
        f"   p50 {figures.p50_ms:5.2f} ms   p99 {figures.p99_ms:5.2f} ms"
    )


def deciding(store: RedisStore, claims: int) -> Work:
    """Reserve and settle: both are decisions of the store, and one call."""

    async def work(_: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        slot = now_ms - now_ms % 60_000
        taken = [Claim("day", 1_000, 10**15, slot - slot % 86_400_000, until=slot + 10**8)]
        taken += [
            Claim(f"rolling {one}", 1_000, 10**15, slot, slot - 3_540_000, 60_000, slot + 3_660_000)
            for one in range(claims - 1)
        ]
        key = f"call-{next(NUMBERS)}.1"
        assert await store.reserve(Ask(key, now_ms, 60_000, tuple(taken))) is None
        await store.settle(key, (900,) * claims, now_ms)

    return work


async def denying(store: RedisStore) -> Work:
    """Asks for room in a rolling window that is full, in each of its 60 slots."""
    now_ms = time.time_ns() // 1_000_000
    slot = now_ms - now_ms % 60_000

    def ask(at_ms: int) -> Ask:
        claim = Claim("full", 1, 60, at_ms, slot - 3_540_000, 60_000, slot + 10**8)
        return Ask(f"full-{next(NUMBERS)}.1", now_ms, 10**8, (claim,))

    for ago in range(60):
        assert await store.reserve(ask(slot - 60_000 * ago)) is None

    async def work(_: int) -> None:
        assert await store.reserve(ask(slot)) is not None

    return work


async def run(url: str, given: argparse.Namespace) -> None:
    store = RedisStore(url)
    await store.rebuild("node", (), (), 1)
    plain = redis.asyncio.Redis.from_url(url)

    async def incr(number: int) -> None:
        await plain.incr(f"plain {number}")

    async def piped(number: int) -> None:
        async with plain.pipeline(transaction=False) as pipe:
            for _ in range(100):
                pipe.incr(f"plain {number}")
            await pipe.execute()

    for claims in (1, given.claims):
        work = deciding(store, claims)
        best = max([await measure(work, given.waiting, given.seconds) for _ in range(given.runs)])
        twice = best._replace(rate=2 * best.rate)
        show(f"reserve, settle; {claims} accounts, {given.waiting} at once", "decisions", twice)
    work = deciding(store, given.claims)
    alone = max([await measure(work, 1, given.seconds / 2) for _ in range(given.runs)])
    show(
        f"reserve, settle; {given.claims} accounts, alone",
        "decisions",
        alone._replace(rate=2 * alone.rate),
    )
    denied = await measure(await denying(store), given.waiting, given.seconds / 2)
    show("denied by a rolling window of 60 slots", "decisions", denied)
    show("baseline: INCR, one at a time", "commands", await measure(incr, 1, given.seconds / 2))
    show("baseline: INCR, 50 at once", "commands", await measure(incr, 50, given.seconds / 2))
    pipe = await measure(piped, 1, given.seconds / 2)
    show("baseline: INCR, pipelines of 100", "commands", pipe._replace(rate=100 * pipe.rate))
    await plain.aclose()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--waiting", type=int, default=200)
    parser.add_argument("--claims", type=int, default=3)
    given = parser.parse_args()
    with a_server() as url, asyncio.Runner(loop_factory=extras.event_loop()) as runner:
        try:
            runner.run(run(url, given))
        except StoreLost as lost:
            sys.exit(str(lost))


if __name__ == "__main__":
    main()
