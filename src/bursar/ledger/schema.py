"""The tables of a ledger, written down once: DDL and Arrow columns are both made from here.

`attempts` is the fact table: one row per paid attempt, with the tags of its call beside it, so
that every dashboard question is one scan. A prompt is `kept` blocks of the session's previous
prompt and the `added` ones (as `numbers_text` writes them), so any session can be followed again
at other prices. `parts` splits an attempt's cost by block kind, `blocks` holds each prompt block's
life inside its session, the others are what their names say. Times are UTC. NULL is "not known".
Money is integer nanodollars. What an attempt does not need is not in its row: ten million of them
are loaded, kept and read through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import md5

SCHEMA_VERSION = 3

INT, TEXT, TIME, BOOL, REAL = "BIGINT", "VARCHAR", "TIMESTAMP", "BOOLEAN", "DOUBLE"

INFERRED = "auto-"
"""How the name of a session begins that was inferred."""

TAG_COLUMNS = (
    "tenant",
    "team",
    "cost_center",
    "application",
    "environment",
    "route",
    "workflow",
    "prompt_version",
    "user_id",
    "task_type",
)
"""Tags with a column of their own; all others stand in `other_tags` as JSON."""

USAGE_COLUMNS = (
    "prompt_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)

TABLES: dict[str, dict[str, str]] = {
    "attempts": {
        "call_id": INT,
        "n": INT,
        "at": TIME,
        "session": INT,
        "step": INT,
        **dict.fromkeys(TAG_COLUMNS, TEXT),
        "other_tags": TEXT,
        "provider": TEXT,
        "model": TEXT,
        "model_asked": TEXT,
        "price_class": TEXT,
        "dialect": TEXT,
        "tool": TEXT,
        **dict.fromkeys(USAGE_COLUMNS, INT),
        "other_units": TEXT,
        "iterations": TEXT,
        "usage_basis": TEXT,
        "cost_nano": INT,
        "cost_basis": TEXT,
        "recorded_cost_nano": INT,
        "unpriced": TEXT,
        "price_version": TEXT,
        "list_input_nano": INT,
        "status": INT,
        "stop": TEXT,
        "outcome": TEXT,
        "first_byte_ms": INT,
        "total_ms": INT,
        "is_retry": BOOL,
        "retry_cause": TEXT,
        "prompt_digest": INT,
        "repeated_tokens": INT,
        "place": INT,
        "kept": INT,
        "added": TEXT,
        "max_tokens": INT,
        "effort": TEXT,
        "request_digest": INT,
        "source": INT,
        "line": INT,
    },
    "parts": {
        "call_id": INT,
        "n": INT,
        "kind": TEXT,
        "tokens": INT,
        "carried_tokens": INT,
        "fresh_nano": INT,
        "carried_nano": INT,
    },
    "blocks": {
        "session": INT,
        "block": INT,
        "digest": INT,
        "nth": INT,
        "role": TEXT,
        "kind": TEXT,
        "name": TEXT,
        "tokens": INT,
        "size_bytes": INT,
        "mark": TEXT,
        "first_step": INT,
        "carries": INT,
        "fresh_nano": INT,
        "written_nano": INT,
        "read_nano": INT,
        "carried_nano": INT,
    },
    "sessions": {
        "session": INT,
        "id": TEXT,
        "at": TIME,
        "success": BOOL,
        "score": REAL,
        "recorded_cost_nano": INT,
        "recorded_usage": TEXT,
        "calls": INT,
        "sends": INT,
        "path": TEXT,
    },
    "tool_uses": {
        "call_id": INT,
        "session": INT,
        "step": INT,
        "use_id": TEXT,
        "tool": TEXT,
        "arguments_digest": INT,
    },
    "tool_outcomes": {
        "call_id": INT,
        "session": INT,
        "step": INT,
        "use_id": TEXT,
        "tool": TEXT,
        "result_digest": INT,
        "failed": BOOL,
        "tokens": INT,
    },
    "decisions": {
        "call_id": INT,
        "session": INT,
        "step": INT,
        "lever": TEXT,
        "verdict": TEXT,
        "why": TEXT,
        "tokens_before": INT,
        "tokens_after": INT,
    },
    "flags": {"kind": TEXT, "place": TEXT, "what": TEXT, "source": INT},
    "skips": {"file": TEXT, "line": INT, "reason": TEXT, "source": INT},
    "sources": {
        "source": INT,
        "file": TEXT,
        "format": TEXT,
        "size_bytes": INT,
        "imported_at": TIME,
        "entries": INT,
        "added": INT,
    },
    "journals": {"journal": TEXT, "segment": INT, "offset_bytes": INT},
    "repricings": {
        "at": TIME,
        "book": TEXT,
        "attempts": INT,
        "changed": INT,
        "before_nano": INT,
        "after_nano": INT,
    },
    "superseded": {"call_id": INT, "n": INT, "row": TEXT, "why": TEXT, "at": TIME},
    "facts": {"name": TEXT, "value": TEXT},
}

DERIVED: dict[str, dict[str, tuple[str, str]]] = {
    "attempts": {
        "input_tokens": (
            INT,
            "prompt_tokens - cache_read_tokens - cache_write_5m_tokens - cache_write_1h_tokens",
        )
    }
}
"""Columns that take no room: (type, what they are computed from), by table. Nobody writes them."""


def ddl() -> list[str]:
    """CREATE statements of every table, in DuckDB's dialect."""
    return [create_table(table) for table in TABLES]


def create_table(table: str) -> str:
    """The CREATE statement of a table."""
    columns = [f'"{name}" {kind}' for name, kind in TABLES[table].items()]
    columns += [
        f'"{name}" {kind} GENERATED ALWAYS AS ({rule}) VIRTUAL'
        for name, (kind, rule) in DERIVED.get(table, {}).items()
    ]
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)})"


def request_digest(request_id: str | None) -> int | None:
    """A provider's request id as the ledger keeps it: the first 15 hex digits of its MD5.

    The ids themselves are the largest part of an attempt, and random, so that they do not shrink.
    """
    if request_id is None:
        return None
    raw = request_id.encode("utf-8", "replace")
    return int(md5(raw, usedforsecurity=False).hexdigest()[:15], 16)


def short_digest(prompt_digest: int) -> int:
    """40 of the 63 bits of a prompt's digest, the ones that all its blocks have mixed best.

    Prompts are compared only inside one session, or with the same tenant, model, limits and length
    within minutes: a million such pairs meet by chance once in a million ledgers.
    """
    return prompt_digest >> 23


def added_text(kept: int, added: Sequence[int]) -> str:
    """The numbers of added blocks. Those that just go on from the kept ones are "+2"."""
    goes_on = added and list(added) == list(range(kept, kept + len(added)))
    return f"+{len(added)}" if goes_on else numbers_text(added)


def added_of(kept: int, text: str) -> list[int]:
    """The numbers that `added_text` wrote."""
    return list(range(kept, kept + int(text))) if text.startswith("+") else numbers_of(text)


def numbers_text(numbers: Iterable[int]) -> str:
    """Whole numbers as ranges: [3, 4, 5, 9] is "3-5,9". Prompts are long runs, so this is short."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{low}-{high}" if low != high else str(low) for low, high in runs)


def numbers_of(text: str) -> list[int]:
    """The numbers that `numbers_text` wrote."""
    found: list[int] = []
    for run in text.split(",") if text else ():
        low, _, high = run.partition("-")
        found.extend(range(int(low), int(high or low) + 1))
    return found
