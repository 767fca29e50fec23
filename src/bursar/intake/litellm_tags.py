"""Who and what a LiteLLM row was for: its columns, and what clients put into its metadata."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

from bursar.intake.lines import as_list, as_map
from bursar.model.call import Tags

Row = dict[str, Any]

SESSIONS = ("session_id", "trace_id", "litellm_session_id")
NAMES = {
    "environment": "environment",
    "env": "environment",
    "application": "application",
    "app": "application",
    "route": "route",
    "feature": "route",
    "workflow": "workflow",
    "cost_center": "cost_center",
    "task_type": "task_type",
    "prompt_version": "prompt_version",
}
"""A client's own names that mean one of ours; every other one is kept beside them."""
HASH = re.compile(r"[0-9a-f]{64}")
SHOWN_OF_HASH = 8
LONGEST_TAG = 200
MOST_TAGS = 20
"""Tags of one row that are kept; a client may send any number."""


def tags_of(row: Row, metadata: Row) -> Tags:
    """The tags of a row. A key is never shown, only the start of its hash."""
    own = _own(row, metadata)
    named = {NAMES[name]: text for name, text in own.items() if name in NAMES}
    other = {name: text for name, text in own.items() if name not in NAMES}
    key = row.get("api_key") or metadata.get("user_api_key_hash") or metadata.get("user_api_key")
    fixed = {
        "key": _key(key),
        "key_alias": metadata.get("user_api_key_alias"),
        "team_alias": metadata.get("user_api_key_team_alias"),
        "organization": row.get("organization_id") or metadata.get("user_api_key_org_id"),
        "call_type": row.get("call_type"),
    }
    other |= {name: text for name, value in fixed.items() if (text := _text(value))}
    team = row.get("team_id") or metadata.get("user_api_key_team_id")
    user = row.get("user") or metadata.get("user_api_key_user_id")
    tenant = row.get("end_user") or metadata.get("user_api_key_end_user_id")
    session = next((row[name] for name in SESSIONS if row.get(name)), None)
    return Tags(
        team=_text(team),
        user=_text(user),
        tenant=_text(tenant),
        session=_text(session),
        environment=named.get("environment"),
        application=named.get("application"),
        route=named.get("route"),
        workflow=named.get("workflow"),
        cost_center=named.get("cost_center"),
        task_type=named.get("task_type"),
        prompt_version=named.get("prompt_version"),
        other=other,
    )


def _own(row: Row, metadata: Row) -> dict[str, str]:
    """What the client said: `request_tags` such as `feature:search`, and key-value metadata."""
    found: dict[str, str] = {}
    plain: list[str] = []
    for tag in as_list(row.get("request_tags")):
        name, mark, value = str(tag).partition(":")
        if mark and name.strip() and value.strip():
            found.setdefault(name.strip(), value.strip()[:LONGEST_TAG])
        elif tag:
            plain.append(str(tag))
    for source in ("spend_logs_metadata", "requester_metadata"):
        for name, value in as_map(metadata.get(source)).items():
            if (text := _text(value)) is not None:
                found.setdefault(name, text)
    if plain:
        found["tags"] = ", ".join(sorted(plain))[:LONGEST_TAG]
    return dict(list(found.items())[:MOST_TAGS])


def _key(key: object) -> str | None:
    """The start of a key's hash. The proxy logs hashes, but has logged keys as well."""
    if not isinstance(key, str) or not key:
        return None
    hashed = key if HASH.fullmatch(key) else sha256(key.encode("utf-8", "replace")).hexdigest()
    return hashed[:SHOWN_OF_HASH]


def _text(value: object) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    return value[:LONGEST_TAG] if isinstance(value, str) and value else None
