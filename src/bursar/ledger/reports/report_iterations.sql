-- Calls and cost per session by route: exact nearest-rank percentiles, as in iterations.sql.
WITH s AS (
    SELECT
        a.session,
        MAX(a.route) AS route,
        SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
        SUM(a.cost_nano) AS cost,
        CAST(FLOOR(SQRT(SQRT(CAST(GREATEST(COALESCE(SUM(a.cost_nano), 0), 0) AS DOUBLE))) * 16)
            AS BIGINT) AS bucket
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
),
q AS (
    SELECT
        route,
        COUNT(*) AS sessions,
        CAST(SUM(calls) AS DOUBLE) / COUNT(*) AS calls_mean,
        MAX(calls) AS calls_max,
        SUM(cost) AS cost,
        CAST(CEIL(COUNT(*) * 0.5) AS BIGINT) AS p50,
        CAST(CEIL(COUNT(*) * 0.95) AS BIGINT) AS p95
    FROM s
    GROUP BY route
),
c AS (
    SELECT
        route, calls, COUNT(*) AS held,
        SUM(COUNT(*)) OVER (PARTITION BY route ORDER BY calls) AS top
    FROM s
    GROUP BY route, calls
),
b AS (
    SELECT
        route, bucket, COUNT(*) AS held,
        SUM(COUNT(*)) OVER (PARTITION BY route ORDER BY bucket) AS top
    FROM s
    GROUP BY route, bucket
),
w AS (
    SELECT b.route, b.bucket, b.top - b.held AS below
    FROM b
    JOIN q ON q.route IS NOT DISTINCT FROM b.route
    WHERE (b.top >= q.p50 AND b.top - b.held < q.p50)
        OR (b.top >= q.p95 AND b.top - b.held < q.p95)
),
v AS (
    SELECT
        s.route,
        MAX(s.cost) AS cost,
        COUNT(*) AS held,
        MAX(w.below) + SUM(COUNT(*)) OVER (
            PARTITION BY s.route, s.bucket ORDER BY COALESCE(s.cost, 0)
        ) AS top
    FROM s
    JOIN w ON w.bucket = s.bucket AND w.route IS NOT DISTINCT FROM s.route
    GROUP BY s.route, s.bucket, COALESCE(s.cost, 0)
),
of_calls AS (
    SELECT
        q.route,
        MAX(CASE WHEN c.top >= q.p50 AND c.top - c.held < q.p50 THEN c.calls END) AS p50,
        MAX(CASE WHEN c.top >= q.p95 AND c.top - c.held < q.p95 THEN c.calls END) AS p95
    FROM c
    JOIN q ON q.route IS NOT DISTINCT FROM c.route
    GROUP BY q.route
),
of_costs AS (
    SELECT
        q.route,
        MAX(CASE WHEN v.top >= q.p50 AND v.top - v.held < q.p50 THEN v.cost END) AS p50,
        MAX(CASE WHEN v.top >= q.p95 AND v.top - v.held < q.p95 THEN v.cost END) AS p95
    FROM v
    JOIN q ON q.route IS NOT DISTINCT FROM v.route
    GROUP BY q.route
)
SELECT
    q.route, q.sessions, q.calls_mean, of_calls.p50 AS calls_p50, of_calls.p95 AS calls_p95,
    q.calls_max, of_costs.p50 AS cost_p50_nano, of_costs.p95 AS cost_p95_nano, q.cost AS cost_nano
FROM q
JOIN of_calls ON of_calls.route IS NOT DISTINCT FROM q.route
JOIN of_costs ON of_costs.route IS NOT DISTINCT FROM q.route
ORDER BY cost_nano DESC NULLS LAST, q.route
