-- What re-sent prompt tokens are made of.
SELECT COALESCE(a.route, a.model, '(unnamed)') AS place, p.kind, SUM(p.carried_tokens) AS tokens
FROM parts AS p
JOIN attempts AS a ON a.call_id = p.call_id AND a.n = p.n
WHERE {scope} AND p.carried_tokens > 0
GROUP BY 1, 2
ORDER BY tokens DESC, p.kind
