-- One step of a session at one moment on one model, logged with different contents.
WITH g AS (
    SELECT
        a.session, a.step, a.model, a.at,
        COUNT(DISTINCT a.call_id) AS calls,
        COUNT(DISTINCT a.prompt_tokens) AS prompts,
        COUNT(DISTINCT a.output_tokens) AS answers
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL AND a.at IS NOT NULL AND a.n = 0 AND NOT a.is_retry
        AND a.usage_basis = 'measured'
    GROUP BY a.session, a.step, a.model, a.at
)
SELECT s.id, COUNT(*) AS steps, MIN(g.step) AS step, SUM(g.calls) AS calls
FROM g
JOIN sessions AS s ON s.session = g.session
WHERE g.calls > 1 AND (g.prompts > 1 OR g.answers > 1)
GROUP BY s.id
ORDER BY s.id
