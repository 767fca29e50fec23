"""Spend that one tenant or one workflow takes nearly alone. Explained, not avoidable, dollars."""

from __future__ import annotations

from collections.abc import Iterator

from bursar.advisor.suspects.finding import EXPLAINED, Finding, View, basis_of, money, percent
from bursar.ledger.reports import dimension
from bursar.model.money import usd

OUTLIER_TIMES = 10
"""A tenant that costs more than so many times the mean of the others."""
LEAST_TENANTS = 3
LEAST_WORKFLOWS = 3
DOMINANT = 2
"""A workflow that takes more than one part in so many of the spend."""


def find_tenant_outlier(view: View) -> Iterator[Finding]:
    """Tenants far above the others. Told even when cheap: they outgrow their price."""
    rows = view.ask("shares", dimension=dimension("tenant"))
    if len(rows) < LEAST_TENANTS:
        return
    whole = sum(row["nano"] for row in rows)
    for row in rows:
        others = whole - row["nano"]
        if row["nano"] * (len(rows) - 1) <= OUTLIER_TIMES * others:
            continue
        mean = others // (len(rows) - 1)
        times = f"{row['nano'] / mean:.0f} times" if mean else "many times"
        yield Finding(
            kind="tenant_outlier",
            where=row["place"],
            cost_nano=row["nano"],
            dollars=EXPLAINED,
            danger=True,
            evidence={
                "text": f"costs {times} the mean of the other {len(rows) - 1} tenants"
                f" ({money(row['nano'])} against {money(mean)}), in {row['calls']:,} calls.",
                "calls": row["calls"],
                "sessions": row["sessions"],
                "tenants": len(rows),
                "mean_of_others_usd": usd(mean),
            },
            mend=f"Compare what {row['place']} pays with {money(row['nano'])}, and set a budget"
            f" for it, such as {OUTLIER_TIMES} times the mean: {money(OUTLIER_TIMES * mean)}.",
            basis=basis_of(row["estimated"]),
        )


def find_dominant_workflow(view: View) -> Iterator[Finding]:
    """One workflow, or where none is named one route, that is most of the bill."""
    for name in ("workflow", "route"):
        rows = view.ask("shares", dimension=dimension(name))
        if len(rows) >= LEAST_WORKFLOWS:
            break
    else:
        return
    row = rows[0]
    if row["nano"] * DOMINANT <= view.spend_nano:
        return
    yield Finding(
        kind="dominant_workflow",
        where=row["place"],
        cost_nano=row["nano"],
        dollars=EXPLAINED,
        evidence={
            "text": f"takes {percent(row['nano'], view.spend_nano)} of the spend of"
            f" {len(rows)} {name}s, in {row['calls']:,} calls of {row['sessions']:,} sessions.",
            "by": name,
            "calls": row["calls"],
            "sessions": row["sessions"],
            "others": {one["place"]: usd(one["nano"]) for one in rows[1:6]},
        },
        mend=f"Work on {row['place']} first: a tenth less there is"
        f" {money(row['nano'] // 10)}, more than most changes elsewhere can save.",
        basis=basis_of(row["estimated"]),
    )
