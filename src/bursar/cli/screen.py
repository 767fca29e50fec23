"""The bill on a terminal: plain tables, the same figures as the JSON, nothing hidden.

Money is printed from exact decimal strings, rounded for reading only where a column says so; what
is not known prints as a dash, never as zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bursar.advisor.analysis import Analysis
from bursar.intake.importing import Imported

UNKNOWN = "-"
BAR = 24
ABSENT = {"tool": "(no tool)"}
"""What a missing key means where it does not mean that nobody knows."""
PIPED_WIDTH = 120
SMALL_DIGITS = 2
"""Digits of an amount below a cent."""
LISTED = 8
LISTED_SKIPS = 10
STEERING = (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F))
CONTROL = dict.fromkeys((*STEERING, *range(0x2066, 0x206A)), "\ufffd")
"""Codes that steer a terminal or turn the direction of writing -> what is printed instead."""
Row = dict[str, Any]


def safe(value: object) -> str:
    """A text from a log as it may be printed: one line without control codes."""
    return str(value).translate(CONTROL).replace("\n", " ").replace("\t", " ")


def plain(value: object) -> str:
    """The same inside of markup."""
    return escape(safe(value))


def money(amount: str | None) -> str:
    """Dollars with as many places as are worth reading."""
    if amount is None:
        return UNKNOWN
    exact = Decimal(amount)
    if exact == 0:
        return "$0"
    if abs(exact) >= 100:
        return f"${exact.quantize(Decimal('0.01'), rounding=ROUND_HALF_EVEN):,f}"
    if abs(exact) >= Decimal("0.01"):
        return f"${exact.quantize(Decimal('0.0001'), rounding=ROUND_HALF_EVEN):,f}"
    return f"${exact.normalize(Context(prec=SMALL_DIGITS)):f}"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share * 100:.1f} %"


def number(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def bar(share: float | None) -> str:
    return "█" * round((share or 0) * BAR)


class Screen:
    """Prints; decides nothing."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, emoji=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, emoji=False, width=PIPED_WIDTH)

    def line(self, text: str = "") -> None:
        self.console.print(safe(text), markup=False, soft_wrap=True)

    def heading(self, text: str) -> None:
        self.console.print(f"\n[bold]{plain(text)}[/bold]")

    def table(self, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[object]]) -> None:
        """`columns`: (title, "left" or "right")."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title, side in columns:
            table.add_column(title, justify="right" if side == "right" else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(safe(UNKNOWN if cell is None else cell)) for cell in row))
        self.console.print(table)

    # -- an import

    def imported(self, done: Imported) -> None:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(done.formats.items()))
        self.line(
            f"Read {done.files} files ({kinds or 'none recognised'}): {done.entries:,} calls,"
            f" {done.added:,} new."
        )
        if done.skips:
            self.line(f"{len(done.skips)} places were not understood:")
            for skip in done.skips[:LISTED_SKIPS]:
                place = f"{skip.file}:{skip.line}" if skip.line else skip.file
                self.line(f"  {place}: {skip.reason}")
            if len(done.skips) > LISTED_SKIPS:
                self.line(f"  ... and {len(done.skips) - LISTED_SKIPS} more (--json lists all)")

    # -- the analysis

    def analysis(self, found: Analysis) -> None:
        self._head(found)
        if not found.totals["attempts"]:
            return
        self.suspects(found.suspects)
        self.anatomy(found.anatomy)
        for name in ("route", "model", "tenant", "tool", "day"):
            rows = found.by[name]
            if len(rows) > 1 or (rows and rows[0]["key"] is not None):
                self.spend(name, rows)
        self._sessions(found)
        self.flags(found.flags)

    def _head(self, found: Analysis) -> None:
        totals, period = found.totals, found.period
        cost = "No price" if totals["cost_usd"] is None else money(totals["cost_usd"])
        self.heading(f"{cost} for {number(totals['calls'])} calls")
        if period["from"]:
            days = "day" if period["days"] == 1 else "days"
            self.line(f"{period['from']} to {period['to']}, {period['days']} {days} with traffic")
        basis = totals["basis"]
        self.line(
            f"measured {money(basis['measured_usd'])}, modelled {money(basis['modelled_usd'])},"
            f" unpriced attempts {totals['unpriced_attempts']}"
        )
        if totals["recorded_cost_usd"] is not None:
            self.line(f"the logs themselves recorded {money(totals['recorded_cost_usd'])}")
        for note in found.notes:
            self.console.print(f"[yellow]![/yellow] {plain(note)}", soft_wrap=True)

    def suspects(self, suspects: Sequence[Row]) -> None:
        self.heading("What to look at first")
        if not suspects:
            self.line("Nothing stands out.")
        for one in suspects:
            self.console.print(
                f"[bold]{one['rank']}. {plain(one['kind'])}[/bold]  {plain(one['where'])}  "
                f"[bold]{money(one['cost_usd'])}[/bold] ({percent(one['share'])},"
                f" {plain(one['basis'])})"
            )
            text = one["evidence"].get("text")
            if text:
                self.line(f"   {text}")
            self.line(f"   -> {one['mend']}")

    def anatomy(self, rows: Sequence[Row]) -> None:
        self.heading("What the calls are made of")
        self.table(
            [
                ("kind", "left"),
                ("tokens", "right"),
                ("of prompt", "right"),
                ("cost", "right"),
                ("sent first", "right"),
                ("sent again", "right"),
            ],
            (
                (
                    row["kind"],
                    number(row["tokens"]),
                    percent(row["share"]),
                    money(row["cost_usd"]),
                    money(row["fresh_usd"]),
                    money(row["carried_usd"]),
                )
                for row in rows
            ),
        )

    def spend(self, name: str, rows: Sequence[Row]) -> None:
        self.heading(f"By {name}")
        shown = rows if name == "day" else rows[:LISTED]
        self.table(
            [(name, "left"), ("calls", "right"), ("cost", "right"), ("share", "right"), ("", "")],
            (
                (
                    row["key"] if row["key"] is not None else ABSENT.get(name, "(not known)"),
                    number(row["calls"]),
                    money(row["cost_usd"]),
                    percent(row["share"]),
                    bar(row["share"]),
                )
                for row in shown
            ),
        )
        if len(rows) > len(shown):
            self.line(f"... and {len(rows) - len(shown)} more")

    def _sessions(self, found: Analysis) -> None:
        iterations, tail, growth = found.iterations, found.tail, found.growth
        self.heading("Sessions")
        self.line(
            f"{number(found.totals['sessions'])} sessions; calls per session mean"
            f" {number(iterations['mean'])}, p50 {number(iterations['p50'])},"
            f" p95 {number(iterations['p95'])}, most {number(iterations['max'])}"
        )
        self.line(
            f"cost per session p50 {money(tail['p50_usd'])}, p95 {money(tail['p95_usd'])},"
            f" p99 {money(tail['p99_usd'])}, dearest {money(tail['max_usd'])}"
        )
        self.line(
            f"every prompt token is sent {number(growth['resend_factor'])} times;"
            f" {percent(growth['repeated_prefix_share'])} of the prompts repeats the call before"
        )
        cache, retries, outcomes = found.cache, found.retries, found.outcomes
        self.line(
            f"cache: {percent(cache['read_share'])} of the prompts read from it,"
            f" {number(cache['reads_per_write'])} reads per written token,"
            f" saved {money(cache['saved_usd'])}"
        )
        self.line(f"retries: {percent(retries['rate'])} of attempts, {money(retries['cost_usd'])}")
        if outcomes["labelled"]:
            self.line(
                f"outcomes: {percent(outcomes['success_rate'])} of {outcomes['labelled']} labelled"
                f" sessions succeeded, {money(outcomes['cost_per_success_usd'])} per success,"
                f" {percent(outcomes['failed_spend_share'])} of their spend failed"
            )

    def flags(self, flags: Sequence[Row]) -> None:
        if not flags:
            return
        self.heading("Numbers that cannot be trusted as they are")
        for flag in flags:
            self.line(f"{flag['kind']}  {flag['where']}: {flag['what']}")
