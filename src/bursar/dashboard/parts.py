"""The few pieces that every section is built from: sections, cards, tables, tiles, badges.

All take finished HTML, made by `text` or by each other; none takes a raw value but a heading or
caption, which are written in this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Column = tuple[str, str]
"""A heading, and how the cells below it stand: "name", "number" or "words"."""


def section(ident: str, heading: str, *body: str, lead: str = "") -> str:
    """One part of the page, with its place in the contents."""
    said = f'<p class="lead">{lead}</p>' if lead else ""
    return (
        f'<section id="{ident}" aria-labelledby="{ident}-heading">'
        f'<h2 id="{ident}-heading">{heading}</h2>{said}{"".join(body)}</section>\n'
    )


def card(heading: str, *body: str, long: bool = False) -> str:
    """A box with a heading. A long one may run over to the next sheet of paper."""
    classes = "card" + (" long" if long else "")
    said = f"<h3>{heading}</h3>" if heading else ""
    return f'<div class="{classes}">{said}{"".join(body)}</div>'


def grid(*cards: str) -> str:
    return f'<div class="grid">{"".join(cards)}</div>'


def pile(*cards: str) -> str:
    """Cards of unlike heights, one below the other in as many columns as there is room for."""
    return f'<div class="pile">{"".join(cards)}</div>'


def quiet(text: str) -> str:
    """A sentence that explains, or says that there is nothing."""
    return f'<p class="quiet">{text}</p>'


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], phone: str = ""
) -> str:
    """A table in a box of its own, which scrolls where the screen is narrower than the table.

    `phone` says how it flows on a narrow screen instead: "by" sets the cells in rows of three below
    the name, "stack" each below the other. The roles keep it a table for those who listen.
    """
    said = _ROLES if phone else _NO_ROLES
    heads = "".join(
        f'<th scope="col"{said["head"]} class="{how}">{head}</th>' for head, how in columns
    )
    body = "".join(_row(columns, row, said) for row in rows)
    return (
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0">'
        f'<table{said["table"]} class="{phone or "plain"}">'
        f'<caption class="hidden">{caption}</caption>'
        f"<thead{said['group']}><tr{said['row']}>{heads}</tr></thead>"
        f"<tbody{said['group']}>{body}</tbody></table></div>"
    )


_NAMES = {
    "table": "table",
    "group": "rowgroup",
    "row": "row",
    "head": "columnheader",
    "name": "rowheader",
    "cell": "cell",
}
_ROLES = {part: f' role="{role}"' for part, role in _NAMES.items()}
_NO_ROLES = dict.fromkeys(_NAMES, "")


def _row(columns: Sequence[Column], cells: Sequence[str], said: Mapping[str, str]) -> str:
    first, *rest = cells
    others = "".join(
        f'<td{said["cell"]} class="{how}">{cell}</td>'
        for (_, how), cell in zip(columns[1:], rest, strict=True)
    )
    head = f'<th scope="row"{said["name"]} class="{columns[0][1]}">{first}</th>'
    return f"<tr{said['row']}>{head}{others}</tr>"


def tile(label: str, value: str, note: str = "") -> str:
    """One figure with what it is, and what it rests on."""
    under = f'<dd class="note">{note}</dd>' if note else ""
    return f'<div class="tile"><dt>{label}</dt><dd class="figure">{value}</dd>{under}</div>'


def tiles(*each: str) -> str:
    return f'<dl class="tiles">{"".join(each)}</dl>'


def badge(text: str, kind: str = "") -> str:
    return f'<span class="badge{" " + kind if kind else ""}">{text}</span>'


def folded(summary: str, body: str) -> str:
    """Detail that a reader may open; on paper it stays folded unless it was open."""
    return f"<details><summary>{summary}</summary>{body}</details>"
