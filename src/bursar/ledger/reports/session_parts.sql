-- What each attempt of one session is made of.
SELECT
    p.call_id, p.n, p.kind, p.tokens, p.carried_tokens,
    p.fresh_nano + p.carried_nano AS cost_nano
FROM parts AS p
JOIN attempts AS a ON a.call_id = p.call_id AND a.n = p.n
WHERE a.session = ?
ORDER BY p.call_id, p.n, cost_nano DESC, p.kind
