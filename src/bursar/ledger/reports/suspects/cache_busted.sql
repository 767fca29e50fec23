-- Tokens that the session had sent before, but behind a place where the prompt changed, so that
-- no cache could serve them; and a stable prefix that was written to the cache again. By the first
-- block that is new in such a step: it is what changed.
WITH o AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.call_id, a.n, a.provider, a.model, a.price_class, a.session, a.step, a.at AS moment,
        a.input_tokens, a.cache_read_tokens, a.prompt_tokens, a.list_input_nano, a.usage_basis,
        a.cache_write_5m_tokens + a.cache_write_1h_tokens AS written_tokens,
        a.cache_write_1h_tokens, a.repeated_tokens,
        LAG(a.prompt_tokens) OVER (
            PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id
        ) AS prompt_before,
        CASE
            WHEN a.model = LAG(a.model) OVER (
                PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id
            )
                AND COALESCE(DATE_DIFF('second', LAG(a.at) OVER (
                    PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id
                ), a.at), 0) <= {ttl_s}
            THEN 1
            ELSE 0
        END AS follows,
        CASE
            WHEN MAX(
                a.cache_read_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens
            ) OVER (PARTITION BY a.session) > 0
            THEN 1
            ELSE 0
        END AS cached
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL AND {sane}
        AND a.list_input_nano IS NOT NULL AND a.repeated_tokens IS NOT NULL
),
k AS (
    SELECT p.call_id, p.n, SUM(p.carried_tokens) AS carried_tokens
    FROM parts AS p
    GROUP BY p.call_id, p.n
),
l AS (
    SELECT
        o.*,
        GREATEST(0, k.carried_tokens - GREATEST(o.repeated_tokens, o.cache_read_tokens)) AS behind,
        CASE
            WHEN o.cache_read_tokens * 2 < o.repeated_tokens
            THEN LEAST(
                GREATEST(0, o.repeated_tokens - o.cache_read_tokens - o.input_tokens),
                o.written_tokens
            )
            ELSE 0
        END AS rewritten
    FROM o
    JOIN k ON k.call_id = o.call_id AND k.n = o.n
    WHERE o.follows = 1
),
m AS (
    SELECT
        *,
        LEAST(behind, input_tokens) AS plain_lost,
        LEAST(GREATEST(0, behind - input_tokens) + rewritten, written_tokens) AS written_lost
    FROM l
    WHERE behind + rewritten >= {minimum_tokens}
),
f AS (
    SELECT m.call_id, m.n, b.kind, b.name, ROW_NUMBER() OVER (
        PARTITION BY m.call_id, m.n ORDER BY b.block
    ) AS rn
    FROM m
    JOIN blocks AS b ON b.session = m.session AND b.first_step = m.step
),
s AS (
    SELECT
        m.place, m.provider, m.model, m.price_class, m.cached, f.kind, f.name, m.session,
        COUNT(*) AS steps,
        MIN(m.step) AS step,
        SUM(m.plain_lost + m.written_lost) AS lost_tokens,
        SUM(m.rewritten) AS rewritten_tokens,
        SUM(m.repeated_tokens) AS kept_tokens,
        SUM(m.prompt_before) AS before_tokens,
        SUM(m.plain_lost * m.list_input_nano // m.prompt_tokens) AS plain_nano,
        SUM(
            CASE WHEN m.cache_write_1h_tokens * 2 <= m.written_tokens THEN m.written_lost ELSE 0 END
            * m.list_input_nano // m.prompt_tokens
        ) AS short_nano,
        SUM(
            CASE WHEN m.cache_write_1h_tokens * 2 > m.written_tokens THEN m.written_lost ELSE 0 END
            * m.list_input_nano // m.prompt_tokens
        ) AS long_nano,
        SUM(CASE WHEN m.usage_basis = 'measured' THEN 0 ELSE 1 END) AS estimated,
        MAX(m.moment) AS latest
    FROM m
    LEFT JOIN f ON f.call_id = m.call_id AND f.n = m.n AND f.rn = 1
    GROUP BY
        m.place, m.provider, m.model, m.price_class, m.cached, f.kind, f.name, m.session
),
r AS (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY place, provider, model, price_class, cached, kind, name
        ORDER BY lost_tokens DESC, session
    ) AS rn
    FROM s
)
SELECT
    place, provider, model, price_class, cached, kind, name,
    COUNT(*) AS sessions,
    SUM(steps) AS steps,
    SUM(lost_tokens) AS lost_tokens,
    SUM(rewritten_tokens) AS rewritten_tokens,
    SUM(kept_tokens) AS kept_tokens,
    SUM(before_tokens) AS before_tokens,
    SUM(plain_nano) AS plain_nano,
    SUM(short_nano) AS short_nano,
    SUM(long_nano) AS long_nano,
    SUM(estimated) AS estimated,
    MAX(latest) AS latest,
    MAX(CASE WHEN rn = 1 THEN step END) AS top_step,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM r
GROUP BY place, provider, model, price_class, cached, kind, name
ORDER BY lost_tokens DESC, place, provider, model, price_class, kind NULLS LAST, name NULLS LAST
