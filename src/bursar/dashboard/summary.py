"""The first sheet: how much, how sure, where to look first.

A reader who stops here has the answer. What follows on the page only shows what it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from bursar.dashboard import charts
from bursar.dashboard.parts import badge, quiet, section, tile, tiles
from bursar.dashboard.text import (
    NOT_KNOWN,
    Row,
    clean,
    count,
    decimal,
    escape,
    money,
    name,
    nano,
    percent,
    plural,
    prose,
    share_of,
    spoken,
    times,
    total,
)

BASES = ("measured", "modelled", "assumed")
PLACES = (("route", "Route"), ("model", "Model"), ("tenant", "Tenant"), ("tool", "Tool"))
MOST_SUSPECTS = 20
SHORT = 48
"""Characters of a name among the answers in short."""
MOST_ITEMS = 8
"""Items of a list of evidence that are shown."""
UNITS = ("_share", "_tokens")


def headline(analysis: Row) -> str:
    """The total, what it is the total of, and what it rests on."""
    totals = analysis["totals"]
    tail = analysis["tail"]
    unpriced = totals["unpriced_attempts"]
    least = (
        '<span class="least">at least</span> '
        if unpriced and totals["cost_usd"] is not None
        else ""
    )
    of_calls = f"{plural(totals['calls'] or 0, 'call')} in"
    under = f"{of_calls} {plural(totals['sessions'] or 0, 'session')}"
    if totals["recorded_cost_usd"] is not None:
        under += f" · the logs themselves recorded {money(totals['recorded_cost_usd'])}"
    total_box = (
        f'<div class="total"><p class="label">Total cost</p>'
        f'<p class="figure">{least}{money(totals["cost_usd"])}</p>'
        f'<p class="note">{under}</p>{_basis(totals)}</div>'
    )
    over = tail["max_over_median"]
    return section(
        "summary",
        "What it cost",
        total_box,
        tiles(
            tile("Typical session, p50", money(tail["p50_usd"]), "half cost no more"),
            tile("1 in 20, p95", money(tail["p95_usd"]), "cost this or more"),
            tile("1 in 100, p99", money(tail["p99_usd"]), "cost this or more"),
            tile(
                "Dearest session",
                money(tail["max_usd"]),
                "" if over is None else f"{times(over)} the typical one",
            ),
            tile("Calls per session", decimal(analysis["iterations"]["mean"]), "on average"),
            tile(
                "Without a price",
                count(unpriced),
                f"of {plural(totals['attempts'] or 0, 'attempt')}; in no sum",
            ),
        ),
    )


def _basis(totals: Row) -> str:
    """How much of the total was measured, and how much was not."""
    held = {base: totals["basis"].get(f"{base}_usd") for base in BASES}
    shown = {base: amount for base, amount in held.items() if amount is not None}
    whole = total(shown.values())
    shares = {base: share_of(amount, whole) or 0.0 for base, amount in shown.items()}
    said = "".join(
        f"<li>{badge(base, base)} {money(amount)}</li>" for base, amount in shown.items()
    )
    drawn = charts.bar(*((share, f"basis-{base}") for base, share in shares.items()))
    return f'<div class="basis">{drawn}<ul class="inline">{said}</ul></div>' if shown else ""


def notes(analysis: Row) -> str:
    """What must be said before any advice."""
    held: Sequence[object] = analysis.get("notes") or ()
    if not held:
        return ""
    said = "".join(f"<li>{prose(note)}</li>" for note in held)
    return (
        '<aside id="notes" class="notes" aria-labelledby="notes-heading">'
        f'<h2 id="notes-heading">Read this first</h2><ul>{said}</ul></aside>\n'
    )


def in_short(analysis: Row) -> str:
    """Four answers: where, made of what, what to look at first, how sure."""
    facts = [
        fact
        for fact in (_where(analysis), _made_of(analysis), _first(analysis), _sure(analysis))
        if fact
    ]
    body = "".join(f"<div><dt>{head}</dt><dd>{said}</dd></div>" for head, said in facts)
    return section("short", "In short", f'<dl class="short">{body}</dl>')


def _where(analysis: Row) -> tuple[str, str]:
    said: list[str] = []
    for dimension, label in PLACES:
        named = [row for row in analysis["by"].get(dimension, ()) if row["key"] is not None]
        top = max(named, key=lambda row: nano(row["cost_usd"]) or 0, default=None)
        if top is not None and nano(top["cost_usd"]):
            said.append(f"{label} {name(top['key'], SHORT)}: {percent(top['share'])}")
    days = [row for row in analysis["by"].get("day", ()) if row["key"] is not None]
    if len(days) > 1:
        top = max(days, key=lambda row: nano(row["cost_usd"]) or 0)
        said.append(f"Dearest day {name(top['key'])}: {money(top['cost_usd'])}")
    return "Where it went", _lines(said) if said else NOT_KNOWN


def _made_of(analysis: Row) -> tuple[str, str]:
    rows: Sequence[Row] = analysis["anatomy"]
    said: list[str] = []
    parts = [row for row in rows if nano(row["cost_usd"])]
    if parts:
        top = max(parts, key=lambda row: nano(row["cost_usd"]) or 0)
        part = percent(share_of(top["cost_usd"], analysis["totals"]["cost_usd"]))
        said.append(f"Largest part: {spoken(top['kind']).lower()}, {part}")
    carried = total(row["carried_usd"] for row in rows)
    if carried is not None:
        part = percent(share_of(carried, analysis["totals"]["cost_usd"]))
        said.append(f"Sent again, not for the first time: {money(carried)} ({part})")
    return "What it is made of", _lines(said) if said else NOT_KNOWN


def _first(analysis: Row) -> tuple[str, str]:
    suspects: Sequence[Row] = analysis["suspects"]
    if not suspects:
        return "What to look at first", "Nothing stands out."
    top = suspects[0]
    said = [
        f'<a href="#suspects">{spoken(top["kind"])}</a> in {name(top["where"], SHORT)}',
        f"{money(top['cost_usd'])}"
        + ("" if top["share"] is None else f" ({percent(top['share'])} of the total)"),
    ]
    return "What to look at first", _lines(said)


def _sure(analysis: Row) -> tuple[str, str]:
    totals = analysis["totals"]
    shares = {
        base: share_of(totals["basis"].get(f"{base}_usd"), totals["cost_usd"]) for base in BASES
    }
    said = [f"{spoken(base)}: {percent(share)}" for base, share in shares.items() if share]
    said = said or [f"What it rests on: {NOT_KNOWN}"]
    flags, skipped = len(analysis["flags"]), len(analysis["skipped"])
    if totals["unpriced_attempts"]:
        said.append(f"{plural(totals['unpriced_attempts'], 'attempt')} without a price")
    said.append(
        f'<a href="#flags">{plural(flags, "flag")}</a>,'
        f' <a href="#skipped">{plural(skipped, "line")} not understood</a>'
    )
    return "How sure this is", _lines(said)


def _lines(said: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{one}</li>" for one in said) + "</ul>"


def suspects(analysis: Row) -> str:
    """The ranked suspects: dollars, evidence, mend, basis."""
    held: Sequence[Row] = analysis["suspects"]
    if not held:
        return section("suspects", "What to look at first", quiet("Nothing stands out."))
    most = max((nano(one["cost_usd"]) or 0 for one in held), default=0)
    cards = "".join(_suspect(one, most) for one in held[:MOST_SUSPECTS])
    rest = len(held) - MOST_SUSPECTS
    more = quiet(f"{plural(rest, 'smaller suspect')} in the JSON.") if rest > 0 else ""
    return section(
        "suspects",
        "What to look at first",
        f'<ol class="suspects">{cards}</ol>',
        more,
        lead="Ranked by dollars. Suspects may overlap, so their dollars do not add up.",
    )


def _suspect(one: Row, most_nano: int) -> str:
    cost_nano = nano(one["cost_usd"])
    length = cost_nano / most_nano if cost_nano and most_nano else None
    facts = _facts_of(one["evidence"])
    meaning = facts.pop("dollars", None)
    notes = [] if one["share"] is None else [f"{percent(one['share'])} of the total"]
    notes += [] if meaning is None else [_value(meaning)]
    return (
        '<li class="card suspect"><div class="head">'
        f'<h3><span class="rank">{escape(one["rank"] or "?")}</span> {spoken(one["kind"])}'
        f" <code>{escape(one['kind'])}</code></h3>"
        f'<p class="cost"><span class="figure">{money(one["cost_usd"])}</span>'
        f' <span class="note">{", ".join(notes)}</span></p></div>'
        f"{charts.bar((length, 'accent'))}"
        f'<dl class="facts">{_fact_row("Where", name(one["where"]))}'
        f"{_fact_row('Evidence', _evidence(facts))}"
        f"{_fact_row('Mend', _mend(one['mend']))}"
        f"{_fact_row('Basis', _basis_badge(one['basis']))}</dl></li>"
    )


def _fact_row(term: str, said: str) -> str:
    return f"<div><dt>{term}</dt><dd>{said}</dd></div>"


def _mend(mend: object) -> str:
    return NOT_KNOWN if mend is None else f'<span class="mend">{prose(mend)}</span>'


def _basis_badge(basis: object) -> str:
    return (
        NOT_KNOWN if basis is None else badge(escape(basis), str(basis) if basis in BASES else "")
    )


def _facts_of(evidence: object) -> dict[str, Any]:
    """Evidence by name; a bare sentence is its `text`."""
    if isinstance(evidence, Mapping):
        return {str(key): held for key, held in cast("Mapping[Any, Any]", evidence).items()}
    return {} if evidence is None else {"text": evidence}


def _evidence(facts: dict[str, Any]) -> str:
    """The sentence of the evidence, then its further facts side by side."""
    text = facts.pop("text", None)
    said = (
        "" if text is None else f"<p>{prose(text) if isinstance(text, str) else _value(text)}</p>"
    )
    rest = "".join(
        f"<li><span>{_heading(key)}</span> {_fact(key, value)}</li>" for key, value in facts.items()
    )
    return said + (f'<ul class="evidence">{rest}</ul>' if rest else "") or NOT_KNOWN


def _heading(key: str) -> str:
    """A name without the unit that its value is shown with; money says that it is a cost."""
    for unit in UNITS:
        key = key.removesuffix(unit)
    if key.endswith("_usd"):
        key = key.removesuffix("_usd")
        key += "" if key.endswith("cost") else "_cost"
    return spoken(key)


def _fact(key: str, value: object) -> str:
    """One value, read by the unit that ends its name."""
    if key.endswith("_usd") and isinstance(value, str):
        return money(value)
    if key.endswith("_share") and isinstance(value, int | float):
        return percent(value)
    if key.endswith("_tokens") and isinstance(value, int):
        return f"{count(value)} tokens"
    return _value(value)


def _value(value: object) -> str:
    """Any value of JSON in words: a list by its items, an object by its names."""
    if value is None:
        return NOT_KNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return decimal(value)
    if isinstance(value, Mapping):
        items = list(cast("Mapping[Any, Any]", value).items())
        said = [
            f"{_heading(str(key)).lower()} {_fact(str(key), held)}"
            for key, held in items[:MOST_ITEMS]
        ]
        return ", ".join(said) + _more(len(items)) or NOT_KNOWN
    if isinstance(value, Sequence) and not isinstance(value, str):
        held = list(cast("Sequence[Any]", value))
        return ", ".join(_value(one) for one in held[:MOST_ITEMS]) + _more(len(held)) or NOT_KNOWN
    text = clean(value)
    return f"<bdi>{escape(text)}</bdi>" if text else NOT_KNOWN


def _more(number: int) -> str:
    return f" and {number - MOST_ITEMS:,} more" if number > MOST_ITEMS else ""
