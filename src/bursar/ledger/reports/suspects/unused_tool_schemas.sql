-- Tool specifications that a route sends and no session of it ever uses.
WITH s AS (
    SELECT
        MIN(COALESCE(a.route, a.model, '(unnamed)')) AS place,
        a.session,
        COUNT(DISTINCT a.call_id) AS calls
    FROM attempts AS a
    WHERE {scope} AND a.session IS NOT NULL
    GROUP BY a.session
),
c AS (
    SELECT place, SUM(calls) AS calls FROM s GROUP BY place
),
u AS (
    SELECT DISTINCT s.place, t.tool
    FROM tool_uses AS t
    JOIN s ON s.session = t.session
),
b AS (
    SELECT
        s.place, b.name, b.session, b.tokens, b.carries,
        b.fresh_nano + b.written_nano + b.read_nano + b.carried_nano AS nano
    FROM blocks AS b
    JOIN s ON s.session = b.session
    WHERE b.kind = 'tools' AND b.name IS NOT NULL
),
g AS (
    SELECT
        place, name,
        COUNT(DISTINCT session) AS sessions,
        COUNT(*) AS times,
        SUM(tokens) AS tokens,
        SUM(carries) AS carries,
        SUM(nano) AS nano,
        MIN(session) AS session
    FROM b
    GROUP BY place, name
)
SELECT g.place, g.name, g.sessions, g.times, g.tokens, g.carries, g.nano, g.session, c.calls
FROM g
JOIN c ON c.place = g.place
LEFT JOIN u ON u.place = g.place AND u.tool = g.name
WHERE u.tool IS NULL AND c.calls >= {calls}
ORDER BY g.nano DESC, g.place, g.name
