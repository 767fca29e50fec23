-- Models billed by the hour: what was paid, and how long they were busy.
WITH c AS (
    SELECT
        COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?') AS place,
        a.other_units, a.price_class, a.output_tokens, a.total_ms, a.cost_nano,
        CASE WHEN a.other_units LIKE '%hours%' OR a.price_class IN ({classes}) THEN 1 ELSE 0 END
            AS hourly
    FROM attempts AS a
    WHERE {scope}
),
h AS (
    SELECT DISTINCT place FROM c WHERE hourly = 1
)
SELECT
    c.place, c.other_units,
    COUNT(*) AS attempts,
    SUM(CASE WHEN c.output_tokens > 0 THEN 1 ELSE 0 END) AS answered,
    SUM(COALESCE(c.total_ms, 0)) AS busy_ms,
    SUM(CASE WHEN c.hourly = 1 THEN COALESCE(c.cost_nano, 0) ELSE 0 END) AS nano
FROM c
JOIN h ON h.place = c.place
GROUP BY c.place, c.other_units
ORDER BY c.place, c.other_units NULLS LAST
