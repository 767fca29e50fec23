"""How a journal is kept, and what has happened to it: settings and counts."""

from __future__ import annotations

from typing import Literal

import msgspec

from bursar.model.errors import LedgerError, Refused

MEND = "make room on the disk of BURSAR_HOME, or check that it may be written"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How a journal is kept."""

    sync: Literal["answer", "interval"] = "answer"
    """`answer`: an end returns when the disk has it. `interval`: when the system has it; the disk
    gets it every `interval_s`, and a crash of the machine can lose the last moments."""
    interval_s: float = 1.0
    full: Literal["wait", "refuse", "shed_blocks"] = "wait"
    """When more than `buffer_bytes` wait: new calls wait, are refused, or go without blocks."""
    unwritable: Literal["closed", "degrade"] = "closed"
    """When the disk refuses. `closed`: new calls are refused and ends fail. `degrade`: calls go on,
    kept in memory up to the bound; what is beyond is counted, and told to the ledger later."""
    buffer_bytes: int = 8 * 1024 * 1024
    segment_bytes: int = 16 * 1024 * 1024
    segment_s: float = 600.0
    patience_s: float = 5.0
    """How long an end, or a call that waits for room, waits before it fails."""
    in_loop: bool = True
    """Commit in the event loop while the disk is quick, which halves the cost of a record; a disk
    that stalls then holds up everything, once. False: always in the thread."""
    gather_s: float = 0.003
    """How long a group gathers when many calls end at once."""


class Tally(msgspec.Struct, kw_only=True):
    """What has happened, for metrics."""

    begun: int = 0
    ended: int = 0
    groups: int = 0
    written_bytes: int = 0
    shed_calls: int = 0
    """Calls whose blocks were left out at a full buffer."""
    refused_calls: int = 0
    failures: int = 0
    """Writes and syncs that the disk refused."""
    undurable_records: int = 0
    """Ends that returned before they were durable, since the rules say `degrade`."""
    lost_records: int = 0
    """Calls that were not recorded, at the bound of `degrade`."""


RULES = Rules()


def refusal(tally: Tally, kind: str, message: str) -> Refused:
    """A call that is not taken on, counted."""
    tally.refused_calls += 1
    return Refused(503, kind, message, mend=MEND, headers=((b"retry-after", b"1"),))


def not_kept(trouble: str) -> LedgerError:
    """Why an end fails."""
    return LedgerError(f"the journal cannot be written: {trouble}", mend=MEND)
