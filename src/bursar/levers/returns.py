"""How often a prefix comes again, and how soon: counted, not assumed.

Every place of a prompt where a cache mark could stand is remembered by the hash of its prefix,
whether a mark was put there or not. A later prompt either begins with it, within minutes or within
the hour, or it does not. Places are alike by group (route, model, kind of place), and old counts
fade, so that a route which changes its ways is believed again within some hundred calls. There is
no clock here: each call brings its time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

import msgspec

SOON_MS, LATE_MS = 300_000, 3_600_000
"""The two lifetimes that providers sell."""
HALF = 200.0
"""Counts of a group are halved when so many have gathered."""
HOPE_SOON, HOPE_LATE = 0.75, 0.25
"""Of the prefixes of which nothing is known, this share is taken to come again within 5 minutes,
and of the others, this share within the hour."""
TRUST = 2.0
"""How many prefixes a hope counts for."""
MOST_GROUPS = 1_000
MOST_PREFIXES = 50_000


class Chance(msgspec.Struct, gc=False):
    """How many of some prefixes came again."""

    again: float
    all: float = TRUST

    def add(self, *, again: bool) -> None:
        if self.all >= HALF:
            self.again, self.all = self.again / 2, self.all / 2
        self.again += again
        self.all += 1.0

    @property
    def share(self) -> float:
        return self.again / self.all


class Group(msgspec.Struct, gc=False):
    """Places of prompts that are alike."""

    soon: Chance
    """Within 5 minutes."""
    late: Chance
    """Within an hour, of those that did not come soon."""

    @property
    def within_5m(self) -> float:
        return self.soon.share

    @property
    def within_1h(self) -> float:
        return self.soon.share + (1.0 - self.soon.share) * self.late.share


class Waited(msgspec.Struct, gc=False):
    """A prefix that is looked out for."""

    since_ms: int
    group: Group


class Returns:
    """Remembers prefixes and what became of them. Bounded; the oldest are forgotten untold."""

    __slots__ = ("_groups", "_late", "_soon", "most")

    def __init__(self, most: int = MOST_PREFIXES) -> None:
        self.most = most
        self._soon: OrderedDict[int, Waited] = OrderedDict()
        self._late: OrderedDict[int, Waited] = OrderedDict()
        """Prefix -> since when, the oldest first. All that wait soon also wait late."""
        self._groups: OrderedDict[Hashable, Group] = OrderedDict()

    def group(self, key: Hashable) -> Group:
        """What is known of places that are alike."""
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = Group(Chance(HOPE_SOON * TRUST), Chance(HOPE_LATE * TRUST))
            if len(self._groups) > MOST_GROUPS:
                self._groups.popitem(last=False)
        return found

    def came(self, prefixes: Iterable[int], at_ms: int) -> None:
        """These prefixes are in a prompt now: those that were waited for have come again."""
        late = self._late
        for prefix in prefixes:
            if prefix in late:
                found = late.pop(prefix)
                is_soon = self._soon.pop(prefix, None) is not None
                (found.group.soon if is_soon else found.group.late).add(again=True)

    def wait_for(self, prefix: int, group: Group, at_ms: int) -> None:
        """From now on it is looked out for. `came` was told before."""
        self._soon[prefix] = self._late[prefix] = Waited(at_ms, group)

    def give_up(self, at_ms: int) -> None:
        """What did not come in time does not come."""
        for waiting, most_ms in ((self._soon, SOON_MS), (self._late, LATE_MS)):
            while waiting:
                prefix, waited = next(iter(waiting.items()))
                is_late = at_ms - waited.since_ms > most_ms
                if not is_late and len(waiting) <= self.most:
                    break
                del waiting[prefix]
                if is_late:
                    chance = waited.group.soon if most_ms == SOON_MS else waited.group.late
                    chance.add(again=False)
