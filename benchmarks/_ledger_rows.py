"""Attempts as a busy company would have them, made in SQL from hashes: any size, always the same.

Five weeks, 500 tenants and 40 routes by Zipf's law, agents of 1 to 60 calls whose prompts grow,
tools that fail and are tried again, refused attempts (no usage, cost 0), prompt caches, one model
without a price, and one planted spike: route-07 sends nine times its tokens from 14 to 15 o'clock
of the last day. Each day becomes one Parquet file, sorted by time. Columns that such a log does
not fill (prompt blocks, request ids, open tags) are NULL unless `followed` asks for them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from bursar.ledger.schema import TABLES

DAYS = 35
END = datetime(2026, 11, 22)
START = END - timedelta(days=DAYS)

MACROS = """
CREATE MACRO part(a, b) AS CAST(hash(a, b) >> 11 AS DOUBLE) / 9007199254740992.0;
CREATE MACRO bell(a, b) AS (part(a, b) + part(a, b + 100) + part(a, b + 200) - 1.5) * 2.0;
"""

CAST_OF_PLAYERS = """
CREATE TABLE routes AS SELECT
    r, format('route-{:02d}', r) AS route, 'team-' || (hash(r, 1) % 12) AS team,
    'app-' || (hash(r, 2) % 8) AS application,
    300 + part(r, 3) * 8700 AS base, 40 + part(r, 4) * 1460 AS grow, part(r, 5) * 0.95 AS cached,
    2.5 + part(r, 6) * 6.7 AS calls, hash(r, 7) % 20 = 0 AS hour_cache,
    1024 * (1 + hash(r, 8) % 4) AS max_tokens
FROM range(40) AS t(r);

CREATE TABLE route_slots AS
WITH w AS (SELECT r, SUM(pow(r + 1, -0.8)) OVER (ORDER BY r) AS top FROM range(40) AS t(r))
SELECT s AS slot, (SELECT MIN(r) FROM w WHERE top >= (s + 0.5) / 4096 * (SELECT MAX(top) FROM w))
    AS r
FROM range(4096) AS t(s);

CREATE TABLE tenant_slots AS
WITH w AS (SELECT t, SUM(pow(t + 1, -1.1)) OVER (ORDER BY t) AS top FROM range(500) AS x(t))
SELECT s AS slot, format('tenant-{:04d}',
    (SELECT MIN(t) FROM w WHERE top >= (s + 0.5) / 8192 * (SELECT MAX(top) FROM w))) AS tenant
FROM range(8192) AS x(s);

CREATE TABLE hours AS
WITH h AS (
    SELECT i - 1 AS hour, SUM(busy) OVER (ORDER BY i) AS top
    FROM (SELECT unnest([3, 2, 2, 2, 2, 3, 5, 8, 12, 16, 18, 18, 16, 17, 18, 18, 17, 15, 12, 10,
        8, 7, 5, 4]) AS busy, generate_subscripts(range(24), 1) AS i)
)
SELECT s AS slot,
    (SELECT MIN(hour) FROM h WHERE top >= (s + 0.5) / 1024 * (SELECT MAX(top) FROM h)) AS hour
FROM range(1024) AS t(s);

CREATE TABLE models AS SELECT
    m, ['openai', 'anthropic', 'bedrock', 'google', 'mistral'][1 + m % 5] AS provider,
    ['openai.chat', 'anthropic.messages', 'bedrock.converse', 'gemini', 'openai.chat'][1 + m % 5]
        AS dialect,
    format('model-{:02d}', m) AS model,
    'overlay ' || (m % 3) || '; book 0.2.3' AS price_version,
    CASE WHEN m < 29 THEN 50_000 * CAST(1 + exp(part(m, 1) * 5.5) AS BIGINT) END AS plain
FROM range(30) AS t(m);
"""
"""Rates are picodollars per token, as in the price book: 50,000 is $0.05 per million."""

DAY_SESSIONS = """
CREATE OR REPLACE TEMP TABLE day_sessions AS
WITH drawn AS (
    SELECT
        {first} + i AS s,
        r.*,
        t.tenant,
        h.hour,
        least(60, 1 + CAST(floor(-ln(1 - part({first} + i, 11)) * r.calls) AS INTEGER)) AS sends,
        CAST((2 + part({first} + i, 12) * 18) * 1e6 AS BIGINT) AS pace_us
    FROM range({candidates}) AS c(i)
    JOIN route_slots AS rs ON rs.slot = hash({first} + i, 13) % 4096
    JOIN routes AS r ON r.r = rs.r
    JOIN tenant_slots AS t ON t.slot = hash({first} + i, 14) % 8192
    JOIN hours AS h ON h.slot = hash({first} + i, 15) % 1024
),
summed AS (SELECT *, SUM(sends) OVER (ORDER BY s) - sends AS before FROM drawn),
cut AS (
    SELECT * REPLACE (CAST(least(sends, {rows} - before) AS INTEGER) AS sends)
    FROM summed
    WHERE before < {rows}
),
placed AS (
    SELECT *, TIMESTAMP '{day}' + to_microseconds(least(
        CAST((hour + part(s, 16)) * 3.6e9 AS BIGINT), 86_399_000_000 - (sends + 1) * pace_us
    )) AS began,
    format('run-{{:016x}}', hash(s, 17)) AS id
    FROM cut
)
SELECT *, ((epoch_us(began) // 1_000_000 - 1_577_836_800) << 31)
    | CAST(hash(id) & 2147483647 AS BIGINT) AS session
FROM placed
"""
"""The session's number as `bursar.ledger.shelf.session_key` makes it: start above, name below."""

ATTEMPTS = """
WITH sent AS (
    SELECT
        d.*, k, hash(d.s, k) AS x,
        k > 0 AND part(d.s * 64 + k - 1, 21) < 0.012 AS again,
        k < d.sends - 1 AND part(d.s * 64 + k, 21) < 0.012 AS refused
    FROM day_sessions AS d, range(d.sends) AS u(k)
),
timed AS (
    SELECT *, began + to_microseconds(k * pace_us + CAST(part(x, 22) * 0.8 * pace_us AS BIGINT))
        AS sent_at,
        CASE WHEN k > 0 AND part(x, 23) < 0.7 THEN hash(x, 24) % 24 END AS tool_no,
        least(3, CAST(floor(-ln(1 - part(x, 25)) * 0.8) AS INTEGER)) AS pick
    FROM sent
),
chosen AS (
    SELECT t.*, m.* EXCLUDE (m),
        hour(sent_at) = 14 AND t.r = 7 AND sent_at >= TIMESTAMP '{last}' AS spike,
        CAST(base * exp(0.25 * bell(x, 31)) + k * grow * exp(0.3 * bell(x, 32)) AS BIGINT) AS whole
    FROM timed AS t
    JOIN models AS m ON m.m = hash(t.r, 40 + t.pick) % 30
),
counted AS (
    SELECT *,
        CASE WHEN k > 0 AND part(x, 33) < cached
            THEN CAST(whole * (0.3 + part(x, 34) * 0.6) AS BIGINT) ELSE 0 END AS hit,
        CAST(greatest(1, exp(5.2 + bell(x, 35))) AS BIGINT) * CASE WHEN spike THEN 9 ELSE 1 END
            AS said,
        CAST(200 + exp(6.5 + 0.7 * bell(x, 37)) AS BIGINT) AS wait_ms
    FROM chosen
),
split AS (
    SELECT *,
        CASE WHEN hit > 0 OR part(x, 36) < 0.1 THEN (whole - hit) // 3 ELSE 0 END AS stored,
        CASE WHEN hash(model) % 4 = 0 THEN said * 2 ELSE 0 END AS thought
    FROM counted
),
billed AS (
    SELECT *, (whole - hit - stored) * CASE WHEN spike THEN 9 ELSE 1 END AS fresh,
        (hit * (plain // 10) + stored * CASE WHEN hour_cache THEN plain * 2 ELSE plain * 5 // 4 END
            + (said + thought) * plain * 5) AS rest_pico
    FROM split
)
SELECT
    CAST(hash(s, k - CAST(again AS INTEGER), 9) >> 1 AS BIGINT) AS call_id,
    CAST(again AS BIGINT) AS n,
    sent_at AS at, session, k - CAST(again AS INTEGER) AS step,
    tenant, team, application,
    CASE WHEN hash(s, 51) % 40 = 0 THEN 'staging' ELSE 'production' END AS environment,
    route, route || '/' || (hash(s, 52) % 3) AS workflow,
    'v' || (hash(r, 53) % 9) AS prompt_version,
    provider, model, 'standard' AS price_class, dialect,
    format('tool_{{:02d}}', tool_no) AS tool,
    CASE WHEN NOT refused THEN fresh + hit + stored END AS prompt_tokens,
    CASE WHEN NOT refused THEN hit END AS cache_read_tokens,
    CASE WHEN NOT refused THEN CASE WHEN hour_cache THEN 0 ELSE stored END END
        AS cache_write_5m_tokens,
    CASE WHEN NOT refused THEN CASE WHEN hour_cache THEN stored ELSE 0 END END
        AS cache_write_1h_tokens,
    CASE WHEN NOT refused THEN said END AS output_tokens,
    CASE WHEN NOT refused THEN thought END AS reasoning_tokens,
    CASE WHEN NOT refused THEN 'measured' END AS usage_basis,
    CASE WHEN refused THEN 0 ELSE (fresh * plain + rest_pico + 500) // 1000 END AS cost_nano,
    CASE WHEN refused THEN 'assumed' WHEN plain IS NOT NULL THEN 'measured' END AS cost_basis,
    CASE WHEN plain IS NULL AND NOT refused THEN 'no price is known for ' || model END AS unpriced,
    CASE WHEN plain IS NOT NULL AND NOT refused THEN price_version END AS price_version,
    CASE WHEN NOT refused THEN (fresh + hit + stored) * plain // 1000 END AS list_input_nano,
    CASE WHEN refused THEN [429, 429, 500, 529][1 + CAST(hash(x, 54) % 4 AS INTEGER)] ELSE 200 END
        AS status,
    CASE WHEN refused THEN NULL WHEN part(x, 55) < 0.01 THEN 'length'
        WHEN tool_no IS NULL THEN 'stop' ELSE 'tool_use' END AS stop,
    CASE WHEN refused THEN 'failed' ELSE 'ok' END AS outcome,
    CASE WHEN NOT refused THEN wait_ms END AS first_byte_ms,
    wait_ms + said * 12 AS total_ms,
    again OR (tool_no IS NOT NULL AND part(x, 56) < part(tool_no, 57) * 0.2) AS is_retry,
    CASE WHEN again THEN 'rate_limit' WHEN tool_no IS NOT NULL
        AND part(x, 56) < part(tool_no, 57) * 0.2 THEN 'tool_error' END AS retry_cause,
    max_tokens, CAST({source} AS BIGINT) AS source,
    {more}
FROM billed
"""

FOLLOWED = """
    CAST(hash(x, 61) >> 24 AS BIGINT) AS prompt_digest,
    CASE WHEN NOT refused AND k > 0 THEN whole - CAST(grow AS BIGINT) ELSE 0 END AS repeated_tokens,
    CAST(k * 2 AS BIGINT) AS place,
    CASE WHEN k > 0 THEN 3 + k * 2 ELSE 0 END AS kept,
    CASE WHEN k > 0 THEN '+2' ELSE '+5' END AS added,
    CAST(hash(x, 62) >> 4 AS BIGINT) AS request_digest,
"""
"""What an import with whole prompts fills besides: following the blocks, and request ids."""

SESSIONS = """
SELECT session, id, began AS at,
    CASE WHEN hash(s, 71) % 10 < 4 THEN hash(s, 72) % 10 < 8 END AS success,
    CAST(NULL AS DOUBLE) AS score, CAST(NULL AS BIGINT) AS recorded_cost_nano,
    CAST(NULL AS VARCHAR) AS recorded_usage, CAST(sends AS BIGINT) AS calls,
    CAST(sends AS BIGINT) AS sends, '' AS path
FROM day_sessions
ORDER BY began
"""


def make_rows(folder: Path, rows: int, *, followed: bool = False) -> int:
    """Write attempts/ and sessions/ below `folder`, a Parquet file per day. The rows written."""
    duck = duckdb.connect()
    for statements in (MACROS, CAST_OF_PLAYERS):
        duck.execute(statements)
    for table in ("attempts", "sessions"):
        (folder / table).mkdir(parents=True)
    per_day = rows // DAYS
    candidates = per_day // 4 + 100
    for number in range(DAYS):
        day = START + timedelta(days=number)
        wanted = per_day + (rows - per_day * DAYS if number == DAYS - 1 else 0)
        duck.execute(
            DAY_SESSIONS.format(
                first=number * candidates, candidates=candidates, rows=wanted, day=day
            )
        )
        attempts = ATTEMPTS.format(
            last=END - timedelta(days=1), source=number + 1, more=FOLLOWED if followed else ""
        )
        file = f"{day:%Y-%m-%d}.parquet"
        duck.execute(
            f'COPY (SELECT {_columns(followed)} FROM ({attempts} ORDER BY "at", call_id, n))'
            f" TO '{folder / 'attempts' / file}' (COMPRESSION zstd)"
        )
        duck.execute(f"COPY ({SESSIONS}) TO '{folder / 'sessions' / file}' (COMPRESSION zstd)")
    duck.close()
    return rows


BLANK = ("cost_center", "user_id", "task_type", "other_tags", "other_units", "iterations")
NEVER = (*BLANK, "model_asked", "recorded_cost_nano", "effort")
OF_PROMPTS = ("prompt_digest", "repeated_tokens", "place", "kept", "added", "request_digest")


def _columns(followed: bool) -> str:
    """Every column of the schema, in its order and type; NULL where nothing was made."""
    missing = NEVER if followed else (*NEVER, *OF_PROMPTS)
    made: list[str] = []
    for name, kind in TABLES["attempts"].items():
        value = "NULL" if name in missing else f'"{name}"'
        if name == "line":
            value = "ROW_NUMBER() OVER ()"
        made.append(f'CAST({value} AS {kind}) AS "{name}"')
    return ", ".join(made)
