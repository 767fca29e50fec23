-- The same tool with the same arguments and, where known, the same result, again and again in
-- one session. From the third time on, a call is charged by its share of such uses.
WITH c AS (
    SELECT
        a.call_id,
        MIN(a.session) AS session,
        MIN(a.step) AS step,
        SUM(COALESCE(a.cost_nano, 0)) AS nano,
        MAX(CASE WHEN a.cost_basis <> 'measured' THEN 1 ELSE 0 END) AS estimated
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.call_id
),
x AS (
    SELECT t.session, t.use_id, MIN(t.result_digest) AS result_digest
    FROM tool_outcomes AS t
    WHERE t.use_id IS NOT NULL
    GROUP BY t.session, t.use_id
),
u AS (
    SELECT
        c.call_id, c.session, c.step, c.nano, c.estimated, t.tool, t.arguments_digest,
        COUNT(*) OVER (PARTITION BY c.call_id) AS uses,
        ROW_NUMBER() OVER (
            PARTITION BY c.session, t.tool, t.arguments_digest, x.result_digest
            ORDER BY c.step, c.call_id, t.use_id
        ) AS nth_time
    FROM tool_uses AS t
    JOIN c ON c.call_id = t.call_id
    LEFT JOIN x ON x.session = c.session AND x.use_id = t.use_id
),
w AS (
    SELECT tool, session, call_id, estimated, MIN(step) AS step, MAX(nth_time) AS times,
        MAX(nano) * COUNT(*) // MAX(uses) AS nano
    FROM u
    WHERE nth_time > {allowed} AND arguments_digest IS NOT NULL
    GROUP BY tool, session, call_id, estimated
),
r AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY tool ORDER BY times DESC, nano DESC, call_id) AS rn
    FROM w
)
SELECT
    tool AS place,
    COUNT(*) AS calls,
    COUNT(DISTINCT session) AS sessions,
    MAX(times) AS times,
    SUM(nano) AS nano,
    SUM(estimated) AS estimated,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_session,
    MAX(CASE WHEN rn = 1 THEN step END) AS top_step
FROM r
GROUP BY tool
ORDER BY nano DESC, place
