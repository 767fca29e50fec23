"""The accounts of caps as gauges, bounded: a cap with many accounts is shown as their sum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

from bursar.gateway.purse.views import View

MOST_NAMED = 20
"""Accounts of one limit that are shown one by one."""
ALL = "__all__"
"""Stands for the scope where a series is a sum."""
LABELS = ("cap", "unit", "window", "scope")
SCALES = {"usd": 1_000_000_000, "wall": 1_000}
"""Unit -> what a gauge divides by: dollars and seconds are shown."""
GAUGES = {
    "limit": "Most that may be spent in the window, of the accounts used lately.",
    "posted": "Spent in the window, as it was settled.",
    "held": "Reserved by calls under way.",
    "suspect": "Reserved by calls that were never heard of again; counts as spent.",
}
Series = tuple[tuple[str, str, str, str], dict[str, int]]


def cap_families(tools: Any, views: Iterable[View], most_series: int) -> Iterator[object]:
    """A gauge for each amount, in dollars, tokens, calls or seconds."""
    series = list(islice(_series(views), most_series))
    for name, what in GAUGES.items():
        family = tools.GaugeMetricFamily(f"bursar_cap_{name}", what, labels=LABELS)
        for labels, amounts in series:
            if name in amounts:
                family.add_metric(labels, amounts[name] / SCALES.get(labels[1], 1))
        yield family


def _series(views: Iterable[View]) -> Iterator[Series]:
    def whose(view: View) -> tuple[str, str, str]:
        return view.cap, view.unit, view.window

    for labels, alike in groupby(sorted(views, key=whose), whose):
        found = list(alike)
        if len(found) <= MOST_NAMED:
            yield from (((*labels, _scope(one)), _amounts(one)) for one in found)
        else:
            sums: dict[str, int] = {}
            for one in found:
                for name, amount in _amounts(one).items():
                    sums[name] = sums.get(name, 0) + amount
            yield (*labels, ALL), sums


def _amounts(view: View) -> dict[str, int]:
    found = {"posted": view.posted, "held": view.held, "suspect": view.suspect}
    return found if view.limit is None else {"limit": view.limit, **found}


def _scope(view: View) -> str:
    return ",".join(f"{name}={value or ''}" for name, value in view.scope)
