"""One metered call on its way: sent, copied back as it comes, read, recorded, and only then ended.

The client may leave, the provider may break off, a bound may be reached: whatever happens, the
attempt is recorded once. `_end` is the only place that records, and the last word of an answer
waits for it, so that a client which has a whole answer can rely on the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter_ns

from msgspec.structs import replace

from bursar.dialects.lens import Reading
from bursar.dialects.quick import Fold, UsageTap, settled
from bursar.dialects.refusals import refusal_body, stream_error
from bursar.dialects.streams import closes, is_stream
from bursar.dialects.translate.crossing import StreamBack, answer_back, error_back
from bursar.gateway.forward import answer_headers, head_of, patient
from bursar.gateway.http.incoming import Incoming, UpstreamError
from bursar.gateway.http.messages import Asked
from bursar.gateway.kit import Kit
from bursar.gateway.order import Order
from bursar.model.entry import Answer, Attempt
from bursar.model.errors import BadInput, LedgerError
from bursar.model.usage import Basis, Usage

MOST_ANSWER_BYTES = 32 * 1024 * 1024
"""A whole answer longer than this is not held; real ones stay below it by far."""
STATUS_OF_FAULT = {"timeout": 504}
BAD_GATEWAY = 502
BAD = 400
DRAIN = "drain"
FRAMED = frozenset({"bedrock_converse", "bedrock_invoke"})
"""Dialects whose streams are binary frames."""
JSON_TYPE = b"application/json"
WORD_BYTES = 64
"""The last word of a stream is shorter, and may come in two pieces."""
REQUEST_IDS = (b"x-request-id", b"request-id", b"x-amzn-requestid")
"""Where providers name their own id of a request."""
NS_PER_MS = 1_000_000
FAILED_STOP = "error"
"""How an answer ends that is an error, whatever its status says."""
NOTHING_COUNTED = Usage()
"""No answer costs no token at all: a provider that says so has not counted."""


class Carriage:
    """Carries one order. `run` is the body of the request's task."""

    __slots__ = (
        "_asked",
        "_drained_bytes",
        "_fate",
        "_first_ns",
        "_incoming",
        "_kit",
        "_order",
        "_recorded",
        "_start_ns",
        "_task",
        "_timer",
    )

    def __init__(self, kit: Kit, asked: Asked, order: Order) -> None:
        self._kit = kit
        self._asked = asked
        self._order = order
        self._start_ns = perf_counter_ns()
        self._first_ns = 0
        self._incoming: Incoming | None = None
        self._recorded = False
        self._drained_bytes = 0
        self._fate = "ok"
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None

    async def run(self) -> None:
        """Carry the call to its end."""
        kit, order = self._kit, self._order
        self._task = asyncio.current_task()
        await kit.journal.room()
        kit.journal.begin(order.call)
        self._asked.when_gone(self._left)
        fold = Fold()
        try:
            incoming = await self._send()
            if incoming.status < BAD and is_stream(incoming.headers):
                await self._stream(incoming, fold)
            else:
                await self._whole(incoming, fold)
        except UpstreamError as bad:
            await self._broken(bad, fold)
        except asyncio.CancelledError:
            if self._fate != "cut":
                raise
            assert self._task is not None
            self._task.uncancel()
            await self._end(fold, cut=True)
        finally:
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
                body = answer_back(body, order.plan.dialect, spoken, order.back)
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
                self._look_at_drain(len(chunk))
            await self._end(fold)
            return
        headers = answer_headers(incoming.headers, order.call_id)
        back = None
        if order.back is not None:
            back = StreamBack(dialect, order.call.dialect or "", order.back)
            headers = typed(headers, back.content_type)
        tap = UsageTap(hide=order.hide_usage) if dialect not in FRAMED else None
        asked.start(incoming.status, headers)
        before = b""
        async for chunk in incoming.chunks():
            fold.add(chunk)
            if not self._recorded:
                if closes(dialect, before + chunk):
                    await self._end(fold, only_whole=True)
                before = chunk[-WORD_BYTES:]
            if asked.gone:
                self._look_at_drain(len(chunk))
                continue
            passed = chunk if tap is None else _tapped(tap, chunk)
            if back is not None:
                passed = back.feed(passed)
            if passed:
                asked.send(passed)
                await asked.room()
        await self._end(fold)
        rest = b"" if tap is None else tap.finish()
        if back is not None:
            rest = back.feed(rest) + back.finish()
        if rest:
            asked.send(rest)
        if not asked.is_over:
            asked.finish()

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
        reading, usage = self._read(fold)
        if only_whole and (reading is None or reading.truncated):
            return
        if incoming is not None:
            status = incoming.status
        attempt = self._attempt(reading, usage, status, cut=cut)
        if reading is not None and reading.stop == FAILED_STOP and self._fate == "ok":
            self._fate = "failed"
        fate = _answer_status(self._fate, status)
        answer = Answer(status=fate)
        if reading is not None:
            answer = Answer(
                blocks=reading.answer_blocks,
                tool_uses=reading.tool_uses,
                stop=reading.stop,
                status=fate,
            )
        self._recorded = True
        count(kit, order, attempt)
        outcomes = order.asking.tool_outcomes
        try:
            await kit.journal.end(order.call.key, (attempt,), answer, outcomes)
        except LedgerError:
            # The answer is paid; the client gets it. The journal holds the record and tries again.
            kit.tally.add("undurable", (order.plan.provider.name,))

    def _read(self, fold: Fold) -> tuple[Reading | None, Usage | None]:
        """What the copy of the answer holds; None where nothing came or nothing can be read."""
        raw, incoming, order = fold.whole(), self._incoming, self._order
        if not raw or incoming is None:
            return None, None
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in incoming.headers
        }
        found = settled(order.plan.dialect, raw, headers, order.plan.model, salt=order.holder.salt)
        usage, reason = found.usage, found.reason
        if usage == NOTHING_COUNTED:
            usage, reason = None, "implausible"
        if reason is not None and incoming.status < BAD:
            self._kit.tally.add("unread", (order.plan.provider.name, reason))
        return found.reading, usage

    def _attempt(
        self, reading: Reading | None, usage: Usage | None, status: int | None, *, cut: bool
    ) -> Attempt:
        order, tags = self._order, self._order.call.tags
        now_ns = perf_counter_ns()
        first_ms = (self._first_ns - self._start_ns) // NS_PER_MS if self._first_ns else None
        attempt = Attempt(
            provider=order.call.provider,
            model=order.plan.model,
            status=status,
            first_byte_ms=first_ms,
            total_ms=(now_ns - self._start_ns) // NS_PER_MS,
            is_retry=tags.is_retry,
            retry_cause=tags.retry_cause,
            provider_request_id=self._request_id(),
        )
        if reading is None:
            return attempt
        basis = Basis.MEASURED
        if usage is not None and (cut or reading.truncated):
            usage, basis = _at_least(usage, reading), Basis.MODELLED
        return replace(
            attempt,
            model=reading.model or order.plan.model,
            usage=usage,
            basis=basis,
            price_class=reading.price_class,
            parts=reading.iterations if basis is Basis.MEASURED else (),
            provider_request_id=attempt.provider_request_id or reading.response_id,
        )

    def _request_id(self) -> str | None:
        if self._incoming is None:
            return None
        for name, value in self._incoming.headers:
            if name in REQUEST_IDS:
                return value.decode("latin-1")
        return None


def count(kit: Kit, order: Order, attempt: Attempt) -> None:
    """For the metrics page. The ledger prices again, the same way."""
    provider, model = attempt.provider or "", attempt.model or ""
    cost = None
    if attempt.usage is not None:
        cost = kit.book.cost_nano(
            provider, model, attempt.usage, order.call.at, attempt.price_class
        )[0]
    tally = kit.tally
    labels = tally.labels(order.call.tags, provider, model)
    tally.call(labels, attempt.status or 0, attempt.usage, cost)
    tally.took("duration_ms", (provider,), attempt.total_ms or 0)
    if attempt.first_byte_ms is not None:
        tally.took("first_byte_ms", (provider,), attempt.first_byte_ms)
    usage = attempt.usage
    if usage is not None and usage.prompt > order.plan.route.large_request_tokens:
        tally.add("large", (order.plan.route.name,))


def typed(headers: Sequence[tuple[bytes, bytes]], content_type: bytes) -> list[tuple[bytes, bytes]]:
    """Headers with another content type."""
    kept = [one for one in headers if one[0] != b"content-type"]
    return [(b"content-type", content_type), *kept]


def _tapped(tap: UsageTap, chunk: bytes) -> bytes:
    try:
        return tap.feed(chunk)
    except BadInput as bad:
        raise UpstreamError("protocol", sent=True, what=bad.message) from bad


def _at_least(usage: Usage, reading: Reading) -> Usage:
    """A stream that was cut counted its answer too early: what came through was paid at least."""
    seen = sum(block.tokens or 0 for block in reading.answer_blocks)
    return replace(usage, output=max(usage.output, seen - usage.reasoning))


def _answer_status(fate: str, status: int | None) -> str:
    if fate in ("left", "cut"):
        return "left"
    return "ok" if fate == "ok" and status is not None and status < BAD else "failed"
