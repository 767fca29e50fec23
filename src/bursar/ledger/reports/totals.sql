-- Everything summed once: the head of the analysis.
SELECT
    MIN(a.at) AS first_at,
    MAX(a.at) AS last_at,
    COUNT(DISTINCT CAST(a.at AS DATE)) AS days,
    COUNT(DISTINCT a.session) AS sessions,
    SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
    COUNT(*) AS attempts,
    SUM(CASE WHEN a.is_retry OR a.n > 0 THEN 1 ELSE 0 END) AS retries,
    SUM(CASE WHEN a.usage_basis = 'measured' THEN 1 ELSE 0 END) AS counted,
    SUM(a.prompt_tokens) - SUM(a.cache_read_tokens) - SUM(a.cache_write_5m_tokens)
        - SUM(a.cache_write_1h_tokens) AS input_tokens,
    SUM(a.cache_read_tokens) AS cache_read_tokens,
    SUM(a.cache_write_5m_tokens) AS cache_write_5m_tokens,
    SUM(a.cache_write_1h_tokens) AS cache_write_1h_tokens,
    SUM(a.output_tokens) AS output_tokens,
    SUM(a.reasoning_tokens) AS reasoning_tokens,
    SUM(a.cost_nano) AS cost_nano,
    SUM(CASE WHEN a.cost_nano IS NULL THEN 1 ELSE 0 END) AS unpriced_attempts,
    SUM(a.recorded_cost_nano) AS recorded_cost_nano,
    SUM(CASE WHEN a.cost_basis = 'measured' THEN a.cost_nano ELSE 0 END) AS measured_nano,
    SUM(CASE WHEN a.cost_basis <> 'measured' THEN a.cost_nano ELSE 0 END) AS modelled_nano,
    SUM(CASE WHEN a.is_retry OR a.n > 0 THEN a.cost_nano ELSE 0 END) AS retry_nano,
    SUM(a.list_input_nano) AS list_input_nano,
    SUM(a.prompt_tokens) AS prompt_tokens,
    SUM(a.repeated_tokens) AS repeated_tokens,
    SUM(CASE WHEN a.repeated_tokens IS NOT NULL THEN a.prompt_tokens END) AS followed_tokens
FROM attempts AS a
WHERE {scope}
