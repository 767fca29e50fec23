-- Calls, tokens and cost by one dimension, dearest first.
SELECT
    {dimension} AS key,
    SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
    SUM(CASE WHEN a.usage_basis = 'measured' THEN 1 ELSE 0 END) AS counted,
    SUM(a.prompt_tokens) - SUM(a.cache_read_tokens) - SUM(a.cache_write_5m_tokens)
        - SUM(a.cache_write_1h_tokens) AS input_tokens,
    SUM(a.cache_read_tokens) AS cache_read_tokens,
    SUM(a.cache_write_5m_tokens) AS cache_write_5m_tokens,
    SUM(a.cache_write_1h_tokens) AS cache_write_1h_tokens,
    SUM(a.output_tokens) AS output_tokens,
    SUM(a.reasoning_tokens) AS reasoning_tokens,
    SUM(a.cost_nano) AS cost_nano
FROM attempts AS a
WHERE {scope}
GROUP BY 1
ORDER BY cost_nano DESC NULLS LAST, key NULLS LAST
