"""Charts as SVG text: pure functions from shares of one to rectangles.

Every length is a percentage of the drawing's own width, so that a chart fits a phone, a screen and
a sheet of paper without a script, and its letters keep their size. Nothing carries a style of its
own: a class names what a shape is, and the style sheet gives it a colour. A chart is an image with
a title that says in words what it shows; the bars inside a table only repeat the figure beside
them, and are hidden from those who listen.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from bursar.dashboard.text import escape
from bursar.model.block import Kind
from bursar.model.money import NANO_PER_USD

PLOT_HEIGHT = 150
"""Pixels between the ground line and the highest tick."""
ABOVE = 18
BELOW = 24
FEWEST_SLOTS = 10
"""A chart of fewer columns leaves room free rather than draw walls."""
CENT = Decimal("0.01")
LEAST_WRITTEN_OUT = Decimal("0.0001")
"""Dollars below which an axis counts in powers of ten, for want of room."""
LABELLED = 0.09
"""The least share of a stacked bar that has room for its percentage on a phone."""

KIND_CLASSES = {kind.value: f"k-{kind.value.replace('_', '-')}" for kind in Kind}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a bar."""

    share: float
    """Of the whole bar: 0 to 1."""
    title: str
    """What a pointer resting on it reads; HTML already escaped."""
    look: str
    """Its class."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: what it stands for, and its pieces from the ground up."""

    label: str
    title: str
    parts: tuple[tuple[float, str], ...]
    """(share of the plot's height, look)."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """A line across the plot."""

    share: float
    label: str


def look_of(kind: object) -> str:
    """The class of a kind of block. One that this version does not know is drawn as unseen is."""
    return KIND_CLASSES.get(str(kind), "k-other")


def percentage(share: float) -> str:
    """A length: between nothing and everything, whatever came in."""
    return f"{min(max(share, 0.0), 1.0) * 100:.2f}".rstrip("0").rstrip(".") + "%"


def swatch(kind: object) -> str:
    """The colour of a kind, to stand before its name."""
    return (
        '<svg class="swatch" width="12" height="12" aria-hidden="true">'
        f'<rect width="12" height="12" rx="2" class="{look_of(kind)}"/></svg>'
    )


def bar(*shares: tuple[float | None, str]) -> str:
    """A thin bar inside a table: pieces of one length, each with its class."""
    pieces: list[str] = []
    start = 0.0
    for share, look in shares:
        if share is None or share <= 0:
            continue
        least = max(share, 0.004)
        pieces.append(
            f'<rect x="{percentage(start)}" width="{percentage(least)}" height="8" class="{look}"/>'
        )
        start += share
    return (
        '<svg class="bar" width="100%" height="8" aria-hidden="true">'
        f'<rect width="100%" height="8" class="track"/>{"".join(pieces)}</svg>'
    )


def stacked(title: str, parts: Sequence[Part]) -> str:
    """One thick bar cut into its parts, with percentages where there is room for them."""
    pieces: list[str] = []
    start = 0.0
    for part in parts:
        if part.share <= 0:
            continue
        pieces.append(
            f'<g><title>{part.title}</title><rect x="{percentage(start)}" y="0"'
            f' width="{percentage(part.share)}" height="36" class="seam {part.look}"/>'
        )
        if part.share >= LABELLED:
            pieces.append(
                f'<text x="{percentage(start + part.share / 2)}" y="23" text-anchor="middle"'
                f' class="on-{part.look}">{part.share * 100:.0f}%</text>'
            )
        pieces.append("</g>")
        start += part.share
    return _image("stacked", title, 36, "".join(pieces))


def columns(title: str, held: Sequence[Column], ticks: Sequence[Tick] = ()) -> str:
    """Columns side by side over a ground line; the first, middle and last carry their labels.

    The axis is a drawing of its own with a width in pixels, so that its letters never cover the
    columns, whatever the width of the rest.
    """
    slots = max(len(held), FEWEST_SLOTS)
    ground = ABOVE + PLOT_HEIGHT
    levels = [(ground - tick.share * PLOT_HEIGHT, tick.label) for tick in ticks]
    pieces = [
        f'<line x1="0" x2="100%" y1="{level:.1f}" y2="{level:.1f}" class="tick"/>'
        for level, _ in levels
    ]
    for place, column in enumerate(held):
        pieces.append(_column(column, place / slots, 1 / slots, ground))
    pieces.append(f'<line x1="0" x2="100%" y1="{ground}" y2="{ground}" class="ground"/>')
    named = sorted({0, len(held) // 2, len(held) - 1}) if held else []
    pieces += [_label(held[place].label, place, len(held), slots) for place in named]
    marks = "".join(
        f'<text x="100%" y="{level + 4:.1f}" text-anchor="end" class="axis">{label}</text>'
        for level, label in [*levels, (ground, "0")]
    )
    return (
        f'<div class="chart"><svg class="scale" width="52" height="{ground + BELOW}"'
        f' aria-hidden="true">{marks}</svg>'
        f"{_image('columns', title, ground + BELOW, ''.join(pieces))}</div>"
    )


def _column(column: Column, start: float, width: float, ground: int) -> str:
    gap = width * 0.12
    place = f'x="{percentage(start + gap)}" width="{percentage(width - 2 * gap)}"'
    pieces: list[str] = []
    level = float(ground)
    for share, look in column.parts:
        if share > 0:
            height = max(share * PLOT_HEIGHT, 1.0)
            level -= height
            pieces.append(f'<rect {place} y="{level:.1f}" height="{height:.1f}" class="{look}"/>')
    return f"<g><title>{column.title}</title>{''.join(pieces)}</g>" if pieces else ""


def _label(label: str, place: int, held: int, slots: int) -> str:
    if place == 0:
        anchor, share = "start", 0.0
    elif place == held - 1 and held == slots:
        anchor, share = "end", 1.0
    else:
        anchor, share = "middle", (place + 0.5) / slots
    y = ABOVE + PLOT_HEIGHT + 17
    return (
        f'<text x="{percentage(share)}" y="{y}" text-anchor="{anchor}" class="axis">'
        f"{escape(label)}</text>"
    )


def _image(look: str, title: str, height: int, body: str) -> str:
    return (
        f'<svg class="{look}" role="img" aria-label="{title}" width="100%" height="{height}">'
        f"<title>{title}</title>{body}</svg>"
    )


def round_ticks(highest: int) -> list[int]:
    """Two to four round numbers, the last at or above `highest`: what an axis is marked with."""
    if highest <= 0:
        return []
    size = 10 ** (len(str(highest)) - 1)
    for step in (size // 2 or 1, size, 2 * size, 5 * size):
        lines = -(-highest // step)
        if lines <= 4:
            break
    return [step * line for line in range(1, lines + 1)]


def money_ticks(highest_nano: int) -> tuple[list[Tick], int]:
    """The lines of an axis in dollars, and what the full height stands for."""
    marks = round_ticks(highest_nano)
    top = marks[-1] if marks else 0
    dollars = [Decimal(mark) / NANO_PER_USD for mark in marks]
    in_cents = any(one % 1 for one in dollars) and not any(one % CENT for one in dollars)
    labels = [f"${one:.2f}" if in_cents else _short_dollars(one) for one in dollars]
    return [
        Tick(share=mark / top, label=said) for mark, said in zip(marks, labels, strict=True)
    ], top


def _short_dollars(dollars: Decimal) -> str:
    for size, unit in ((10**9, "bn"), (10**6, "m"), (10**3, "k")):
        if dollars >= size:
            return f"${(dollars / size).normalize():f}{unit}"
    if 0 < dollars < LEAST_WRITTEN_OUT:
        return f"${dollars.normalize():E}".replace("E", "e")
    return f"${dollars.normalize():f}"
