"""What the calls of a gateway came to, counted for caps: in nanodollars, tokens and calls.

A cap looks at scopes of a call. Most are columns; what the ledger has no column for stands among
the tags under a name that no client can say. A call whose cost nobody knows counts what it held;
an answer that was given up counts what its provider may bill of it, as far as that was held.
Only what journals told is counted: an import of somebody's logs spends no budget of this gateway.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bursar.ledger.holding import LEVER, NANO_SQL, TOKENS_SQL
from bursar.ledger.schema import INFERRED, TAG_COLUMNS

ROUTE, MODEL, PROVIDER = "@route", "@model", "@provider"
"""The route of the settings, the model that the provider was asked for, the provider by its name in
the settings: kept where no column says the same."""
SESSION = "session"
COLUMNS = {one: f"a.{one}" for one in TAG_COLUMNS if one != "user_id"} | {"user": "a.user_id"}
INCARNATION = "(a.call_id >> 12) & 1023"
JOURNALS = "a.source IN (SELECT source FROM sources WHERE format = 'journal')"
MOST_DONE = 200_000
MOST_LENGTHS = 50_000
DAY_MS = 86_400_000
CALLS = f"""WITH held AS (
    SELECT call_id, {NANO_SQL} AS nano, {TOKENS_SQL} AS tokens
    FROM decisions WHERE lever = '{LEVER}' GROUP BY call_id
), calls AS (
    SELECT a.*, s.id AS session_id, epoch_ms(a.at) AS at_ms,
        CASE WHEN a.usage_basis = 'modelled' THEN greatest(a.cost_nano, held.nano)
            ELSE coalesce(a.cost_nano, held.nano) END AS counts_nano,
        CASE WHEN a.prompt_tokens IS NOT NULL
            THEN greatest(a.prompt_tokens + a.output_tokens + a.reasoning_tokens,
                CASE WHEN a.usage_basis = 'modelled' THEN held.tokens END)
            WHEN a.status >= 400 THEN 0 ELSE held.tokens END AS counts_tokens
    FROM attempts AS a
    LEFT JOIN sessions AS s ON s.session = a.session
    LEFT JOIN held ON held.call_id = a.call_id
    WHERE {JOURNALS}
)
"""


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Of which calls, and in which slots."""

    from_ms: int
    until_ms: int
    """0: all that came since."""
    slot: int
    """Where `step_ms` is 0: the one slot."""
    step_ms: int = 0
    incarnation: int | None = None
    """Only calls of this life of a worker, which stands in their ids."""


def scope_sql(scope: str) -> str:
    """A call's value of a scope; NULL where it has none."""
    if scope == MODEL:
        return f"coalesce({_other(MODEL)}, a.model_asked, a.model)"
    if scope == PROVIDER:
        return f"coalesce({_other(PROVIDER)}, a.provider)"
    if scope == ROUTE:
        return f"coalesce({_other(ROUTE)}, 'default')"
    if scope == SESSION:
        own = f"CASE WHEN NOT starts_with(a.session_id, '{INFERRED}') THEN a.session_id END"
        return f"coalesce({_other('@session')}, {own})"
    if scope in COLUMNS:
        return COLUMNS[scope]
    return f"coalesce({_other('@' + scope)}, {_other(scope)})"


def _other(tag: str) -> str:
    return f"json_extract_string(a.other_tags, '$.\"{tag}\"')"


def counts_sql(scopes: Sequence[str], stretch: Stretch) -> tuple[str, list[object]]:
    """Rows of (value of each scope..., slot, nanodollars, tokens, calls, first ms)."""
    named = [f"{scope_sql(one)} AS scope_{place}" for place, one in enumerate(scopes)]
    groups = ", ".join([*(f"scope_{place}" for place in range(len(scopes))), "slot"])
    slot, values = "?::BIGINT", [stretch.slot]
    if stretch.step_ms:
        slot, values = "a.at_ms - a.at_ms % ?::BIGINT", [stretch.step_ms]
    where = "a.at_ms >= ?"
    values.append(stretch.from_ms)
    if stretch.until_ms:
        where += " AND a.at_ms < ?"
        values.append(stretch.until_ms)
    if stretch.incarnation is not None:
        where += f" AND {INCARNATION} = ?"
        values.append(stretch.incarnation)
    sql = (
        f"{CALLS} SELECT {', '.join([*named, f'{slot} AS slot'])},"
        " sum(coalesce(a.counts_nano, 0))::BIGINT, sum(coalesce(a.counts_tokens, 0))::BIGINT,"
        f" count(*), min(a.at_ms) FROM calls AS a WHERE {where} GROUP BY {groups}"
    )
    return sql, list(values)


def attempts_sql(call_ids: Sequence[int]) -> tuple[str, list[object]]:
    """Rows of (call id, n, nanodollars, tokens) of these calls; NULL where nobody knows."""
    sql = (
        f"{CALLS} SELECT a.call_id, a.n, a.counts_nano, a.counts_tokens FROM calls AS a"
        " WHERE a.call_id IN (SELECT unnest(?::BIGINT[]))"
    )
    return sql, [list(call_ids)]


def ended_sql(scopes: Sequence[str], incarnation: int, since_ms: int) -> tuple[str, list[object]]:
    """Rows of (value of each scope..., call id, n, begun ms, nanodollars, tokens): the calls of one
    worker's life (in their ids) that ended since a moment."""
    named = [scope_sql(one) for one in scopes]
    sql = (
        f"{CALLS} SELECT {', '.join([*named, 'a.call_id', 'a.n', 'a.at_ms'])},"
        " coalesce(a.counts_nano, 0), coalesce(a.counts_tokens, 0) FROM calls AS a"
        f" WHERE {INCARNATION} = ? AND a.at_ms + coalesce(a.total_ms, 0) >= ?"
        f" ORDER BY a.call_id DESC LIMIT {MOST_DONE}"
    )
    return sql, [incarnation, since_ms]


def done_sql(now_ms: int) -> tuple[str, list[object]]:
    """Rows of (call id, n): attempts that began within the last day, the latest to end first."""
    sql = (
        f"SELECT a.call_id, a.n FROM attempts AS a WHERE {JOURNALS} AND epoch_ms(a.at) > ?"
        f" ORDER BY epoch_ms(a.at) + coalesce(a.total_ms, 0) DESC LIMIT {MOST_DONE}"
    )
    return sql, [now_ms - DAY_MS]


def lengths_sql(most: int) -> tuple[str, list[object]]:
    """Rows of (route, model, has tools, answer tokens): the latest whole answers of each kind that
    were counted, oldest first."""
    sql = (
        f"SELECT {scope_sql(ROUTE)} AS route, {scope_sql(MODEL)} AS model, tools.call_id IS NOT"
        " NULL AS has_tools, a.output_tokens + a.reasoning_tokens, a.call_id"
        " FROM attempts AS a LEFT JOIN (SELECT DISTINCT call_id, n FROM parts WHERE kind = 'tools')"
        f" AS tools ON tools.call_id = a.call_id AND tools.n = a.n WHERE {JOURNALS}"
        " AND a.outcome = 'ok' AND a.stop IS DISTINCT FROM 'max_tokens'"
        " AND a.usage_basis = 'measured' QUALIFY row_number() OVER"
        " (PARTITION BY route, model, has_tools ORDER BY a.call_id DESC) <= ?"
        f" ORDER BY a.call_id DESC LIMIT {MOST_LENGTHS}"
    )
    return f"SELECT * FROM ({sql}) ORDER BY call_id", [most]
