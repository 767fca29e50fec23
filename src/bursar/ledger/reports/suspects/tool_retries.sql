-- Calls that only asked for a tool again after it had failed, by tool.
WITH c AS (
    SELECT
        a.call_id,
        MIN(a.session) AS session,
        MIN(a.step) AS step,
        MIN(COALESCE(a.tool, a.route, a.model, '(unnamed)')) AS place,
        SUM(COALESCE(a.cost_nano, 0)) AS nano,
        MAX(CASE WHEN a.cost_basis <> 'measured' THEN 1 ELSE 0 END) AS estimated,
        MAX(CASE
            WHEN (a.is_retry OR a.n > 0) AND LOWER(a.retry_cause) IN ({causes}) THEN 1
            ELSE 0
        END) AS labelled
    FROM attempts AS a
    WHERE {scope}
    GROUP BY a.call_id
),
f AS (
    SELECT t.call_id, MIN(t.tool) AS tool
    FROM tool_outcomes AS t
    JOIN tool_uses AS u ON u.call_id = t.call_id AND u.tool = t.tool
    WHERE t.failed
    GROUP BY t.call_id
),
g AS (
    SELECT c.*, COALESCE(f.tool, c.place) AS tool
    FROM c
    LEFT JOIN f ON f.call_id = c.call_id
    WHERE c.labelled = 1 OR f.tool IS NOT NULL
),
u AS (
    SELECT t.tool, COUNT(*) AS uses
    FROM tool_uses AS t
    JOIN c ON c.call_id = t.call_id
    GROUP BY t.tool
),
r AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY tool ORDER BY nano DESC, call_id) AS rn FROM g
)
SELECT
    r.tool AS place,
    COUNT(*) AS retries,
    MAX(COALESCE(u.uses, 0)) AS uses,
    SUM(r.nano) AS nano,
    SUM(r.estimated) AS estimated,
    MAX(CASE WHEN r.rn = 1 THEN r.session END) AS top_session,
    MAX(CASE WHEN r.rn = 1 THEN r.step END) AS top_step,
    MAX(CASE WHEN r.rn = 1 THEN r.nano END) AS top_nano
FROM r
LEFT JOIN u ON u.tool = r.tool
GROUP BY r.tool
ORDER BY nano DESC, place
