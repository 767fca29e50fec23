-- Prompt tokens that the session's previous call had sent in the same order, billed as new ones.
-- A step counts when the prefix is long enough, fresh enough and less than half of it was read.
WITH o AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.provider, a.model, a.price_class, a.session, a.at AS moment, a.input_tokens,
        a.cache_read_tokens, a.prompt_tokens, a.list_input_nano, a.usage_basis,
        CASE
            WHEN a.repeated_tokens >= {minimum_tokens}
                AND a.cache_read_tokens * 2 < a.repeated_tokens
                AND a.model = LAG(a.model) OVER (
                    PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id
                )
                AND COALESCE(DATE_DIFF('second', LAG(a.at) OVER (
                    PARTITION BY a.session ORDER BY a.step, a.n, a.at, a.call_id
                ), a.at), 0) <= {ttl_s}
            THEN LEAST(a.repeated_tokens - a.cache_read_tokens, a.input_tokens)
            ELSE 0
        END AS missed
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL AND {sane}
        AND a.list_input_nano IS NOT NULL
),
s AS (
    SELECT
        place, provider, model, price_class, session,
        COUNT(*) AS steps,
        SUM(CASE WHEN missed > 0 THEN 1 ELSE 0 END) AS missed_steps,
        SUM(missed) AS missed_tokens,
        SUM(missed * list_input_nano // prompt_tokens) AS missed_nano,
        SUM((input_tokens - missed) * list_input_nano // prompt_tokens) AS new_nano,
        SUM(cache_read_tokens) AS read_tokens,
        SUM(CASE WHEN usage_basis = 'measured' THEN 0 ELSE 1 END) AS estimated,
        MAX(moment) AS latest
    FROM o
    GROUP BY place, provider, model, price_class, session
),
r AS (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY place, provider, model, price_class ORDER BY missed_nano DESC, session
    ) AS rn
    FROM s
    WHERE missed_tokens > 0
)
SELECT
    place, provider, model, price_class,
    COUNT(*) AS sessions,
    SUM(steps) AS steps,
    SUM(missed_steps) AS missed_steps,
    SUM(missed_tokens) AS missed_tokens,
    SUM(missed_nano) AS missed_nano,
    SUM(new_nano) AS new_nano,
    SUM(read_tokens) AS read_tokens,
    SUM(estimated) AS estimated,
    MAX(latest) AS latest,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM r
GROUP BY place, provider, model, price_class
ORDER BY missed_nano DESC, place, provider, model, price_class
