-- Calls and cost of one dimension by day: the chart over time.
SELECT
    {dimension} AS key,
    CAST(a.at AS DATE) AS day,
    SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
    SUM(a.cost_nano) AS cost_nano
FROM attempts AS a
WHERE {scope}
GROUP BY 1, 2
ORDER BY day, cost_nano DESC NULLS LAST, key NULLS LAST
