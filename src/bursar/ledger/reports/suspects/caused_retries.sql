-- Retries whose cause is one of the given words, beside all calls of the same place.
WITH c AS (
    SELECT
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        a.call_id, a.session, a.step, a.cost_nano, a.cost_basis,
        CASE
            WHEN (a.is_retry OR a.n > 0) AND LOWER(a.retry_cause) IN ({causes}) THEN 1
            ELSE 0
        END AS again
    FROM attempts AS a
    WHERE {scope}
),
r AS (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY place ORDER BY again DESC, cost_nano DESC NULLS LAST, call_id
    ) AS rn
    FROM c
)
SELECT
    place,
    COUNT(*) AS attempts,
    COUNT(DISTINCT call_id) AS calls,
    SUM(again) AS retries,
    SUM(CASE WHEN again = 1 THEN COALESCE(cost_nano, 0) ELSE 0 END) AS nano,
    SUM(CASE WHEN again = 1 AND cost_basis <> 'measured' THEN 1 ELSE 0 END) AS estimated,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_session,
    MAX(CASE WHEN rn = 1 THEN step END) AS top_step,
    MAX(CASE WHEN rn = 1 THEN cost_nano END) AS top_nano
FROM r
GROUP BY place
HAVING SUM(again) > 0
ORDER BY nano DESC, place
