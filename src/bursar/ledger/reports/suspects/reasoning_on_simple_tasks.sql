-- Short questions with short answers and no tool, for which the model reasoned longer than it
-- answered: what the reasoning beyond the answer's length has cost.
WITH k AS (
    SELECT p.call_id, p.n, SUM(p.fresh_nano) AS nano
    FROM parts AS p
    WHERE p.kind = 'output'
    GROUP BY p.call_id, p.n
),
c AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.model, a.session, a.call_id, a.n, a.reasoning_tokens, a.output_tokens, a.effort,
        CASE
            WHEN a.tool IS NULL AND a.prompt_tokens < {prompt_tokens}
                AND a.output_tokens BETWEEN 1 AND {answer_tokens}
                AND a.reasoning_tokens > a.output_tokens
            THEN 1
            ELSE 0
        END AS simple
    FROM attempts AS a
    WHERE {scope} AND a.cost_nano IS NOT NULL AND a.usage_basis = 'measured' AND {sane}
),
w AS (
    SELECT
        c.*,
        CASE
            WHEN simple = 1
            THEN k.nano * (c.reasoning_tokens - c.output_tokens)
                // (c.reasoning_tokens + c.output_tokens)
            ELSE 0
        END AS nano
    FROM c
    LEFT JOIN k ON k.call_id = c.call_id AND k.n = c.n
),
r AS (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY place ORDER BY simple DESC, nano DESC NULLS LAST, call_id
    ) AS rn
    FROM w
)
SELECT
    place,
    MAX(CASE WHEN rn = 1 THEN model END) AS model,
    MAX(CASE WHEN rn = 1 THEN effort END) AS effort,
    COUNT(*) AS attempts,
    SUM(simple) AS simple,
    SUM(CASE WHEN simple = 1 THEN reasoning_tokens ELSE 0 END) AS reasoning_tokens,
    SUM(CASE WHEN simple = 1 THEN output_tokens ELSE 0 END) AS output_tokens,
    SUM(COALESCE(nano, 0)) AS nano,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM r
GROUP BY place
HAVING SUM(simple) >= {steps}
ORDER BY nano DESC, place
