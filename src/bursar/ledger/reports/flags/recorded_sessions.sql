-- Sessions whose recorded cost is not the sum of their calls, all measured, priced and in scope.
WITH w AS (
    SELECT session, COUNT(*) AS attempts FROM attempts GROUP BY session
),
c AS (
    SELECT
        a.session,
        MIN(COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?')) AS place,
        COUNT(*) AS attempts,
        SUM(a.cost_nano) AS cost_nano,
        SUM(CASE
            WHEN a.cost_basis = 'measured' AND a.usage_basis = 'measured' THEN 0
            WHEN a.cost_nano = 0 THEN 0
            ELSE 1
        END) AS unsure
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
),
d AS (
    SELECT
        c.place, s.id, s.recorded_cost_nano, c.cost_nano,
        CASE WHEN s.recorded_cost_nano > c.cost_nano THEN 1 ELSE 0 END AS high,
        CASE
            WHEN ABS(s.recorded_cost_nano - c.cost_nano) * {part} > c.cost_nano
                AND ABS(s.recorded_cost_nano - c.cost_nano) > {least_nano}
            THEN 1
            ELSE 0
        END AS off
    FROM c
    JOIN w ON w.session = c.session AND w.attempts = c.attempts
    JOIN sessions AS s ON s.session = c.session
    WHERE c.unsure = 0 AND c.cost_nano > 0 AND s.recorded_cost_nano > 0
)
SELECT
    place, high,
    COUNT(*) AS sessions,
    SUM(recorded_cost_nano) AS recorded_nano,
    SUM(cost_nano) AS cost_nano,
    MIN(id) AS id
FROM d
WHERE off = 1
GROUP BY place, high
ORDER BY place, high
