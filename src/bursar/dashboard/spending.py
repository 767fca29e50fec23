"""Where the money went: by kind of block, by day, by every dimension of the calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from bursar.dashboard import charts
from bursar.dashboard.charts import Column, Part
from bursar.dashboard.parts import card, folded, pile, quiet, section, table, tile, tiles
from bursar.dashboard.text import (
    NO_SHARE,
    Row,
    count,
    money,
    money_column,
    name,
    nano,
    percent,
    plain_money,
    plural,
    share_of,
    spoken,
    total,
)
from bursar.model.block import Kind

SHOWN = 12
"""Rows of a dimension by name; the rest is one row, so that the table still adds up."""
MOST_COLUMNS = 92
"""Columns of the chart by day. A longer time is drawn by week, month or year."""
MOST_DAYS = 100
"""Rows of the folded table of days: the last ones."""
DIMENSIONS = (
    ("model", "Models"),
    ("route", "Routes"),
    ("provider", "Providers"),
    ("tool", "Tools"),
    ("tenant", "Tenants"),
)
METERS = (
    ("input", "Input, not cached"),
    ("cache_read", "Read from cache"),
    ("cache_write_5m", "Written to cache for 5 minutes"),
    ("cache_write_1h", "Written to cache for 1 hour"),
    ("output", "Output"),
    ("reasoning", "Reasoning"),
)
WHAT_KINDS_ARE = {
    Kind.SYSTEM: "instructions",
    Kind.TOOLS: "tool specifications",
    Kind.HISTORY: "what the model said before",
    Kind.RAG: "retrieved documents",
    Kind.USER: "what people said",
    Kind.TOOL_RESULT: "what tools answered",
    Kind.OUTPUT: "what the model produced",
    Kind.UNSEEN: "counted by the provider, not in the logs",
}
GRAINS: tuple[tuple[str, Callable[[date], date]], ...] = (
    ("day", lambda day: day),
    ("week", lambda day: day - timedelta(days=day.weekday())),
    ("month", lambda day: day.replace(day=1)),
    ("year", lambda day: day.replace(month=1, day=1)),
)


def anatomy(analysis: Row) -> str:
    """What the prompts, and the dollars, are made of."""
    rows: Sequence[Row] = analysis["anatomy"]
    heading = "What the prompts are made of"
    if not rows:
        return section("anatomy", heading, quiet("No prompt was seen."), _meters(analysis))
    whole = total(row["cost_usd"] for row in rows)
    by_tokens = [
        Part(
            share=row["share"],
            title=f"{spoken(row['kind'])}: {percent(row['share'])} of prompt tokens",
            look=charts.look_of(row["kind"]),
        )
        for row in rows
        if row["share"]
    ]
    by_dollars = [
        Part(
            share=share_of(row["cost_usd"], whole) or 0.0,
            title=f"{spoken(row['kind'])}: {plain_money(row['cost_usd'])}",
            look=charts.look_of(row["kind"]),
        )
        for row in rows
    ]
    bars = ""
    if by_tokens:
        bars += '<p class="label">Prompt tokens</p>'
        bars += charts.stacked(_in_words("Prompt tokens by kind", by_tokens), by_tokens)
    if any(part.share > 0 for part in by_dollars):
        bars += '<p class="label">Dollars, output included</p>'
        bars += charts.stacked(_in_words("Dollars by kind", by_dollars), by_dollars)
    return section(
        "anatomy",
        heading,
        card("", bars) if bars else "",
        card("", _kinds(rows)),
        _meters(analysis),
        lead="Every block of a prompt carries the dollars of the call that first sent it, and of"
        " every later call that sent it again.",
    )


def _in_words(subject: str, parts: Sequence[Part]) -> str:
    return f"{subject}. " + "; ".join(part.title for part in parts if part.share > 0)


def _kinds(rows: Sequence[Row]) -> str:
    """Kind by kind: solid is what was sent for the first time, pale what was sent again."""
    most = max((nano(row["cost_usd"]) or 0 for row in rows), default=0)
    cells = zip(
        rows,
        money_column(row["cost_usd"] for row in rows),
        money_column(row["fresh_usd"] for row in rows),
        money_column(row["carried_usd"] for row in rows),
        strict=True,
    )
    body = [
        (
            f"{charts.swatch(row['kind'])}{spoken(row['kind'])}{_what(row['kind'])}"
            f"{_fresh_and_carried(row, most)}",
            cost,
            fresh,
            carried,
            count(row["tokens"]),
            NO_SHARE if row["kind"] == Kind.OUTPUT else percent(row["share"]),
        )
        for row, cost, fresh, carried in cells
    ]
    return table(
        "What the prompts are made of, by kind of block",
        (
            ("Kind", "name"),
            ("Cost", "number"),
            ("Sent first", "number"),
            ("Sent again", "number"),
            ("Tokens", "number"),
            ("Of prompts", "number"),
        ),
        body,
        "by",
    ) + quiet("Solid bars: sent for the first time. Pale bars: sent again by later calls.")


def _what(kind: str) -> str:
    said = {str(known): what for known, what in WHAT_KINDS_ARE.items()}.get(kind)
    return f' <span class="note">{said}</span>' if said else ""


def _fresh_and_carried(row: Row, most_nano: int) -> str:
    look = charts.look_of(row["kind"])
    fresh, carried = nano(row["fresh_usd"]), nano(row["carried_usd"])
    if not most_nano:
        return charts.bar()
    return charts.bar(
        (None if fresh is None else fresh / most_nano, look),
        (None if carried is None else carried / most_nano, f"{look} pale"),
    )


def _meters(analysis: Row) -> str:
    """Tokens as the providers billed them."""
    usage = analysis["totals"]["usage"]
    held = [tile(label, count(usage.get(meter))) for meter, label in METERS]
    other: dict[str, int] = usage.get("other") or {}
    held += [tile(spoken(unit), count(number)) for unit, number in sorted(other.items())[:SHOWN]]
    return card(
        "What the providers counted, in tokens",
        tiles(*held),
        quiet("The meters do not overlap: each token is counted in one of them only."),
    )


def by_day(analysis: Row) -> str:
    """One column for each day, or for each longer stretch of a longer time."""
    rows: Sequence[Row] = analysis["by"].get("day", ())
    dated = [(day, row) for row in rows if (day := _day(row["key"])) is not None]
    undated = [row for row in rows if _day(row["key"]) is None]
    said = ""
    if undated:
        calls = sum(row["calls"] or 0 for row in undated)
        amount = money(total(row["cost_usd"] for row in undated))
        said = quiet(f"{plural(calls, 'call')} with no date: {amount}. They are in no column.")
    if not dated:
        return section("days", "Spend by day", quiet("No call says when it was made."), said)
    dated.sort(key=lambda pair: pair[0])
    grain, held = stretches(dated)
    ticks, top = charts.money_ticks(max(nano(total(each)) or 0 for _, each in held))
    drawn = [
        Column(
            label=start.isoformat(),
            title=f"{start.isoformat()}: {plain_money(total(each))}",
            parts=(((nano(total(each)) or 0) / top if top else 0.0, "accent"),),
        )
        for start, each in held
    ]
    if len(held) == 1:
        only = f"All of it in one {grain}, {held[0][0]}: {money(total(held[0][1]))}."
        return section("days", f"Spend by {grain}", quiet(only), said)
    title = (
        f"Spend by {grain} from {dated[0][0]} to {dated[-1][0]},"
        f" {plain_money(total(row['cost_usd'] for _, row in dated))} in all"
    )
    last = dated[-MOST_DAYS:]
    costs = money_column(row["cost_usd"] for _, row in last)
    listed = table(
        "Spend by day",
        (("Day", "name"), ("Cost", "number"), ("Share", "number"), ("Calls", "number")),
        [
            (day.isoformat(), cost, percent(row["share"]), count(row["calls"]))
            for (day, row), cost in zip(last, costs, strict=True)
        ],
        "by",
    )
    return section(
        "days",
        f"Spend by {grain}",
        card(
            "",
            charts.columns(title, drawn, ticks),
            folded(_days_listed(len(last), len(dated)), listed),
        ),
        said,
    )


def _days_listed(shown: int, held: int) -> str:
    return "The days as a table" if shown == held else f"The last {shown:,} days as a table"


def _day(key: object) -> date | None:
    try:
        return date.fromisoformat(str(key))
    except ValueError:
        return None


def stretches(dated: Sequence[tuple[date, Row]]) -> tuple[str, list[tuple[date, list[object]]]]:
    """The finest grain whose columns fit, and each stretch of it with its costs, gaps included."""
    grain, held = "", dict[date, list[object]]()
    for grain, start_of in GRAINS:
        first, last = start_of(dated[0][0]), start_of(dated[-1][0])
        held = {first: list[object]()}
        day = first
        while day < last and len(held) <= MOST_COLUMNS:
            day = _next(grain, day)
            held[day] = []
        if len(held) <= MOST_COLUMNS or grain == "year":
            for each, row in dated:
                held.setdefault(start_of(each), []).append(row["cost_usd"])
            break
    return grain, sorted(held.items())


def _next(grain: str, day: date) -> date:
    if grain == "year":
        return date(day.year + 1, 1, 1)
    if grain == "month":
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return day + timedelta(days=7 if grain == "week" else 1)


def by_dimension(analysis: Row) -> str:
    """A card for each of model, route, tenant, provider and tool."""
    cards: list[str] = []
    unnamed: list[str] = []
    for dimension, heading in DIMENSIONS:
        rows = analysis["by"].get(dimension, ())
        if all(row["key"] is None for row in rows):
            unnamed.append(dimension)
        else:
            cards.append(_card(dimension, heading, rows))
    lead = "In each table the bars are drawn against its largest amount." if cards else ""
    said = quiet(f"No call names its {', its '.join(unnamed)}.") if unnamed else ""
    return section("where", "Where it went", pile(*cards) if cards else "", said, lead=lead)


def _card(dimension: str, heading: str, rows: Sequence[Row]) -> str:
    ranked = sorted(rows, key=lambda row: -(nano(row["cost_usd"]) or 0))
    shown, rest = ranked[:SHOWN], ranked[SHOWN:]
    if len(rest) == 1:
        shown, rest = ranked, []
    whole = total(row["cost_usd"] for row in rows)
    most = max((nano(row["cost_usd"]) or 0 for row in shown), default=0)
    labels = [name(row["key"]) + _length(nano(row["cost_usd"]), most) for row in shown]
    amounts = [row["cost_usd"] for row in shown]
    calls = [row["calls"] for row in shown]
    if rest:
        labels.append(f"<em>{plural(len(rest), 'other')}</em>")
        amounts.append(total(row["cost_usd"] for row in rest))
        calls.append(sum(row["calls"] or 0 for row in rest))
    body = [
        (label, cost, percent(share_of(amount, whole)), count(number))
        for label, amount, cost, number in zip(
            labels, amounts, money_column(amounts), calls, strict=True
        )
    ]
    heads = ((dimension.capitalize(), "name"), ("Cost", "number"), ("Share", "number"))
    columns = (*heads, ("Calls", "number"))
    return card(heading, table(f"Cost by {dimension}", columns, body, "by"))


def _length(cost_nano: int | None, most_nano: int) -> str:
    return charts.bar((cost_nano / most_nano if cost_nano and most_nano else None, "accent"))
