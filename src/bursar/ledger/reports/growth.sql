-- How prompts grow through a session: the last prompt against the first, and all against the last.
-- First and last go by step, then attempt, then time, then call. `turn` is these four in one
-- number (33, 6, 52 and 32 bits), so that one pass finds both without sorting every session.
-- The ratio's median is looked for in its bucket, as in iterations.sql.
WITH o AS (
    SELECT
        a.session,
        a.prompt_tokens,
        ((CAST(LEAST(GREATEST(a.step, -2147483648), 2147483647) AS HUGEINT) * 64
            + LEAST(a.n, 63)) * 4503599627370496
            + LEAST(GREATEST(COALESCE(EPOCH_US(a.at), 0), 0), 4503599627370495)) * 4294967296
            + (a.call_id >> 31) AS turn
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL AND a.prompt_tokens IS NOT NULL
),
s AS (
    SELECT
        session,
        SUM(prompt_tokens) AS sent,
        ARG_MIN(prompt_tokens, turn) AS first_prompt,
        ARG_MAX(prompt_tokens, turn) AS last_prompt
    FROM o
    GROUP BY session
),
r AS (
    SELECT
        CAST(last_prompt AS DOUBLE) / first_prompt AS ratio,
        CAST(FLOOR(SQRT(CAST(last_prompt AS DOUBLE) / first_prompt) * 1024) AS BIGINT) AS bucket
    FROM s
    WHERE first_prompt > 0
),
q AS (SELECT CAST(CEIL(COUNT(*) * 0.5) AS BIGINT) AS p50 FROM r),
b AS (
    SELECT bucket, COUNT(*) AS held, SUM(COUNT(*)) OVER (ORDER BY bucket) AS top
    FROM r
    GROUP BY bucket
),
w AS (
    SELECT b.bucket, b.top - b.held AS below
    FROM b
    CROSS JOIN q
    WHERE b.top >= q.p50 AND b.top - b.held < q.p50
),
v AS (
    SELECT
        r.ratio,
        COUNT(*) AS held,
        MAX(w.below) + SUM(COUNT(*)) OVER (ORDER BY r.ratio) AS top
    FROM r
    JOIN w ON w.bucket = r.bucket
    GROUP BY r.ratio
)
SELECT
    (SELECT SUM(sent) FROM s) AS sent,
    (SELECT SUM(last_prompt) FROM s) AS last_prompts,
    (SELECT MAX(v.ratio) FROM v CROSS JOIN q WHERE v.top >= q.p50 AND v.top - v.held < q.p50)
        AS ratio_p50
