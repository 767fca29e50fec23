"""One worker: an event loop that takes clients in on the shared port.

Everything that a call needs is made here once. The worker looks five times a second whether the
settings changed, and leaves its counts for the metrics page once a second.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec

from bursar.extras import event_loop
from bursar.gateway.counting import Counting, counting_of
from bursar.gateway.http.server import Server, serve
from bursar.gateway.http.upstream import Pool
from bursar.gateway.kit import Kit
from bursar.gateway.pages import JOURNAL, Pages
from bursar.gateway.purse.leaving import begin_watch
from bursar.gateway.purse.views import SUFFIX
from bursar.gateway.repeating import FOLDER as REPEATS
from bursar.gateway.repeating import Repeats
from bursar.gateway.routes import Gateway
from bursar.gateway.settings import Watched
from bursar.gateway.settings.fitting import bounds_of, journal_rules_of, tls_of
from bursar.gateway.settings.raises import NAME as RAISES
from bursar.gateway.standing import is_degraded, journal_bytes
from bursar.gateway.supervisor import run_folder
from bursar.gateway.tally import found, leave
from bursar.ledger.journal.ids import Ids
from bursar.ledger.journal.writer import Writer
from bursar.model.errors import BursarError
from bursar.price.book import load_book
from bursar.price.cache import user_overlays

TICK_S = 0.2
"""Between two looks at the settings."""
TURNS = 5
"""Of them, one at everything."""
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
    workers: int = 1
    """How many there are."""


def run_worker(post: Post, port: socket.socket, slot: int, incarnation: int) -> None:
    """Serve until SIGTERM. Calls under way are carried to their end within the grace time."""
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        runner.run(_work(post, port, slot, incarnation))


async def _work(post: Post, port: socket.socket, slot: int, incarnation: int) -> None:
    book = load_book(post.overlays, home=post.home, now=_now())
    watched = Watched(post.settings, post.environ, seed=post.seed, raises=post.home / RAISES)
    settings = watched.settings
    journal = Writer(post.home, f"worker-{slot}", journal_rules_of(settings))
    pool = Pool()
    counting = counting_of(
        settings, dict(post.environ), post.home, (slot, incarnation), post.workers
    )
    kit = Kit(watched.desk, book, journal, Ids(incarnation), pool, counting.gate)
    place = run_folder(post.home) / f"worker-{slot}.counts"
    kit.tally.share(post.workers)
    kit.tally.counts = found(place)
    before = dict(kit.tally.counts.journal)
    seen = place.with_suffix(SUFFIX)
    leave_accounts = begin_watch(kit.purse.watch, seen, watched.desk.caps, post.settings, _say)

    def fresh() -> None:
        for name in JOURNAL:
            count = before.get((name,), 0) + getattr(journal.tally, name)
            kit.tally.counts.journal[name,] = count
        leave(kit.tally.counts, place)
        leave_accounts()

    def states() -> dict[str, int]:
        return {
            "open_calls": kit.tally.open,
            "journal_waiting_bytes": journal.waiting_bytes,
            "journal_space_bytes": journal_bytes(post.home),
            "keeper_up": int(not is_degraded(place.parent)),
        }

    pages = Pages(kit, place, fresh, states, counting.gate)
    repeats = Repeats(place.parent / REPEATS if post.workers > 1 else None)
    await repeats.open()
    await counting.begin(kit, post.workers, _say)
    server = await serve(
        Gateway(kit, pages.by_path(), repeats),
        [port],
        bounds_of(settings),
        ssl=tls_of(settings),
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    rounds = Rounds(kit, watched, counting, (post.home, fresh))
    loop.add_signal_handler(signal.SIGHUP, rounds.reload)
    gc.collect()
    gc.freeze()
    kit.ready = True
    await _tend(rounds, ended)
    await _close(kit, server, settings.listen.grace_s)
    repeats.close()
    await kit.purse.tend()
    await counting.close()
    fresh()


class Rounds:
    """What a worker looks after: its settings five times a second, the rest once."""

    def __init__(
        self,
        kit: Kit,
        watched: Watched,
        counting: Counting,
        leaving: tuple[Path, Callable[[], None]],
    ) -> None:
        """`leaving`: the home, and what leaves the counts there."""
        self._kit = kit
        self._watched = watched
        self._counting = counting
        self._home, self._fresh = leaving
        self._space_bytes = watched.settings.journal.space_bytes
        self._again = False

    def reload(self) -> None:
        """Read settings and prices anew at the next look."""
        self._watched.forget()
        self._again = True

    async def glance(self) -> None:
        """Take other settings and prices, and let new caps act soon."""
        kit = self._kit
        news = self._watched.look()
        if news is not None:
            kit.take_desk(self._watched.desk)
            await self._counting.take(self._watched.desk)
            kit.end_lost()
            _say(f"bursar: {news}")
        if self._again:
            self._again = False
            await self._take_prices()
        if self._counting.hurries:
            await self._counting.look()

    async def look(self) -> None:
        """At everything."""
        kit = self._kit
        kit.end_lost()
        await self._counting.look()
        await kit.purse.tend()
        kit.journal_is_full = journal_bytes(self._home) > self._space_bytes
        self._fresh()

    async def _take_prices(self) -> None:
        """The price overlays as they are now; those before, where they do not hold together."""
        home = self._home
        try:
            book = await asyncio.to_thread(load_book, user_overlays(home), home, _now())
        except BursarError as bad:
            _say(f"bursar: the prices stay as they were: {bad}")
            return
        self._kit.book = book
        self._kit.chains.take_book(book)
        self._kit.purse.take_book(book)


async def _tend(rounds: Rounds, ended: asyncio.Event) -> None:
    """Look after the worker until the end."""
    for turn in count():
        if ended.is_set():
            break
        await rounds.glance()
        if turn % TURNS == 0:
            await rounds.look()
        try:
            await asyncio.wait_for(ended.wait(), TICK_S)
        except TimeoutError:
            continue


async def _close(kit: Kit, server: Server, grace_s: float) -> None:
    kit.ready = False
    await server.close(grace_s)
    await kit.journal.close()
    kit.pool.close()


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
