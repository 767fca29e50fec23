"""One metered call on its way: sent, copied back as it comes, read, recorded, and only then ended.

The client may leave, the provider may break off, a bound may be reached: whatever happens, the
attempt is recorded once. `_end` is the only place that records, and the last word of an answer
waits for it, so that a client which has a whole answer can rely on the record.
"""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

from bursar.dialects.quick import Fold, Settled, UsageTap, settled
from bursar.dialects.refusals import refusal_body, stream_error
from bursar.dialects.streams import is_stream
from bursar.dialects.translate.crossing import Back, StreamBack, answer_back, error_back
from bursar.gateway.booking import (
    BAD,
    EMPTY,
    NOTHING,
    SPENT,
    answer_of,
    attempt_of,
    booked_as,
    count,
    decisions_of,
    record,
    settled_answer,
    spent_of,
)
from bursar.gateway.forward import answer_headers, head_of, patient, typed
from bursar.gateway.http.incoming import Incoming, UpstreamError
from bursar.gateway.kit import Kit
from bursar.gateway.order import Order
from bursar.gateway.passage import Passage
from bursar.gateway.purse.patience import has_room
from bursar.gateway.purse.reserved import Reserved
from bursar.gateway.repeating import Client
from bursar.gateway.settings import Holder
from bursar.ledger.journal.rules import refusal
from bursar.model.entry import Answer, Attempt
from bursar.model.errors import BadInput, Refused

MOST_ANSWER_BYTES = 32 * 1024 * 1024
"""A whole answer longer than this is not held; real ones stay below it by far."""
STATUS_OF_FAULT = {"timeout": 504}
BAD_GATEWAY = 502
DRAIN = "drain"
FRAMED = frozenset({"bedrock_converse", "bedrock_invoke"})
"""Dialects whose streams are binary frames."""
JSON_TYPE = b"application/json"
REQUEST_IDS = (b"x-request-id", b"request-id", b"x-amzn-requestid")
"""Where providers name their own id of a request."""
NS_PER_MS = 1_000_000
BUDGET_CUT = "budget_cut"
USED_UP = "the budget of this call is used up; the answer ends here"


class _UsedUp(Exception):
    """A stream has come to the end of what is held for it, and there is no more."""


class Carriage:
    """Carries one order. `run` is the body of the request's task."""

    __slots__ = (
        "_asked",
        "_drained_bytes",
        "_fate",
        "_first_ns",
        "_held",
        "_incoming",
        "_kit",
        "_order",
        "_recorded",
        "_refused",
        "_start_ns",
        "_task",
        "_timer",
        "done",
    )

    def __init__(self, kit: Kit, asked: Client, order: Order, held: Reserved | None = None) -> None:
        """`held`: what is reserved for it; settled with the record."""
        self._kit = kit
        self.done: tuple[Attempt, Answer] | None = None
        """The attempt as it was booked, and what the client got."""
        self._asked = asked
        self._order = order
        self._held = held
        self._start_ns = perf_counter_ns()
        self._first_ns = 0
        self._incoming: Incoming | None = None
        self._recorded = False
        self._refused = False
        """The client has heard that its key holds no more."""
        self._drained_bytes = 0
        self._fate = "ok"
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None

    async def run(self) -> None:
        """Carry the call to its end."""
        kit, order = self._kit, self._order
        self._task = asyncio.current_task()
        if kit.journal_is_full:
            raise refusal(kit.journal.tally, "journal_full", "the disk space of journals is full")
        await kit.journal.room()
        kit.journal.begin(order.call, None if self._held is None else self._held.counts)
        await kit.journal.written()
        self._asked.when_gone(self._left)
        fold = Fold()
        kit.live.add(self)
        try:
            incoming = await self._send()
            if incoming.status < BAD and is_stream(incoming.headers):
                await self._stream(incoming, fold)
            else:
                await self._whole(incoming, fold)
        except UpstreamError as bad:
            await self._broken(bad, fold)
        except _UsedUp:
            await self._used_up(fold)
        except asyncio.CancelledError:
            if self._fate != "cut":
                raise
            assert self._task is not None
            self._task.uncancel()
            await self._end(fold, cut=True)
        finally:
            kit.live.discard(self)
            if self._incoming is not None:
                self._incoming.close()
            if self._timer is not None:
                self._timer.cancel()
            if not self._recorded:  # a fault of ours, or the end of the worker
                self._fate = "failed"
                await self._end(Fold(), cut=True)

    async def _send(self) -> Incoming:
        order = self._order
        way, waits = order.way, order.plan.waits
        head = await head_of(way, b"POST", order.path, self._asked.headers, order.body, order.trace)
        late, patience_s = None, order.plan.route.answer_s
        if patience_s is not None:
            late = asyncio.get_running_loop().call_later(patience_s, self._late)
        try:
            incoming = await self._kit.pool.send(way.origin, head, order.body, waits)
        finally:
            if late is not None:
                late.cancel()
        self._incoming = incoming
        self._first_ns = perf_counter_ns()
        return incoming

    # -- the two ways back

    async def _whole(self, incoming: Incoming, fold: Fold) -> None:
        order, asked = self._order, self._asked
        body = await incoming.body(MOST_ANSWER_BYTES)
        fold.add(body)
        await self._end(fold)
        headers = answer_headers(incoming.headers, order.call_id)
        if order.back is not None:
            spoken = order.call.dialect or ""
            if incoming.status >= BAD:
                headers, body = error_back(body, incoming.status, spoken)
            else:
                body = self._brought_back(body, order.back)
                headers = typed(headers, JSON_TYPE)
        if incoming.status >= BAD:
            headers = patient(headers)
        if asked.is_fresh:
            asked.reply(incoming.status, headers, body)

    async def _stream(self, incoming: Incoming, fold: Fold) -> None:
        order, asked, dialect = self._order, self._asked, self._order.plan.dialect
        if not asked.is_fresh:
            async for chunk in incoming.chunks():
                fold.add(chunk)
                await self._pay_for(chunk)
                self._look_at_drain(len(chunk))
            await self._end(fold)
            return
        headers = answer_headers(incoming.headers, order.call_id)
        back = None
        if order.back is not None:
            back = StreamBack(dialect, order.call.dialect or "", order.back)
            headers = typed(headers, back.content_type)
        tap = UsageTap(hide=order.hide_usage) if dialect not in FRAMED else None
        passage = Passage(asked, fold, dialect, tap, back)
        passage.is_watched = back is not None or (self._held is not None and self._held.is_watched)
        asked.start(incoming.status, headers)
        async for chunk in incoming.chunks(passage.take):
            last = not self._recorded and passage.ends_with(chunk)
            passage.keep(chunk)
            await self._pay_for(chunk)
            if last:
                await self._end(fold, only_whole=True)
            if asked.gone or self._refused:
                self._look_at_drain(len(chunk))
                continue
            passed = passage.shown(chunk)
            if passed:
                asked.send(passed)
                if not await has_room(asked.room, self._held):
                    raise _UsedUp
        await self._end(fold)
        rest = passage.rest()
        if asked.is_over:
            return
        if rest:
            asked.send(rest)
        asked.finish()

    async def _pay_for(self, chunk: bytes) -> None:
        """Hold more where the stream nears the end of its hold."""
        held = self._held
        if held is not None and held.is_watched and not await held.feed(chunk):
            raise _UsedUp

    # -- what can go wrong

    async def _broken(self, bad: UpstreamError, fold: Fold) -> None:
        """The provider did not answer, or not to the end."""
        order, asked = self._order, self._asked
        self._kit.tally.add("upstream_errors", (order.plan.provider.name, bad.kind))
        status = STATUS_OF_FAULT.get(bad.kind, BAD_GATEWAY)
        self._fate = "failed" if self._fate == "ok" else self._fate
        await self._end(fold, cut=True, status=None if bad.sent else status)
        dialect = order.call.dialect or ""
        words = f"the provider {order.plan.provider.name} did not answer to the end: {bad.kind}"
        if asked.is_fresh:
            headers, body = refusal_body(dialect, status, f"upstream_{bad.kind}", words)
            asked.reply(status, headers, body)
        elif not asked.is_over:
            asked.send(stream_error(dialect, f"upstream_{bad.kind}", words))
            asked.finish()

    async def _used_up(self, fold: Fold) -> None:
        """No more of the stream is paid for: the provider is stopped, the client is told why."""
        asked, dialect = self._asked, self._order.call.dialect or ""
        self._fate = SPENT
        if self._incoming is not None:
            self._incoming.close()
        await self._end(fold, cut=True)
        self._kit.tally.add("refused", (BUDGET_CUT,))
        if not asked.is_fresh and not asked.is_over:
            asked.send(stream_error(dialect, "budget_exceeded", USED_UP))
            asked.finish()

    @property
    def holder(self) -> Holder:
        """On whose key it goes."""
        return self._order.holder

    def refuse(self, refused: Refused) -> None:
        """The key holds no more: the client is told, and is then as good as gone."""
        asked, dialect = self._asked, self._order.call.dialect or ""
        if self._refused or asked.gone or asked.is_over:
            return
        self._refused = True
        if asked.is_fresh:
            headers, body = refusal_body(dialect, refused.status, refused.kind, refused.message)
            asked.reply(refused.status, (*headers, *refused.headers), body)
        else:
            asked.send(stream_error(dialect, refused.kind, refused.message))
            asked.finish()
        self._kit.tally.add("refused", (refused.kind,))
        self._left()

    def _left(self) -> None:
        """The client is gone: read on for the usage, within bounds, or stop the provider."""
        route = self._order.plan.route
        drained = route.disconnect == DRAIN
        self._fate = "left"
        self._kit.tally.add("left", (route.disconnect,))
        if drained:
            self._timer = asyncio.get_running_loop().call_later(route.drain_s, self._cut)
        else:
            self._cut()

    def _late(self) -> None:
        """Our patience is over: the client is told, and what the call costs is still waited for."""
        order, asked = self._order, self._asked
        if not asked.is_fresh or asked.gone:
            return
        self._fate = "late"
        words = f"the provider {order.plan.provider.name} did not answer in time"
        headers, body = refusal_body(order.call.dialect or "", 504, "upstream_timeout", words)
        asked.reply(504, headers, body)
        drain_s = order.plan.route.drain_s
        self._timer = asyncio.get_running_loop().call_later(drain_s, self._cut)

    def _look_at_drain(self, more_bytes: int) -> None:
        self._drained_bytes += more_bytes
        if self._drained_bytes > self._order.plan.route.drain_bytes:
            raise UpstreamError("cut", sent=True, what="more was to come than may be drained")

    def _cut(self) -> None:
        self._fate = "cut"
        if self._task is not None:
            self._task.cancel()

    # -- the record

    async def _end(
        self, fold: Fold, *, cut: bool = False, only_whole: bool = False, status: int | None = None
    ) -> None:
        """Record the attempt, once, and wait until that is durable.

        `cut`: the answer did not come to its end. `only_whole`: leave it for later if it turns out
        that the answer is not complete yet.
        """
        if self._recorded:
            return
        kit, order, incoming = self._kit, self._order, self._incoming
        found = self._read(fold, complete=not cut and not only_whole)
        if only_whole and (found.reading is None or found.reading.truncated):
            return
        status = status if incoming is None else incoming.status
        attempt = self._attempt(found, status, cut=cut)
        answer = answer_of(found, attempt, self._fate)
        self._recorded = True
        booked = booked_as(kit, order, attempt, answer)
        self.done = booked, answer
        spent = spent_of(booked, answer)
        count(kit, order, booked)
        try:
            changed = decisions_of(order, found, self._held, self._fate, spent)
            await record(kit, order, (attempt,), answer, changed)
        finally:
            if self._held is not None:
                await self._held.settle(spent)

    def _brought_back(self, body: bytes, back: Back) -> bytes:
        """A whole answer in the client's dialect, which has no form for what is no answer."""
        order = self._order
        try:
            return answer_back(body, order.plan.dialect, order.call.dialect or "", back)
        except BadInput as bad:
            raise UpstreamError("protocol", sent=True, what=bad.message) from bad

    def _read(self, fold: Fold, *, complete: bool) -> Settled:
        """What the copy of the answer holds. `complete`: all of it has come."""
        raw, incoming, order = fold.whole(), self._incoming, self._order
        if incoming is None:
            return NOTHING
        complete = complete and incoming.status < BAD and not fold.left_out_bytes
        if not raw:
            return EMPTY if complete else NOTHING
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in incoming.headers
        }
        found = settled(order.plan.dialect, raw, headers, order.plan.model, salt=order.holder.salt)
        return settled_answer(found, complete=complete)

    def _attempt(self, found: Settled, status: int | None, *, cut: bool) -> Attempt:
        order, tags = self._order, self._order.call.tags
        now_ns = perf_counter_ns()
        first_ms = (self._first_ns - self._start_ns) // NS_PER_MS if self._first_ns else None
        blank = Attempt(
            provider=order.call.provider,
            model=order.plan.model,
            status=status,
            first_byte_ms=first_ms,
            total_ms=(now_ns - self._start_ns) // NS_PER_MS,
            is_retry=tags.is_retry,
            retry_cause=tags.retry_cause,
            provider_request_id=self._request_id(),
        )
        if found.reason is not None and status is not None and status < BAD:
            self._kit.tally.add("unread", (order.plan.provider.name, found.reason))
        return attempt_of(blank, found, cut=cut)

    def _request_id(self) -> str | None:
        if self._incoming is None:
            return None
        for name, value in self._incoming.headers:
            if name in REQUEST_IDS:
                return value.decode("latin-1")
        return None
