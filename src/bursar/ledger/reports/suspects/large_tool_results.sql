-- Tool results of many tokens: what each tool's have cost over all the prompts that carried them.
WITH s AS (
    SELECT DISTINCT a.session FROM attempts AS a WHERE {scope} AND a.session IS NOT NULL
),
b AS (
    SELECT
        COALESCE(b.name, '(unnamed tool)') AS tool,
        b.session, b.first_step, b.tokens, b.carries,
        b.fresh_nano + b.written_nano + b.read_nano + b.carried_nano AS nano,
        b.read_nano + b.carried_nano AS again_nano
    FROM blocks AS b
    JOIN s ON s.session = b.session
    WHERE b.kind = 'tool_result' AND b.tokens >= {large_tokens}
),
r AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY tool ORDER BY nano DESC, session, first_step) AS rn
    FROM b
)
SELECT
    tool,
    COUNT(*) AS results,
    COUNT(DISTINCT session) AS sessions,
    SUM(tokens) AS tokens,
    SUM(carries) AS carries,
    SUM(nano) AS nano,
    SUM(again_nano) AS again_nano,
    MAX(CASE WHEN rn = 1 THEN session END) AS top_session,
    MAX(CASE WHEN rn = 1 THEN first_step END) AS top_step,
    MAX(CASE WHEN rn = 1 THEN tokens END) AS top_tokens,
    MAX(CASE WHEN rn = 1 THEN carries END) AS top_carries,
    MAX(CASE WHEN rn = 1 THEN nano END) AS top_nano
FROM r
GROUP BY tool
ORDER BY nano DESC, tool
