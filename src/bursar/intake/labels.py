"""Labels that people put on calls -> tags, whatever the spelling.

`tenant_id`, `TenantId`, `customer` and `app.tenant.id` all mean the tenant. What is not known by
name is kept in `Tags.other`, up to a bound, so that no label is lost and none can flood the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from bursar.model.call import Tags

MOST_OTHER = 32
"""Labels of a call that are kept beside the known ones; the rest is dropped."""
LONGEST_VALUE = 256

SPELLINGS: dict[str, tuple[str, ...]] = {
    "tenant": (
        *("tenant", "tenantid", "tenantname", "customer", "customerid", "customername"),
        *("organization", "organizationid", "org", "orgid", "client", "clientid"),
    ),
    "team": ("team", "teamid", "teamname", "department", "squad", "businessunit"),
    "cost_center": ("costcenter", "costcentre", "costcode", "chargeback"),
    "application": ("application", "applicationid", "applicationname", "app", "appid", "appname"),
    "environment": ("environment", "env", "stage", "deploymentenvironment"),
    "route": ("route", "feature", "featureid", "featurename", "usecase", "endpoint"),
    "workflow": ("workflow", "workflowid", "workflowname", "agent", "agentname", "agentid", "flow"),
    "prompt_version": ("promptversion", "promptid", "prompttemplateversion"),
    "user": ("user", "userid", "username", "enduser", "enduserid", "useremail"),
    "session": (
        *("session", "sessionid", "conversation", "conversationid", "thread", "threadid"),
        *("chatid", "taskid", "task"),
    ),
    "task_type": ("tasktype", "taskname", "taskkind"),
    "retry_cause": ("retrycause", "retryreason"),
    "inference_type": ("inferencetype",),
}
FIELD_OF = {word: field for field, words in SPELLINGS.items() for word in words}
_NO_LETTERS = re.compile(r"[^a-z0-9]+")


def field_of(name: str) -> str | None:
    """The tag that a label means, by its whole name or by what follows its first dot."""
    lowered = name.lower()
    found = FIELD_OF.get(_NO_LETTERS.sub("", lowered))
    if found is None and "." in lowered:
        found = FIELD_OF.get(_NO_LETTERS.sub("", lowered.partition(".")[2]))
    return found


def text_of_label(value: object) -> str | None:
    """A label's value as a text; None for nothing and for what is no label."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value.strip()[:LONGEST_VALUE]
    return None


def with_labels(tags: Tags, labels: Iterable[tuple[str, object]]) -> Tags:
    """The tags with every label that they do not hold yet. The first label of a meaning counts."""
    found: dict[str, Any] = {}
    other = dict(tags.other)
    for name, value in labels:
        text = text_of_label(value)
        if text is None:
            continue
        field = field_of(name)
        if field is None:
            if name not in other and len(other) < MOST_OTHER:
                other[name[:LONGEST_VALUE]] = text
        elif getattr(tags, field) is None:
            found.setdefault(field, text)
    if other != tags.other:
        found["other"] = other
    return msgspec.structs.replace(tags, **found) if found else tags
