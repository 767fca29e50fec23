"""Numbers in the ledger that cannot be true, or cannot both be: told, never repaired in silence.

Some flags were raised while reading, the others are computed here from rows that contradict each
other. One flag per (kind, where); its text counts, names an example, and says what the likely
cause is. Honest data raises none, so each check has a margin, named below with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from bursar.advisor.sane import SANE
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import Scope, load_sql
from bursar.model.entry import Flag
from bursar.model.money import usd
from bursar.model.usage import Usage

KINDS = (
    "recorded_cost_high",
    "recorded_cost_low",
    "zero_cost_success",
    "contradiction",
    "truncated_answers",
    "duplicate_lines",
    "unpriced",
    "price_ambiguous",
    "time_suspect",
    "usage_suspect",
)
"""Stable names; each has its page in docs/reference/flags."""

COST_PART = 50
"""A recorded cost may be off by one part in so many (2 %): other tools round rates."""
COST_LEAST_NANO = 1_000
"""Or by this much, a millionth of a dollar: other tools round costs."""
USAGE_PART = 100
"""A recorded total may differ from the sum of its calls by 1 %."""
THIN_TIMES = 3
"""A counted prompt below a third of its text's estimate: no tokenizer is off by so much."""
THIN_LEAST_TOKENS = 300
"""Shorter prompts are estimated too coarsely to compare."""
ABSURD_TOKENS = 100_000_000
"""No context window is larger."""
PROBE_TOKENS = 16
"""An answer cut this short was meant to be: a label, a probe, a warm-up."""
EXAMPLES = 3

Row = dict[str, Any]


def find_flags(duck: Duck, scope: Scope | None = None) -> list[Flag]:
    """All flags of the attempts in `scope`, by kind in the order of KINDS, then by place."""
    asked = _Asked(duck, scope or Scope())
    whats: dict[tuple[str, str], list[str]] = {}
    for check in CHECKS:
        for one in check(asked):
            told = whats.setdefault((one.kind, one.where), [])
            if one.what not in told:
                told.append(one.what)
    order = {kind: place for place, kind in enumerate(KINDS)}
    keys = sorted(whats, key=lambda key: (order.get(key[0], len(order)), key))
    return [
        Flag(kind=kind, where=where, what="; ".join(whats[kind, where])) for kind, where in keys
    ]


class _Asked:
    """The questions, over one scope."""

    def __init__(self, duck: Duck, scope: Scope) -> None:
        self.duck = duck
        self.scope = scope

    def __call__(self, name: str, **places: int) -> list[Row]:
        texts = {place: str(value) for place, value in places.items()}
        sql = load_sql(f"flags/{name}", scope=self.scope.where, sane=SANE, **texts)
        return self.duck.named(sql, self.scope.values)


def _read(ask: _Asked) -> Iterator[Flag]:
    """What reading found; the same thing said of many rows is said once, with its number."""
    told: dict[tuple[str, str], list[str]] = {}
    more: dict[tuple[str, str], int] = {}
    for row in ask("read"):
        key = (row["kind"], row["place"])
        what, times = _once(row["what"])
        whats = told.setdefault(key, [])
        if what not in whats and len(whats) < EXAMPLES:
            whats.append(what)
            times -= 1
        more[key] = more.get(key, 0) + times
    for (kind, where), whats in told.items():
        rest = f"; and {more[kind, where]} more" if more[kind, where] else ""
        yield Flag(kind=kind, where=where, what="; ".join(whats) + rest)


def _once(what: str) -> tuple[str, int]:
    """A text that the recorder joined from equal ones, and of how many: `x; x; and 5 more`."""
    found = re.fullmatch(r"(.*?)(?:; and (\d+) more)?", what, re.DOTALL)
    body, rest = (found[1], int(found[2] or 0)) if found else (what, 0)
    for times in range(EXAMPLES, 1, -1):
        one = body[: (len(body) - 2 * (times - 1)) // times]
        if "; ".join([one] * times) == body:
            return one, times + rest
    return body, 1 + rest


def _recorded_cost(ask: _Asked) -> Iterator[Flag]:
    for row in ask("recorded_cost", part=COST_PART, least_nano=COST_LEAST_NANO):
        yield Flag(
            kind="recorded_cost_high" if row["high"] else "recorded_cost_low",
            where=row["place"],
            what=f"{row['attempts']} of {row['compared']} attempts were recorded at"
            f" ${usd(row['recorded_nano'])} where their tokens cost ${usd(row['cost_nano'])}"
            f" ({_times(row['recorded_nano'], row['cost_nano'])}): {_hint(row)}",
        )
    for row in ask("recorded_sessions", part=COST_PART, least_nano=COST_LEAST_NANO):
        yield Flag(
            kind="recorded_cost_high" if row["high"] else "recorded_cost_low",
            where=row["place"],
            what=f"{row['sessions']} sessions, such as {row['id']}, were recorded at"
            f" ${usd(row['recorded_nano'])} where their calls cost ${usd(row['cost_nano'])}"
            f" ({_times(row['recorded_nano'], row['cost_nano'])})",
        )


HINTS: tuple[tuple[str, str], ...] = (
    ("uncached_nano", "cached tokens were charged at the full input rate"),
    ("reads_twice_nano", "cached tokens were charged as input and as cached"),
    ("reasoning_twice_nano", "reasoning tokens were charged twice, they are part of the output"),
    ("no_reasoning_nano", "reasoning tokens were left out"),
    ("output_nano", "only the answer was charged, the prompt was left out"),
)
"""(what a mistake would have recorded, the mistake)."""

RATIOS: tuple[tuple[float, str], ...] = (
    (2.0, "the same usage was counted twice, or a dearer service tier was meant"),
    (0.5, "a batch or flex price was taken, or the usage was halved"),
    (1.1, "a regional price, 10 % above the global one, was taken"),
    (1 / 1.1, "the global price was taken for a regional model"),
    (100.0, "cents were recorded as dollars"),
    (0.01, "dollars were recorded as cents"),
    (1000.0, "a rate per thousand was taken for one per million"),
    (0.001, "a rate per million was taken for one per thousand"),
)
"""(recorded over ours, likely cause)."""
HINT_MARGIN = 0.01


def _hint(row: Row) -> str:
    """The mistake that would have given the recorded sum, if one of the well-known would."""
    recorded, ours = row["recorded_nano"], row["cost_nano"]
    for name, cause in HINTS:
        alternative = row[name]
        told = alternative and abs(alternative - ours) > HINT_MARGIN * ours
        if told and abs(recorded - alternative) <= HINT_MARGIN * alternative:
            return f"it looks as if {cause}"
    for ratio, cause in RATIOS:
        if abs(recorded / ours - ratio) <= HINT_MARGIN * ratio:
            return f"it looks as if {cause}"
    return "another price list, a discount, or a token count that the source does not show"


def _times(recorded: int, ours: int) -> str:
    return f"{recorded / ours:.4g} times"


def _zero_cost(ask: _Asked) -> Iterator[Flag]:
    for row in ask("zero_cost"):
        priced = f", they cost ${usd(row['cost_nano'])}" if row["cost_nano"] else ""
        line = f", first on line {row['line']}" if row["line"] else ""
        yield Flag(
            kind="zero_cost_success",
            where=row["place"],
            what=f"{row['attempts']} answered attempts were recorded without a cost"
            f" ({row['zeros']} as 0, {row['missing']} with none{line}){priced}: the price of the"
            " model was probably not known to what recorded them",
        )
    for row in ask("zero_sessions"):
        yield Flag(
            kind="zero_cost_success",
            where=row["place"],
            what=f"{row['sessions']} answered sessions, such as {row['id']}, were recorded at 0;"
            f" they cost ${usd(row['cost_nano'])}",
        )


def _contradiction(ask: _Asked) -> Iterator[Flag]:
    kind = "contradiction"
    for row in ask("recorded_usage"):
        what = _usage_differs(row)
        if what:
            yield Flag(kind=kind, where=row["id"], what=what)
    for row in ask("thin_prompts", times=THIN_TIMES, least_tokens=THIN_LEAST_TOKENS):
        yield Flag(
            kind=kind,
            where=row["place"],
            what=f"the first prompts of {row['sessions']} sessions, such as {row['id']}, were"
            f" counted as {row['prompt_tokens']:,} tokens, but their text holds about"
            f" {row['visible_tokens']:,}: cached tokens may have been left out of the count",
        )
    for row in ask("request_ids"):
        same, extra = row["same"], usd(row["extra_nano"])
        what = (
            f"{row['requests']} requests, such as the one at {row['first_line']} and"
            f" {row['last_line']}, stand as {row['calls']} calls"
        )
        yield Flag(
            kind="duplicate_lines" if same else kind,
            where=row["place"],
            what=f"{what} of equal usage, ${extra} too much"
            if same
            else f"{what} whose usage differs; at most one of each can be true",
        )
    for row in ask("same_steps"):
        yield Flag(
            kind=kind,
            where=row["id"],
            what=f"{row['steps']} steps, such as step {row['step']}, are logged as {row['calls']}"
            " calls at the same moment with different usage",
        )


def _usage_differs(row: Row) -> str | None:
    recorded = msgspec.json.decode(row["recorded_usage"], type=Usage)
    for name, said, found in (
        ("prompt", recorded.prompt, row["prompt_tokens"]),
        ("answer", recorded.answer, row["answer_tokens"]),
    ):
        if abs(said - found) * USAGE_PART > found:
            return f"{said:,} {name} tokens were recorded for it, its calls add up to {found:,}"
    return None


ODDITIES: tuple[tuple[str, str, str], ...] = (
    ("failed_answer", "contradiction", "have an error status and answer tokens"),
    ("nothing_counted", "usage_suspect", "were answered with a usage of zero"),
    ("free_answer", "usage_suspect", "asked for a tool with zero answer tokens"),
    ("free_prompt", "usage_suspect", "were answered with zero prompt tokens"),
    ("absurd", "usage_suspect", f"count more than {ABSURD_TOKENS:,} tokens"),
)
"""(column, kind of flag, what is wrong)."""


def _odd_attempts(ask: _Asked) -> Iterator[Flag]:
    for row in ask("odd_attempts", absurd=ABSURD_TOKENS):
        for column, kind, wrong in ODDITIES:
            if row[column]:
                what = f"{row[column]} of {row['attempts']} attempts {wrong}"
                yield Flag(kind=kind, where=row["place"], what=what)


def _truncated(ask: _Asked) -> Iterator[Flag]:
    for row in ask("truncated_answers", probe_tokens=PROBE_TOKENS):
        limit = f" of {row['limit_tokens']:,} tokens" if row["limit_tokens"] else ""
        yield Flag(
            kind="truncated_answers",
            where=row["place"],
            what=f"{row['cut']} of {row['answers']} answers ended at their limit{limit} and were"
            f" paid in full (${usd(row['nano'])})",
        )


def _unpriced(ask: _Asked) -> Iterator[Flag]:
    for row in ask("unpriced"):
        tokens = ""
        mend = "log the usage object of its responses"
        if row["counted"]:
            tokens = f" of {row['prompt_tokens'] + row['answer_tokens']:,} tokens"
        if row["counted"] and row["model"] is None:
            mend = "log the name of the model with each call"
        elif row["counted"]:
            mend = (
                f'give a price in an overlay: [[price]] provider = "{row["provider"]}",'
                f' model = "{row["model"]}", class = "{row["price_class"]}", from = ...,'
                ' input = "...", output = "..."'
            )
        yield Flag(
            kind="unpriced",
            where=row["place"],
            what=f"{row['attempts']} attempts{tokens} have no cost: {row['reason']} (mend: {mend})",
        )


CHECKS = (
    _read,
    _recorded_cost,
    _zero_cost,
    _contradiction,
    _odd_attempts,
    _truncated,
    _unpriced,
)

__all__ = ["KINDS", "find_flags"]
