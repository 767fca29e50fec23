-- How large prompts are at each step of a session, and what a call of that step costs.
SELECT
    a.step,
    COUNT(*) AS calls,
    AVG(a.prompt_tokens) AS mean_prompt_tokens,
    MAX(a.prompt_tokens) AS max_prompt_tokens,
    CAST(SUM(a.repeated_tokens) AS DOUBLE)
        / NULLIF(SUM(CASE WHEN a.repeated_tokens IS NOT NULL THEN a.prompt_tokens END), 0)
        AS repeated_share,
    SUM(a.cost_nano) AS cost_nano
FROM attempts AS a
WHERE {scope} AND a.session IS NOT NULL AND a.prompt_tokens IS NOT NULL
GROUP BY a.step
ORDER BY a.step
