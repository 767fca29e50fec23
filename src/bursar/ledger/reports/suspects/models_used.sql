-- Models of the scope that produced text, and when each was last used.
SELECT a.provider, a.model, MAX(a.at) AS latest
FROM attempts AS a
WHERE {scope} AND a.output_tokens > 0 AND a.provider IS NOT NULL AND a.model IS NOT NULL
GROUP BY a.provider, a.model
ORDER BY a.provider, a.model
