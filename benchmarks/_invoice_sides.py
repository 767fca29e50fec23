"""The three sides of the invoice test, and what must hold between them.

The provider's invoice, the journal with the ledger, and the client's own log are joined by the
number that the client gave each try (the nonce, a tag here, a header there), and by the provider's
request id where there is one. What the gateway could measure must agree to the nanodollar; what it
could not must be there once, under its label; the dollars between are told by their cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from _invoice_client import Tried

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.frames import HEADER, frames, seed_of
from bursar.ledger.journal.ids import id_of
from bursar.ledger.journal.reader import LEFT
from bursar.ledger.journal.records import Begun, Ended, decode
from bursar.ledger.schema import request_digest
from bursar.simulator.invoice import Line

MEASURED, UNPRICED = "measured", "unpriced"
TELLING = frozenset({None, "none", "slow", "huge_line"})
"""Faults that leave the usage readable."""
IMPATIENT = frozenset({"hurried", "brief"})
"""Routes that do not read to the end what a client has left."""
TIMED_OUT = 504
"""The gateway said so; without a fault behind it, the machine was too busy."""
EXAMPLES = 5


class Row(NamedTuple):
    """An attempt in the ledger."""

    call_id: int
    request: int | None
    cost_nano: int | None
    basis: str
    unpriced: str | None
    outcome: str | None
    tenant: str | None
    nonce: str | None


class Journal(NamedTuple):
    """What all segments say together."""

    ended: set[int]
    begun: set[int]
    damaged: int


def read_ledger(path: Path) -> list[Row]:
    duck = Duck(path, read_only=True)
    rows = duck.rows(
        "SELECT call_id, request_digest, cost_nano, coalesce(cost_basis, 'unpriced'), unpriced,"
        " outcome, tenant, other_tags FROM attempts"
    )
    duck.close()
    return [Row(*row[:7], _nonce(row[7])) for row in rows]


def _nonce(tags: str | None) -> str | None:
    return msgspec.json.decode(tags, type=dict[str, str]).get("nonce") if tags else None


def counted(ledger: Path, table: str) -> list[tuple[Any, ...]]:
    duck = Duck(ledger, read_only=True)
    try:
        return duck.rows(f"SELECT * FROM {table}")
    finally:
        duck.close()


def read_invoice(path: Path) -> list[Line]:
    with path.open("rb") as lines:
        return [msgspec.json.decode(line, type=Line) for line in lines]


def read_journal(kept: Path) -> Journal:
    ended: list[str] = []
    begun: set[str] = set()
    damaged = 0
    for path in sorted(kept.glob("*/*.wal")):
        seed = seed_of(path.parent.name, int(path.stem))
        for found in frames(path.read_bytes()[len(HEADER) :], seed, final=True):
            if found.content is None:
                damaged += 1
                continue
            record = decode(found.content)
            if isinstance(record, Begun):
                begun.add(record.call.key)
            elif isinstance(record, Ended):
                ended.append(record.key)
    return Journal(_ids(ended), _ids(begun), damaged)


def _ids(keys: Iterable[str]) -> set[int]:
    return {number for key in keys if (number := id_of(key)) is not None}


class Verdict(msgspec.Struct, kw_only=True):
    """What came out."""

    failures: dict[str, int] = {}
    """What must not happen: how often it did."""
    examples: dict[str, list[str]] = {}
    residual: dict[str, list[int]] = {}
    """Cause and label: attempts, nanodollars of the invoice, nanodollars of the ledger."""
    equal: int = 0
    equal_nano: int = 0
    sides: dict[str, dict[str, int]] = {}

    def fail(self, law: str, example: object) -> None:
        self.failures[law] = self.failures.get(law, 0) + 1
        shown = self.examples.setdefault(law, [])
        if len(shown) < EXAMPLES:
            shown.append(str(example))

    def explain(self, cause: str, invoice_nano: int, ledger_nano: int) -> None:
        row = self.residual.setdefault(cause, [0, 0, 0])
        row[0] += 1
        row[1] += invoice_nano
        row[2] += ledger_nano


LAWS = (
    "a whole answer that is not in the ledger",
    "an attempt that stands twice in the ledger",
    "an attempt that stands twice on the invoice",
    "measured, and not what the provider charged",
    "billed and measurable, and not measured",
    "billed, and absent from the ledger",
    "another request id than the provider's",
    "the tags of another call",
    "the ledger has what the journal has not, or the reverse",
)


def compare(log: list[Tried], lines: list[Line], rows: list[Row], journal: Journal) -> Verdict:
    """All three, attempt by attempt."""
    verdict = Verdict(failures=dict.fromkeys(LAWS, 0))
    tries = {one.nonce: one for one in log}
    billing = _by_nonce(verdict, LAWS[2], [(one.client_request_id, one) for one in lines])
    by_request = {request_digest(one.request_id): one.client_request_id for one in lines}
    named = [(one.nonce or by_request.get(one.request) or f"id {one.call_id}", one) for one in rows]
    booked = _by_nonce(verdict, LAWS[1], named)
    for call_id, count in Counter(one.call_id for one in rows).items():
        if count > 1:
            verdict.fail(LAWS[1], call_id)
    for nonce in {*tries, *billing, *booked}:
        _judge(verdict, tries.get(nonce), billing.get(nonce), booked.get(nonce))
    in_journal = journal.ended | journal.begun
    for call_id in in_journal ^ {one.call_id for one in rows}:
        verdict.fail(LAWS[8], call_id)
    verdict.sides = _sides(log, lines, rows, journal)
    _add_up(verdict)
    return verdict


def _add_up(verdict: Verdict) -> None:
    """Nothing is left over: what is equal and what is explained are the whole."""
    explained = list(verdict.residual.values())
    for place, side in ((1, "invoice: billed"), (2, "ledger: attempts")):
        over = verdict.sides[side]["nano"] - verdict.equal_nano
        over -= sum(one[place] for one in explained)
        if over and not any(verdict.failures.values()):
            verdict.fail("dollars that nobody explains", f"{side}: {over} nanodollars")


def _by_nonce(verdict: Verdict, law: str, named: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for nonce, one in named:
        if nonce is None:
            verdict.fail("a line without the client's number", one)
        elif nonce in found:
            verdict.fail(law, one)
        else:
            found[nonce] = one
    return found


def _judge(verdict: Verdict, tried: Tried | None, line: Line | None, row: Row | None) -> None:
    """One attempt on its three sides."""
    if tried is None:
        verdict.fail("an attempt that the client never made", line or row)
        return
    if row is None:
        if tried.whole and tried.call_id is not None:
            verdict.fail(LAWS[0], tried)
        elif line is not None:
            verdict.fail(LAWS[5], (tried, line))
        return
    cost_nano = row.cost_nano or 0
    if tried.call_id not in (None, row.call_id):
        verdict.fail("another call id than the ledger's", (tried, row))
    if row.nonce is not None and row.tenant != tried.tenant:
        verdict.fail(LAWS[7], (tried, row))
    if row.unpriced == LEFT and tried.whole and tried.call_id is not None:
        verdict.fail(LAWS[0], (tried, row))
    if line is None:
        if row.basis == MEASURED:
            verdict.fail(LAWS[3], (tried, row))
        verdict.explain(f"never reached the provider | {_label(row)}", 0, cost_nano)
        return
    if row.request is not None and row.request != request_digest(line.request_id):
        verdict.fail(LAWS[6], (tried, line, row))
    billed_nano = (line.cost_nano or 0) if line.billed else 0
    if row.basis == MEASURED:
        if not line.billed or row.cost_nano != line.cost_nano:
            verdict.fail(LAWS[3], (tried, line, row))
            return
        verdict.equal += 1
        verdict.equal_nano += billed_nano
        return
    if not line.billed and not cost_nano and row.unpriced is None:
        verdict.equal += 1
        return
    if _measurable(tried, line, row):
        verdict.fail(LAWS[4], (tried, line, row))
    verdict.explain(f"{_cause(tried, line, row)} | {_label(row)}", billed_nano, cost_nano)


def _measurable(tried: Tried, line: Line, row: Row) -> bool:
    """Whether the gateway had all that it takes to know the cost."""
    if line.fault not in TELLING or line.fate != "complete" or row.unpriced == LEFT:
        return False
    timed_out = tried.status == TIMED_OUT and tried.route != "hasty"
    return not timed_out and not (tried.left and tried.route in IMPATIENT)


def _cause(tried: Tried, line: Line, row: Row) -> str:
    if row.unpriced == LEFT:
        return "the worker was killed in mid-call"
    if tried.status == TIMED_OUT and tried.fault is None:
        return "the gateway timed out on a busy machine"
    if line.fault is not None:
        return f"provider: {tried.fault or line.fault}"
    if tried.left:
        return f"client left, route {tried.route}"
    return f"{line.fate}, {tried.fault or 'no fault'}, route {tried.route}"


def _label(row: Row) -> str:
    return row.basis if row.unpriced is None else f"{UNPRICED}: {row.unpriced}"


def _sides(
    log: list[Tried], lines: list[Line], rows: list[Row], journal: Journal
) -> dict[str, dict[str, int]]:
    billed = [one for one in lines if one.billed]
    bases: dict[str, list[int]] = {}
    for row in rows:
        bases.setdefault(row.basis, []).append(row.cost_nano or 0)
    found: dict[str, dict[str, int]] = {
        "client: tries": {"attempts": len(log)},
        "client: whole answers": {"attempts": sum(one.whole for one in log)},
        "client: left early": {"attempts": sum(one.left for one in log)},
        "invoice: requests": {"attempts": len(lines)},
        "invoice: billed": {
            "attempts": len(billed),
            "nano": sum(one.cost_nano or 0 for one in billed),
        },
        "journal: calls": {"attempts": len(journal.begun | journal.ended)},
        "journal: without an end": {"attempts": len(journal.begun - journal.ended)},
        "ledger: attempts": {"attempts": len(rows), "nano": _sum(rows)},
    }
    for basis, costs in sorted(bases.items()):
        found[f"ledger: {basis}"] = {"attempts": len(costs), "nano": sum(costs)}
    return found


def _sum(rows: Iterable[Row]) -> int:
    return sum(one.cost_nano or 0 for one in rows)


def lives(memory: Mapping[str, list[int]]) -> list[tuple[str, int, list[int]]]:
    """(child, seconds, MiB at five moments of its life, the first and the last among them)."""
    found: list[tuple[str, int, list[int]]] = []
    for name, used in memory.items():
        alive = [one >> 20 for one in used if one]
        last = len(alive) - 1
        if alive:
            found.append((name, len(alive), [alive[last * part // 4] for part in range(5)]))
    return sorted(found, key=lambda one: -one[1])
