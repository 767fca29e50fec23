"""Answers that are given again: the response cache of each route, with its flights.

A call that was answered before, or that is on its way for somebody else, is answered from memory:
nothing is reserved, sent or paid, and the ledger has the call with no attempt and the decision that
says why. What counts as the same call, and which answers are kept, say `levers/response_cache_*`;
whoever calls is kept apart by tenant and virtual key. A route that has other levers than before
begins with an empty cache, since they may have changed what is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from bursar.gateway.booking import record
from bursar.gateway.chains import Recall
from bursar.gateway.forward import CALL_ID
from bursar.gateway.http.messages import Asked
from bursar.gateway.kit import Kit
from bursar.gateway.order import Order
from bursar.gateway.purse.purse import now_ms
from bursar.gateway.repeating import Client, Copied
from bursar.levers.response_cache import HIT, NAME, Ask, Kept, answered, passed
from bursar.levers.response_cache_keys import Request
from bursar.model.entry import Answer, Decision

CACHED = "cached"
"""How a call ended that was answered from memory."""
Sent = Callable[[Client, tuple[Decision, ...]], Awaitable[None]]


async def recalled(
    kit: Kit, recall: Recall, order: Order, asked: Asked, client: Client, send: Sent
) -> None:
    """Answer a call from memory, or send it and remember the answer."""
    request = Request(
        dialect=order.call.dialect or "",
        path=asked.target,
        body=asked.body,
        tenant=order.call.tags.tenant,
        policy=order.holder.key_id or "",
        provider=order.plan.provider.name,
        model=order.plan.model,
        stream=order.call.stream is True,
        headers=tuple(asked.headers),
    )
    ask = recall.room.ask(request, order.call.tags)
    if not isinstance(ask, Ask):
        await send(client, _counted(kit, order, passed(ask)))
        return
    kept = recall.room.get(ask, now_ms())
    if kept is not None:
        await _give(kit, order, client, kept)
        return
    if not ask.wanted.read:
        await _keep(kit, recall, order, (ask, client, send))
        return
    async with recall.flights.seat(ask.key) as seat:
        if seat.given is not None:
            await _give(kit, order, client, seat.given)
            return
        found = await _keep(kit, recall, order, (ask, client, send))
        if found is not None:
            seat.bring(found)


async def _keep(
    kit: Kit, recall: Recall, order: Order, call: tuple[Ask, Client, Sent]
) -> Kept | None:
    """Send, and remember what came where it is worth it."""
    ask, client, send = call
    copied = Copied(client)
    await send(copied, _counted(kit, order, passed("it was not asked before")))
    said = copied.said
    if said is None:
        return None
    kept = recall.room.put(ask, said.status, said.headers, said.body, now_ms())
    return kept if isinstance(kept, Kept) else None


async def _give(kit: Kit, order: Order, client: Client, kept: Kept) -> None:
    """The kept answer, once its record is on disk."""
    decision = answered(kept, now_ms())
    if kept.usage is not None:
        tokens = kept.usage.prompt + kept.usage.answer
        decision = replace(decision, tokens_before=tokens, tokens_after=0)
    told = _counted(kit, order, decision)
    await record_unsent(kit, order, CACHED, told)
    headers = (*kept.headers, HIT, (CALL_ID, b"%d" % order.call_id))
    if client.gone or not client.is_fresh:
        return
    if not kept.stream:
        client.reply(kept.status, headers, kept.body)
        return
    client.start(kept.status, headers)
    client.send(kept.body)
    client.finish()


async def record_unsent(kit: Kit, order: Order, status: str, told: tuple[Decision, ...]) -> None:
    """A call for which nothing was sent, and why. Returns once that is durable, or cannot be."""
    await kit.journal.room()
    kit.journal.begin(order.call)
    await record(kit, order, (), Answer(status=status), told)


def _counted(kit: Kit, order: Order, decision: Decision) -> tuple[Decision, ...]:
    kit.tally.add("levers", (order.plan.route.name, NAME, decision.verdict))
    return (decision,)
