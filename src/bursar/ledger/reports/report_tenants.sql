-- Tenants, and how far each is from the mean tenant.
WITH g AS (
    SELECT
        a.tenant,
        SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
        COUNT(DISTINCT a.session) AS sessions,
        SUM(a.cost_nano) AS cost
    FROM attempts AS a
    WHERE {scope}
    GROUP BY a.tenant
),
m AS (SELECT AVG(cost) AS mean FROM g WHERE tenant IS NOT NULL)
SELECT
    g.tenant,
    g.calls,
    g.sessions,
    g.cost AS cost_nano,
    CAST(g.cost AS DOUBLE) / NULLIF(m.mean, 0) AS over_mean
FROM g
CROSS JOIN m
ORDER BY g.cost DESC NULLS LAST, g.tenant
