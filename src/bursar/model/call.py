"""What a client asked for. What it cost belongs to the attempts, see `entry`."""

from __future__ import annotations

from datetime import datetime

import msgspec

from bursar.model.block import Block


class Tags(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who and what a call was for. None: not known."""

    tenant: str | None = None
    """The customer on whose behalf the call was made."""
    team: str | None = None
    cost_center: str | None = None
    application: str | None = None
    environment: str | None = None
    route: str | None = None
    """The business feature ("feature" in other tools)."""
    workflow: str | None = None
    prompt_version: str | None = None
    user: str | None = None
    session: str | None = None
    """One task of one agent: the unit of iterations and of cost per task."""
    task_type: str | None = None
    step_index: int | None = None
    """Position of the call in its session, from 0. None: the order of arrival decides."""
    is_retry: bool = False
    retry_cause: str | None = None
    """`parse`, `tool`, `rejected`, `provider`, `sdk` or another word; None: not known."""
    inference_type: str | None = None
    other: dict[str, str] = {}


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bounds that the client set."""

    max_tokens: int | None = None
    timeout_ms: int | None = None
    effort: str | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a client asked a model for.

    The prompt is `blocks`, or, when `kept` is a number, the first `kept` blocks of the previous
    call of the same session followed by `blocks`: a transcript of n turns is then read in n steps
    instead of n squared. `blocks=None`: the source does not show the prompt.
    """

    key: str
    """Identity in the source (a request id, a message id): the same call read twice has one key."""
    at: datetime | None = None
    """When it was asked, in UTC, naive. None: not known."""
    dialect: str | None = None
    provider: str | None = None
    model: str | None = None
    """The model asked for."""
    blocks: tuple[Block, ...] | None = None
    kept: int | None = None
    tags: Tags = Tags()
    limits: Limits = Limits()
    stream: bool | None = None
    schema_digest: int | None = None
