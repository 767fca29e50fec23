-- What a source says of a session's usage, beside the sum of its calls, all measured and in scope.
WITH w AS (
    SELECT session, COUNT(*) AS attempts FROM attempts GROUP BY session
),
c AS (
    SELECT
        a.session,
        COUNT(*) AS attempts,
        SUM(a.prompt_tokens) AS prompt_tokens,
        SUM(a.output_tokens + a.reasoning_tokens) AS answer_tokens
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
    HAVING SUM(CASE WHEN a.usage_basis = 'measured' THEN 0 ELSE 1 END) = 0
)
SELECT s.id, s.recorded_usage, c.prompt_tokens, c.answer_tokens
FROM c
JOIN w ON w.session = c.session AND w.attempts = c.attempts
JOIN sessions AS s ON s.session = c.session
WHERE s.recorded_usage IS NOT NULL
ORDER BY s.id
