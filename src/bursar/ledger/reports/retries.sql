-- Retries by one dimension of them.
SELECT
    {dimension} AS key,
    COUNT(*) AS retries,
    SUM(a.cost_nano) AS cost_nano
FROM attempts AS a
WHERE {scope} AND (a.is_retry OR a.n > 0)
GROUP BY 1
ORDER BY cost_nano DESC NULLS LAST, key NULLS LAST
