-- What sources recorded for whole sessions.
SELECT SUM(s.recorded_cost_nano) AS recorded_cost_nano
FROM sessions AS s
WHERE s.recorded_cost_nano IS NOT NULL
    AND s.session IN (SELECT a.session FROM attempts AS a WHERE {scope})
