-- What was done to the calls of one session, in order.
SELECT d.call_id, d.lever, d.verdict, d.why, d.tokens_before, d.tokens_after
FROM decisions AS d
WHERE d.session = ?
ORDER BY d.step, d.call_id, d.rowid
