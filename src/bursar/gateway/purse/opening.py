"""Which store a worker counts in, as `state` of the settings and the number of workers say.

One worker: its own memory. Several on one machine: the purse, a process of its own. Several
machines: Redis. In front of it stands a gate, which is shut until the store has been told what the
ledger knows; behind a shut gate everything is as if the store were away.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path

from bursar.gateway.purse.local import LocalShare
from bursar.gateway.purse.sharing import SharedStore
from bursar.gateway.settings import Settings
from bursar.gateway.settings.caps import State
from bursar.gateway.settings.fitting import store_url_of
from bursar.state.memory import Memory
from bursar.state.redis import RedisStore
from bursar.state.terms import (
    Ask,
    Carried,
    Claim,
    Denial,
    Settled,
    Standing,
    Store,
    StoreLost,
    Suspect,
)

MEMORY = "memory"
SOCKET = "purse.sock"
WANTED = "purse.wanted"
"""The file in the run folder that says that the purse is needed."""
MS_PER_S = 1_000


def has_caps(settings: Settings) -> bool:
    """Whether anything is counted."""
    return bool(settings.budgets or settings.tasks or settings.rates or settings.concurrency)


def shares_purse(settings: Settings, workers: int) -> bool:
    """Whether the workers need a purse to share."""
    return settings.state.store == MEMORY and workers > 1


def node_of(state: State) -> str:
    """This machine's name in the store."""
    return state.node or re.sub(r"[^A-Za-z0-9._-]", "_", socket.gethostname())[:64] or "node"


def store_of(
    settings: Settings, environ: Mapping[str, str], home: Path, owner: str, workers: int
) -> Store:
    """The store. Raises BadInput where it cannot be one; whether it answers is seen later."""
    state, url = settings.state, store_url_of(settings, environ)
    if url is not None:
        return RedisStore(
            url.reveal(),
            name=state.name,
            node=node_of(state),
            nodes=state.nodes,
            timeout_ms=max(1, round(state.timeout_s * MS_PER_S)),
        )
    if workers > 1:
        return SharedStore(home / SOCKET, owner)
    return Memory((node_of(state),))


def give_share(away: LocalShare, state: State, workers: int) -> None:
    """What a worker may spend while the store is away. Memory that is gone is no other's: nobody
    has a share of it."""
    away.percent = 0 if state.store == MEMORY else int(state.local_share)
    away.workers, away.nodes = workers, state.nodes


class Gate:
    """A `terms.Store` that can be shut."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.shut = ""
        """Why; empty where it is open."""
        self.lost = ""
        """Why the store could not be asked the last time; empty where it could."""

    def _passed(self) -> Store:
        if self.shut:
            raise StoreLost(self.shut)
        return self.inner

    async def is_whole(self) -> bool:
        return await self._passed().is_whole()

    async def rebuild(
        self, node: str, carried: tuple[Carried, ...], done: tuple[str, ...], at_ms: int
    ) -> None:
        await self._passed().rebuild(node, carried, done, at_ms)

    async def carry(self, teller: str, carried: tuple[Carried, ...], at_ms: int) -> None:
        await self._passed().carry(teller, carried, at_ms)

    async def restore(self, ask: Ask) -> None:
        await self._passed().restore(ask)

    async def reserve(self, ask: Ask) -> Denial | None:
        return await self._passed().reserve(ask)

    async def extend(self, key: str, amounts: tuple[int, ...], at_ms: int) -> Denial | None:
        return await self._passed().extend(key, amounts, at_ms)

    async def settle(self, key: str, amounts: tuple[int, ...], at_ms: int) -> Settled:
        return await self._passed().settle(key, amounts, at_ms)

    async def void(self, key: str, at_ms: int) -> bool:
        return await self._passed().void(key, at_ms)

    async def renew(self, keys: tuple[str, ...], at_ms: int) -> None:
        await self._passed().renew(keys, at_ms)

    async def sweep(self, at_ms: int) -> int:
        return await self._passed().sweep(at_ms)

    async def abandon(self, owner: str, at_ms: int) -> int:
        return await self._passed().abandon(owner, at_ms)

    async def suspects(self, most: int) -> list[Suspect]:
        return await self._passed().suspects(most)

    async def standings(self, claims: tuple[Claim, ...]) -> list[Standing]:
        return await self._passed().standings(claims)
