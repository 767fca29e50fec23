"""One file per engine that can hold a ledger. Nothing outside this folder knows an engine's name.

May import: model, ledger.schema, the engine's own package.
"""
