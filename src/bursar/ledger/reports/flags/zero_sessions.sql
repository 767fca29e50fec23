-- Sessions that were recorded as free, though their measured tokens have a price.
WITH c AS (
    SELECT
        a.session,
        MIN(COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?')) AS place,
        SUM(COALESCE(a.cost_nano, 0)) AS cost_nano,
        SUM(CASE WHEN a.recorded_cost_nano IS NULL THEN 0 ELSE 1 END) AS recorded
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL AND a.output_tokens > 0 AND a.usage_basis = 'measured'
        AND (a.outcome IS NULL OR a.outcome = 'ok')
    GROUP BY a.session
)
SELECT c.place, COUNT(*) AS sessions, SUM(c.cost_nano) AS cost_nano, MIN(s.id) AS id
FROM c
JOIN sessions AS s ON s.session = c.session
WHERE s.recorded_cost_nano = 0 AND c.cost_nano > 0 AND c.recorded = 0
GROUP BY c.place
ORDER BY c.place
