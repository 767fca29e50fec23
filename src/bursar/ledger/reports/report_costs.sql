-- Calls, tokens and cost by the dimensions that were asked for.
SELECT
    {columns},
    SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
    COUNT(DISTINCT a.session) AS sessions,
    SUM(a.prompt_tokens) AS prompt_tokens,
    SUM(a.cache_read_tokens) AS cache_read_tokens,
    SUM(a.output_tokens + a.reasoning_tokens) AS answer_tokens,
    SUM(CASE WHEN a.cost_nano IS NULL THEN 1 ELSE 0 END) AS unpriced,
    SUM(a.cost_nano) AS cost_nano
FROM attempts AS a
WHERE {scope}
GROUP BY {keys}
ORDER BY cost_nano DESC NULLS LAST, {keys}
