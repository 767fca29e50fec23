-- Where the attempts of one provider request stand: session, step and line of the source.
SELECT
    a.session, s.id, a.step, a.n,
    COALESCE(f.file, '?') || ':' || COALESCE(CAST(a.line AS VARCHAR), '?') AS place
FROM attempts AS a
LEFT JOIN sessions AS s ON s.session = a.session
LEFT JOIN sources AS f ON f.source = a.source
WHERE a.request_digest = ?
ORDER BY a.session, a.step, a.n, a.call_id
