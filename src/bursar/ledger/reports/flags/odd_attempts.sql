-- Attempts whose own fields do not go together, by provider and model.
WITH o AS (
    SELECT
        COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?') AS place,
        a.line,
        CASE WHEN a.status >= 400 AND a.output_tokens > 0 THEN 1 ELSE 0 END AS failed_answer,
        CASE
            WHEN (a.status IS NULL OR a.status < 300) AND COALESCE(a.outcome, 'ok') = 'ok'
                AND a.other_units IS NULL AND a.prompt_tokens = 0
                AND a.output_tokens + a.reasoning_tokens = 0
                AND (a.stop IS NOT NULL OR a.tool IS NOT NULL OR a.prompt_digest IS NOT NULL)
            THEN 1
            ELSE 0
        END AS nothing_counted,
        CASE
            WHEN a.tool IS NOT NULL AND a.output_tokens + a.reasoning_tokens = 0
                AND a.prompt_tokens > 0
            THEN 1
            ELSE 0
        END AS free_answer,
        CASE
            WHEN a.prompt_tokens = 0 AND a.output_tokens > 0 AND a.other_units IS NULL THEN 1
            ELSE 0
        END AS free_prompt,
        CASE
            WHEN a.prompt_tokens > {absurd} OR a.output_tokens + a.reasoning_tokens > {absurd}
            THEN 1
            ELSE 0
        END AS absurd
    FROM attempts AS a
    WHERE {scope} AND a.usage_basis = 'measured'
)
SELECT
    place,
    COUNT(*) AS attempts,
    SUM(failed_answer) AS failed_answer,
    SUM(nothing_counted) AS nothing_counted,
    SUM(free_answer) AS free_answer,
    SUM(free_prompt) AS free_prompt,
    SUM(absurd) AS absurd
FROM o
GROUP BY place
HAVING SUM(failed_answer + nothing_counted + free_answer + free_prompt + absurd) > 0
ORDER BY place
