-- Equal prompts of equal length to the same model for the same tenant, within the time that an
-- answer may be kept. One row per session and prompt: retries inside a session do not count.
WITH c AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.tenant, a.provider, a.model, a.price_class, a.max_tokens, a.effort, a.prompt_digest,
        a.session, a.call_id, a.at AS moment, a.prompt_tokens, a.cost_nano, a.cost_basis,
        ROW_NUMBER() OVER (
            PARTITION BY COALESCE(a.session, a.call_id), a.prompt_digest, a.provider, a.model
            ORDER BY a.step, a.n, a.call_id
        ) AS seen
    FROM attempts AS a
    WHERE {scope} AND a.prompt_digest <> 0 AND a.n = 0 AND NOT a.is_retry AND a.prompt_tokens > 0
        AND (a.status IS NULL OR a.status < 400)
),
d AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY
                prompt_digest, prompt_tokens, tenant, provider, model, price_class, max_tokens,
                effort
            ORDER BY moment, call_id
        ) AS nth_time,
        COALESCE(DATE_DIFF('second', LAG(moment) OVER (
            PARTITION BY
                prompt_digest, prompt_tokens, tenant, provider, model, price_class, max_tokens,
                effort
            ORDER BY moment, call_id
        ), moment), 0) AS gap_s
    FROM c
    WHERE seen = 1
),
w AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY place ORDER BY nth_time DESC, call_id) AS rn
    FROM d
    WHERE nth_time > 1 AND gap_s <= {keep_s}
)
SELECT
    place,
    COUNT(*) AS calls,
    COUNT(DISTINCT prompt_digest) AS prompts,
    MAX(nth_time) AS times,
    SUM(prompt_tokens) AS tokens,
    SUM(COALESCE(cost_nano, 0)) AS nano,
    SUM(CASE WHEN cost_basis <> 'measured' THEN 1 ELSE 0 END) AS estimated,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM w
GROUP BY place
ORDER BY nano DESC, place
