"""The journal: every call on disk before its answer ends, and in the ledger soon after.

A worker appends frames to segment files of its own and waits for the disk (`writer`). The keeper
alone opens the ledger: it reads behind the workers (`reader`), puts calls of one task together
(`inferring`), commits rows and its place in the journals in one transaction (`keeper`), and answers
questions meanwhile (`asking`, `remote`). Where no keeper runs, the next command that opens the
ledger takes the journals in.
"""
