-- Answered attempts with a recorded cost of zero, or none where their source has one elsewhere.
WITH o AS (
    SELECT
        COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?') AS place,
        a.source, a.line, a.recorded_cost_nano, a.cost_nano
    FROM attempts AS a
    WHERE {scope} AND a.output_tokens > 0 AND a.usage_basis = 'measured'
        AND (a.status IS NULL OR (a.status >= 200 AND a.status < 300))
        AND (a.outcome IS NULL OR a.outcome = 'ok')
        AND (a.cost_nano IS NULL OR a.cost_nano > 0)
),
s AS (
    SELECT
        source,
        SUM(CASE WHEN recorded_cost_nano > 0 THEN 1 ELSE 0 END) AS recorded,
        COUNT(*) AS attempts
    FROM o
    GROUP BY source
)
SELECT
    o.place,
    COUNT(*) AS attempts,
    SUM(CASE WHEN o.recorded_cost_nano = 0 THEN 1 ELSE 0 END) AS zeros,
    SUM(CASE WHEN o.recorded_cost_nano IS NULL THEN 1 ELSE 0 END) AS missing,
    SUM(COALESCE(o.cost_nano, 0)) AS cost_nano,
    MIN(o.line) AS line
FROM o
JOIN s ON s.source = o.source
WHERE o.recorded_cost_nano = 0 OR (o.recorded_cost_nano IS NULL AND s.recorded * 2 > s.attempts)
GROUP BY o.place
ORDER BY o.place
