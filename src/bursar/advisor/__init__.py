"""What the ledger means: the analysis, its suspects and flags.

`analysis` answers "where did the money go", `suspects` "what to look at first", `flags` "which of
these numbers cannot be true". May import: ledger, dialects, price, model. Nothing here writes.
"""
