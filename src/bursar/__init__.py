"""Bursar meters, explains, cuts and caps the cost of LLM agents, and proves it.

The packages are layers; imports point down only:
`cli, dashboard > advisor > intake, ledger > dialects > price > model`.
"""

__version__ = "0.1.0"
