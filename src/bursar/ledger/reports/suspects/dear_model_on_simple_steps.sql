-- Steps that any model could take: a small prompt, a short answer, at most one tool. Not in
-- sessions that read a cache: another model would have to start without it.
WITH u AS (
    SELECT t.call_id, COUNT(*) AS uses FROM tool_uses AS t GROUP BY t.call_id
),
c AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.provider, a.model, a.price_class, a.session, a.at AS moment, a.cost_nano, a.input_tokens,
        a.cache_read_tokens, a.cache_write_5m_tokens, a.cache_write_1h_tokens,
        a.output_tokens, a.reasoning_tokens, a.other_units, a.prompt_tokens, a.call_id,
        COALESCE(u.uses, 0) AS uses,
        MAX(a.cache_read_tokens) OVER (PARTITION BY COALESCE(a.session, a.call_id)) AS most_read
    FROM attempts AS a
    LEFT JOIN u ON u.call_id = a.call_id
    WHERE {scope} AND a.cost_nano > 0
),
r AS (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY place, provider, model, price_class ORDER BY cost_nano DESC, call_id
    ) AS rn
    FROM c
    WHERE most_read = 0 AND uses <= 1 AND other_units IS NULL AND COALESCE(reasoning_tokens, 0) = 0
        AND prompt_tokens BETWEEN 1 AND {prompt_tokens}
        AND output_tokens BETWEEN 1 AND {answer_tokens}
)
SELECT
    place, provider, model, price_class,
    COUNT(*) AS steps,
    SUM(cost_nano) AS nano,
    SUM(input_tokens) AS input_tokens,
    SUM(cache_read_tokens) AS cache_read_tokens,
    SUM(cache_write_5m_tokens) AS cache_write_5m_tokens,
    SUM(cache_write_1h_tokens) AS cache_write_1h_tokens,
    SUM(output_tokens) AS output_tokens,
    MAX(moment) AS latest,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM r
GROUP BY place, provider, model, price_class
ORDER BY nano DESC, place, provider, model, price_class
