-- What was sent for one call, and how it ended.
SELECT
    a.call_id, a.n, a.at, s.id AS session, a.step, a.route, a.tenant, a.provider, a.model,
    a.price_class, a.status, a.stop, a.outcome, a.prompt_tokens, a.input_tokens,
    a.cache_read_tokens, a.cache_write_5m_tokens, a.cache_write_1h_tokens,
    a.output_tokens + a.reasoning_tokens AS answer_tokens, a.usage_basis AS basis, a.unpriced,
    a.cost_nano, a.first_byte_ms, a.total_ms, a.is_retry, a.retry_cause
FROM attempts AS a
LEFT JOIN sessions AS s ON s.session = a.session
WHERE a.call_id = ?
ORDER BY a.n
