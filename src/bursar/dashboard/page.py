"""One file of HTML that says what the agents cost: opened from a disk, printed, or sent by mail.

It has no script and loads nothing; its policy forbids both, and allows the one style sheet inside
it by its hash. So a hostile name in a log finds nothing to run, and the page tells nobody that it
was read. The first sheet holds the answer, the rest what it stands on.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from bursar.dashboard import doubts, sessions, spending, summary
from bursar.dashboard.text import NOT_KNOWN, Row, escape, name, plural

CONTENTS = (
    ("suspects", "Suspects"),
    ("anatomy", "Prompts"),
    ("days", "Time"),
    ("where", "Where"),
    ("sessions", "Sessions"),
    ("cache", "Cache"),
    ("retries", "Retries"),
    ("flags", "Flags"),
    ("skipped", "Left out"),
    ("method", "Method"),
)
MOST_SOURCES = 6


def report_page(
    analysis: dict[str, Any], *, title: str, version: str, sources: Sequence[str] = ()
) -> str:
    """The page of one analysis: the dict that `bursar analyze --json` prints.

    `sources` are the files or folders that were read, as the user named them; `version` is that of
    Bursar. The text has no character that UTF-8 cannot hold.
    """
    body = "".join(
        (
            _header(analysis, title, sources),
            "<main>\n",
            summary.headline(analysis),
            summary.notes(analysis),
            summary.in_short(analysis),
            summary.suspects(analysis),
            spending.anatomy(analysis),
            spending.by_day(analysis),
            spending.by_dimension(analysis),
            sessions.tail(analysis),
            sessions.cache_and_growth(analysis),
            sessions.retries_and_outcomes(analysis),
            doubts.flags(analysis),
            doubts.skipped(analysis),
            doubts.method(),
            "</main>\n",
            f"<footer><p>Made by Bursar {escape(version)} from your logs, on your machine."
            " This page loads nothing and runs nothing.</p></footer>",
        )
    )
    style = _style()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


@cache
def _style() -> str:
    return files("bursar.dashboard").joinpath("page.css").read_text(encoding="utf-8")


def _policy(style: str) -> str:
    """Nothing but the style sheet of this page, which is known by its hash."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _header(analysis: Row, title: str, sources: Sequence[str]) -> str:
    links = "".join(f'<li><a href="#{ident}">{label}</a></li>' for ident, label in CONTENTS)
    return (
        f'<header><p class="brand">Bursar</p><h1>{escape(title)}</h1>'
        f'<p class="period">{_period(analysis["period"])}</p>{_sources(sources)}'
        f'<nav aria-label="Contents"><ul class="inline">{links}</ul></nav></header>\n'
    )


def _period(period: Row) -> str:
    first, last, days = period["from"], period["to"], period["days"]
    if first is None and last is None:
        return f"Period: {NOT_KNOWN}"
    traffic = "" if days is None else f" · {plural(days, 'day')} with traffic"
    return f"{_moment(first)} to {_moment(last)} (UTC){traffic}"


def _moment(moment: object) -> str:
    """A moment to the minute; its seconds are in the JSON."""
    if moment is None:
        return NOT_KNOWN
    text = escape(moment)
    return f'<time datetime="{text}">{text[:16].replace("T", " ")}</time>'


def _sources(sources: Sequence[str]) -> str:
    if not sources:
        return ""
    said = ", ".join(name(source) for source in sources[:MOST_SOURCES])
    rest = len(sources) - MOST_SOURCES
    more = f" and {rest:,} more" if rest > 0 else ""
    return f'<p class="sources">From {said}{more}</p>'
