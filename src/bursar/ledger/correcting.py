"""A call that was read too early, and is now read to its end.

A transcript that was still being written shows an answer with the few tokens that were counted so
far. When the finished one is read, the larger count is the true one: the attempt is corrected, and
the row that stood before is kept in `superseded`. The prompt was final from the start, so its
blocks and their shares stay as they are; only the answer's part changes, by what the cost does.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bursar.ledger.costing import cost_of
from bursar.ledger.engines.duck import Duck
from bursar.model.entry import Attempt, Entry
from bursar.model.usage import Basis
from bursar.price.book import Book

COPY = (
    "INSERT INTO superseded SELECT call_id, n, CAST(to_json(a) AS VARCHAR), ?, ?"
    " FROM attempts AS a WHERE call_id = ? AND n = ?"
)
CORRECT = (
    "UPDATE attempts SET output_tokens = ?, reasoning_tokens = ?, cost_nano = ?, stop = ?,"
    " tool = coalesce(?, tool) WHERE call_id = ? AND n = ?"
)
CORRECT_PART = (
    "UPDATE parts SET tokens = ?, fresh_nano = fresh_nano + ?"
    " WHERE call_id = ? AND n = ? AND kind = 'output'"
)


def grown(entry: Entry, held_answer_tokens: int | None) -> Attempt | None:
    """The attempt of this entry, if its answer has more tokens than the ledger holds."""
    if held_answer_tokens is None or len(entry.attempts) != 1:
        return None
    attempt = entry.attempts[0]
    usage = attempt.usage
    if usage is None or attempt.basis is not Basis.MEASURED or usage.answer <= held_answer_tokens:
        return None
    return attempt


def correct(duck: Duck, book: Book, entry: Entry, call_id: int, now: datetime) -> bool:
    """Give the held attempt the answer of this entry. False where its prompt is another one."""
    attempt, call = entry.attempts[0], entry.call
    usage = attempt.usage
    rows = duck.rows(
        "SELECT prompt_tokens, cost_nano, provider, model FROM attempts"
        " WHERE call_id = ? AND n = ?",
        [call_id, attempt.n],
    )
    if usage is None or not rows or rows[0][0] != usage.prompt:
        return False
    _, old_nano, provider, model = rows[0]
    counted = msgspec.structs.replace(attempt, provider=provider, model=model)
    cost_nano, _, _ = cost_of(book, counted, call.at, provider, model)
    answer = entry.answer
    uses = answer.tool_uses if answer else ()
    duck.run(COPY, ["its answer was read to the end later", now, call_id, attempt.n])
    duck.run(
        CORRECT,
        [
            usage.output,
            usage.reasoning,
            cost_nano,
            answer.stop if answer else None,
            uses[0].tool if uses else None,
            call_id,
            attempt.n,
        ],
    )
    more_nano = (cost_nano or 0) - (old_nano or 0)
    duck.run(CORRECT_PART, [usage.answer, more_nano, call_id, attempt.n])
    held = {
        row[0] for row in duck.rows("SELECT use_id FROM tool_uses WHERE call_id = ?", [call_id])
    }
    for use in uses:
        if use.id not in held:
            duck.run(
                "INSERT INTO tool_uses SELECT call_id, session, step, ?, ?, ? FROM attempts"
                " WHERE call_id = ? AND n = ?",
                [use.id, use.tool, use.arguments_digest, call_id, attempt.n],
            )
    return True
