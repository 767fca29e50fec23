-- Hours of the last day that cost more than five times what the days before cost at that hour.
-- A day without calls at that hour counts as a day that cost nothing.
WITH h AS (
    SELECT {dimension} AS key, DATE_TRUNC('hour', a.at) AS hour, SUM(a.cost_nano) AS cost
    FROM attempts AS a
    WHERE {scope} AND a.at IS NOT NULL AND a.cost_nano IS NOT NULL
    GROUP BY 1, 2
),
d AS (
    SELECT
        MAX(CAST(hour AS DATE)) AS last_day,
        COUNT(DISTINCT CAST(hour AS DATE)) - 1 AS days
    FROM h
),
b AS (
    SELECT h.key, EXTRACT(HOUR FROM h.hour) AS hour_of_day, SUM(h.cost) AS cost
    FROM h
    CROSS JOIN d
    WHERE CAST(h.hour AS DATE) < d.last_day
    GROUP BY h.key, EXTRACT(HOUR FROM h.hour)
)
SELECT h.key, h.hour, h.cost AS cost_nano, b.cost // d.days AS usual_nano
FROM h
CROSS JOIN d
JOIN b ON b.key IS NOT DISTINCT FROM h.key AND b.hour_of_day = EXTRACT(HOUR FROM h.hour)
WHERE CAST(h.hour AS DATE) = d.last_day AND h.cost * d.days > 5 * b.cost
ORDER BY cost_nano DESC, h.key, h.hour
