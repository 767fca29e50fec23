-- Cache writes and cache reads, each at the plain input rate that it replaces.
WITH s AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.provider, a.model, a.price_class, a.session,
        COUNT(*) AS attempts,
        SUM(a.cache_read_tokens) AS read_tokens,
        SUM(a.cache_write_5m_tokens) AS short_tokens,
        SUM(a.cache_write_1h_tokens) AS long_tokens,
        SUM(a.cache_read_tokens * a.list_input_nano // a.prompt_tokens) AS read_nano,
        SUM(a.cache_write_5m_tokens * a.list_input_nano // a.prompt_tokens) AS short_nano,
        SUM(a.cache_write_1h_tokens * a.list_input_nano // a.prompt_tokens) AS long_nano,
        MAX(a.at) AS latest
    FROM attempts AS a
    WHERE {scope} AND {sane} AND a.list_input_nano IS NOT NULL
        AND a.usage_basis = 'measured'
    GROUP BY 1, 2, 3, 4, 5
),
r AS (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY place, provider, model, price_class
        ORDER BY short_tokens + long_tokens - read_tokens DESC, session
    ) AS rn
    FROM s
)
SELECT
    place, provider, model, price_class,
    SUM(attempts) AS attempts,
    SUM(read_tokens) AS read_tokens,
    SUM(short_tokens) AS short_tokens,
    SUM(long_tokens) AS long_tokens,
    SUM(read_nano) AS read_nano,
    SUM(short_nano) AS short_nano,
    SUM(long_nano) AS long_nano,
    MAX(latest) AS latest,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM r
GROUP BY place, provider, model, price_class
HAVING SUM(short_tokens) + SUM(long_tokens) > 0
ORDER BY place, provider, model, price_class
