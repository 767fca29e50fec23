"""Which attempts may be split into dollars per token: not those with counts that cannot be true.

Splits multiply tokens by nanodollars in 64 bits. The bounds keep every such product below 2**63:
ten million prompt tokens, a prompt of $400 at its list price, a million answer tokens, and a
recorded cost of $100 million. What lies beyond them is told by the flag `usage_suspect`.
"""

from __future__ import annotations

SANE = (
    "a.prompt_tokens BETWEEN 1 AND 10000000"
    " AND COALESCE(a.list_input_nano, 0) <= 400000000000"
    " AND COALESCE(a.output_tokens, 0) + COALESCE(a.reasoning_tokens, 0) <= 1000000"
    " AND COALESCE(a.recorded_cost_nano, 0) <= 100000000000000000"
)
"""A predicate on the alias `a` of attempts."""
