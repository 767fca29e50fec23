"""Tells a collector of every attempt that the ledger has taken in: at most once each.

The keeper hands over what it has committed and goes on. One thread counts and makes spans, another
sends them; each has a bounded queue. What is in memory when the process dies is not told again, so
nothing is told twice; the ledger has it all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from bursar.emit.options import OtlpOptions
from bursar.emit.otlp import Meters, Spans, quiet, resource_of
from bursar.emit.outbox import Outbox
from bursar.emit.paid import Paid, paid_of
from bursar.extras import opentelemetry
from bursar.ledger.rows import Posted

NO_ROOM = "no_room"
UNFINISHED = "unfinished"
"""Still waiting when the gateway stopped."""
FAULT = "fault"
METRICS = "metrics_"
Noted = Callable[[str, int], None]
"""Told of a fate and of how many met it. Called by several threads."""


class Teller:
    """Called by the keeper with what it has just committed."""

    def __init__(self, options: OtlpOptions, noted: Noted) -> None:
        """Starts threads: make it in the process that uses it. Raises BadInput where a package is
        missing. `noted`: told of spans by their fate, and of `metrics_...` for each try to send
        those."""
        tools = opentelemetry()
        quiet()
        resource = resource_of(tools)
        self._noted = noted
        self._meters: Meters | None = None
        if options.metrics:
            self._meters = Meters(tools, options, resource, self._metrics_ended)
        self._spans: Spans | None = None
        self._out: Outbox[Any] | None = None
        if options.spans:
            self._spans = Spans(tools, options, resource)
            self._out = Outbox(
                "otlp-send",
                self._send,
                self._spoilt,
                most=options.most_waiting,
                linger_s=options.linger_s,
            )
        self._in: Outbox[Paid] = Outbox(
            "otlp-count", self._take, self._spoilt, most=options.most_waiting
        )

    def __call__(self, posted: Sequence[Posted]) -> None:
        """Hand over. Costs about a microsecond per attempt, and never waits."""
        self._note(NO_ROOM, self._in.put(paid_of(posted)))

    def close(self, within_s: float) -> None:
        """Send what is there, for at most so long; then end."""
        until_s = time.monotonic() + within_s
        self._note(UNFINISHED, sum(self._in.close(within_s)))
        if self._out is not None and self._spans is not None:
            left, under_way = self._out.close(until_s - time.monotonic())
            self._note(UNFINISHED, left + under_way)
            self._spans.close()
        if self._meters is not None:
            self._meters.close(max(0.1, until_s - time.monotonic()))

    # -- in threads

    def _take(self, batch: list[Paid]) -> None:
        if self._meters is not None:
            for paid in batch:
                self._meters.record(paid)
        if self._out is not None and self._spans is not None:
            spans = [span for paid in batch if (span := self._spans.span(paid)) is not None]
            self._note(NO_ROOM, self._out.put(spans))

    def _send(self, batch: list[Any]) -> None:
        assert self._spans is not None
        for fate, count in self._spans.send(batch).items():
            self._note(fate, count)

    def _spoilt(self, fault: str, count: int) -> None:
        self._note(FAULT, count)

    def _metrics_ended(self, fate: str, _: bytes) -> None:
        self._note(METRICS + fate, 1)

    def _note(self, fate: str, count: int) -> None:
        if count:
            self._noted(fate, count)
