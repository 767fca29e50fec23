"""The calls of the invoice test: who asks what, on which wire, and what goes wrong on purpose.

Everything is drawn from the seed: sessions that grow turn by turn, so that prompt caches matter,
with a fault or an early leave for some of their calls. A fault is a value of the simulator's header
`x-simulate`; a leave is the moment at which the client breaks the connection off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

import msgspec

WORDS = (
    "parcel refund order late carrier label depot customer address weight invoice claim photo"
    " driver route window signature customs return warehouse scan damaged missing found note agent"
).split()
TENANTS = ("acme", "globex", "initech", "umbrella", "hooli")
ROUTES = ("support", "search", "triage")
SYSTEMS = 4
"""System prompts of each tenant."""
MOST_TURNS = 9
Turn = tuple[str, str]
Body = dict[str, Any]


class Kind(NamedTuple):
    """One kind of call."""

    name: str
    path: str
    body: Callable[[str, list[Turn]], Body]
    stream: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    last: bytes | None = None
    """What the client sees last in a whole stream."""


class Wish(NamedTuple):
    """What shall become of one attempt."""

    fault: str | None = None
    leave: str | None = None
    route: str | None = None
    """Instead of the session's own."""


class Asked(NamedTuple):
    """One call of a session."""

    kind: Kind
    tenant: str
    route: str
    session: str | None
    """None: the client names none."""
    body: bytes
    wishes: tuple[Wish, ...]
    """For its first try, its second..."""


def _chat(model: str, *, stream: bool, usage: bool = False) -> Callable[[str, list[Turn]], Body]:
    def body(system: str, turns: list[Turn]) -> Body:
        said = [{"role": role, "content": text} for role, text in turns]
        more: Body = {"stream": True} if stream else {}
        if usage:
            more["stream_options"] = {"include_usage": True}
        return {"model": model, "messages": [{"role": "system", "content": system}, *said], **more}

    return body


def _responses(model: str, *, stream: bool) -> Callable[[str, list[Turn]], Body]:
    def body(system: str, turns: list[Turn]) -> Body:
        said = [{"role": role, "content": text} for role, text in turns]
        found: Body = {"model": model, "instructions": system, "input": said, "store": False}
        return {**found, "stream": True} if stream else found

    return body


def _embeddings(_system: str, turns: list[Turn]) -> Body:
    return {"model": "text-embedding-3-small", "input": [text for _, text in turns]}


def _anthropic(*, stream: bool = False, model: str | None = None) -> Callable[..., Body]:
    def body(system: str, turns: list[Turn]) -> Body:
        said: list[Body] = [{"role": role, "content": text} for role, text in turns]
        mark = {"cache_control": {"type": "ephemeral"}}
        said[-1] = {"role": "user", "content": [{"type": "text", "text": turns[-1][1], **mark}]}
        found: Body = {
            "max_tokens": 1_000,
            "system": [{"type": "text", "text": system, **mark}],
            "messages": said,
        }
        if model is None:
            found["anthropic_version"] = "bedrock-2023-05-31"
        else:
            found |= {"model": model, "stream": stream}
        return found

    return body


def _converse(system: str, turns: list[Turn]) -> Body:
    said = [{"role": role, "content": [{"text": text}]} for role, text in turns]
    point = {"cachePoint": {"type": "default"}}
    return {"system": [{"text": system}, point], "messages": said}


VERSION = (("anthropic-version", "2023-06-01"), ("x-api-key", "none"))
BEARER = (("authorization", "Bearer none"),)
CLAUDE = "/model/us.anthropic.claude-sonnet-4-6"
NOVA = "/model/amazon.nova-lite-v1%3A0"
DONE, STOP, META = (
    b"data: [DONE]\n",
    b"event: message_stop\n",
    b"\x0b:event-type\x07\x00\x08metadata",
)
CHAT = "/v1/chat/completions"
KINDS: tuple[tuple[int, Kind], ...] = (
    (14, Kind("chat", CHAT, _chat("gpt-4o-mini", stream=False), headers=BEARER)),
    (8, Kind("chat stream", CHAT, _chat("gpt-5-mini", stream=True), True, BEARER, DONE)),
    (
        6,
        Kind(
            "chat stream, usage",
            CHAT,
            _chat("gpt-4.1", stream=True, usage=True),
            True,
            BEARER,
            DONE,
        ),
    ),
    (8, Kind("responses", "/v1/responses", _responses("gpt-6-sol", stream=False), headers=BEARER)),
    (
        8,
        Kind(
            "responses stream",
            "/v1/responses",
            _responses("gpt-5.4", stream=True),
            True,
            BEARER,
            b"event: response.completed\n",
        ),
    ),
    (6, Kind("embeddings", "/v1/embeddings", _embeddings, headers=BEARER)),
    (12, Kind("messages", "/v1/messages", _anthropic(model="claude-haiku-4-5"), headers=VERSION)),
    (
        14,
        Kind(
            "messages stream",
            "/v1/messages",
            _anthropic(stream=True, model="claude-sonnet-4-6"),
            True,
            VERSION,
            STOP,
        ),
    ),
    (7, Kind("converse", f"{NOVA}/converse", _converse)),
    (7, Kind("converse stream", f"{CLAUDE}/converse-stream", _converse, True, (), META)),
    (5, Kind("invoke", f"{CLAUDE}/invoke", _anthropic())),
    (
        5,
        Kind("invoke stream", f"{CLAUDE}/invoke-with-response-stream", _anthropic(), True),
    ),
)

WISHES: tuple[tuple[float, Wish], ...] = (
    # the provider says no
    (2.0, Wish("rate_limit=0")),
    (1.0, Wish("error=500")),
    (0.7, Wish("error=529")),
    (0.7, Wish("error_after=503")),
    (0.5, Wish("error_after=500; bill=true")),
    (0.3, Wish("error_body")),
    (0.3, Wish("garbage")),
    # the provider breaks off, or does not tell
    (0.8, Wish("error_event=3")),
    (0.8, Wish("cut=1")),
    (0.8, Wish("cut=6")),
    (0.8, Wish("cut=999")),
    (0.7, Wish("close")),
    (0.4, Wish("hang=8")),
    (0.4, Wish("hang=8; at=5")),
    (0.2, Wish("hang=8; at=0")),
    (0.8, Wish("no_usage")),
    (0.2, Wish("absurd=negative")),
    (0.2, Wish("absurd=text")),
    (0.2, Wish("absurd=huge")),
    (0.2, Wish("absurd=null")),
    (0.2, Wish("absurd=zero")),
    # the provider takes its time
    (1.5, Wish("latency_ms=40")),
    (1.5, Wish("event_ms=4")),
    (0.7, Wish("slow=30000")),
    (0.1, Wish("huge_line=300000")),
    (0.5, Wish("latency_ms=200", route="hasty")),
    (0.3, Wish("latency_ms=2500", route="hasty")),
    (0.2, Wish("latency_ms=8000")),
    # the client leaves
    (0.6, Wish(leave="asking")),
    (1.0, Wish("latency_ms=50", "asked")),
    (0.8, Wish(None, "asked")),
    (0.8, Wish("event_ms=3", "first")),
    (0.8, Wish(None, "first")),
    (1.0, Wish("event_ms=3", "middle")),
    (1.0, Wish("event_ms=3", "usage")),
    (0.6, Wish(None, "usage")),
    (1.0, Wish("event_ms=2", "last")),
    (1.0, Wish(None, "last")),
    (0.6, Wish("event_ms=5", "middle", "hurried")),
    (0.3, Wish("latency_ms=80", "asked", "hurried")),
    (0.4, Wish("event_ms=40", "first", "brief")),
    (0.3, Wish("latency_ms=500", "asked", "brief")),
    (0.2, Wish("error_after=500", "asked")),
    (0.2, Wish("cut=4; event_ms=4", "first")),
)
"""Shares in per cent; the rest goes well."""
PLAIN = Wish()
BEFORE_USAGE = (
    b'"finish_reason":"',
    b"output_text.done",
    b"content_block_stop",
    b"contentBlockStop",
)
"""What comes shortly before the usage of a stream."""


def prose(rng: Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


class Mix:
    """All sessions under one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        rng = Random(f"{seed} systems")
        self._systems = {
            tenant: [
                f"You work for {tenant}, desk {n}. {prose(rng, rng.randrange(500, 1_100))}"
                for n in range(SYSTEMS)
            ]
            for tenant in TENANTS
        }

    def session(self, number: int) -> Iterator[Asked]:
        """The calls of one session, each with the turns before it."""
        rng = Random(f"{self._seed} {number}")
        kind: Kind = rng.choices([one for _, one in KINDS], [share for share, _ in KINDS])[0]
        tenant = rng.choice(TENANTS)
        system = rng.choice(self._systems[tenant])
        name = f"s{self._seed}-{number}" if rng.random() < 0.5 else None
        route = rng.choice(ROUTES)
        turns: list[Turn] = []
        for turn in range(rng.randrange(1, MOST_TURNS)):
            words = rng.randrange(20, 120)
            turns.append(("user", f"({number}.{turn}) {prose(rng, words)}"))
            yield Asked(
                kind=kind,
                tenant=tenant,
                route=route,
                session=name,
                body=msgspec.json.encode(kind.body(system, turns)),
                wishes=(_wish(rng), _wish(rng) if rng.random() < 0.2 else PLAIN, PLAIN),
            )
            turns.append(("assistant", prose(rng, rng.randrange(10, 60))))


def _wish(rng: Random) -> Wish:
    drawn = rng.random() * 100
    for share, wish in WISHES:
        drawn -= share
        if drawn < 0:
            return wish
    return PLAIN
