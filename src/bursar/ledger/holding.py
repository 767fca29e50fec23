"""What a call counts against caps when nobody knows what it cost: what it held.

A worker that is killed leaves calls behind whose cost is never told. They are neither forgiven nor
guessed: the ledger keeps what was held for them as a decision beside the call, so that whoever
counts from the ledger comes to what was counted before.
"""

from __future__ import annotations

from bursar.model.entry import Decision

LEVER = "cap"
NANO_SQL = "max(regexp_extract(why, '([0-9]+) nanodollars', 1)::BIGINT)"
TOKENS_SQL = "max(regexp_extract(why, '([0-9]+) tokens', 1)::BIGINT)"
"""Of the decisions of a call: what it held."""


def counted_as_held(nano: int, tokens: int) -> Decision:
    """The decision that keeps it."""
    why = f"counts {nano} nanodollars and {tokens} tokens, as held, where nobody knows better"
    return Decision(lever=LEVER, verdict="pass", why=why)
