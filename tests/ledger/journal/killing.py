"""Kills workers and keepers at any moment, and counts what was promised and what is there.

Run: python tests/ledger/journal/killing.py HOME ROUNDS SEED
Two workers at a time record calls and tell by a pipe which ones were acknowledged; every so often
one of them, or the keeper, dies by SIGKILL and another takes its place. Prints the figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.duty import Pace, run_keeper
from bursar.ledger.journal.ids import Ids, key_of
from bursar.ledger.journal.reader import LEFT
from bursar.ledger.journal.writer import Rules, Writer
from bursar.model.block import Block, Kind, Role, digest_of
from bursar.model.call import Call, Tags
from bursar.model.entry import Answer, Attempt
from bursar.model.usage import Usage
from bursar.price.book import load_book

RULES = Rules(segment_bytes=20_000)
"""Small segments, so that rotation and removal happen under fire too."""
PACE = Pace(interval_s=0.02, niceness=0)
AT_ONCE = 8
TOLD = struct.Struct("<cQ")
ATTEMPT = Attempt(
    provider="openai", model="gpt-4o", usage=Usage(input=1000, output=100), status=200
)


def call(number: int, texts: int) -> Call:
    blocks = tuple(
        Block(role=Role.USER, kind=Kind.USER, digest=digest_of(f"{number % 9} {n}"), tokens=9)
        for n in range(texts)
    )
    return Call(
        key=key_of(number),
        at=datetime.now(UTC).replace(tzinfo=None),
        provider="openai",
        model="gpt-4o",
        blocks=blocks,
        tags=Tags(tenant="acme"),
    )


async def work(home: Path, worker: int, tell: int) -> None:
    """Record calls until killed."""
    writer, ids, noise = Writer(home, "w", RULES), Ids(worker), random.Random(worker)

    async def one() -> None:
        while True:
            number = ids.next(time.time_ns() // 1_000_000)
            os.write(tell, TOLD.pack(b"b", number))
            writer.begin(call(number, noise.randrange(1, 9)))
            await asyncio.sleep(noise.random() / 200)
            await writer.end(key_of(number), (ATTEMPT,), Answer(stop="end"))
            os.write(tell, TOLD.pack(b"a", number))

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))


def born(run: Callable[[], None]) -> int:
    """A child that does this and nothing else."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run()
            code = 0
        finally:
            os._exit(code)
    return child


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


class Fire:
    """The workers and the keeper of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ledger = home / "ledger.duckdb"
        self.hear, self.tell = os.pipe()
        os.set_blocking(self.hear, False)
        self.workers = 0
        self.told: dict[bytes, set[int]] = {b"a": set(), b"b": set()}
        self._rest = b""

    def worker(self) -> int:
        self.workers += 1
        number = self.workers
        return born(lambda: asyncio.run(work(self.home, number, self.tell)))

    def keeper(self) -> int:
        return born(lambda: run_keeper(self.home, self.ledger, (), PACE))

    def listen(self) -> None:
        while True:
            try:
                raw = self._rest + os.read(self.hear, 1 << 16)
            except BlockingIOError:
                return
            whole = len(raw) - len(raw) % TOLD.size
            for what, number in TOLD.iter_unpack(raw[:whole]):
                self.told[what].add(number)
            self._rest = raw[whole:]


def rage(home: Path, rounds: int, seed: int) -> dict[str, object]:
    """`rounds` workers and `rounds` keepers die; then everything is counted."""
    moments, fire = random.Random(seed), Fire(home)
    load_book(home=home, now=datetime(2026, 11, 22))
    workers, keeper = [fire.worker(), fire.worker()], fire.keeper()
    now_s = time.monotonic()
    next_worker_s = next_keeper_s = now_s
    killed = {"workers": 0, "keepers": 0}
    started = time.monotonic()
    while min(killed.values()) < rounds:
        now_s = time.monotonic()
        if now_s >= next_worker_s and killed["workers"] < rounds:
            place = moments.randrange(2)
            kill(workers[place])
            workers[place] = fire.worker()
            killed["workers"] += 1
            next_worker_s = now_s + moments.uniform(0.005, 0.2)
        if now_s >= next_keeper_s and killed["keepers"] < rounds:
            kill(keeper)
            keeper = fire.keeper()
            killed["keepers"] += 1
            next_keeper_s = now_s + moments.uniform(0.01, 0.4)
        fire.listen()
        time.sleep(0.001)
    for worker in workers:
        kill(worker)
    fire.listen()
    time.sleep(0.5)
    os.kill(keeper, signal.SIGTERM)
    _, code = os.waitpid(keeper, 0)
    found = counted(fire) | {"keeper_exit": code, "seconds": round(time.monotonic() - started, 1)}
    return {**{f"killed_{name}": count for name, count in killed.items()}, **found}


def counted(fire: Fire) -> dict[str, object]:
    """What was promised beside what is in the ledger."""
    duck = Duck(fire.ledger)
    rows = duck.rows("SELECT call_id, cost_nano, unpriced FROM attempts")
    skips, flags = (duck.rows(f"SELECT count(*) FROM {name}")[0][0] for name in ("skips", "flags"))
    duck.close()
    acked, begun = fire.told[b"a"], fire.told[b"b"]
    ids = [row[0] for row in rows]
    measured = {row[0] for row in rows if row[1]}
    return {
        "begun": len(begun),
        "acked": len(acked),
        "in_ledger": len(ids),
        "lost": len(acked - measured),
        "duplicated": len(ids) - len(set(ids)),
        "never_begun": len(set(ids) - begun),
        "left": sum(row[2] == LEFT for row in rows),
        "journals_left": len(list(fire.home.glob("journal/*/*.wal"))),
        "skips": skips,
        "flags": flags,
    }


if __name__ == "__main__":
    print(json.dumps(rage(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
