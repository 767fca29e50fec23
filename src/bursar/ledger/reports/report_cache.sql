-- Reads and writes of the provider's prompt cache.
SELECT
    a.route,
    a.model,
    SUM(CASE WHEN a.n = 0 THEN 1 ELSE 0 END) AS calls,
    SUM(a.prompt_tokens) AS prompt_tokens,
    SUM(a.cache_read_tokens) AS read_tokens,
    SUM(a.cache_write_5m_tokens + a.cache_write_1h_tokens) AS write_tokens,
    CAST(SUM(a.cache_read_tokens) AS DOUBLE)
        / NULLIF(SUM(a.cache_write_5m_tokens + a.cache_write_1h_tokens), 0) AS reads_per_write,
    CAST(SUM(a.cache_read_tokens) AS DOUBLE) / NULLIF(SUM(a.prompt_tokens), 0) AS read_share,
    SUM(a.cost_nano) AS cost_nano
FROM attempts AS a
WHERE {scope}
GROUP BY a.route, a.model
ORDER BY cost_nano DESC NULLS LAST, a.route, a.model
