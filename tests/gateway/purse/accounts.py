"""The purse of a running gateway, asked from outside as one more worker would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bursar.gateway.purse.opening import SOCKET
from bursar.gateway.purse.sharing import SharedStore
from bursar.gateway.settings.desk import DeskOptions, open_desk
from bursar.gateway.settings.reading import parse_settings
from bursar.state.claims import Caps, Who, claims_of
from bursar.state.redis import RedisStore
from bursar.state.terms import Standing
from tests.gateway.rig import ENVIRON


def caps_of(settings: Mapping[str, Any]) -> Caps:
    """What a gateway of these settings counts by."""
    parsed = parse_settings(msgspec.json.encode(settings), "settings", ENVIRON)
    return open_desk(parsed, DeskOptions(ENVIRON)).caps


def standings(home: Path, caps: Caps, whos: Sequence[Who], redis: str = "") -> dict[str, Standing]:
    """Every account that these calls count in, as it stands now. Fails while the store is away, or
    has not been told yet. `redis`: its address, where it is none of the home's."""
    claims = {
        one.account: one
        for who in whos
        for one in claims_of(caps, who, 0, 0, time.time_ns() // 1_000_000).claims
    }
    store = RedisStore(redis) if redis else SharedStore(home / SOCKET, "somebody")
    return asyncio.run(_standings(store, tuple(claims.values())))


async def _standings(
    store: SharedStore | RedisStore, claims: tuple[Any, ...]
) -> dict[str, Standing]:
    try:
        if isinstance(store, SharedStore):
            assert await store.open()
        assert await store.is_whole()
        return {one.account: one for one in await store.standings(claims)}
    finally:
        await store.close()
