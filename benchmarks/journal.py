"""What the journal costs a worker, and how fast the keeper takes it in.

Run: python benchmarks/journal.py [FOLDER]
Prints the CPU of a call's begin and end together, with everything that belongs to them (framing,
the thread, the disk), beside the same loop without a journal; the time that a durable end adds when
calls come one by one; and the calls a second that the keeper commits. Best of three rounds.
FOLDER: where the journal lies (default: the folder for temporary files), since the disk matters.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.ids import Ids, key_of
from bursar.ledger.journal.keeper import take_in
from bursar.ledger.journal.writer import Writer
from bursar.model.block import Block, Kind, Role, digest_of
from bursar.model.call import Call, Limits, Tags
from bursar.model.entry import Answer, Attempt
from bursar.model.usage import Usage
from bursar.price.book import load_book

try:
    from uvloop import run
except ImportError:
    from asyncio import run

CPU_GOAL_US = 12.0
ADDED_GOAL_MS = 0.3
TASKS, CALLS_EACH, ONE_BY_ONE = 64, 400, 300
STEPS = 8
"""Calls of a session; its prompt grows by two blocks with each."""
ATTEMPT = Attempt(
    provider="openai",
    model="gpt-4o",
    usage=Usage(input=420, output=90),
    status=200,
    total_ms=900,
    provider_request_id="req_0123456789abcdef",
)
ANSWER = Answer(
    blocks=(Block(role=Role.ASSISTANT, kind=Kind.OUTPUT, digest=5, tokens=90, size_bytes=360),),
    stop="end",
)


class Nothing:
    """A journal that keeps nothing: what the loop itself costs."""

    def begin(self, call: Call) -> None: ...

    async def end(self, key: str, attempts: tuple[Attempt, ...], answer: Answer) -> None:
        await asyncio.sleep(0)


def block(text: str) -> Block:
    return Block(role=Role.USER, kind=Kind.USER, digest=digest_of(text), tokens=110, size_bytes=440)


SYSTEM = block("system")
TAGS = Tags(tenant="acme", application="desk", route="support")
LIMITS = Limits(max_tokens=500)


async def agent(journal: Writer | Nothing, ids: Ids, calls: int, name: int) -> None:
    """Calls of about 2 KB, with all the work of making them."""
    blocks: list[Block] = []
    for number in range(calls):
        if number % STEPS == 0:
            blocks = [SYSTEM]
        blocks += (block(f"{name} {number} a"), block(f"{name} {number} b"))
        call = Call(
            key=key_of(ids.next(time.time_ns() // 1_000_000)),
            at=datetime(2026, 11, 22, 10, 0, 0, 5),
            dialect="openai-chat",
            provider="openai",
            model="gpt-4o",
            blocks=tuple(blocks),
            tags=TAGS,
            limits=LIMITS,
            stream=False,
        )
        journal.begin(call)
        await asyncio.sleep(0)
        await journal.end(call.key, (ATTEMPT,), ANSWER)


async def crowd_us(journal: Writer | Nothing) -> float:
    """CPU of one call, in microseconds, when many are under way."""
    ids, before_s = Ids(1), time.process_time()
    await asyncio.gather(*(agent(journal, ids, CALLS_EACH, name) for name in range(TASKS)))
    return (time.process_time() - before_s) * 1e6 / (TASKS * CALLS_EACH)


async def one_by_one_ms(writer: Writer) -> tuple[float, float]:
    """Median and 99th percentile of an end when calls come one by one, 5 ms apart."""
    ids = Ids(2)
    took: list[float] = []
    for number in range(ONE_BY_ONE):
        call = Call(key=key_of(ids.next(time.time_ns() // 1_000_000)), blocks=(block(str(number)),))
        writer.begin(call)
        await asyncio.sleep(0.005)
        start = time.perf_counter()
        await writer.end(call.key, (ATTEMPT,), ANSWER)
        took.append((time.perf_counter() - start) * 1e3)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


async def measured(home: Path) -> tuple[float, float, float, float, float]:
    writer = Writer(home, "bench")
    bare_us, with_us = await crowd_us(Nothing()), await crowd_us(writer)
    ends_per_group = writer.tally.ended / max(1, writer.tally.groups)
    p50_ms, p99_ms = await one_by_one_ms(writer)
    await writer.close()
    return with_us - bare_us, bare_us, ends_per_group, p50_ms, p99_ms


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    rounds: list[tuple[float, float, float, float, float]] = []
    for _ in range(3):
        with TemporaryDirectory(dir=folder) as home:
            rounds.append(run(measured(Path(home))))
            now = datetime(2026, 11, 22)
            duck = Duck(Path(home) / "ledger.duckdb")
            book = load_book(home=Path(home), now=now)
            begun = time.perf_counter()
            taken = take_in(Path(home), duck, book)
            took_s = time.perf_counter() - begun
            duck.close()
            print(f"keeper: {taken:,} calls in {took_s:.2f} s, {taken / took_s:,.0f} a second")
    cpu_us, bare_us, crowd, _, _ = min(rounds)
    p50_ms, p99_ms = min(one[3:] for one in rounds)
    print(
        f"begin + end: {cpu_us:.1f} us of CPU (goal {CPU_GOAL_US:g});"
        f" the loop without {bare_us:.1f} us, {crowd:.0f} ends a sync"
    )
    print(f"an end alone: p50 {p50_ms:.3f} ms (goal {ADDED_GOAL_MS:g}), p99 {p99_ms:.3f} ms")


if __name__ == "__main__":
    main()
