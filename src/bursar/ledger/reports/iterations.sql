-- Calls and cost per session: mean and exact nearest-rank percentiles.
-- Sorting every session by its cost is what would take long. So sessions are counted in buckets
-- that rise with the cost (steps of its fourth root, fine at any scale), and only the buckets that
-- hold a wanted rank are looked into. A session without a price ranks as if it had cost nothing.
WITH s AS (
    SELECT
        a.session,
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
        COUNT(*) AS sessions,
        SUM(calls) AS calls,
        MAX(calls) AS calls_max,
        MAX(cost) AS cost_max,
        CAST(CEIL(COUNT(*) * 0.5) AS BIGINT) AS p50,
        CAST(CEIL(COUNT(*) * 0.95) AS BIGINT) AS p95,
        CAST(CEIL(COUNT(*) * 0.99) AS BIGINT) AS p99
    FROM s
),
c AS (
    SELECT calls, COUNT(*) AS held, SUM(COUNT(*)) OVER (ORDER BY calls) AS top
    FROM s
    GROUP BY calls
),
b AS (
    SELECT bucket, COUNT(*) AS held, SUM(COUNT(*)) OVER (ORDER BY bucket) AS top
    FROM s
    GROUP BY bucket
),
w AS (
    SELECT b.bucket, b.top - b.held AS below
    FROM b
    CROSS JOIN q
    WHERE (b.top >= q.p50 AND b.top - b.held < q.p50)
        OR (b.top >= q.p95 AND b.top - b.held < q.p95)
        OR (b.top >= q.p99 AND b.top - b.held < q.p99)
),
v AS (
    SELECT
        MAX(s.cost) AS cost,
        COUNT(*) AS held,
        MAX(w.below) + SUM(COUNT(*)) OVER (
            PARTITION BY s.bucket ORDER BY COALESCE(s.cost, 0)
        ) AS top
    FROM s
    JOIN w ON w.bucket = s.bucket
    GROUP BY s.bucket, COALESCE(s.cost, 0)
),
of_calls AS (
    SELECT
        MAX(CASE WHEN c.top >= q.p50 AND c.top - c.held < q.p50 THEN c.calls END) AS calls_p50,
        MAX(CASE WHEN c.top >= q.p95 AND c.top - c.held < q.p95 THEN c.calls END) AS calls_p95
    FROM c
    CROSS JOIN q
),
of_costs AS (
    SELECT
        MAX(CASE WHEN v.top >= q.p50 AND v.top - v.held < q.p50 THEN v.cost END) AS cost_p50,
        MAX(CASE WHEN v.top >= q.p95 AND v.top - v.held < q.p95 THEN v.cost END) AS cost_p95,
        MAX(CASE WHEN v.top >= q.p99 AND v.top - v.held < q.p99 THEN v.cost END) AS cost_p99
    FROM v
    CROSS JOIN q
)
SELECT
    q.sessions, q.calls, of_calls.calls_p50, of_calls.calls_p95, q.calls_max,
    of_costs.cost_p50, of_costs.cost_p95, of_costs.cost_p99, q.cost_max
FROM q
CROSS JOIN of_calls
CROSS JOIN of_costs
