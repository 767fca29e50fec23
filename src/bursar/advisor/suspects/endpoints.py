"""Endpoints that are paid by the hour and stand idle for most of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from bursar.advisor.suspects.finding import Finding, Row, View, by_place, percent, total, words
from bursar.model.usage import Basis

HOURLY_CLASSES = ("provisioned", "provisioned_throughput", "reserved", "dedicated", "hosted")
BUSY_SHARE = 10
"""Busy for less than one part in so many of the paid time is idle."""
HOUR_MS = 3_600_000


def find_idle_endpoint(view: View) -> Iterator[Finding]:
    """Paid hours during which hardly any call was answered."""
    for place, group in by_place(view.ask("idle_endpoint", classes=words(HOURLY_CLASSES))).items():
        hours = sum(_hours(row) for row in group)
        cost, busy_ms = total(group, "nano"), total(group, "busy_ms")
        if not hours or busy_ms * BUSY_SHARE >= hours * HOUR_MS:
            continue
        calls = total(group, "answered")
        yield Finding(
            kind="idle_endpoint",
            where=place,
            cost_nano=cost - cost * busy_ms // (hours * HOUR_MS),
            evidence={
                "text": f"{hours:,} hours were paid, in which {calls:,} calls kept it busy for"
                f" {percent(busy_ms, hours * HOUR_MS)} of the time.",
                "hours": hours,
                "calls": calls,
                "busy_ms": busy_ms,
            },
            mend=f"Call {place} on demand, or run it only in the hours in which it is used: at"
            f" {calls // hours} calls an hour it does not pay.",
            basis=Basis.MODELLED,
        )


def _hours(row: Row) -> int:
    if row["other_units"] is None:
        return 0
    units: dict[str, Any] = msgspec.json.decode(row["other_units"])
    return (
        sum(int(count) for unit, count in units.items() if unit.endswith("hours")) * row["attempts"]
    )
