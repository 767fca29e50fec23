-- What prompts are made of, in tokens and dollars, by kind of block.
SELECT
    p.kind,
    SUM(p.tokens) AS tokens,
    SUM(p.carried_tokens) AS carried_tokens,
    SUM(p.fresh_nano) AS fresh_nano,
    SUM(p.carried_nano) AS carried_nano
FROM parts AS p
JOIN attempts AS a ON a.call_id = p.call_id AND a.n = p.n
WHERE {scope}
GROUP BY p.kind
ORDER BY SUM(p.fresh_nano) + SUM(p.carried_nano) DESC NULLS LAST, p.kind
