"""How the agents behave: the tail of sessions, the dearest of them, cache, growth, retries."""

from __future__ import annotations

from collections.abc import Sequence

from bursar.dashboard import charts
from bursar.dashboard.charts import Column
from bursar.dashboard.parts import card, grid, quiet, section, table, tile, tiles
from bursar.dashboard.text import (
    Row,
    count,
    decimal,
    money,
    money_column,
    name,
    nano,
    percent,
    plain_money,
    plural,
    spoken,
    times,
    total,
)
from bursar.model.money import usd

TAIL = (
    ("p50_usd", "Half cost no more than (p50)"),
    ("p95_usd", "19 of 20 cost no more than (p95)"),
    ("p99_usd", "99 of 100 cost no more than (p99)"),
    ("max_usd", "The dearest"),
)
ITERATIONS = (
    ("mean", "Mean"),
    ("p50", "Half made no more than (p50)"),
    ("p95", "19 of 20 made no more than (p95)"),
    ("max", "The most"),
)
MOST_SESSIONS = 3
MOST_STEPS = 48
"""Columns of one session. A longer session is drawn by stretches of steps."""
MOST_CAUSES = 12


def tail(analysis: Row) -> str:
    """How far the dear sessions stand from the typical one, in dollars and in calls."""
    rows, calls = analysis["tail"], analysis["iterations"]
    over = rows["max_over_median"]
    most_nano = nano(rows["max_usd"]) or 0
    costs = money_column(rows[key] for key, _ in TAIL)
    in_dollars = [
        (label + charts.bar((_part(nano(rows[key]), most_nano), "accent")), cost)
        for (key, label), cost in zip(TAIL, costs, strict=True)
    ]
    in_calls = [
        (label + charts.bar((_part(calls[key], calls["max"]), "accent")), decimal(calls[key]))
        for key, label in ITERATIONS
    ]
    said = "" if over is None else f"The dearest session cost {times(over)} the typical one."
    cards = [
        card(
            "Cost per session",
            table("Cost per session", (("Sessions", "name"), ("Cost", "number")), in_dollars),
            quiet(said) if said else "",
        ),
        card(
            "Calls per session",
            table("Calls per session", (("Sessions", "name"), ("Calls", "number")), in_calls),
        ),
    ]
    return section("sessions", "Sessions", grid(*cards), dearest(analysis))


def _part(value: float | None, most: float | None) -> float | None:
    return None if value is None or not most else value / most


def dearest(analysis: Row) -> str:
    """The dearest sessions, step by step, each step cut into its kinds of block."""
    held: Sequence[Row] = analysis.get("top_sessions") or ()
    if not held:
        return ""
    kinds = {
        str(part["kind"]): None for one in held for step in one["steps"] for part in step["parts"]
    }
    legend = "".join(f"<li>{charts.swatch(kind)}{spoken(kind)}</li>" for kind in kinds)
    drawn = "".join(_waterfall(one) for one in held[:MOST_SESSIONS])
    return f'<h3 class="over">The dearest, step by step</h3><ul class="inline">{legend}</ul>{drawn}'


def _waterfall(one: Row) -> str:
    stretches = _stretches(one["steps"])
    most_nano = max((_cost_nano(each) for each in stretches), default=0)
    ticks, top = charts.money_ticks(most_nano)
    route = "" if one.get("route") is None else f" · route {name(one['route'])}"
    head = f"{money(one['cost_usd'])} · {plural(one['calls'] or 0, 'call')}{route}"
    title = f"Cost of each step of a session of {plain_money(one['cost_usd'])}"
    drawn = [_step(each, top) for each in stretches]
    return card(
        name(one["session"]),
        f'<p class="quiet">{head}</p>',
        charts.columns(title, drawn, ticks) if top else quiet("No step has a price."),
    )


def _stretches(steps: Sequence[Row]) -> list[Sequence[Row]]:
    """The steps one by one, or so many at a time that they fit the drawing."""
    size = max(1, -(-len(steps) // MOST_STEPS))
    return [steps[place : place + size] for place in range(0, len(steps), size)]


def _cost_nano(stretch: Sequence[Row]) -> int:
    return sum(nano(step["cost_usd"]) or 0 for step in stretch)


def _step(stretch: Sequence[Row], top_nano: int) -> Column:
    """One column: the dollars of each kind. What no part accounts for is drawn as such."""
    sums: dict[str, int] = {}
    for step in stretch:
        for part in step["parts"]:
            kind = str(part["kind"])
            sums[kind] = sums.get(kind, 0) + (nano(part["cost_usd"]) or 0)
    first, last = stretch[0]["step"], stretch[-1]["step"]
    label = count(first) if first == last else f"{count(first)} to {count(last)}"
    rest = _cost_nano(stretch) - sum(sums.values())
    if rest > 0:
        sums["unseen"] = sums.get("unseen", 0) + rest
    return Column(
        label=f"step {label}",
        title=f"Step {label}: {plain_money(usd(_cost_nano(stretch)))}",
        parts=tuple(
            (cost_nano / top_nano if top_nano else 0.0, charts.look_of(kind))
            for kind, cost_nano in sums.items()
        ),
    )


def cache_and_growth(analysis: Row) -> str:
    """What the provider's prompt cache did, and how much is sent again and again."""
    cache, growth = analysis["cache"], analysis["growth"]
    return section(
        "cache",
        "Cache and growth",
        grid(
            card(
                "Prompt cache of the provider",
                tiles(
                    tile("Tokens read", count(cache["read_tokens"]), "from the cache"),
                    tile("Tokens written", count(cache["write_tokens"]), "to the cache"),
                    tile(
                        "Reads per write",
                        decimal(cache["reads_per_write"]),
                        "tokens read for each token written",
                    ),
                    tile("Of all prompts", percent(cache["read_share"]), "was read from cache"),
                    tile(
                        "Saved",
                        money(cache["saved_usd"]),
                        "against the same prompts without a cache, writes included",
                    ),
                ),
            ),
            card(
                "Growth of the prompts",
                tiles(
                    tile(
                        "Resend factor",
                        times(growth["resend_factor"]),
                        "all prompt tokens for each token of the last prompts",
                    ),
                    tile(
                        "Sent before",
                        percent(growth["repeated_prefix_share"]),
                        "of prompt tokens were in the call before, too",
                    ),
                    tile(
                        "Last over first prompt",
                        times(growth["last_over_first_p50"]),
                        "in the typical session",
                    ),
                ),
            ),
        ),
    )


def retries_and_outcomes(analysis: Row) -> str:
    """What was paid twice, and what the money achieved."""
    outcomes = analysis["outcomes"]
    labelled = outcomes["labelled"]
    said = (
        quiet("No session says how it ended, so nothing can be said about success.")
        if labelled == 0
        else tiles(
            tile("Sessions with an outcome", count(labelled)),
            tile("Success", percent(outcomes["success_rate"]), "of those"),
            tile("Cost per success", money(outcomes["cost_per_success_usd"])),
            tile(
                "Failed spend",
                percent(outcomes["failed_spend_share"]),
                "of their cost went to sessions that failed",
            ),
        )
    )
    return section(
        "retries",
        "Retries and outcomes",
        grid(card("Retries", _retries(analysis["retries"])), card("Outcomes", said)),
    )


def _retries(retries: Row) -> str:
    by_cause = _by(retries["by_cause"], "cause", "Retries by cause", "Cause")
    by_tool = _by(retries["by_tool"], "tool", "Retries by tool", "Tool")
    return (
        tiles(
            tile("Rate", percent(retries["rate"]), "of attempts were retries"),
            tile("Cost", money(retries["cost_usd"]), "paid for them"),
        )
        + by_cause
        + by_tool
    )


def _by(rows: Sequence[Row], key: str, caption: str, heading: str) -> str:
    held = [row for row in rows if row["retries"]]
    if not held or all(row[key] is None for row in held):
        return ""
    shown, rest = held[:MOST_CAUSES], held[MOST_CAUSES:]
    lines = [(name(row[key]), count(row["retries"]), row["cost_usd"]) for row in shown]
    if rest:
        number = sum(row["retries"] for row in rest)
        cost_usd = total(row["cost_usd"] for row in rest)
        lines.append((f"<em>{plural(len(rest), 'other')}</em>", count(number), cost_usd))
    costs = money_column(line[2] for line in lines)
    return table(
        caption,
        ((heading, "name"), ("Retries", "number"), ("Cost", "number")),
        [(label, number, cost) for (label, number, _), cost in zip(lines, costs, strict=True)],
    )
