-- What reading found, of the sources that the attempts in question come from.
SELECT f.kind, f.place, f.what
FROM flags AS f
WHERE f.source IN (SELECT a.source FROM attempts AS a WHERE {scope})
    OR f.source NOT IN (SELECT source FROM attempts WHERE source IS NOT NULL)
ORDER BY f.kind, f.place, f.source, f.what
