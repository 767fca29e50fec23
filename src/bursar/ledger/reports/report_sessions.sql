-- Sessions, dearest first.
SELECT
    s.id AS session,
    MAX(a.route) AS route,
    MAX(a.tenant) AS tenant,
    SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
    SUM(a.prompt_tokens) AS prompt_tokens,
    SUM(a.cost_nano) AS cost_nano,
    MIN(a.at) AS "from",
    MAX(s.success) AS success
FROM attempts AS a
JOIN sessions AS s ON s.session = a.session
WHERE {scope}
GROUP BY s.id
ORDER BY cost_nano DESC NULLS LAST, s.id
LIMIT ?
