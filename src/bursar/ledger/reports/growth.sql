-- How prompts grow through a session: the last prompt against the first, and all against the last.
WITH o AS (
    SELECT
        a.session,
        a.prompt_tokens,
        ROW_NUMBER() OVER (PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id) AS up,
        ROW_NUMBER() OVER (
            PARTITION BY a.session ORDER BY a.step DESC, a.n DESC, a.at DESC, a.call_id DESC
        ) AS down
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL AND a.prompt_tokens IS NOT NULL
),
s AS (
    SELECT
        session,
        SUM(prompt_tokens) AS sent,
        MAX(CASE WHEN up = 1 THEN prompt_tokens END) AS first_prompt,
        MAX(CASE WHEN down = 1 THEN prompt_tokens END) AS last_prompt,
        COUNT(*) AS calls
    FROM o
    GROUP BY session
),
r AS (
    SELECT
        CAST(last_prompt AS DOUBLE) / first_prompt AS ratio,
        ROW_NUMBER() OVER (ORDER BY CAST(last_prompt AS DOUBLE) / first_prompt) AS rn,
        COUNT(*) OVER () AS n
    FROM s
    WHERE first_prompt > 0
)
SELECT
    (SELECT SUM(sent) FROM s) AS sent,
    (SELECT SUM(last_prompt) FROM s) AS last_prompts,
    (SELECT MAX(CASE WHEN rn = CAST(CEIL(n * 0.5) AS BIGINT) THEN ratio END) FROM r) AS ratio_p50
