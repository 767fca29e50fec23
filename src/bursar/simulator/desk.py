"""The desk: a request in, a play out. Everything that is decided about an answer is decided here.

No socket and no waiting: a test may call `plan` with bytes. The clock is given.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from bursar.dialects.requests import Prompt, read_request
from bursar.dialects.wire import as_map, at, parse, text_of
from bursar.model.block import Block, Kind, Role, digest_of
from bursar.model.errors import BadInput
from bursar.price.billing import Billing
from bursar.simulator.asking import Asked, answers_asked, digest_of_request
from bursar.simulator.endpoints import Endpoint, counted_body, counting, found_endpoint
from bursar.simulator.faults import Fate, Fault, made_absurd
from bursar.simulator.invoice import Invoice, Line
from bursar.simulator.plays import Broken, Play, answered, plain, refused, shown_usage
from bursar.simulator.saying import Counted, Said, Script, counted, made_up
from bursar.simulator.signing import is_signed
from bursar.simulator.till import Clock, Till, charged, generated, used
from bursar.simulator.wires.reply import Problem, Reply, Voice, encode

LARGEST_SEEN = 2_000_000
"""Requests told apart; after so many, all count as new under ids of another round."""
CLIENT_ID = "x-client-request-id"
LARGEST_KEPT = 10_000
"""Answers of `/v1/responses` whose transcript is kept for `previous_response_id`."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How the provider behaves when nothing goes wrong."""

    latency_ms: float = 0.0
    """Until the first byte of an answer."""
    event_ms: float = 0.0
    """Before each event of a stream."""
    when_gone: str = "full"
    """What an answer costs whose client left: `full`, or `generated`: what was sent until then."""
    keys: Mapping[str, str] | None = None
    """Keys that are let in -> secret of an AWS access key, or "". None: everybody is."""
    any_model: bool = False
    """True: models without a price answer too, and their lines are unpriced."""
    worker: int = 0
    """Number of this process, where several share one port: their ids differ."""


class Request(msgspec.Struct, frozen=True):
    """One HTTP request, its body complete."""

    method: str
    target: str
    """As sent."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Desk:
    """Plans answers and keeps the accounts."""

    def __init__(self, till: Till, invoice: Invoice, clock: Clock, terms: Terms) -> None:
        self.till = till
        self.invoice = invoice
        self.clock = clock
        self.terms = terms
        self.seed = 0
        self.script: Script | None = None
        self.fate = Fate()
        self._seen: dict[int, int] = {}
        self._round = 0
        self._strays = 0
        self._kept: OrderedDict[str, tuple[Block, ...]] = OrderedDict()

    def reset(self) -> None:
        """Forget caches, requests and lines: the next request is the first."""
        self.till.clear()
        self.invoice.clear()
        self._seen.clear()
        self._kept.clear()
        self._round = self._strays = 0

    def plan(self, request: Request) -> Play:
        """What will happen. Never raises for anything that a client sends."""
        at_ms = int(self.clock() * 1_000)
        endpoint = found_endpoint(request.method, request.target, request.headers)
        line = self._line(endpoint, request, at_ms)
        voice = endpoint.voice
        try:
            if endpoint.problem is not None:
                raise endpoint.problem
            self._admit(voice, request)
            if endpoint.listing is not None:
                return plain(endpoint.listing(self.till.book), line, voice.headers(line.request_id))
            return self._answer(endpoint, request, line)
        except Problem as problem:
            return refused(voice, problem, line)
        except BadInput as bad:
            return refused(voice, Problem(400, bad.message), line)

    def settle(self, play: Play, fate: str, sent: int) -> None:
        """The play has ended: its line goes onto the invoice."""
        line = play.line
        line.sent = sent
        if fate != "complete":
            line.fate = fate
        bill = play.bill
        if bill is not None:
            if fate == "cut_by_client" and self.terms.when_gone == "generated":
                usage = generated(bill.usage, sent, line.events)
                bill = self.till.charge(
                    line.provider, line.model, usage, line.at_ms, line.price_class
                )
            charged(line, bill)
        self.invoice.add(line)

    def _line(self, endpoint: Endpoint, request: Request, at_ms: int) -> Line:
        self._strays += 1
        stray = b"%d %d %d" % (self.seed, self.terms.worker, self._strays)
        key = endpoint.voice.key(request.headers) or ""
        return Line(
            request_id=endpoint.voice.request_id(blake2b(stray, digest_size=12).hexdigest()),
            client_request_id=request.headers.get(CLIENT_ID),
            at_ms=at_ms,
            provider=endpoint.voice.provider,
            dialect=endpoint.wire.dialect if endpoint.wire is not None else "",
            operation=endpoint.operation,
            model=endpoint.model or "",
            account=f"{digest_of(key):016x}" if key else "",
            body_digest=digest_of(request.body),
        )

    def _admit(self, voice: Voice, request: Request) -> None:
        keys = self.terms.keys
        if keys is None:
            return
        key = voice.key(request.headers)
        if key is None or key not in keys:
            raise Problem(401, "Incorrect API key provided." if key else "No API key provided.")
        secret = keys[key]
        if secret and not is_signed(
            request.method, request.target, request.headers, request.body, secret
        ):
            raise Problem(
                403,
                "The request signature we calculated does not match the signature you provided.",
                code="InvalidSignatureException",
            )

    def _answer(self, endpoint: Endpoint, request: Request, line: Line) -> Play:
        body = as_map(parse(request.body, "request body"))
        if not body:
            raise Problem(400, "the body is no JSON object, or an empty one")
        model = endpoint.model or text_of(body.get("model"))
        if not model:
            raise Problem(400, "you must provide a model parameter", param="model")
        line.model = model
        voice, wire = endpoint.voice, endpoint.wire
        if not self.terms.any_model and not self.till.knows(voice.provider, model):
            raise endpoint.no_model(model)
        if wire is None:
            prompt = read_request(counted_body(body))
            tokens = self.till.count(voice.provider, model, prompt.blocks)
            head = voice.headers(line.request_id)
            return plain(counting(voice.provider, tokens), line, head)
        asked = self._asked(endpoint, request, body, model)
        line.request_id = voice.request_id(asked.hex)
        line.response_id = wire.response_id(asked.hex)
        line.stream = asked.stream
        wire.check(asked)
        fault = self.fate.of(asked)
        billing, cache = self.till.prompt(voice.provider, line.account, asked, line.at_ms)
        reply = self._reply(endpoint, asked, fault, line, billing)
        play = answered(voice, wire, reply, line)
        play.wait_s = _or(fault.latency_ms, self.terms.latency_ms) / 1_000
        play.event_s = _or(fault.event_ms, self.terms.event_ms) / 1_000 if asked.stream else 0.0
        if fault.worked:
            play.taken = (cache, billing)
        if fault.billed:
            play.bill = self.till.charge(
                voice.provider, model, reply.usage, line.at_ms, reply.price_class
            )
        self._keep(endpoint, asked, reply)
        return Broken(voice, wire, fault).done_to(play)

    def _asked(
        self, endpoint: Endpoint, request: Request, body: dict[str, object], model: str
    ) -> Asked:
        prompt = read_request(body)
        earlier = text_of(body.get("previous_response_id")) if endpoint.keeps else None
        if earlier is not None:
            prompt = self._continued(prompt, earlier)
        salt = b"%d %d %d" % (self.seed, self.terms.worker, self._round)
        digest = digest_of_request(b"%d" % self.seed, endpoint.operation, model, body)
        n = self._seen.get(digest, 0)
        self._seen[digest] = n + 1
        if len(self._seen) > LARGEST_SEEN:
            self._seen.clear()
            self._round += 1
        stream = endpoint.stream if endpoint.stream is not None else body.get("stream") is True
        wants = at(body, ("stream_options", "include_usage")) is True
        return Asked(
            model=model,
            body=body,
            prompt=prompt,
            digest=digest,
            n=n,
            salt=salt,
            stream=stream,
            wants_usage=wants,
            many=answers_asked(body) if endpoint.many else 1,
            headers=request.headers,
            raw=request.body,
        )

    def _reply(
        self, endpoint: Endpoint, asked: Asked, fault: Fault, line: Line, billing: Billing
    ) -> Reply:
        voice, wire = endpoint.voice, endpoint.wire
        assert wire is not None
        answer = self._said(endpoint, asked, fault)
        line.price_class = self.till.price_class(
            voice.provider, asked, line.at_ms, voice.tier(asked)
        )
        apart = wire.reasoning_apart
        usage = used(billing.usage, answer, asked.many, reasoning_apart=apart)
        reply = Reply(
            asked=asked, answer=answer, usage=usage, price_class=line.price_class, hex=asked.hex
        )
        reply.shown = shown_usage(wire.usage(reply), fault, made_absurd)
        return reply

    def _said(self, endpoint: Endpoint, asked: Asked, fault: Fault) -> Counted:
        if endpoint.embeds:
            return NOTHING_SAID
        said = self.script(asked) if self.script is not None else None
        family = self.till.family(endpoint.voice.provider, asked.model)
        return counted(said or made_up(asked), family, asked, fault.output_tokens)

    def _continued(self, prompt: Prompt, response_id: str) -> Prompt:
        earlier = self._kept.get(response_id)
        if earlier is None:
            raise Problem(
                400,
                f"Previous response with id '{response_id}' not found.",
                code="previous_response_not_found",
                param="previous_response_id",
            )
        return msgspec.structs.replace(prompt, blocks=earlier + prompt.blocks)

    def _keep(self, endpoint: Endpoint, asked: Asked, reply: Reply) -> None:
        if not endpoint.keeps or asked.body.get("store") is False:
            return
        said = reply.answer.said
        spoken = said.text + "".join(
            use.name + encode(use.arguments).decode() for use in said.tools
        )
        block = Block(
            role=Role.ASSISTANT,
            kind=Kind.HISTORY,
            digest=digest_of(spoken),
            tokens=reply.answer.output_tokens,
            size_bytes=len(spoken),
        )
        self._kept[f"resp_{reply.hex}"] = (*asked.prompt.blocks, block)
        if len(self._kept) > LARGEST_KEPT:
            self._kept.popitem(last=False)


NOTHING_SAID = Counted(said=Said(), stop="end", output_tokens=0, reasoning_tokens=0)
"""What an embedding says."""


def _or(value: float | None, fallback: float) -> float:
    return fallback if value is None else value
