"""Sessions and retries of calls that name none, told from what their prompts have in common.

An agent sends its whole transcript again with each step, so the step before is the longest known
prompt that this one begins with; a tool result that answers a known tool use says the same. A call
that sends the very prompt of one that failed is a retry. Whoever names a session keeps it, and what
is inferred is bounded: the sessions not heard of for longest are forgotten, and counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.ids import id_of
from bursar.ledger.schema import INFERRED, numbers_of
from bursar.model.block import Block, Role, digest_of
from bursar.model.call import Call
from bursar.model.entry import Entry

MOST_SESSIONS = 20_000
SOON = timedelta(seconds=10)
"""Code asks again within moments; a person does not."""
COMPLAINT_BYTES = 4_096
"""A complaint about an answer is short."""
GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**63 - 1
FAILED = frozenset({"failed", "left"})


class Step(msgspec.Struct, kw_only=True, gc=False):
    """What the next call of a session is compared with: there are many, so no more than that."""

    session: str
    prompt: int
    """Hash of its whole prompt, with the scope."""
    scope: str | None = None
    """The tenant: ids of tool uses count within it."""
    schema_digest: int | None = None
    """Of the answer that its latest call asked for."""
    at: datetime | None = None
    failed: bool = False
    total_ms: int | None = None
    uses: tuple[str, ...] = ()


class Inference:
    """What is known of the sessions that are under way."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self.forgotten = 0
        """Sessions that were dropped to make room."""
        self._most = most
        self._steps: OrderedDict[str, Step] = OrderedDict()
        self._prompts: dict[int, str] = {}
        """Hash of a prompt -> name of the session whose latest prompt it is."""
        self._uses: dict[tuple[str | None, str], str] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def learn(self, duck: Duck, most: int = 2_000) -> None:
        """Take up the latest inferred sessions of a ledger, after a restart."""
        rows = duck.named(
            "SELECT s.session, s.id, s.path, max(a.tenant) AS tenant, max(a.user_id) AS user_id"
            " FROM sessions AS s JOIN attempts AS a USING (session)"
            " WHERE starts_with(s.id, ?) GROUP BY ALL ORDER BY s.session DESC LIMIT ?",
            [INFERRED, most],
        )
        digests: dict[int, dict[int, int]] = {}
        for session, block, digest in duck.rows(
            "SELECT session, block, digest FROM blocks WHERE session IN"
            " (SELECT unnest(?::BIGINT[]))",
            [[row["session"] for row in rows]],
        ):
            digests.setdefault(session, {})[block] = digest
        for row in reversed(rows):
            blocks = digests.get(row["session"], {})
            chain = _start(row["tenant"], row["user_id"])
            for number in numbers_of(row["path"] or ""):
                chain = _next(chain, blocks.get(number, 0))
            self._keep(Step(session=row["id"], prompt=chain, scope=row["tenant"]))

    def infer(self, entry: Entry) -> Entry:
        """The entry with a session, and with the cause of a retry, where it names none."""
        call, tags = entry.call, entry.call.tags
        if not call.blocks:
            return entry
        chain = _chain(_start(tags.tenant, tags.user), call.blocks)
        before = self._before(entry, chain)
        name = tags.session or (before.session if before else _new_name(call))
        if before is None and tags.session is not None:
            before = self._steps.get(tags.session)
        cause = None if tags.is_retry or before is None else _cause(before, call, chain)
        attempt = entry.attempts[-1] if entry.attempts else None
        uses = entry.answer.tool_uses if entry.answer else ()
        self._keep(
            Step(
                session=name,
                prompt=chain[-1],
                scope=tags.tenant,
                schema_digest=call.schema_digest,
                at=call.at if call.schema_digest is not None else None,
                failed=_has_failed(entry),
                total_ms=attempt.total_ms if attempt else None,
                uses=tuple(one.id for one in uses if one.id is not None),
            )
        )
        if name == tags.session and cause is None:
            return entry
        tags = replace(
            tags,
            session=name,
            is_retry=tags.is_retry or cause is not None,
            retry_cause=tags.retry_cause or cause,
        )
        return replace(entry, call=replace(call, tags=tags))

    # -- inside

    def _before(self, entry: Entry, chain: list[int]) -> Step | None:
        """The latest step of the session that this call goes on."""
        tags = entry.call.tags
        found = None
        for prompt in reversed(chain[1:]):
            if name := self._prompts.get(prompt):
                found = self._steps[name]
                break
        else:
            for outcome in entry.tool_outcomes:
                if outcome.id is not None and (name := self._uses.get((tags.tenant, outcome.id))):
                    found = self._steps[name]
                    break
        if found is None or (tags.session is not None and tags.session != found.session):
            return None
        if found.prompt == chain[-1] and tags.session is None and not _again(found, entry.call):
            return None
        return found

    def _keep(self, step: Step) -> None:
        old = self._steps.pop(step.session, None)
        if old is not None:
            self._drop(old)
        self._steps[step.session] = step
        self._prompts[step.prompt] = step.session
        for use in step.uses:
            self._uses[step.scope, use] = step.session
        if len(self._steps) > self._most:
            self._drop(self._steps.popitem(last=False)[1])
            self.forgotten += 1

    def _drop(self, step: Step) -> None:
        if self._prompts.get(step.prompt) == step.session:
            del self._prompts[step.prompt]
        for use in step.uses:
            if self._uses.get((step.scope, use)) == step.session:
                del self._uses[step.scope, use]


def _new_name(call: Call) -> str:
    number = id_of(call.key)
    return f"{INFERRED}{digest_of(call.key) if number is None else number:x}"


def _start(tenant: str | None, user: str | None) -> int:
    """Where the chain of a scope begins: prompts of two tenants never meet."""
    return digest_of(f"{tenant}\0{user}")


def _next(chain: int, digest: int) -> int:
    return ((chain ^ digest) * GOLDEN + 1) & MASK


def _chain(start: int, blocks: Iterable[Block]) -> list[int]:
    """The hash of every beginning of a prompt, the whole prompt last."""
    chain, link = [start], start
    for block in blocks:
        link = ((link ^ block.digest) * GOLDEN + 1) & MASK
        chain.append(link)
    return chain


def _has_failed(entry: Entry) -> bool:
    if entry.answer is not None and entry.answer.status in FAILED:
        return True
    last = entry.attempts[-1] if entry.attempts else None
    return last is not None and last.status is not None and last.status >= 400


def _again(before: Step, call: Call) -> bool:
    """Whether a call with the very prompt of `before` belongs to the same task.

    Two people, or two runs, may ask the same: only a failure, or code that could not read an
    answer it had asked for in a schema, asks the same thing twice in one task.
    """
    if before.failed:
        return True
    return _asks_in_schema(before, call) and _follows_soon(before, call)


def _cause(before: Step, call: Call, chain: list[int]) -> str | None:
    """Why this call repeats the one before; None where it goes on instead."""
    if chain[-1] == before.prompt:
        if before.failed:
            return "provider"
        return "parse" if _again(before, call) else None
    if before.uses or before.failed or before.prompt not in chain:
        return None
    if not _asks_in_schema(before, call) or not _follows_soon(before, call):
        return None
    added = list(call.blocks or ())[chain.index(before.prompt) :]
    if [one.role for one in added] != [Role.ASSISTANT, Role.USER]:
        return None
    return "parse" if added[1].size_bytes <= COMPLAINT_BYTES else None


def _asks_in_schema(before: Step, call: Call) -> bool:
    return before.schema_digest is not None and before.schema_digest == call.schema_digest


def _follows_soon(before: Step, call: Call) -> bool:
    """Begun after the answer had come, and within moments of it."""
    began = before.at
    if began is None or call.at is None or before.total_ms is None:
        return False
    gap = call.at - began - timedelta(milliseconds=before.total_ms)
    return timedelta(milliseconds=-5) <= gap <= SOON
