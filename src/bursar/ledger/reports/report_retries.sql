-- Retries and what they cost, by cause and tool, beside all attempts of that tool.
SELECT
    a.retry_cause AS cause,
    a.tool,
    SUM(CASE WHEN a.is_retry OR a.n > 0 THEN 1 ELSE 0 END) AS retries,
    COUNT(*) AS attempts,
    SUM(CASE WHEN a.is_retry OR a.n > 0 THEN a.cost_nano ELSE 0 END) AS cost_nano
FROM attempts AS a
WHERE {scope}
GROUP BY a.retry_cause, a.tool
HAVING SUM(CASE WHEN a.is_retry OR a.n > 0 THEN 1 ELSE 0 END) > 0
ORDER BY cost_nano DESC NULLS LAST, cause, tool
