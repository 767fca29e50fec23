-- Sessions far longer or far dearer than their route's others, and what they cost beyond that.
WITH o AS (
    SELECT
        a.session, a.cost_nano, a.cost_basis,
        COALESCE(a.route, a.model, '(unnamed)') AS place,
        DENSE_RANK() OVER (PARTITION BY a.session ORDER BY a.step, a.call_id) AS nth
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
),
s AS (
    SELECT
        MIN(place) AS place, session,
        MAX(nth) AS calls,
        SUM(COALESCE(cost_nano, 0)) AS nano,
        MAX(CASE WHEN cost_basis <> 'measured' THEN 1 ELSE 0 END) AS estimated
    FROM o
    GROUP BY session
),
q AS (
    SELECT
        *,
        ROW_NUMBER() OVER (PARTITION BY place ORDER BY calls, session) AS by_calls,
        ROW_NUMBER() OVER (PARTITION BY place ORDER BY nano, session) AS by_nano,
        COUNT(*) OVER (PARTITION BY place) AS n
    FROM s
),
t AS (
    SELECT
        place,
        MAX(n) AS sessions,
        MAX(CASE WHEN by_calls = (n + 1) // 2 THEN calls END) AS calls_p50,
        MAX(CASE WHEN by_calls = (n * 3 + 3) // 4 THEN calls END) AS calls_p75,
        MAX(CASE WHEN by_nano = (n + 1) // 2 THEN nano END) AS nano_p50
    FROM q
    GROUP BY place
),
v AS (
    SELECT *, GREATEST({calls}, {median} * calls_p50, 2 * calls_p75) AS ceiling
    FROM t
    WHERE sessions >= {sessions}
),
b AS (
    SELECT o.session, SUM(CASE WHEN o.nth > v.ceiling THEN COALESCE(o.cost_nano, 0) ELSE 0 END)
        AS beyond
    FROM o
    JOIN s ON s.session = o.session
    JOIN v ON v.place = s.place
    GROUP BY o.session
),
w AS (
    SELECT
        s.place, s.session, s.calls, s.nano, s.estimated, v.ceiling, v.sessions, v.calls_p50,
        v.nano_p50,
        CASE
            WHEN s.calls > v.ceiling THEN b.beyond
            ELSE s.nano - {dear} * v.nano_p50
        END AS beyond
    FROM s
    JOIN v ON v.place = s.place
    JOIN b ON b.session = s.session
    WHERE s.calls > v.ceiling
        OR (v.nano_p50 > 0 AND s.nano > {dear} * v.nano_p50 AND s.calls >= {calls})
),
r AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY place ORDER BY beyond DESC, session) AS rn FROM w
)
SELECT
    place,
    COUNT(*) AS runaways,
    MAX(sessions) AS sessions,
    MAX(ceiling) AS ceiling,
    MAX(calls_p50) AS calls_p50,
    MAX(nano_p50) AS nano_p50,
    MAX(calls) AS calls,
    SUM(nano) AS whole_nano,
    SUM(beyond) AS nano,
    SUM(estimated) AS estimated,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_1,
    MAX(CASE WHEN rn = 2 THEN session END) AS top_2,
    MAX(CASE WHEN rn = 3 THEN session END) AS top_3
FROM r
GROUP BY place
ORDER BY nano DESC, place
