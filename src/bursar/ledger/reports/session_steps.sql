-- The attempts of one session, in order.
SELECT
    a.call_id, a.n, a.step, a.at, a.model, a.tool, a.stop, a.status, a.is_retry, a.retry_cause,
    a.prompt_tokens, a.input_tokens, a.cache_read_tokens, a.cache_write_5m_tokens,
    a.cache_write_1h_tokens, a.output_tokens + a.reasoning_tokens AS answer_tokens,
    a.repeated_tokens, a.usage_basis AS basis, a.unpriced, a.cost_nano, a.recorded_cost_nano
FROM attempts AS a
WHERE a.session = ?
ORDER BY a.step, a.at, a.n, a.call_id
