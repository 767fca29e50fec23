-- Calls and cost per session: mean and exact nearest-rank percentiles.
WITH s AS (
    SELECT
        a.session,
        SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
        SUM(a.cost_nano) AS cost
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
),
r AS (
    SELECT
        calls,
        cost,
        ROW_NUMBER() OVER (ORDER BY calls) AS by_calls,
        ROW_NUMBER() OVER (ORDER BY COALESCE(cost, 0)) AS by_cost,
        COUNT(*) OVER () AS n
    FROM s
)
SELECT
    COUNT(*) AS sessions,
    SUM(calls) AS calls,
    MAX(CASE WHEN by_calls = CAST(CEIL(n * 0.5) AS BIGINT) THEN calls END) AS calls_p50,
    MAX(CASE WHEN by_calls = CAST(CEIL(n * 0.95) AS BIGINT) THEN calls END) AS calls_p95,
    MAX(calls) AS calls_max,
    MAX(CASE WHEN by_cost = CAST(CEIL(n * 0.5) AS BIGINT) THEN cost END) AS cost_p50,
    MAX(CASE WHEN by_cost = CAST(CEIL(n * 0.95) AS BIGINT) THEN cost END) AS cost_p95,
    MAX(CASE WHEN by_cost = CAST(CEIL(n * 0.99) AS BIGINT) THEN cost END) AS cost_p99,
    MAX(cost) AS cost_max
FROM r
