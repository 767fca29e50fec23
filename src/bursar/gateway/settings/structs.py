"""What `bursar.yaml` may say: one frozen struct for each of its parts, each field with its meaning.

The text under a field is the reference: docs/reference/bursar-yaml.md is written from it, and a
field without one stops the writing. Everything is optional; `Settings()` is the gateway without
any file. Nothing here holds a secret: keys are named (`env:NAME`, `file:/path`), never written.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from bursar.engine.policy import Levers
from bursar.gateway.settings.amounts import Words
from bursar.gateway.settings.caps import Budget, Concurrency, RateRule, State, Task
from bursar.gateway.settings.listening import HttpLimits, Listen
from bursar.gateway.settings.values import Bytes, Moment, Seconds

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

Disconnect = Literal["drain", "cancel"]
LostKey = Literal["cut", "finish"]
UnpricedPolicy = Literal["allow", "assume_ceiling", "deny"]
Auth = Literal["bearer", "x-api-key", "api-key", "sigv4", "none"]


CLIENT_HEADERS = {
    "x-claude-code-session-id": "session",
    "session_id": "session",
    "session-id": "session",
    "x-session-id": "session",
}
"""What coding agents (Claude Code, Codex and others) send of themselves."""


class Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all parts: nothing that is not known may stand in the file."""


class Timeouts(Written, frozen=True, kw_only=True):
    """How long a provider may take. What is not stated comes from the next wider place."""

    connect_s: Seconds | None = msgspec.field(name="connect", default=None)
    """Until the connection stands. Default: 5s."""
    head_s: Seconds | None = msgspec.field(name="first_byte", default=None)
    """From there until the head of the answer. Default: 10m, as the clients' own."""
    idle_s: Seconds | None = msgspec.field(name="idle", default=None)
    """Longest silence within an answer. Default: 2m."""
    total_s: Seconds | None = msgspec.field(name="total", default=None)
    """For the whole attempt. Default: 1h."""


class ProviderSettings(Written, frozen=True, kw_only=True):
    """One provider. `openai`, `anthropic` and `bedrock` know all of this by their names."""

    dialects: tuple[str, ...] = ()
    """Wire formats that it speaks: `openai_chat`, `openai_responses`, `openai_embeddings`,
    `anthropic_messages`, `bedrock_converse`, `bedrock_invoke`. The first is what other dialects are
    turned into. Default: the three of OpenAI."""
    base_url: str | None = None
    """Where it is, such as `https://api.groq.com/openai/v1`: https, a public host, port 443 or
    above 1023, no user, no query. Clients can never set it. Required for a provider of your own."""
    private: bool = False
    """True: the address may be loopback or private, and plain http is allowed. Link-local addresses
    (cloud metadata) never are."""
    key: str | None = None
    """`env:NAME`, `file:/path`, `aws` (the chain of the AWS SDKs) or `none`. Never the key itself.
    Default: `env:` and the provider's name in capitals with `_API_KEY`."""
    auth: Auth | None = None
    """How the key is sent: `bearer`, `x-api-key`, `api-key` (Azure), `sigv4` (AWS) or `none`.
    Default: as the first dialect does it."""
    region: str | None = None
    """AWS region, for Bedrock. Default: `AWS_REGION`, then `AWS_DEFAULT_REGION`."""
    headers: dict[str, str] = {}
    """Headers added to each request, such as `openai-organization`. Not for keys."""
    prices: str | None = None
    """Whose prices it has, by the names of `bursar prices find`. Default: its own name."""
    timeouts: Timeouts = Timeouts()
    """Of this provider."""


class ModelRule(Written, frozen=True, kw_only=True):
    """Which provider answers for a model. The first that fits counts."""

    match: str
    """The model that the client asks for; `*`, `?` and `[ab]` as in a shell."""
    provider: str
    """Who answers."""
    model: str | None = None
    """The provider's own name for it. Default: as asked."""


class VirtualKey(Written, frozen=True, kw_only=True):
    """One key of a client, by its id. `bursar keys new` makes one."""

    sha256: str
    """SHA-256 of the whole key, in hex. The key itself is kept nowhere."""
    tenant: str | None = None
    """On whose behalf it calls. A call that names another tenant is refused. Default: the call
    may say."""
    tags: dict[str, str] = {}
    """Tags of its calls, where the call itself does not say."""
    models: tuple[str, ...] = ()
    """Models it may ask for, as patterns on the name that is asked. Empty: all."""
    providers: tuple[str, ...] = ()
    """Providers that may answer it. Empty: all."""
    routes: tuple[str, ...] = ()
    """Routes (`routes`, by name, or `default`) that it may take. Empty: all."""
    expires: Moment | None = None
    """From this moment on it is refused."""
    blocked: bool = False
    """True: refused."""
    sigv4_by_id: bool = False
    """True: AWS clients may give the key's id alone as their access key id. An id is no secret and
    the gateway cannot check their signature, so whoever knows the id can spend. Without it
    they give the whole key as access key id, which is as good as a bearer token."""


class When(Written, frozen=True, kw_only=True):
    """Which calls a route takes. All that is stated must fit; patterns as in `models`."""

    models: tuple[str, ...] = ()
    """The model that is asked for."""
    dialects: tuple[str, ...] = ()
    """The wire format in which it is asked."""
    path: str | None = None
    """The path of the request."""
    headers: dict[str, str] = {}
    """Header -> pattern on its value."""
    tags: dict[str, str] = {}
    """Tag -> pattern on its value, after defaults. A missing tag does not fit."""
    keys: tuple[str, ...] = ()
    """Ids of virtual keys."""


class Calls(Written, frozen=True, kw_only=True):
    """What holds for every call; a route may say otherwise."""

    disconnect: Disconnect = "drain"
    """When the client leaves before the end: `drain` reads the provider's answer on, so that its
    cost is measured; `cancel` drops it and books an estimate, labelled as modelled."""
    drain_s: Seconds = msgspec.field(name="drain_for", default=Seconds(60))
    """Drain at most this long, then cancel."""
    drain_bytes: Bytes = Bytes(8 * MIB)
    """Drain at most this much, then cancel."""
    answer_s: Seconds | None = msgspec.field(name="answer_within", default=None)
    """The client gets a 504 when no answer has begun by then; the provider is still read, within
    the bounds of a drain, for its cost. Default: as long as the timeouts allow."""
    unpriced: UnpricedPolicy = "allow"
    """A model without a known price: `deny` refuses it (400 unpriced_model), `allow` takes it. Its
    attempts are recorded as unpriced, never at $0 and never at a guess. `assume_ceiling` is `allow`
    in that; it is a word for budgets alone, which count such a call at the dearest known price."""
    lost_key: LostKey = "cut"
    """Calls under way whose key is blocked, removed, replaced or expires meanwhile: `cut` ends them
    within a second, and does with the provider what `disconnect` says; `finish` lets them end. New
    calls are refused (401) either way."""
    max_prompt_bytes: Bytes | None = None
    """Largest body of a call; above, 413. Default: `limits.body_bytes` alone."""
    max_prompt_tokens: int | None = None
    """Longest prompt, by an estimate of its tokens; above, 413. Default: no bound."""
    max_output_tokens: int | None = None
    """`max_tokens` above this, or missing, is set to this. Default: as the client asks."""
    default_output_tokens: int | None = None
    """`max_tokens` where the client names none. Default: `max_output_tokens`."""
    least_output_tokens: int = 256
    """Near the limit of a budget `max_tokens` is brought down as far as this, and no further; a
    call that then does not fit gets 402."""
    large_request_tokens: int = 20_000
    """A prompt above this many tokens is counted as a large request, and is an event once an hour
    for each route and tenant."""
    timeouts: Timeouts = Timeouts()
    """Where neither the provider nor the route says."""


class Route(Written, frozen=True, kw_only=True):
    """A rule for some of the calls. The first that fits counts; `default` is what is left."""

    name: str
    """Its name, for `keys.*.routes` and the ledger."""
    when: When = When()
    """Which calls."""
    provider: str | None = None
    """Who answers. Default: as `models` and the dialect say."""
    model: str | None = None
    """The model that is really called. Default: as asked."""
    disconnect: Disconnect | None = None
    """Instead of `calls.disconnect`."""
    drain_s: Seconds | None = msgspec.field(name="drain_for", default=None)
    """Instead of `calls.drain_for`."""
    drain_bytes: Bytes | None = None
    """Instead of `calls.drain_bytes`."""
    answer_s: Seconds | None = msgspec.field(name="answer_within", default=None)
    """Instead of `calls.answer_within`."""
    unpriced: UnpricedPolicy | None = None
    """Instead of `calls.unpriced`."""
    max_prompt_bytes: Bytes | None = None
    """Instead of `calls.max_prompt_bytes`."""
    max_prompt_tokens: int | None = None
    """Instead of `calls.max_prompt_tokens`."""
    max_output_tokens: int | None = None
    """Instead of `calls.max_output_tokens`."""
    default_output_tokens: int | None = None
    """Instead of `calls.default_output_tokens`."""
    least_output_tokens: int | None = None
    """Instead of `calls.least_output_tokens`."""
    large_request_tokens: int | None = None
    """Instead of `calls.large_request_tokens`."""
    timeouts: Timeouts = Timeouts()
    """Before the provider's own."""
    levers: Levers | None = None
    """Instead of the whole of `levers`; `{}` is none at all."""


class TagRules(Written, frozen=True, kw_only=True):
    """What calls must say of themselves."""

    required: tuple[str, ...] = ()
    """Tags that a call must have."""
    policy: Literal["refuse", "default", "quarantine"] = "quarantine"
    """A call whose tags are missing or not allowed: `refuse` answers 400; `default` takes the
    value of `defaults`, or drops what is not allowed, and refuses where a required tag is still
    missing; `quarantine` lets it pass with the tag `quarantine`, which says why."""
    defaults: dict[str, str] = {}
    """Tag -> value where nobody says."""
    allowed: dict[str, tuple[str, ...]] = {}
    """Tag -> patterns, one of which its value must fit."""
    headers: dict[str, str] = msgspec.field(default_factory=lambda: dict(CLIENT_HEADERS))
    """Headers of your clients -> the tag that they mean, beside `x-bursar-*`. Default: those by
    which coding agents name their session (`x-claude-code-session-id`, `session_id`, `session-id`,
    `x-session-id`)."""
    most_values: int = 1_000
    """Different values of a tag per tenant and day and worker; further ones become `__other__`."""
    many_values: tuple[str, ...] = ("session", "user")
    """Tags that may have any number of values."""


class JournalSettings(Written, frozen=True, kw_only=True):
    """The record of calls on disk, before they reach the ledger."""

    sync: Literal["answer", "interval"] = "answer"
    """`answer`: the end of an answer waits until its record is on disk. `interval`: it does not,
    and a crash of the machine can lose the records of the last `interval`."""
    interval_s: Seconds = msgspec.field(name="interval", default=Seconds(1))
    """Between syncs of the disk, with `sync: interval`."""
    full: Literal["wait", "refuse", "shed_blocks"] = "wait"
    """Backpressure, when more than `buffer_bytes` of records wait for the disk: `wait` holds new
    calls back for `patience` and then refuses them (503), `refuse` does so at once, `shed_blocks`
    records them without the blocks of their prompts."""
    unwritable: Literal["closed", "degrade"] = "closed"
    """When the disk refuses: `closed` refuses new calls (503); `degrade` lets them go on, keeps
    their records in memory up to `buffer_bytes`, and counts what is lost beyond."""
    buffer_bytes: Bytes = Bytes(8 * MIB)
    """Most records in memory per worker."""
    space_bytes: Bytes = msgspec.field(name="space", default=Bytes(4 * GIB))
    """Most records on disk, of all workers, that the ledger does not have yet; beyond, new calls
    are refused (503 journal_full). They gather while the ledger's process is down."""
    patience_s: Seconds = msgspec.field(name="patience", default=Seconds(5))
    """Longest wait of a call for its record."""


class Metrics(Written, frozen=True, kw_only=True):
    """`/metrics`, for Prometheus."""

    on: bool = True
    """False: 404."""
    key: str | None = None
    """`env:NAME` or `file:/path`: a bearer token that the scraper sends. Default: none is needed
    on loopback, and beyond it `/metrics` is 404."""
    labels: tuple[str, ...] = ("tenant", "route")
    """Tags that become labels. Not those of `tags.many_values`."""
    most_series: int = 2_000
    """Different sets of labels of one metric, of all workers together: each has an equal share;
    further ones become `__other__`."""


class Otlp(Written, frozen=True, kw_only=True):
    """Spans and metrics of each recorded attempt, for an OpenTelemetry collector. Holds from the
    next start on."""

    on: bool = False
    """True: tell the collector. Needs the extra `otel`."""
    endpoint: str | None = None
    """Base address of its OTLP over HTTP, such as `https://otel.example.com:4318`; `/v1/traces` and
    `/v1/metrics` are added. No redirect is followed. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`, then
    `http://127.0.0.1:4318`."""
    private: bool = False
    """True: the address may be private, and plain http is allowed, as they are on loopback."""
    headers: dict[str, str] = {}
    """Header -> `env:NAME` or `file:/path`, such as `authorization: env:OTLP_TOKEN`. Default: those
    of `OTEL_EXPORTER_OTLP_HEADERS`."""
    spans: bool = True
    """One for each attempt."""
    metrics: bool = True
    """Histograms of tokens and durations, and the cost."""
    unsampled: bool = False
    """True: spans as well where the client's `traceparent` says that its trace is not recorded."""
    labels: tuple[str, ...] = ("tenant", "route")
    """Tags that become attributes of metrics. Not those of `tags.many_values`."""
    most_series: int = 1_000
    """Different sets of attributes of one metric; further ones are put together under
    `otel.metric.overflow`."""
    linger_s: Seconds = msgspec.field(name="linger", default=Seconds(1))
    """How long spans wait for others to be sent with."""
    interval_s: Seconds = msgspec.field(name="interval", default=Seconds(60))
    """Between two sendings of metrics."""
    timeout_s: Seconds = msgspec.field(name="timeout", default=Seconds(10))
    """For one sending, tries included."""
    most_waiting: int = 10_000
    """Attempts that wait in memory; further ones are dropped, counted and said."""
    gzip: bool = True
    """False: send without compression."""


class Telemetry(Written, frozen=True, kw_only=True):
    """Who else is told of what is recorded. Calls never wait for it."""

    otlp: Otlp = Otlp()
    """An OpenTelemetry collector."""


class Settings(Written, frozen=True, kw_only=True):
    """The whole file."""

    listen: Listen = Listen()
    """Where clients reach the gateway."""
    providers: dict[str, ProviderSettings] = {}
    """Name -> provider. The order counts: of two that speak a dialect, the first answers what no
    rule sends elsewhere. Default: `openai`, `anthropic` and `bedrock`; a file that names any
    names all that are used."""
    models: tuple[ModelRule, ...] = ()
    """Which provider answers for which model."""
    unlisted_models: Literal["pass", "refuse"] = "pass"
    """A model that neither `models` nor a route names: `pass` sends it to the first provider of its
    dialect, `refuse` answers 404 unknown_model."""
    keys: dict[str, VirtualKey] = {}
    """Id -> virtual key. None at all: everybody on this machine may call, browsers excepted."""
    routes: tuple[Route, ...] = ()
    """Rules for some of the calls."""
    calls: Calls = Calls()
    """What holds for every call."""
    levers: Levers = Levers()
    """What may make calls cheaper, on every route that does not say otherwise."""
    tags: TagRules = TagRules()
    """What calls must say of themselves."""
    tiers: dict[str, Words] = {}
    """Tier of customers -> patterns on their tenants. The first that fits counts."""
    budgets: dict[str, Budget] = {}
    """Name -> budget."""
    tasks: dict[str, Task] = {}
    """Name -> ceilings of each task."""
    rates: dict[str, RateRule] = {}
    """Name -> limit on speed."""
    concurrency: dict[str, Concurrency] = {}
    """Name -> limit on calls under way."""
    state: State = State()
    """Where all of these are counted."""
    journal: JournalSettings = JournalSettings()
    """The record of calls on disk."""
    limits: HttpLimits = HttpLimits()
    """Bounds of the HTTP server."""
    metrics: Metrics = Metrics()
    """Prometheus metrics."""
    telemetry: Telemetry = Telemetry()
    """Who else is told."""
