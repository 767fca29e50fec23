-- One provider request that stands in the ledger as several calls.
WITH g AS (
    SELECT
        COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?') AS place,
        a.request_digest,
        COUNT(DISTINCT a.call_id) AS calls,
        MIN(a.prompt_tokens) AS least_prompt,
        MAX(a.prompt_tokens) AS most_prompt,
        MIN(a.output_tokens + a.reasoning_tokens) AS least_answer,
        MAX(a.output_tokens + a.reasoning_tokens) AS most_answer,
        SUM(COALESCE(a.cost_nano, 0)) - MAX(COALESCE(a.cost_nano, 0)) AS extra_nano
    FROM attempts AS a
    WHERE {scope} AND a.request_digest IS NOT NULL AND a.usage_basis = 'measured'
    GROUP BY 1, 2
    HAVING COUNT(DISTINCT a.call_id) > 1
),
p AS (
    SELECT
        place,
        CASE WHEN least_prompt = most_prompt AND least_answer = most_answer THEN 1 ELSE 0 END
            AS same,
        COUNT(*) AS requests,
        SUM(calls) AS calls,
        SUM(extra_nano) AS extra_nano,
        MIN(request_digest) AS request_digest
    FROM g
    GROUP BY 1, 2
)
SELECT
    p.place, p.same, p.requests, p.calls, p.extra_nano,
    MIN(s.file || ':' || COALESCE(CAST(o.line AS VARCHAR), '?')) AS first_line,
    MAX(s.file || ':' || COALESCE(CAST(o.line AS VARCHAR), '?')) AS last_line
FROM p
JOIN attempts AS o ON o.request_digest = p.request_digest
LEFT JOIN sources AS s ON s.source = o.source
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2
