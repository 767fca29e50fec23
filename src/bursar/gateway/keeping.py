"""The keeper's process. Only it loads the database: the gateway's other processes stay small.

A reload (SIGHUP) makes it read the price overlays again; what it has forgotten is left for the
metrics page.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from bursar.emit.options import OtlpOptions
from bursar.gateway.settings import Settings
from bursar.gateway.supervisor import run_folder
from bursar.gateway.tally import Counts, found, leave
from bursar.gateway.telling import telling
from bursar.gateway.wishes import Wishes
from bursar.ledger.journal.duty import Pace, run_keeper
from bursar.ledger.journal.keeper import Keeper
from bursar.model.errors import BursarError
from bursar.price.book import load_book
from bursar.price.cache import user_overlays

COUNTS = "sessions.counts"
FORGOTTEN = ("forgotten",)


def keep_ledger(
    wishes: Wishes, settings: Settings, options: OtlpOptions | None, say: Callable[[str], None]
) -> None:
    """The keeper, and whoever is told of what it takes in."""
    home, ledger = wishes.home_path, Path(wishes.ledger)
    after = After(home, say)
    signal.signal(signal.SIGHUP, after.reload)
    if options is None:
        run_keeper(home, ledger, wishes.overlay_paths, Pace(after=after))
        return
    with telling(options, home, settings.listen.grace_s, say) as tell:
        run_keeper(home, ledger, wishes.overlay_paths, Pace(tell=tell, after=after))


class After:
    """What is done after each turn of the keeper."""

    def __init__(self, home: Path, say: Callable[[str], None]) -> None:
        self._home = home
        self._say = say
        self._reload = False
        self._place = run_folder(home) / COUNTS
        self._before = found(self._place).sessions.get(FORGOTTEN, 0)
        self._left = self._before

    def reload(self, *_: object) -> None:
        """Read the prices again when the turn is over."""
        self._reload = True

    def __call__(self, keeper: Keeper) -> None:
        if self._reload:
            self._reload = False
            self._take_prices(keeper)
        forgotten = self._before + keeper.inference.forgotten
        if forgotten != self._left:
            self._left = forgotten
            leave(Counts(sessions={FORGOTTEN: forgotten}), self._place)

    def _take_prices(self, keeper: Keeper) -> None:
        try:
            keeper.take_book(load_book(user_overlays(self._home), self._home))
        except BursarError as bad:
            self._say(f"bursar: the ledger's prices stay as they were: {bad}")
        else:
            self._say("bursar: the ledger's prices were read again")
