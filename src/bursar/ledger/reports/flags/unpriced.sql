-- Attempts without a cost, by provider, model and reason.
SELECT
    COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?') AS place,
    a.provider, a.model, a.price_class,
    COALESCE(a.unpriced, 'no reason is known') AS reason,
    COUNT(*) AS attempts,
    SUM(CASE WHEN a.usage_basis IS NULL THEN 0 ELSE 1 END) AS counted,
    SUM(COALESCE(a.prompt_tokens, 0)) AS prompt_tokens,
    SUM(COALESCE(a.output_tokens, 0) + COALESCE(a.reasoning_tokens, 0)) AS answer_tokens
FROM attempts AS a
WHERE {scope} AND a.cost_nano IS NULL
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, attempts DESC, reason, a.price_class
