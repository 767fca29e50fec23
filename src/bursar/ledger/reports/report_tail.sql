-- The dearest sessions, against the median session.
WITH c AS (
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
        session,
        route,
        calls,
        cost,
        ROW_NUMBER() OVER (ORDER BY COALESCE(cost, 0)) AS rn,
        COUNT(*) OVER () AS n
    FROM c
),
m AS (
    SELECT MAX(CASE WHEN rn = CAST(CEIL(n * 0.5) AS BIGINT) THEN cost END) AS median FROM r
)
SELECT
    s.id AS session,
    r.route,
    r.calls,
    r.cost AS cost_nano,
    CAST(r.cost AS DOUBLE) / NULLIF(m.median, 0) AS over_median
FROM r
CROSS JOIN m
LEFT JOIN sessions AS s ON s.session = r.session
ORDER BY r.cost DESC NULLS LAST, s.id
LIMIT 50
