"""Everything goes wrong at once, and the ledger still agrees with the provider's invoice.

The benchmark of that name in small: a gateway, a simulated provider and a crowd of clients as
processes, faults of every kind, kills of workers and of the keeper. Whether it proves anything is
tested as well: each law must be able to fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bursar.ledger.schema import request_digest
from bursar.model.usage import Usage
from bursar.simulator.invoice import Line

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CALLS = 1_500
sys.path.append(str(BENCHMARKS))

import _invoice_sides as sides  # noqa: E402
from _invoice_client import Tried  # noqa: E402

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds the gateway's children in /proc"
)


@pytest.mark.slow
def test_the_ledger_is_the_invoice(tmp_path: Path) -> None:
    run = subprocess.run(
        [
            *(sys.executable, BENCHMARKS / "invoice.py", "--json", "--folder", tmp_path / "stage"),
            *("--calls", str(CALLS), "--seed", "3", "--kills", "2", "--at-once", "48"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stdout, run.stderr
    told = json.loads(run.stdout)
    verdict: dict[str, Any] = told["verdict"]
    assert not any(verdict["failures"].values()), verdict["examples"]
    assert run.returncode == 0, run.stderr
    assert verdict["sides"]["client: tries"]["attempts"] >= CALLS
    assert verdict["equal"] > CALLS * 0.75
    assert verdict["equal_nano"] > 0.75 * verdict["sides"]["invoice: billed"]["nano"]
    done = told["found"]["done to it"]
    assert done == {"kill worker": 1, "kill keeper": 1, "end worker": 1, "reload": 1}
    flags = told["found"]["flags"]
    assert flags, "counts in quotes are read, and said to be suspect"
    assert all("usage_suspect" in one and "is the text" in one for one in flags), flags
    late = [cause for cause in verdict["residual"] if "latency_ms=2500, route hasty" in cause]
    assert late, "a provider that the client no longer waits for is drained within its bound"
    print(verdict["sides"], verdict["residual"])


# -- the laws can fail


def tried(**more: Any) -> Tried:
    plain = {"nonce": "n0", "kind": "chat", "tenant": "acme", "fault": None, "leave": None}
    return Tried(**{**plain, "route": "r", "n": 0, "status": 200, **more})


def line(**more: Any) -> Line:
    plain: dict[str, Any] = {
        "request_id": "req_1",
        "client_request_id": "n0",
        "at_ms": 0,
        "provider": "openai",
        "dialect": "openai_chat",
        "operation": "chat",
        "model": "gpt-4o",
        "billed": True,
        "usage": Usage(input=9, output=1),
        "cost_nano": 50,
    }
    return Line(**{**plain, **more})


def row(**more: Any) -> sides.Row:
    plain = sides.Row(7, request_digest("req_1"), 50, "measured", None, "ok", "acme", "n0")
    return plain._replace(**more)


def failed(log: list[Tried], lines: list[Line], rows: list[sides.Row]) -> list[str]:
    journal = sides.Journal({one.call_id for one in rows}, set(), 0)
    verdict = sides.compare(log, lines, rows, journal)
    return [law for law, count in verdict.failures.items() if count]


WHOLE = {"whole": True, "call_id": 7}
LAW = sides.LAWS


def test_what_agrees_fails_no_law() -> None:
    assert failed([tried(**WHOLE)], [line()], [row()]) == []


@pytest.mark.parametrize(
    ("law", "log", "lines", "rows"),
    [
        (LAW[0], [tried(**WHOLE)], [line()], []),
        (LAW[0], [tried(**WHOLE)], [line()], [row(unpriced=sides.LEFT, basis="unpriced")]),
        (LAW[1], [tried(**WHOLE)], [line()], [row(), row()]),
        (LAW[2], [tried(**WHOLE)], [line(), line()], [row()]),
        (LAW[3], [tried(**WHOLE)], [line()], [row(cost_nano=49)]),
        (LAW[3], [tried(**WHOLE)], [line()], [row(cost_nano=0)]),
        (LAW[3], [tried(**WHOLE)], [], [row()]),
        (LAW[3], [tried(**WHOLE)], [line(billed=False, cost_nano=0)], [row()]),
        (LAW[4], [tried(**WHOLE)], [line()], [row(basis="modelled")]),
        (LAW[4], [tried(left=True)], [line()], [row(basis="assumed", cost_nano=0)]),
        (LAW[5], [tried()], [line()], []),
        (LAW[6], [tried(**WHOLE)], [line()], [row(request=5)]),
        (LAW[7], [tried(**WHOLE)], [line()], [row(tenant="globex")]),
    ],
)
def test_each_law_can_fail(
    law: str, log: list[Tried], lines: list[Line], rows: list[sides.Row]
) -> None:
    assert failed(log, lines, rows) == [law]


def test_the_journal_is_compared_too() -> None:
    verdict = sides.compare([tried(**WHOLE)], [line()], [row()], sides.Journal(set(), {8}, 0))
    assert verdict.failures[LAW[8]] == 2


def test_what_cannot_be_measured_is_explained_with_its_dollars() -> None:
    log = [tried(fault="cut=1")]
    cut = line(fault="cut", fate="cut_by_fault")
    found = row(basis="modelled", cost_nano=60)
    verdict = sides.compare(log, [cut], [found], sides.Journal({7}, set(), 0))
    assert not any(verdict.failures.values())
    assert verdict.residual == {"provider: cut=1 | modelled": [1, 50, 60]}
