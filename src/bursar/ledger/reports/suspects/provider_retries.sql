-- Attempts sent again after the provider failed: what the abandoned ones had cost already.
WITH o AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.call_id, a.n, a.session, a.step, a.cost_basis, a.is_retry,
        LOWER(a.retry_cause) AS cause,
        a.prompt_digest, a.cost_nano, a.status,
        LAG(a.call_id) OVER (
            PARTITION BY COALESCE(a.session, a.call_id) ORDER BY a.step, a.call_id, a.n
        ) AS call_before,
        LAG(a.prompt_digest) OVER (
            PARTITION BY COALESCE(a.session, a.call_id) ORDER BY a.step, a.call_id, a.n
        ) AS digest_before,
        LAG(a.status) OVER (
            PARTITION BY COALESCE(a.session, a.call_id) ORDER BY a.step, a.call_id, a.n
        ) AS status_before,
        LAG(a.cost_nano) OVER (
            PARTITION BY COALESCE(a.session, a.call_id) ORDER BY a.step, a.call_id, a.n
        ) AS nano_before
    FROM attempts AS a
    WHERE {scope}
),
m AS (
    SELECT
        *,
        CASE
            WHEN cause IN ({causes}) AND (is_retry OR n > 0) THEN 1
            WHEN cause IS NULL AND n > 0 THEN 1
            WHEN cause IS NULL AND status_before >= 429 AND digest_before = prompt_digest THEN 1
            ELSE 0
        END AS again,
        CASE
            WHEN call_before = call_id OR digest_before = prompt_digest
            THEN COALESCE(nano_before, 0)
            ELSE COALESCE(cost_nano, 0)
        END AS wasted
    FROM o
),
r AS (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY place ORDER BY again DESC, wasted DESC, call_id, n, session, step
    ) AS rn
    FROM m
)
SELECT
    place,
    COUNT(*) AS attempts,
    COUNT(DISTINCT call_id) AS calls,
    SUM(again) AS retries,
    SUM(CASE WHEN again = 1 THEN wasted ELSE 0 END) AS nano,
    SUM(CASE WHEN again = 1 AND cost_basis <> 'measured' THEN 1 ELSE 0 END) AS estimated,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_session,
    MAX(CASE WHEN rn = 1 THEN step END) AS top_step,
    MAX(CASE WHEN rn = 1 THEN wasted END) AS top_nano
FROM r
GROUP BY place
HAVING SUM(again) > 0
ORDER BY nano DESC, place
