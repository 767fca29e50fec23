"""What the gateway says of itself: health, readiness, Prometheus' metrics and its OpenAPI page.

Metrics may name tenants, so beyond loopback they need the key of the settings. Nothing here shows a
key or a prompt.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from bursar.dialects.refusals import refusal_body
from bursar.extras import prometheus
from bursar.gateway.http.messages import Asked
from bursar.gateway.kit import Kit
from bursar.gateway.openapi import openapi_json
from bursar.gateway.purse.gauges import cap_families
from bursar.gateway.purse.local import modes_of
from bursar.gateway.purse.opening import Gate
from bursar.gateway.purse.views import View, seen_in
from bursar.gateway.routes import Page, PageText
from bursar.gateway.settings.checking import loopback
from bursar.gateway.settings.keys import read_secret
from bursar.gateway.standing import is_degraded
from bursar.gateway.tally import BUCKETS_MS, Counts, Labels, found, summed

JSON = ((b"content-type", b"application/json"),)
NANO = 1_000_000_000
MS_PER_S = 1_000

HIDDEN = "this path is not served, or not to you"

TAGS = "tags"
"""Stands for the tags that the settings make labels of."""

COUNTERS = (
    ("calls", "bursar_calls", "Attempts by HTTP status.", (TAGS, "provider", "model", "status")),
    (
        "tokens",
        "bursar_tokens",
        "Units that providers billed, disjoint.",
        (TAGS, "provider", "model", "unit"),
    ),
    (
        "cost_nano",
        "bursar_cost_usd",
        "Cost in dollars, from dated prices; attempts without a price are not in it.",
        (TAGS, "provider", "model"),
    ),
    (
        "unpriced",
        "bursar_unpriced_attempts",
        "Attempts with counted units and no known price.",
        ("provider", "model"),
    ),
    ("refused", "bursar_refused", "Requests that the gateway answered with an error.", ("kind",)),
    ("left", "bursar_clients_left", "Clients that left before their answer ended.", ("fate",)),
    (
        "upstream_errors",
        "bursar_upstream_errors",
        "Calls that a provider did not answer to the end.",
        ("provider", "kind"),
    ),
    (
        "unread",
        "bursar_unread_answers",
        "Answers without a usage that can be believed.",
        ("provider", "reason"),
    ),
    (
        "undurable",
        "bursar_undurable_answers",
        "Answers given although the disk did not take their record in time.",
        ("provider",),
    ),
    ("quarantined", "bursar_quarantined", "Calls that lack a required tag.", ("rule",)),
    ("large", "bursar_large_requests", "Requests above the rule's alert size.", ("rule",)),
    ("levers", "bursar_lever_decisions", "What levers did.", ("rule", "lever", "verdict")),
    (
        "restarts",
        "bursar_restarts",
        "Processes of the gateway that ended and were started again.",
        ("process",),
    ),
    (
        "spans",
        "bursar_otlp_spans",
        "Spans for the collector of telemetry.otlp, by what became of them.",
        ("fate",),
    ),
    ("cap_refusals", "bursar_cap_refusals", "Calls that a cap refused.", ("cap", "unit")),
    (
        "judged_refusals",
        "bursar_cap_judged_refusals",
        "Calls that a budget refused and of which it is known by now whether they would have fit.",
        ("cap",),
    ),
    (
        "false_refusals",
        "bursar_cap_false_refusals",
        "Those that would have fitted, once what was under way had been settled.",
        ("cap",),
    ),
    ("cap_cuts", "bursar_cap_cuts", "Streams that a cap cut.", ("cap",)),
    ("cap_events", "bursar_cap_events", "Events in run/events.jsonl.", ("cap", "kind")),
)
HISTOGRAMS = (
    (
        "duration_ms",
        "bursar_call_duration_seconds",
        "From the request to the answer's end.",
        "provider",
    ),
    (
        "first_byte_ms",
        "bursar_first_byte_seconds",
        "From the request to the answer's head.",
        "provider",
    ),
    (
        "cap_wait_ms",
        "bursar_cap_wait_seconds",
        "Of calls that waited for room and were let in.",
        "cap",
    ),
)
JOURNAL = {
    "shed_calls": "Calls recorded without the blocks of their prompts, at a full buffer.",
    "refused_calls": "Calls refused, since the journal was full or the disk refused.",
    "failures": "Writes and syncs that the disk refused.",
    "undurable_records": "Records that were answered before they were on disk (degrade).",
    "lost_records": "Calls whose records are lost, at the bound of degrade.",
}
"""What is counted of the journals, of all workers and since ever: bursar_journal_..._total."""
SESSIONS = {
    "forgotten": "Inferred sessions that were dropped to make room: their next call begins anew.",
}
KEEPER_DOWN = "the ledger's keeper does not stay up; records wait on disk"


class Pages:
    """The pages of one worker, which speak for all of them."""

    def __init__(
        self,
        kit: Kit,
        mine: Path,
        fresh: Callable[[], None],
        states: Callable[[], dict[str, int]],
        gate: Gate | None = None,
    ) -> None:
        """`mine`: this worker's snapshot, which `fresh` writes now; `states`: gauges by name;
        `gate`: before the store of the counts."""
        self._gate = gate
        self._kit = kit
        self._mine = mine
        self._fresh = fresh
        self._states = states

    def by_path(self) -> Mapping[str, Page]:
        return {
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
        }

    async def _health(self, _: Asked) -> PageText:
        return 200, JSON, b'{"status":"ok"}'

    async def _ready(self, _: Asked) -> PageText:
        if not self._kit.ready:
            return 503, JSON, b'{"status":"starting or stopping"}'
        gate = self._gate
        reason = "" if gate is None else gate.shut or gate.lost
        caps = modes_of(self._kit.caps.now(), self._kit.purse.away.percent) if reason else {}
        if caps.get("closed"):
            return 503, JSON, _said(Readiness("shut", reason, caps))
        if caps:
            return 200, JSON, _said(Readiness("degraded", reason, caps))
        if is_degraded(self._mine.parent):
            return 200, JSON, _said(Readiness("degraded", KEEPER_DOWN))
        return 200, JSON, _said(Readiness("ready"))

    async def _metrics(self, asked: Asked) -> PageText:
        if not may_read(self._kit, asked.header(b"authorization")):
            headers, body = refusal_body("openai_chat", 404, "unknown_path", HIDDEN)
            return 404, headers, body
        self._fresh()
        places = sorted(self._mine.parent.glob("*.counts"))
        most = self._kit.desk.settings.metrics.most_series
        total = summed(map(found, places), most)
        views = seen_in(self._mine.parent).views
        kind, body = exposed(total, self._states(), self._kit.tally.tag_names, views, most)
        return 200, ((b"content-type", kind),), body

    async def _openapi(self, _: Asked) -> PageText:
        return 200, JSON, openapi_json()


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `/ready` says."""

    status: Literal["ready", "degraded", "shut"]
    """`degraded`: calls go on, but not as they should. `shut`: calls are refused by a cap that
    cannot be counted."""
    reason: str = ""
    caps: dict[str, int] = {}
    """How many caps cannot be counted, by what they do then: `closed`, `local`, `open`."""


_said = msgspec.json.Encoder().encode


def may_read(kit: Kit, authorization: bytes | None) -> bool:
    """Whether metrics are shown: with the key that the settings name, or else on loopback alone."""
    settings = kit.desk.settings
    if not settings.metrics.on:
        return False
    key = settings.metrics.key
    if key is None:
        return loopback(settings.listen.host)
    secret = read_secret(key, kit.desk.options.environ)
    if secret is None or authorization is None:
        return False
    return hmac.compare_digest(authorization, b"Bearer " + secret.reveal().encode())


def exposed(
    counts: Counts,
    states: Mapping[str, int],
    tag_names: tuple[str, ...] = (),
    views: Sequence[View] = (),
    most_series: int = 1_000,
) -> tuple[bytes, bytes]:
    """(content type, page) in Prometheus' text format."""
    tools = prometheus()

    class Shown(tools.Collector):
        def collect(self) -> Iterator[object]:
            yield from _families(tools, counts, states, tag_names)
            yield from cap_families(tools, views, most_series)

    registry = tools.CollectorRegistry(auto_describe=False)
    registry.register(Shown())
    return tools.CONTENT_TYPE_LATEST.encode(), tools.generate_latest(registry)


def _families(
    tools: Any, counts: Counts, states: Mapping[str, int], tag_names: tuple[str, ...]
) -> Iterator[object]:
    for name, shown, what, labels in COUNTERS:
        names = (*tag_names, *labels[1:]) if labels[0] == TAGS else labels
        family = tools.CounterMetricFamily(shown, what, labels=names)
        series: dict[Labels, int] = getattr(counts, name)
        for values, count in series.items():
            family.add_metric(values, count / NANO if name == "cost_nano" else count)
        yield family
    for told, counted in ((JOURNAL, counts.journal), (SESSIONS, counts.sessions)):
        room = "journal" if told is JOURNAL else "sessions"
        for name, what in told.items():
            value = counted.get((name,), 0)
            yield tools.CounterMetricFamily(f"bursar_{room}_{name}", what, value=value)
    for name, shown, what, label in HISTOGRAMS:
        family = tools.HistogramMetricFamily(shown, what, labels=(label,))
        buckets: dict[Labels, list[int]] = getattr(counts, name)
        for values, row in buckets.items():
            family.add_metric(values, _cumulative(row), row[-2] / MS_PER_S)
        yield family
    for name, state in states.items():
        family = tools.GaugeMetricFamily(f"bursar_{name}", STATES[name])
        family.add_metric((), state)
        yield family


STATES = {
    "open_calls": "Calls under way in the worker that answers.",
    "journal_waiting_bytes": "Records of the worker that answers which are not on disk yet.",
    "journal_space_bytes": "What the journals of all workers take on disk.",
    "keeper_up": "0 while the ledger's keeper does not stay up, and records only wait on disk.",
}


def _cumulative(row: list[int]) -> list[tuple[str, int]]:
    """(upper end in seconds, how many are below it), up to +Inf."""
    ends = [*(str(end / MS_PER_S) for end in BUCKETS_MS), "+Inf"]
    below, rows = 0, list[tuple[str, int]]()
    for end, count in zip(ends, row[:-2], strict=True):
        below += count
        rows.append((end, below))
    return rows
