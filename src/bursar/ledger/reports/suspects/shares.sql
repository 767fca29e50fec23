-- Cost, calls and sessions by one tag.
SELECT
    {dimension} AS place,
    COUNT(DISTINCT a.call_id) AS calls,
    COUNT(DISTINCT a.session) AS sessions,
    SUM(COALESCE(a.cost_nano, 0)) AS nano,
    SUM(CASE WHEN a.cost_basis <> 'measured' THEN 1 ELSE 0 END) AS estimated
FROM attempts AS a
WHERE {scope} AND {dimension} IS NOT NULL
GROUP BY 1
ORDER BY nano DESC, place
