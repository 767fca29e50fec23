"""One worker: an event loop that takes clients in on the shared port.

Everything that a call needs is made here once. Once a second the worker looks whether the settings
changed, and leaves its counts for the metrics page.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bursar.extras import event_loop
from bursar.gateway.http.server import Server, serve
from bursar.gateway.http.upstream import Pool
from bursar.gateway.kit import Kit
from bursar.gateway.pages import Pages
from bursar.gateway.routes import Gateway
from bursar.gateway.settings import Watched
from bursar.gateway.settings.fitting import bounds_of, journal_rules_of, tls_of
from bursar.gateway.supervisor import run_folder
from bursar.gateway.tally import found, leave
from bursar.ledger.journal.ids import Ids
from bursar.ledger.journal.writer import Writer
from bursar.price.book import load_book

TICK_S = 1.0
YOUNG_OBJECTS = 50_000
"""New objects between two looks of the garbage collector; calls leave hardly any cycles. What a
worker is made of is left out of them."""


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """Where a worker works."""

    home: Path
    settings: Path | None
    overlays: tuple[Path, ...]
    environ: Mapping[str, str]
    seed: bytes
    """Secret of this installation, from which the salts of tenants are made."""


def run_worker(post: Post, port: socket.socket, slot: int, incarnation: int) -> None:
    """Serve until SIGTERM. Calls under way are carried to their end within the grace time."""
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(_work(post, port, slot, incarnation))


async def _work(post: Post, port: socket.socket, slot: int, incarnation: int) -> None:
    book = load_book(post.overlays, home=post.home, now=_now())
    watched = Watched(post.settings, post.environ, seed=post.seed)
    settings = watched.settings
    journal = Writer(post.home, f"worker-{slot}", journal_rules_of(settings))
    pool = Pool()
    kit = Kit(watched.desk, book, journal, Ids(incarnation), pool)
    place = run_folder(post.home) / f"worker-{slot}.counts"
    kit.tally.counts = found(place)

    def fresh() -> None:
        leave(kit.tally.counts, place)

    def states() -> dict[str, int]:
        return {
            "open_calls": kit.tally.open,
            "journal_waiting_bytes": journal.waiting_bytes,
            "journal_lost_records": journal.tally.lost_records,
            "journal_failures": journal.tally.failures,
        }

    pages = Pages(kit, place, fresh, states)
    server = await serve(
        Gateway(kit, pages.by_target()),
        [port],
        bounds_of(settings),
        ssl=tls_of(settings),
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGHUP, watched.forget)
    gc.collect()
    gc.freeze()
    kit.ready = True
    await _tend(kit, watched, fresh, ended)
    await _close(kit, server, settings.listen.grace_s)
    fresh()


async def _tend(
    kit: Kit, watched: Watched, fresh: Callable[[], None], ended: asyncio.Event
) -> None:
    """Once a second, until the end."""
    while not ended.is_set():
        news = watched.look()
        if news is not None:
            kit.take_desk(watched.desk)
            sys.stderr.write(f"bursar: {news}\n")
        fresh()
        try:
            await asyncio.wait_for(ended.wait(), TICK_S)
        except TimeoutError:
            continue


async def _close(kit: Kit, server: Server, grace_s: float) -> None:
    kit.ready = False
    await server.close(grace_s)
    await kit.journal.close()
    kit.pool.close()


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
