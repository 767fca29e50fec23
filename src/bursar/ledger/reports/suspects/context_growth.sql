-- Sessions whose prompt keeps growing, and what the conversation carried beyond a bound has cost.
WITH k AS (
    SELECT
        p.call_id, p.n,
        SUM(p.carried_tokens) AS carried_tokens,
        SUM(p.carried_nano) AS carried_nano
    FROM parts AS p
    WHERE p.kind NOT IN ('system', 'tools', 'output')
    GROUP BY p.call_id, p.n
),
o AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.call_id, a.n, a.session, a.prompt_tokens,
        ROW_NUMBER() OVER (PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id) AS up,
        COUNT(*) OVER (PARTITION BY a.session) AS calls,
        FIRST_VALUE(a.prompt_tokens) OVER (
            PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id
        ) AS first_prompt,
        CASE
            WHEN a.prompt_tokens >= LAG(a.prompt_tokens) OVER (
                PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id
            )
            THEN 1
            ELSE 0
        END AS rises
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL AND {sane}
),
s AS (
    SELECT
        MIN(o.place) AS place,
        o.session,
        MAX(o.calls) AS calls,
        MAX(o.first_prompt) AS first_prompt,
        MAX(CASE WHEN o.up = o.calls THEN o.prompt_tokens END) AS last_prompt,
        SUM(o.prompt_tokens) AS sent,
        SUM(o.rises) AS rises,
        SUM(CASE
            WHEN k.carried_tokens > 0
            THEN COALESCE(k.carried_nano, 0) * LEAST(
                k.carried_tokens,
                GREATEST(
                    0, o.prompt_tokens - GREATEST({growth} * o.first_prompt, {small_tokens})
                )
            ) // k.carried_tokens
            ELSE 0
        END) AS nano
    FROM o
    LEFT JOIN k ON k.call_id = o.call_id AND k.n = o.n
    GROUP BY o.session
),
r AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY place ORDER BY nano DESC, session) AS rn
    FROM s
    WHERE calls >= {calls} AND last_prompt >= GREATEST({growth} * first_prompt, {small_tokens})
        AND sent >= {resend} * last_prompt AND rises * 5 >= (calls - 1) * 4
)
SELECT
    place,
    COUNT(*) AS sessions,
    SUM(calls) AS calls,
    SUM(first_prompt) AS first_prompts,
    SUM(last_prompt) AS last_prompts,
    SUM(sent) AS sent,
    SUM(nano) AS nano,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM r
GROUP BY place
ORDER BY nano DESC, place
