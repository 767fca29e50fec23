"""The door: which requests are let in, and who answers them.

`admit` sees the headers only, so that nobody without a key makes us read a body. `answer` is one of
the edges of the house where any fault is caught: a meter that fails must not fail the call
with a traceback, and tells nothing of its inside.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import PurePath
from traceback import extract_tb

import msgspec
from msgspec.structs import replace

from bursar.dialects.refusals import refusal_body
from bursar.dialects.showing import Showing
from bursar.engine.chain import run
from bursar.gateway.carriage import Carriage
from bursar.gateway.chains import Carried, LivePorts
from bursar.gateway.changing import changed, not_routed, seen_by_levers
from bursar.gateway.endpoints import (
    MESSAGES,
    Entrance,
    allowed_methods,
    dialect_at,
    endpoint_of,
    page_of,
)
from bursar.gateway.http.messages import Asked, Headers, Refusal
from bursar.gateway.kit import Kit
from bursar.gateway.order import Order
from bursar.gateway.ordering import Routed, order_of
from bursar.gateway.passing import pass_through
from bursar.gateway.recalling import recalled, record_unsent
from bursar.gateway.repeating import Client, Repeats
from bursar.gateway.settings import Holder
from bursar.levers.ports import REFUSED, Lever
from bursar.model.call import Call
from bursar.model.entry import Decision
from bursar.model.errors import BadInput, Refused

NOT_FOUND = 404
WRONG_METHOD = 405

PageText = tuple[int, tuple[tuple[bytes, bytes], ...], bytes]
Page = Callable[[Asked], Awaitable[PageText]]


class Admitted(msgspec.Struct, frozen=True):
    """What `admit` found out, kept with the request."""

    entrance: Entrance
    holder: Holder


class Shown(msgspec.Struct, frozen=True):
    """The same for a page of the gateway's own."""

    page: Page


class Gateway:
    """Answers every request of a worker."""

    def __init__(self, kit: Kit, pages: Mapping[str, Page], repeats: Repeats | None = None) -> None:
        """`pages`: path -> what answers it without a virtual key."""
        self._kit = kit
        self._repeats = repeats or Repeats()
        self._pages = pages

    def admit(self, asked: Asked) -> Refusal | None:
        """None: let in. Else the answer, sent at once."""
        known = asked.noted
        if isinstance(known, Admitted):
            return self._admit_again(known)
        anthropic = asked.header(MESSAGES) is not None
        entrance = endpoint_of(asked.method, asked.target, anthropic=anthropic)
        if entrance is None:
            page = page_of(asked.method, asked.target)
            if page is None:
                return self._refusal(dialect_at(asked.target, anthropic=anthropic), _nowhere(asked))
            asked.noted = Shown(self._pages[page])
            return None
        try:
            asked.noted = Admitted(entrance, self._kit.desk.holder(asked.headers))
        except Refused as refused:
            return self._refusal(entrance.endpoint.dialect, refused)
        return None

    def _admit_again(self, known: Admitted) -> Refusal | None:
        """The same head as before: only the key may have lost its rights meanwhile."""
        try:
            self._kit.desk.still(known.holder)
        except Refused as refused:
            return self._refusal(known.entrance.endpoint.dialect, refused)
        return None

    async def answer(self, asked: Asked) -> None:
        """The whole request is here."""
        admitted = asked.noted
        if isinstance(admitted, Shown):
            status, headers, body = await admitted.page(asked)
            asked.reply(status, headers, body)
            return
        assert isinstance(admitted, Admitted)
        dialect = admitted.entrance.endpoint.dialect
        self._kit.tally.open += 1
        try:
            await self._carry(asked, admitted)
        except Refused as refused:
            self._refuse(asked, dialect, refused)
        except BadInput as bad:
            words = Refused(400, "bad_request", bad.message, mend=bad.mend)
            self._refuse(asked, dialect, words)
        except asyncio.CancelledError:
            asked.cut()
            raise
        except Exception as fault:  # noqa: BLE001 - the edge: nothing of our inside goes out
            tell(fault)
            words = Refused(500, "gateway_fault", "a fault in the gateway; see its log")
            self._refuse(asked, dialect, words)
        finally:
            self._kit.tally.open -= 1

    def worded(self, refused: Refusal, target: bytes, headers: Headers) -> Refusal:
        """A refusal of HTTP itself, in the dialect of the path as far as it was read."""
        anthropic = any(name.lower() == MESSAGES for name, _ in headers)
        entrance = endpoint_of(b"POST", target)
        if entrance is None:
            dialect = dialect_at(target, anthropic=anthropic)
        else:
            dialect = entrance.endpoint.dialect
        return self._refusal(dialect, Refused(refused.status, refused.kind, refused.message))

    async def _carry(self, asked: Asked, admitted: Admitted) -> None:
        if not admitted.entrance.endpoint.metered:
            await pass_through(self._kit, asked, admitted.entrance, admitted.holder)
            return
        holder = self._kit.desk.still(admitted.holder)
        entrance = admitted.entrance

        async def run(client: Client) -> None:
            await self._metered(asked, client, entrance, holder)

        await self._repeats.carry(asked, holder.key_id, entrance.endpoint.dialect, run)

    async def _metered(
        self, asked: Asked, client: Client, entrance: Entrance, holder: Holder
    ) -> None:
        """Carry a call. `client`: where its answer goes."""
        kit = self._kit
        order = order_of(kit, asked, entrance, holder)

        async def send(to: Client, told: tuple[Decision, ...] = ()) -> None:
            levers = kit.chains.of(order.plan.route.name)
            if levers:
                await self._levered((asked, entrance), to, order, levers, told)
            else:
                await self._send(to, replace(order, decisions=told) if told else order)

        recall = kit.recalls.of(order.plan.route.name)
        if recall is None:
            await send(client)
        else:
            await recalled(kit, recall, order, asked, client, send)

    async def _levered(
        self,
        came: tuple[Asked, Entrance],
        client: Client,
        order: Order,
        levers: Sequence[Lever],
        told: tuple[Decision, ...],
    ) -> None:
        """Carry a call through the levers of its route. `told`: what was decided before."""
        kit, (asked, entrance), holder = self._kit, came, order.holder
        call = seen_by_levers(order)

        async def send(after: Call, said: tuple[Decision, ...]) -> Carried:
            went, said = order, (*told, *said)
            if after.model != call.model:
                try:
                    routed = Routed(order, after.model or "")
                    went = order_of(kit, asked, entrance, holder, routed)
                except Refused as refused:
                    said = (*said, not_routed(after, refused))
            return await self._send(client, changed(went, call, after, said))

        def count(one: Decision) -> None:
            kit.tally.add("levers", (order.plan.route.name, one.lever, one.verdict))

        ports = LivePorts(send, Showing(asked.body, holder.salt), count)
        try:
            await run(levers, call, ports)
        except Refused:
            if ports.decisions and ports.decisions[-1].verdict == REFUSED:
                await record_unsent(kit, order, "refused", (*told, *ports.decisions))
            raise

    async def _send(self, client: Client, order: Order) -> Carried:
        """Reserve, carry, settle."""
        kit = self._kit
        order, held = await kit.purse.reserve(order, kit.caps.now())
        carriage = Carriage(kit, client, order, held)
        if held is None:
            await carriage.run()
            return carriage.done
        try:
            if not client.gone:
                await carriage.run()
        finally:
            await held.void()
        return carriage.done

    def _refuse(self, asked: Asked, dialect: str, refused: Refused) -> None:
        if not asked.is_fresh:
            asked.cut()
            return
        found = self._refusal(dialect, refused)
        asked.reply(found.status, found.headers, found.body)

    def _refusal(self, dialect: str, refused: Refused) -> Refusal:
        self._kit.tally.add("refused", (refused.kind,))
        words = f"{refused.message}; {refused.mend}" if refused.mend else refused.message
        headers, body = refusal_body(dialect, refused.status, refused.kind, words)
        return Refusal(refused.status, (*headers, *refused.headers), body)


def tell(fault: Exception) -> None:
    """A line for whoever runs the gateway: the kind of fault and its place, nothing of a call."""
    last = extract_tb(fault.__traceback__)[-1]
    place = f"{PurePath(last.filename).name}:{last.lineno}"
    sys.stderr.write(f"bursar: a fault in the gateway: {type(fault).__name__} at {place}\n")


def _nowhere(asked: Asked) -> Refused:
    allowed = allowed_methods(asked.target)
    if allowed is not None:
        return Refused(
            WRONG_METHOD,
            "wrong_method",
            "this path is not served for this method",
            headers=((b"allow", allowed),),
        )
    return Refused(
        NOT_FOUND,
        "unknown_path",
        "this path is not served",
        mend="use the paths of the OpenAI, Anthropic or Bedrock API, as in docs/howto/gateway.md",
    )
