-- Values of a dimension that cost more than ten times the mean of all its values.
WITH g AS (
    SELECT {dimension} AS key, SUM(a.cost_nano) AS cost
    FROM attempts AS a
    WHERE {scope} AND {dimension} IS NOT NULL
    GROUP BY 1
),
m AS (SELECT SUM(cost) AS cost, COUNT(cost) AS held FROM g)
SELECT
    g.key,
    g.cost AS cost_nano,
    CAST(g.cost AS DOUBLE) * m.held / m.cost AS over_mean
FROM g
CROSS JOIN m
WHERE g.cost * m.held > 10 * m.cost
ORDER BY cost_nano DESC, g.key
