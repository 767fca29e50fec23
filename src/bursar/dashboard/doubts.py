"""What may be wrong, what was left out, and what each figure means."""

from __future__ import annotations

from collections.abc import Sequence

from bursar.dashboard.parts import badge, card, quiet, section, table
from bursar.dashboard.text import Row, count, escape, name, plural, prose, spoken

MOST_FLAGS = 100
MOST_SKIPPED = 200
LONGEST_WHAT = 360
LONGEST_REASON = 200

BASES = (
    ("measured", "from usage that the provider reported and a price that is listed."),
    ("modelled", "from tokens that were estimated, or from what a change would have done."),
    ("assumed", "rests on an assumption, which is named beside it."),
)
DEFINITIONS = (
    (
        "Dollars",
        "Usage times the price in force when the call was made, in whole billionths of a dollar,"
        " rounded once for each attempt. Small digits are part of the exact amount.",
    ),
    (
        "Call, attempt, session",
        "A call is one answer asked of a model. An attempt is one try at it that may be billed;"
        " a retry is an attempt after the first. A session is one run of an agent: its calls.",
    ),
    (
        "Share of prompts",
        "The tokens of a kind, summed over all prompts, of all prompt tokens. Output is no part of"
        " a prompt, so it has dollars but no share.",
    ),
    (
        "Sent first, sent again",
        "The dollars of a block in the call that first carried it, and in all later calls of its"
        " session that carried it again. The costs of all kinds add up to the total exactly.",
    ),
    (
        "Resend factor",
        "All prompt tokens, divided by the sum over sessions of the tokens of the last prompt.",
    ),
    (
        "Sent before",
        "Prompt tokens that the call before in the same session had sent already, of all prompt"
        " tokens.",
    ),
    ("Percentiles", "The nearest rank: a cost or a count that a real session had."),
    (
        "Not known",
        "The logs do not say it, and Bursar does not guess. It is never counted as nought. An"
        " attempt without a price is in no sum of dollars.",
    ),
)


def flags(analysis: Row) -> str:
    """Signs that the logs themselves are wrong or incomplete."""
    held: Sequence[Row] = analysis["flags"]
    heading = "Flags: numbers to doubt"
    if not held:
        return section("flags", heading, quiet("No contradiction was found in the logs."))
    rows = [
        (
            f"{spoken(one['kind'])} <code>{escape(one['kind'])}</code>",
            name(one["where"]),
            prose(one["what"], LONGEST_WHAT),
        )
        for one in held[:MOST_FLAGS]
    ]
    columns = (("Flag", "name"), ("Where", "words"), ("What", "words"))
    listed = table("Flags", columns, rows, "stack")
    return section("flags", heading, card("", listed, _more(len(held), MOST_FLAGS), long=True))


def skipped(analysis: Row) -> str:
    """Lines that were not understood, and so are in no figure of this page."""
    held: Sequence[Row] = analysis["skipped"]
    heading = "Not understood"
    if not held:
        return section("skipped", heading, quiet("Every line was understood."))
    rows = [
        (name(one["file"]), count(one["line"]), prose(one["reason"], LONGEST_REASON))
        for one in held[:MOST_SKIPPED]
    ]
    columns = (("File", "name"), ("Line", "number"), ("Reason", "words"))
    return section(
        "skipped",
        heading,
        card(
            "",
            table("Lines left out", columns, rows, "stack"),
            _more(len(held), MOST_SKIPPED),
            long=True,
        ),
        lead=f"{plural(len(held), 'line')} left out. They are in no figure of this page.",
    )


def _more(number: int, shown: int) -> str:
    if number <= shown:
        return ""
    return quiet(
        f"The first {shown:,} of {number:,}. <code>bursar analyze --json</code> lists them all."
    )


def method() -> str:
    """What each figure means."""
    bases = "".join(
        f"<div><dt>{badge(base, base)}</dt><dd>{what}</dd></div>" for base, what in BASES
    )
    terms = "".join(f"<div><dt>{term}</dt><dd>{what}</dd></div>" for term, what in DEFINITIONS)
    return section(
        "method",
        "How to read this",
        f'<dl class="terms">{terms}</dl><h3>What a figure rests on</h3>'
        f'<dl class="terms">{bases}</dl>',
    )
