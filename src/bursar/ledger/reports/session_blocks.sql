-- The blocks of one session, dearest first.
SELECT
    b.block, b.kind, b.role, b.name, b.tokens, b.size_bytes, b.mark, b.first_step, b.carries,
    b.fresh_nano, b.written_nano, b.read_nano, b.carried_nano,
    b.fresh_nano + b.written_nano + b.read_nano + b.carried_nano AS cost_nano
FROM blocks AS b
WHERE b.session = ?
ORDER BY cost_nano DESC, b.block
