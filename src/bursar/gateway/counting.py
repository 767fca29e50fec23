"""What a worker counts in: its store, the gate before it, and what keeps both true to the ledger.

Opened before the worker takes clients in; looked after once a second; closed when the last call has
been settled. A worker leaves its name where the next one in its place finds it, so that what a
killed one held is cleared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from bursar.gateway.kit import Kit
from bursar.gateway.purse.books import Books
from bursar.gateway.purse.clearing import Clearing
from bursar.gateway.purse.opening import (
    WANTED,
    Gate,
    give_share,
    has_caps,
    node_of,
    shares_purse,
    store_of,
)
from bursar.gateway.purse.rebuilding import Rebuilding
from bursar.gateway.purse.sharing import SharedStore
from bursar.gateway.settings import Desk, Settings
from bursar.gateway.supervisor import run_folder
from bursar.ledger.journal.ids import KEY_MARK
from bursar.ledger.journal.writer import Writer
from bursar.state.redis import RedisStore
from bursar.state.terms import Store

PATIENCE_S = 10.0
"""How long a worker waits for the ledger before it takes clients in with its gate shut."""
SUFFIX = ".owner"


class Counting:
    """Of one worker."""

    def __init__(self, settings: Settings, home: Path, store: Store, owner: str) -> None:
        """`owner`: `<node>/<slot>/<incarnation>`, as the store knows the worker."""
        self.gate = Gate(store)
        self.owner = owner
        self._settings = settings
        self._home = home
        self._rebuilding: Rebuilding | None = None
        self._looking: asyncio.Task[None] | None = None
        self._workers = 1

    async def begin(self, kit: Kit, workers: int, say: Callable[[str], None]) -> None:
        """Open the store, and the gate as soon as the ledger has told."""
        node, slot, _ = self.owner.split("/")
        self._workers = workers
        kit.purse.owner = self.owner
        kit.purse.note = noting(kit.journal)
        give_share(kit.purse.away, self._settings.state, workers)
        books = Books(self._home)
        found = Rebuilding(kit.purse, self.gate, books, node, say, kit.caps)
        found.live = lambda: kit.live
        if slot == "0":
            found.clearing = Clearing(books, self._is_gone)
        self._rebuilding = found
        before = self._take_place()
        caps = kit.desk.caps
        store = self.gate.inner
        if isinstance(store, SharedStore) and has_caps(self._settings):
            await store.open()
        found.before = "" if before == self.owner else before
        await found.begin(caps, PATIENCE_S)

    @property
    def hurries(self) -> bool:
        """Whether a look cannot wait for the next second."""
        return self._rebuilding is not None and self._rebuilding.hurries

    async def look(self) -> None:
        """Once a second, or when it `hurries`. Waits for nothing: the ledger may take its time, and
        leases go on."""
        assert self._rebuilding is not None
        if self._looking is not None:
            if not self._looking.done():
                return
            self._looking.result()
        self._looking = asyncio.get_running_loop().create_task(self._rebuilding.look())

    async def take(self, desk: Desk) -> None:
        """Other settings are in force; their `state` holds from the next start on."""
        assert self._rebuilding is not None
        store = self.gate.inner
        if isinstance(store, SharedStore) and has_caps(desk.settings):
            (run_folder(self._home) / WANTED).touch()
            await store.open()
        self._rebuilding.take(desk.caps)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        store = self.gate.inner
        if isinstance(store, SharedStore | RedisStore):
            await store.close()

    # -- who was here before

    def _place_of(self, slot: str) -> Path:
        return run_folder(self._home) / f"worker-{slot}{SUFFIX}"

    def _take_place(self) -> str:
        """Write our name where the one before us wrote its own, which is returned."""
        place = self._place_of(self.owner.split("/")[1])
        try:
            before = place.read_text(encoding="utf-8")
        except OSError:
            before = ""
        spare = place.with_suffix(".next")
        spare.write_text(self.owner, encoding="utf-8")
        spare.replace(place)
        return before

    def _is_gone(self, owner: str) -> bool:
        """Whether that worker has ended for sure: another one has its place by now."""
        node, _, rest = owner.rpartition("/")[0].rpartition("/")
        if node != self.owner.split("/")[0] or self._settings.journal.unwritable != "closed":
            return False
        try:
            return self._place_of(rest).read_text(encoding="utf-8") != owner
        except OSError:
            return False


def counting_of(
    settings: Settings, environ: dict[str, str], home: Path, owner: tuple[int, int], workers: int
) -> Counting:
    """What a worker of these settings counts in. `owner`: its slot and incarnation. Raises
    BadInput."""
    name = f"{node_of(settings.state)}/{owner[0]}/{owner[1]}"
    return Counting(settings, home, store_of(settings, environ, home, name, workers), name)


def noting(journal: Writer) -> Callable[[str, int, int], None]:
    """What an attempt holds goes into the journal, in case its end never does."""

    def note(key: str, nano: int, tokens: int) -> None:
        journal.hold(f"{KEY_MARK}{key.partition('.')[0]}", nano, tokens)

    return note


def wants_purse(settings: Settings, workers: int, home: Path) -> Callable[[], bool]:
    """Whether the purse is to run: where there are caps to count, also later on."""
    place = run_folder(home) / WANTED
    place.unlink(missing_ok=True)
    shared, capped = shares_purse(settings, workers), has_caps(settings)
    return lambda: shared and (capped or place.exists())
