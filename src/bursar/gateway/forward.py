"""The request to the provider: an allow-list of the client's headers, and the provider's own key.

Nothing that says who the client is goes along: no authorization, cookie, baggage or forwarding
header. `accept-encoding` is identity, since a usage that is compressed cannot be read in passing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bursar.gateway.http.messages import build_head, ended_head, open_head
from bursar.gateway.http.upstream import Origin
from bursar.gateway.settings import Provider
from bursar.gateway.settings.values import Bounded
from bursar.gateway.signing import Signer
from bursar.gateway.tracing import HEADER, STATE

FORWARDED = frozenset(
    (
        *(b"accept", b"content-type", b"idempotency-key", b"user-agent", b"x-app"),
        *(b"anthropic-beta", b"anthropic-version", b"openai-beta", b"x-client-request-id"),
        b"anthropic-dangerous-direct-browser-access",
        b"x-amzn-bedrock-accept",
        b"x-amzn-bedrock-content-type",
        b"x-amzn-bedrock-guardrailidentifier",
        b"x-amzn-bedrock-guardrailversion",
        b"x-amzn-bedrock-performanceconfig-latency",
        b"x-amzn-bedrock-request-metadata",
        b"x-amzn-bedrock-service-tier",
        b"x-amzn-bedrock-trace",
        b"x-stainless-arch",
        b"x-stainless-async",
        b"x-stainless-helper-method",
        b"x-stainless-lang",
        b"x-stainless-os",
        b"x-stainless-package-version",
        b"x-stainless-retry-count",
        b"x-stainless-runtime",
        b"x-stainless-runtime-version",
        b"x-stainless-timeout",
    )
)
"""What of a client's headers goes on."""
SIMULATE = b"x-simulate"
"""Asks the simulator for a fault; goes on only to providers on private addresses."""

WITHHELD = frozenset(
    (
        *(b"alt-svc", b"connection", b"content-length", b"keep-alive", b"proxy-authenticate"),
        *(b"proxy-connection", b"set-cookie", b"set-cookie2", b"strict-transport-security"),
        *(b"trailer", b"transfer-encoding", b"upgrade"),
    )
)
"""What of a provider's headers does not come back."""

IDENTITY = (b"accept-encoding", b"identity")
CALL_ID = b"x-bursar-call-id"
DEFAULT_PORTS = {"https": 443, "http": 80}
KEY_HEADERS = {"bearer": b"authorization", "x-api-key": b"x-api-key", "api-key": b"api-key"}
KEY_PREFIXES = {"bearer": b"Bearer "}
MOST_HEADS, LONGEST_HEAD = 512, 4_096
Headers = Sequence[tuple[bytes, bytes]]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider is reached: made once for each, since nothing of it depends on the call."""

    origin: Origin
    base: str
    """Scheme, host and port, as a URL."""
    path: str
    added: tuple[tuple[bytes, bytes], ...]
    """Host, key and the settings' own headers."""
    forwarded: frozenset[bytes]
    """What of a client's headers goes along."""
    signer: Signer | None
    heads: Bounded[bytes]
    """Heads up to their length, by what they are made of: clients send the same with every call."""


def ways_of(providers: Mapping[str, Provider]) -> dict[str, Way]:
    """Provider name -> its way. A provider that cannot be called now has none."""
    return {name: _way(one) for name, one in providers.items() if one.without is None}


def _way(provider: Provider) -> Way:
    origin = provider.origin
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != DEFAULT_PORTS[origin.scheme]:
        host = f"{host}:{origin.port}"
    added = [(b"host", host.encode()), IDENTITY]
    if provider.secret is not None and provider.auth in KEY_HEADERS:
        key = KEY_PREFIXES.get(provider.auth, b"") + provider.secret.reveal().encode()
        added.append((KEY_HEADERS[provider.auth], key))
    added.extend(provider.headers)
    signed = provider.auth == "sigv4"
    forwarded = FORWARDED | {SIMULATE} if origin.private else FORWARDED
    return Way(
        origin=origin,
        base=f"{origin.scheme}://{host}",
        path=provider.base_path.decode(),
        added=tuple(added),
        forwarded=forwarded - {name for name, _ in added},
        signer=Signer(provider.region or "") if signed else None,
        heads=Bounded(MOST_HEADS),
    )


async def head_of(
    way: Way, method: bytes, path: str, asked: Headers, body: bytes, trace: bytes | None = None
) -> bytes:
    """The first bytes of the request. `path` begins behind the base URL's; `trace`: our own
    `traceparent`."""
    kept = [one for one in asked if one[0] in way.forwarded]
    if trace is not None:
        kept.append((HEADER, trace))
        kept.extend(one for one in asked if one[0] == STATE)
    if way.signer is not None:
        target = way.path + path
        signed = await way.signer.sign(method, way.base + target, [*kept, *way.added], body)
        return build_head(method, target.encode(), signed, len(body))
    if trace is not None:
        return ended_head(_open(way, method, path, kept), method, len(body))
    key = (method, path, *kept)
    head = way.heads.get(key)
    if head is None:
        head = _open(way, method, path, kept)
        if len(head) <= LONGEST_HEAD:
            way.heads.keep(key, head)
    return ended_head(head, method, len(body))


def _open(way: Way, method: bytes, path: str, kept: Headers) -> bytes:
    return open_head(method, (way.path + path).encode(), [*kept, *way.added])


LONGEST_WAITS = {b"retry-after": 3_600, b"retry-after-ms": 3_600_000}
"""A provider that asks for a longer wait than an hour is taken to mean an hour."""


def patient(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of a refusal, with no wait that a client would never come back from."""
    return [
        (name, b"%d" % most if most is not None and _exceeds(value, most) else value)
        for name, value, most in ((*one, LONGEST_WAITS.get(one[0])) for one in headers)
    ]


def _exceeds(value: bytes, most: int) -> bool:
    """Dates, and what is no number, are left to the client."""
    whole = value.strip().partition(b".")[0].lstrip(b"0")
    return whole.isdigit() and (len(whole) > len(b"%d" % most) or int(whole) > most)


def answer_headers(received: Headers, call_id: int | None) -> list[tuple[bytes, bytes]]:
    """A provider's headers as the client gets them."""
    kept = [one for one in received if one[0] not in WITHHELD]
    if call_id is not None:
        kept.append((CALL_ID, b"%d" % call_id))
    return kept


def typed(headers: Headers, content_type: bytes) -> list[tuple[bytes, bytes]]:
    """Headers with another content type."""
    kept = [one for one in headers if one[0] != b"content-type"]
    return [(b"content-type", content_type), *kept]
