-- One provider request that stands in the ledger as several calls.
WITH g AS (
    SELECT
        COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?') AS place,
        a.request_id,
        COUNT(DISTINCT a.call_id) AS calls,
        MIN(a.prompt_tokens) AS least_prompt,
        MAX(a.prompt_tokens) AS most_prompt,
        MIN(a.output_tokens + a.reasoning_tokens) AS least_answer,
        MAX(a.output_tokens + a.reasoning_tokens) AS most_answer,
        SUM(COALESCE(a.cost_nano, 0)) - MAX(COALESCE(a.cost_nano, 0)) AS extra_nano
    FROM attempts AS a
    WHERE {scope} AND a.request_id IS NOT NULL AND a.usage_basis = 'measured'
    GROUP BY 1, 2
    HAVING COUNT(DISTINCT a.call_id) > 1
)
SELECT
    place,
    CASE WHEN least_prompt = most_prompt AND least_answer = most_answer THEN 1 ELSE 0 END AS same,
    COUNT(*) AS requests,
    SUM(calls) AS calls,
    SUM(extra_nano) AS extra_nano,
    MIN(request_id) AS request_id
FROM g
GROUP BY 1, 2
ORDER BY 1, 2
