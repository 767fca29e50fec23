-- How many tokens a step adds to the prompt, by one dimension: the least-squares line of prompt
-- tokens over steps. Steps and prompts that no session can have stay out: their squares overflow.
WITH g AS (
    SELECT
        {dimension} AS key,
        COUNT(*) AS held,
        SUM(a.step) AS x,
        SUM(a.prompt_tokens) AS y,
        SUM(a.step * a.prompt_tokens) AS xy,
        SUM(a.step * a.step) AS xx
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
        AND a.step BETWEEN 0 AND 1000000 AND a.prompt_tokens BETWEEN 0 AND 1000000000
    GROUP BY 1
)
SELECT
    key,
    held AS calls,
    CAST(y AS DOUBLE) / held AS mean_prompt_tokens,
    CAST(held * xy - x * y AS DOUBLE) / NULLIF(held * xx - x * x, 0) AS tokens_per_step
FROM g
ORDER BY tokens_per_step DESC NULLS LAST, key NULLS LAST
