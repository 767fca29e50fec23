-- Calls and cost per session by route: exact nearest-rank percentiles.
WITH s AS (
    SELECT
        a.session,
        MAX(a.route) AS route,
        SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
        SUM(a.cost_nano) AS cost
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
),
r AS (
    SELECT
        route,
        calls,
        cost,
        ROW_NUMBER() OVER (PARTITION BY route ORDER BY calls) AS by_calls,
        ROW_NUMBER() OVER (PARTITION BY route ORDER BY COALESCE(cost, 0)) AS by_cost,
        COUNT(*) OVER (PARTITION BY route) AS n
    FROM s
)
SELECT
    route,
    COUNT(*) AS sessions,
    CAST(SUM(calls) AS DOUBLE) / COUNT(*) AS calls_mean,
    MAX(CASE WHEN by_calls = CAST(CEIL(n * 0.5) AS BIGINT) THEN calls END) AS calls_p50,
    MAX(CASE WHEN by_calls = CAST(CEIL(n * 0.95) AS BIGINT) THEN calls END) AS calls_p95,
    MAX(calls) AS calls_max,
    MAX(CASE WHEN by_cost = CAST(CEIL(n * 0.5) AS BIGINT) THEN cost END) AS cost_p50_nano,
    MAX(CASE WHEN by_cost = CAST(CEIL(n * 0.95) AS BIGINT) THEN cost END) AS cost_p95_nano,
    SUM(cost) AS cost_nano
FROM r
GROUP BY route
ORDER BY cost_nano DESC NULLS LAST, route
