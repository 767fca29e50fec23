"""`terms.Store` on Redis, 6.2 or newer, or Valkey.

What holds, by what may happen to the server:

- It is away, slow or refuses: StoreLost in two `timeout_ms` at most; once that is known, at once.
  A reservation that the server did make then is undone before anything else is asked.
- It is wiped (restart without persistence, FLUSHALL): a new life begins, every reservation raises
  StoreLost until `nodes` nodes have told their ledgers, and what a client worked with before
  raises it until that client has called `rebuild` as well. From then on all counts are exact.
- It goes back in time (a failover to a replica, or a restart from a log, that lacks the last
  milliseconds): each client compares, when it connects again, what the server last had of it with
  what it was told was done. If anything is missing, a new life begins as after a wipe. Until the
  first such client is back (50 ms to 2 s), others may admit at most what the lost reservations and
  settlements had taken. What nobody notices is what a client wrote that never comes back: held by
  its calls under way, which ended with it, and posted in those milliseconds, which its ledger has
  and the counts lack until the next life.
  To make that rare: `appendfsync everysec` or better, `min-replicas-to-write 1` and
  `min-replicas-max-lag 1`, which bound it to the last second. WAIT would make each batch wait for
  the replica as well; it is not used, since what is lost is noticed.
- It is full: with `maxmemory-policy noeviction` writes fail, which is StoreLost. With any other
  policy it forgets accounts in silence; such a server is refused when it says so (`INFO`).

What is kept: an account, and an open reservation, until a day after the last of its windows (from
`Claim.until`), for ever where that never ends; there, an account that posted nothing, holds nothing
and has no age, for a day. 128 slots of an account, and all that hold something. A settled or voided
key for a day, about 150 bytes. What a client sent last for 32 days. Nothing else, but the keys of a
life that has ended, which go by the same horizons.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any

from bursar.model.errors import BadInput
from bursar.state.redis.line import Line
from bursar.state.redis.link import Link
from bursar.state.redis.wire import (
    Operation,
    amounts_of,
    asking,
    attempt,
    carried_rows,
    denial_of,
    hashed,
    settled_of,
    standing_of,
    standing_rows,
    suspect_of,
)
from bursar.state.terms import (
    Ask,
    Carried,
    Claim,
    Denial,
    Settled,
    Standing,
    StoreLost,
    Suspect,
)

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
MARK = 8
"""Letters that tell a node's keys from another's."""
PART = 500
"""Keys, claims or accounts that one operation holds."""


class RedisStore:
    """A `terms.Store`. For one event loop, and as many calls at once as like."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "bursar",
        node: str = "",
        nodes: int = 1,
        timeout_ms: int = 250,
        most_waiting: int = 20_000,
    ) -> None:
        """`name` is the installation's, for several on one server; `node` whose keys these are:
        another node's are other reservations, even where they read alike; `nodes` as many as must
        tell their ledgers before anything is admitted; beyond `most_waiting` StoreLost is raised.
        """
        if not NAME.match(name):
            raise BadInput(
                f"{name!r} cannot name an installation in Redis",
                mend="use 1 to 64 letters, digits, dots, dashes or underscores",
            )
        self._line = Line(Link(url, name), nodes, timeout_ms, most_waiting)
        self._mark = f"{hashed(node)[:MARK]}-" if node else ""

    async def close(self) -> None:
        await self._line.close()

    async def is_whole(self) -> bool:
        await self._line.ask(("look",))
        return self._line.is_whole

    async def rebuild(
        self, node: str, carried: tuple[Carried, ...], done: tuple[str, ...], at_ms: int
    ) -> None:
        rows = carried_rows(carried)
        keys = [attempt(self._mark + key) for key in done]
        token = secrets.token_hex(8)
        parts = range(0, max(len(rows), len(keys)), PART)
        for first in parts:
            last = first + PART
            await self._line.ask(("stage", token, rows[first:last], keys[first:last]))
        told = await self._line.ask(("rebuild", hashed(node), token, len(parts), at_ms))
        if told != 0:
            raise StoreLost("Redis lost its counts again while they were being rebuilt")

    async def carry(self, teller: str, carried: tuple[Carried, ...], at_ms: int) -> None:
        rows = carried_rows(carried)
        for first in range(0, len(rows), PART):
            await self._line.ask(("carry", hashed(teller), rows[first : first + PART], at_ms))

    async def restore(self, ask: Ask) -> None:
        await self._line.ask(asking("restore", ask, self._mark))

    async def reserve(self, ask: Ask) -> Denial | None:
        return denial_of(await self._line.ask(asking("reserve", ask, self._mark)))

    async def extend(self, key: str, amounts: Sequence[int], at_ms: int) -> Denial | None:
        operation = amounts_of("extend", self._mark + key, amounts, at_ms)
        return denial_of(await self._line.ask(operation))

    async def settle(self, key: str, amounts: Sequence[int], at_ms: int) -> Settled:
        operation = amounts_of("settle", self._mark + key, amounts, at_ms)
        return settled_of(await self._line.ask(operation))

    async def void(self, key: str, at_ms: int) -> bool:
        return bool(await self._line.ask(("void", attempt(self._mark + key))))

    async def renew(self, keys: Sequence[str], at_ms: int) -> None:
        for first in range(0, len(keys), PART):
            part = [attempt(self._mark + key) for key in keys[first : first + PART]]
            await self._line.ask(("renew", part, at_ms))

    async def sweep(self, at_ms: int) -> int:
        count = 0
        while True:
            turned = await self._line.ask(("sweep", at_ms, PART))
            count += turned
            if turned < PART:
                return count

    async def abandon(self, owner: str, at_ms: int) -> int:
        """That worker is gone: what it held is suspect at once. How many reservations."""
        count, first = 0, 0
        while first is not False:
            operation = ("abandon", hashed(owner), at_ms, first, PART)
            turned, first = await self._line.ask(operation)
            count += turned
        return count

    async def suspects(self, most: int) -> list[Suspect]:
        answers: list[Any] = (await self._line.ask(("suspects", min(most, PART))))[0]
        return [suspect_of(answer, self._mark) for answer in answers]

    async def standings(self, claims: Sequence[Claim]) -> list[Standing]:
        found: list[Standing] = []
        for first in range(0, len(claims), PART):
            part = claims[first : first + PART]
            operation: Operation = ("standings", standing_rows(part))
            answers: list[Any] = (await self._line.ask(operation))[0]
            found += map(standing_of, part, answers)
        return found
