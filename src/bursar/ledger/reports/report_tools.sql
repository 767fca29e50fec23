-- What each tool's schemas and results cost over their whole life, and how often it fails.
WITH q AS (SELECT DISTINCT a.session FROM attempts AS a WHERE {scope} AND a.session IS NOT NULL),
b AS (
    SELECT
        b.name,
        SUM(CASE WHEN b.kind = 'tool_result' THEN 1 ELSE 0 END) AS results,
        SUM(CASE WHEN b.kind = 'tool_result' THEN b.tokens END) AS result_tokens,
        SUM(CASE WHEN b.kind = 'tool_result' THEN b.carries END) AS carries,
        SUM(CASE WHEN b.kind = 'tool_result'
            THEN b.fresh_nano + b.written_nano + b.read_nano + b.carried_nano END) AS results_nano,
        SUM(CASE WHEN b.kind = 'tools'
            THEN b.fresh_nano + b.written_nano + b.read_nano + b.carried_nano END) AS schemas_nano
    FROM blocks AS b
    JOIN q ON q.session = b.session
    WHERE b.name IS NOT NULL
    GROUP BY b.name
),
u AS (
    SELECT t.tool, COUNT(*) AS uses
    FROM tool_uses AS t
    JOIN q ON q.session = t.session
    GROUP BY t.tool
),
f AS (
    SELECT o.tool, SUM(CASE WHEN o.failed THEN 1 ELSE 0 END) AS failures
    FROM tool_outcomes AS o
    JOIN q ON q.session = o.session
    GROUP BY o.tool
)
SELECT
    COALESCE(b.name, u.tool) AS tool,
    COALESCE(u.uses, 0) AS uses,
    COALESCE(f.failures, 0) AS failures,
    b.results,
    CAST(b.result_tokens AS DOUBLE) / NULLIF(b.results, 0) AS mean_result_tokens,
    CAST(b.carries AS DOUBLE) / NULLIF(b.results, 0) AS mean_carries,
    b.results_nano,
    b.schemas_nano
FROM b
FULL JOIN u ON u.tool = b.name
LEFT JOIN f ON f.tool = COALESCE(b.name, u.tool)
ORDER BY COALESCE(b.results_nano, 0) + COALESCE(b.schemas_nano, 0) DESC, tool
