-- What was done to one call, in order.
SELECT d.lever, d.verdict, d.why, d.tokens_before, d.tokens_after
FROM decisions AS d
WHERE d.call_id = ?
ORDER BY d.rowid
