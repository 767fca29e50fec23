-- Attempts whose recorded cost is not what their tokens cost at the listed price, and what a few
-- well-known mistakes would have made of them.
WITH k AS (
    SELECT p.call_id, p.n, SUM(p.fresh_nano + p.carried_nano) AS output_nano
    FROM parts AS p
    WHERE p.kind = 'output'
    GROUP BY p.call_id, p.n
),
o AS (
    SELECT
        COALESCE(a.provider, '?') || '/' || COALESCE(a.model, '?') AS place,
        a.call_id, a.session, a.step, a.source, a.line, a.recorded_cost_nano, a.cost_nano,
        a.price_class,
        a.cache_read_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens AS cached_tokens,
        a.output_tokens + a.reasoning_tokens AS answer_tokens,
        a.reasoning_tokens,
        COALESCE(a.list_input_nano, 0) AS list_nano,
        CASE
            WHEN a.prompt_tokens > 0
            THEN COALESCE(a.list_input_nano, 0) * a.cache_read_tokens // a.prompt_tokens
            ELSE 0
        END AS read_list_nano,
        COALESCE(k.output_nano, 0) AS output_nano
    FROM attempts AS a
    LEFT JOIN k ON k.call_id = a.call_id AND k.n = a.n
    WHERE {scope} AND a.recorded_cost_nano > 0 AND a.cost_nano > 0
        AND a.usage_basis = 'measured' AND a.cost_basis = 'measured' AND {sane}
),
d AS (
    SELECT
        *,
        recorded_cost_nano - cost_nano AS more_nano,
        CASE WHEN recorded_cost_nano > cost_nano THEN 1 ELSE 0 END AS high,
        CASE
            WHEN ABS(recorded_cost_nano - cost_nano) * {part} > cost_nano
                AND ABS(recorded_cost_nano - cost_nano) > {least_nano}
            THEN 1
            ELSE 0
        END AS off
    FROM o
),
c AS (
    SELECT place, COUNT(*) AS compared FROM d GROUP BY place
)
SELECT
    d.place, d.high,
    MAX(c.compared) AS compared,
    COUNT(*) AS attempts,
    SUM(d.recorded_cost_nano) AS recorded_nano,
    SUM(d.cost_nano) AS cost_nano,
    SUM(d.cached_tokens) AS cached_tokens,
    SUM(d.list_nano + d.output_nano) AS uncached_nano,
    SUM(d.cost_nano + d.read_list_nano) AS reads_twice_nano,
    SUM(d.cost_nano + CASE
        WHEN d.answer_tokens > 0 THEN d.output_nano * d.reasoning_tokens // d.answer_tokens
        ELSE 0
    END) AS reasoning_twice_nano,
    SUM(d.cost_nano - CASE
        WHEN d.answer_tokens > 0 THEN d.output_nano * d.reasoning_tokens // d.answer_tokens
        ELSE 0
    END) AS no_reasoning_nano,
    SUM(d.output_nano) AS output_nano,
    MIN(d.price_class) AS price_class,
    MIN(d.line) AS line
FROM d
JOIN c ON c.place = d.place
WHERE d.off = 1
GROUP BY d.place, d.high
ORDER BY d.place, d.high
