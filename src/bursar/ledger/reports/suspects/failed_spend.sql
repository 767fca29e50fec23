-- What sessions that were labelled as failed have cost, beside all labelled ones.
WITH c AS (
    SELECT
        MIN(COALESCE(a.route, a.model, '(unnamed)')) AS place,
        a.session,
        SUM(COALESCE(a.cost_nano, 0)) AS nano,
        MAX(CASE WHEN a.cost_basis <> 'measured' THEN 1 ELSE 0 END) AS estimated
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
),
l AS (
    SELECT c.*, s.success
    FROM c
    JOIN sessions AS s ON s.session = c.session
    WHERE s.success IS NOT NULL
),
r AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY place ORDER BY success, nano DESC, session) AS rn
    FROM l
)
SELECT
    place,
    COUNT(*) AS labelled,
    SUM(CASE WHEN success THEN 0 ELSE 1 END) AS failed,
    SUM(nano) AS labelled_nano,
    SUM(CASE WHEN success THEN 0 ELSE nano END) AS nano,
    SUM(CASE WHEN success THEN 0 ELSE estimated END) AS estimated,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM r
GROUP BY place
HAVING SUM(CASE WHEN success THEN 0 ELSE 1 END) > 0
ORDER BY nano DESC, place
