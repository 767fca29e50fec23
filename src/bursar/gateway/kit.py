"""What every call of a worker needs, held in one place."""

from __future__ import annotations

from bursar.dialects.quick import QuickReader
from bursar.gateway.forward import Way, ways_of
from bursar.gateway.http.upstream import Pool
from bursar.gateway.settings import Desk
from bursar.gateway.tally import Tally
from bursar.ledger.journal.ids import Ids
from bursar.ledger.journal.writer import Writer
from bursar.price.book import Book


class Kit:
    """Made once for each worker. `take_desk` puts new settings in force."""

    __slots__ = ("book", "desk", "ids", "journal", "pool", "reader", "ready", "tally", "ways")

    def __init__(self, desk: Desk, book: Book, journal: Writer, ids: Ids, pool: Pool) -> None:
        self.book = book
        self.journal = journal
        self.ids = ids
        self.pool = pool
        self.reader = QuickReader()
        metrics = desk.settings.metrics
        self.tally = Tally(metrics.labels, metrics.most_series)
        self.ready = False
        self.desk = desk
        self.ways: dict[str, Way] = ways_of(desk.providers)
        """How each provider is reached, by its name."""

    def take_desk(self, desk: Desk) -> None:
        """From now on new calls follow these settings; calls under way keep theirs."""
        self.desk = desk
        self.ways = ways_of(desk.providers)
