-- Further units as they were recorded; summed by the caller, since their names are open.
SELECT {dimension} AS key, a.other_units, COUNT(*) AS times
FROM attempts AS a
WHERE {scope} AND a.other_units IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2
