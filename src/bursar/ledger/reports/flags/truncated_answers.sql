-- Answers that ended because their limit was reached.
SELECT
    COALESCE(a.route, a.model, '(unnamed)') AS place,
    COUNT(*) AS answers,
    SUM(CASE WHEN a.stop = 'max_tokens' OR a.output_tokens + a.reasoning_tokens >= a.max_tokens
        THEN 1 ELSE 0 END) AS cut,
    MAX(CASE WHEN a.stop = 'max_tokens' OR a.output_tokens + a.reasoning_tokens >= a.max_tokens
        THEN COALESCE(a.max_tokens, a.output_tokens + a.reasoning_tokens) END) AS limit_tokens,
    SUM(CASE WHEN a.stop = 'max_tokens' OR a.output_tokens + a.reasoning_tokens >= a.max_tokens
        THEN COALESCE(a.cost_nano, 0) ELSE 0 END) AS nano
FROM attempts AS a
WHERE {scope} AND (a.output_tokens + a.reasoning_tokens > {probe_tokens}
    OR (a.output_tokens IS NULL AND a.stop IS NOT NULL))
GROUP BY 1
HAVING SUM(CASE WHEN a.stop = 'max_tokens'
    OR a.output_tokens + a.reasoning_tokens >= a.max_tokens THEN 1 ELSE 0 END) > 0
ORDER BY 1
