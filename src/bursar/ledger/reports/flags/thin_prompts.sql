-- First calls of sessions whose prompt was counted far below what its visible text must be.
WITH o AS (
    SELECT
        COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?') AS place,
        a.session, a.step, a.prompt_tokens,
        ROW_NUMBER() OVER (PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id) AS nth
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL AND a.usage_basis = 'measured'
        AND a.prompt_tokens > 0 AND a.prompt_digest IS NOT NULL
),
v AS (
    SELECT o.place, o.session, o.prompt_tokens, SUM(b.tokens) AS visible_tokens
    FROM o
    JOIN blocks AS b ON b.session = o.session AND b.first_step = o.step
    WHERE o.nth = 1
    GROUP BY o.place, o.session, o.prompt_tokens
)
SELECT
    v.place,
    COUNT(*) AS sessions,
    SUM(v.prompt_tokens) AS prompt_tokens,
    SUM(v.visible_tokens) AS visible_tokens,
    MIN(s.id) AS id
FROM v
JOIN sessions AS s ON s.session = v.session
WHERE v.visible_tokens >= {least_tokens} AND v.prompt_tokens * {times} < v.visible_tokens
GROUP BY v.place
ORDER BY v.place
