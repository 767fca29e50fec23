-- The dearest sessions, against the median session, which is found as in iterations.sql.
WITH c AS (
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
q AS (SELECT CAST(CEIL(COUNT(*) * 0.5) AS BIGINT) AS p50 FROM c),
b AS (
    SELECT bucket, COUNT(*) AS held, SUM(COUNT(*)) OVER (ORDER BY bucket) AS top
    FROM c
    GROUP BY bucket
),
w AS (
    SELECT b.bucket, b.top - b.held AS below
    FROM b
    CROSS JOIN q
    WHERE b.top >= q.p50 AND b.top - b.held < q.p50
),
v AS (
    SELECT
        MAX(c.cost) AS cost,
        COUNT(*) AS held,
        MAX(w.below) + SUM(COUNT(*)) OVER (ORDER BY COALESCE(c.cost, 0)) AS top
    FROM c
    JOIN w ON w.bucket = c.bucket
    GROUP BY COALESCE(c.cost, 0)
),
m AS (
    SELECT MAX(v.cost) AS median
    FROM v
    CROSS JOIN q
    WHERE v.top >= q.p50 AND v.top - v.held < q.p50
)
SELECT
    s.id AS session,
    c.route,
    c.calls,
    c.cost AS cost_nano,
    CAST(c.cost AS DOUBLE) / NULLIF(m.median, 0) AS over_median
FROM c
CROSS JOIN m
LEFT JOIN sessions AS s ON s.session = c.session
ORDER BY c.cost DESC NULLS LAST, s.id
LIMIT 50
