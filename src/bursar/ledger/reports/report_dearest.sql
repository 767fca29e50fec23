-- The one value of a dimension that cost most, and how many calls a session of it takes.
SELECT
    {dimension} AS key,
    SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
    COUNT(DISTINCT a.session) AS sessions,
    CAST(SUM(CASE WHEN a.n = 0 AND a.session IS NOT NULL THEN 1 ELSE 0 END) AS DOUBLE)
        / NULLIF(COUNT(DISTINCT a.session), 0) AS mean_iterations,
    SUM(a.cost_nano) AS cost_nano
FROM attempts AS a
WHERE {scope}
GROUP BY 1
ORDER BY cost_nano DESC NULLS LAST, key NULLS LAST
LIMIT 1
