-- Sessions that somebody labelled, and what they cost.
WITH c AS (
    SELECT a.session, SUM(a.cost_nano) AS cost
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
)
SELECT
    COUNT(*) AS labelled,
    SUM(CASE WHEN s.success THEN 1 ELSE 0 END) AS successes,
    SUM(c.cost) AS cost_nano,
    SUM(CASE WHEN s.success THEN 0 ELSE c.cost END) AS failed_nano
FROM sessions AS s
JOIN c ON c.session = s.session
WHERE s.success IS NOT NULL
