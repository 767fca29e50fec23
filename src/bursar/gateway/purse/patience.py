"""A client that reads slowly holds up its stream, and the provider goes on meanwhile.

What it says then is neither seen nor counted. So before such a client is waited for, all that its
stream may still say is held; where that is not paid for, the stream is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bursar.gateway.purse.reserved import Reserved

SLOW_S = 0.1
"""A client that needs less is waited for without more ado."""


async def has_room(room: Callable[[], Awaitable[None]], held: Reserved | None) -> bool:
    """Wait until `room` says so. False: the stream that waits is not paid for."""
    if held is None or not held.is_watched:
        await room()
        return True
    try:
        async with asyncio.timeout(SLOW_S):
            await room()
    except TimeoutError:
        if not await held.look_away():
            return False
        await room()
    return True
