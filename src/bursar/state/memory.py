"""The store of one process: the counts in its own memory.

Nothing is kept of it when the process ends. With `nodes` it therefore admits nothing until each of
them has told what its ledger knows (`rebuild`); without, it begins empty and whole. It reads no
clock: whoever uses it tells the time with each step and calls `sweep` every few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from bursar.state.accounts import Accounts
from bursar.state.bounds import Bounds
from bursar.state.terms import Ask, Carried, Claim, Denial, Settled, Standing, Suspect


class Memory:
    """A `terms.Store`; no method waits for anything, so each is one atomic step."""

    def __init__(self, nodes: Iterable[str] = (), bounds: Bounds | None = None) -> None:
        self._accounts = Accounts(nodes, bounds)

    async def is_whole(self) -> bool:
        return self._accounts.is_whole()

    async def rebuild(
        self, node: str, carried: tuple[Carried, ...], done: tuple[str, ...], at_ms: int
    ) -> None:
        self._accounts.rebuild(node, carried, done, at_ms)

    async def carry(self, teller: str, carried: tuple[Carried, ...], at_ms: int) -> None:
        self._accounts.carry(teller, carried, at_ms)

    async def restore(self, ask: Ask) -> None:
        self._accounts.restore(ask)

    async def reserve(self, ask: Ask) -> Denial | None:
        return self._accounts.reserve(ask)

    async def extend(self, key: str, amounts: tuple[int, ...], at_ms: int) -> Denial | None:
        return self._accounts.extend(key, amounts, at_ms)

    async def settle(self, key: str, amounts: tuple[int, ...], at_ms: int) -> Settled:
        return self._accounts.settle(key, amounts, at_ms)

    async def void(self, key: str, at_ms: int) -> bool:
        return self._accounts.void(key, at_ms)

    async def renew(self, keys: tuple[str, ...], at_ms: int) -> None:
        self._accounts.renew(keys, at_ms)

    async def sweep(self, at_ms: int) -> int:
        return self._accounts.sweep(at_ms)

    async def suspects(self, most: int) -> list[Suspect]:
        return self._accounts.suspects(most)

    async def standings(self, claims: tuple[Claim, ...]) -> list[Standing]:
        return self._accounts.standings(claims)

    async def abandon(self, owner: str, at_ms: int) -> int:
        """That worker is gone: what it held is suspect at once. How many reservations."""
        return self._accounts.abandon(owner, at_ms)
