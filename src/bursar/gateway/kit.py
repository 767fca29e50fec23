"""What every call of a worker needs, held in one place."""

from __future__ import annotations

from typing import Protocol

from bursar.dialects.quick import QuickReader
from bursar.engine.policy import Market
from bursar.gateway.chains import Chains, Recalls
from bursar.gateway.forward import Way, ways_of
from bursar.gateway.http.upstream import Pool
from bursar.gateway.purse.force import InForce
from bursar.gateway.purse.purse import Purse, now_ms
from bursar.gateway.purse.watch import Watch
from bursar.gateway.settings import Desk, Holder
from bursar.gateway.tally import Tally
from bursar.ledger.journal.ids import Ids
from bursar.ledger.journal.writer import Writer
from bursar.model.errors import Refused
from bursar.price.billing_rules import load_rules
from bursar.price.book import Book
from bursar.state.terms import Store

CUT = "cut"
"""The policy that ends calls whose keys hold no more."""


class Live(Protocol):
    """A call under way."""

    @property
    def holder(self) -> Holder: ...

    def refuse(self, refused: Refused) -> None: ...


class Kit:
    """Made once for each worker. `take_desk` puts new settings in force."""

    __slots__ = (
        *(
            "book",
            "caps",
            "chains",
            "desk",
            "ids",
            "journal",
            "journal_is_full",
            "pool",
            "purse",
            "reader",
        ),
        *("live", "ready", "recalls", "tally", "ways"),
    )

    def __init__(
        self, desk: Desk, book: Book, journal: Writer, ids: Ids, pool: Pool, store: Store
    ) -> None:
        self.book = book
        self.journal = journal
        self.ids = ids
        self.pool = pool
        self.reader = QuickReader()
        metrics = desk.settings.metrics
        self.tally = Tally(metrics.labels, metrics.most_series)
        watch = Watch(now_ms, self.tally, journal.node)
        self.purse = Purse(store, book, journal.node, watch=watch)
        self.ready = False
        self.live: set[Live] = set()
        """Calls under way."""
        self.journal_is_full = False
        """Journals have reached `journal.space` on disk: no new call is taken on."""
        self.desk = desk
        self.caps = InForce(desk.caps, now_ms)
        """What calls are counted by: the caps of the desk, a little later where they are new."""
        self.chains = Chains(Market(book, load_rules()), desk.settings)
        """The levers of each route."""
        self.recalls = Recalls(desk.settings)
        """The answers that each route gives again."""
        self.ways: dict[str, Way] = ways_of(desk.providers)
        """How each provider is reached, by its name."""

    def take_desk(self, desk: Desk) -> None:
        """From now on new calls follow these settings; calls under way keep theirs."""
        self.desk = desk
        self.ways = ways_of(desk.providers)
        self.chains.take(desk.settings)
        self.recalls.take(desk.settings)
        self.purse.watch.take_caps(desk.caps)

    def end_lost(self) -> None:
        """End the calls whose keys hold no more, where the settings say so."""
        if self.desk.settings.calls.lost_key != CUT:
            return
        for one in tuple(self.live):
            try:
                self.desk.still(one.holder)
            except Refused as refused:
                one.refuse(refused)
