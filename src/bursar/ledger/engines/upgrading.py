"""Ledgers of earlier schemas, brought up to the present one when they are opened for writing.

Each step rewrites what its schema changed, all of them in one transaction: a stop at any moment
leaves the ledger as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bursar.ledger.schema import create_table

Run = Callable[[str], None]


def upgrade(run: Run, version: int, present: int) -> None:
    """Statements that take a ledger from `version` to `present`, inside a transaction."""
    for step in range(version, present):
        for statement in STEPS[step]:
            run(statement)
    run(f"UPDATE facts SET value = '{present}' WHERE name = 'schema_version'")


TO_2 = (
    "ALTER TABLE attempts RENAME TO attempts_1",
    create_table("attempts"),
    "INSERT INTO attempts BY NAME SELECT * EXCLUDE (input_tokens, request_id)"
    " REPLACE (nullif(model_asked, model) AS model_asked, prompt_digest >> 23 AS prompt_digest),"
    " CAST('0x' || substr(md5(request_id), 1, 15) AS BIGINT) AS request_digest FROM attempts_1",
    "DROP TABLE attempts_1",
)
"""Schema 2: plain tokens are computed, digests are shorter, of a request id its digest is kept."""

TO_3 = (create_table("decisions"),)
"""Schema 3: what was done to a call, and why."""

STEPS: Mapping[int, tuple[str, ...]] = {1: TO_2, 2: TO_3}
