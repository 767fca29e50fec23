-- What the prompts cost, and what they would have cost at the plain input rate.
SELECT
    SUM(a.list_input_nano) AS listed_nano,
    SUM(q.prompt_nano) AS prompt_nano
FROM attempts AS a
JOIN (
    SELECT p.call_id, p.n, SUM(p.fresh_nano) + SUM(p.carried_nano) AS prompt_nano
    FROM parts AS p
    WHERE p.kind <> 'output'
    GROUP BY p.call_id, p.n
) AS q ON q.call_id = a.call_id AND q.n = a.n
WHERE {scope} AND a.list_input_nano IS NOT NULL
