-- Sessions, dearest first.
WITH c AS (
    SELECT
        a.session,
        MAX(a.route) AS route,
        MAX(a.tenant) AS tenant,
        SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
        SUM(a.prompt_tokens) AS prompt_tokens,
        SUM(a.cost_nano) AS cost_nano,
        MIN(a.at) AS since
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
)
SELECT
    s.id AS session,
    c.route,
    c.tenant,
    c.calls,
    c.prompt_tokens,
    c.cost_nano,
    c.since AS "from",
    s.success
FROM c
JOIN sessions AS s ON s.session = c.session
ORDER BY cost_nano DESC NULLS LAST, s.id
LIMIT ?
