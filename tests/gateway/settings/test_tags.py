"""Tags: where they come from, which one counts, what is refused, what is bounded (7, 66, C1 11)."""

from __future__ import annotations

import json

import msgspec
import pytest

from bursar.gateway.settings.desk import Desk
from bursar.gateway.settings.tagging import Tagged
from bursar.model.call import Tags
from bursar.model.errors import Refused
from gateway.settings.desks import bearer, desk_of, digest, token

KEYED = f"""
keys:
  a:
    sha256: {digest("a")}
    tenant: acme
    tags: {{team: red, workflow: night}}
"""
Pair = tuple[bytes, bytes]


def tagged(desk: Desk, *headers: Pair, metadata: dict[str, str] | None = None) -> Tagged:
    given = [*bearer(token("a")), *headers]
    return desk.tags(desk.holder(given), given, metadata or {})


def tags(desk: Desk, *headers: Pair, metadata: dict[str, str] | None = None) -> Tags:
    return tagged(desk, *headers, metadata=metadata).tags


def refusal(desk: Desk, *headers: Pair, metadata: dict[str, str] | None = None) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        tagged(desk, *headers, metadata=metadata)
    return caught.value.status, caught.value.kind


def test_every_tag_has_its_header() -> None:
    texts = [
        one for one in Tags.__struct_fields__ if one not in ("step_index", "is_retry", "other")
    ]
    headers = [(f"x-bursar-{one.replace('_', '-')}".encode(), one.encode()) for one in texts]
    headers += [(b"x-bursar-step-index", b"4"), (b"x-bursar-is-retry", b"true")]
    found = tags(desk_of(), *headers, (b"x-bursar-my-own", b"x"))
    assert found == Tags(
        **{one: one for one in texts}, step_index=4, is_retry=True, other={"my-own": "x"}
    )


def test_the_order_of_precedence() -> None:
    desk = desk_of(KEYED + "tags: {defaults: {team: e, workflow: e, user: e, task_type: e}}")
    header = (b"x-bursar-team", b"header")
    baggage = (b"baggage", b"other=1, bursar.team=bag , bursar.user=bag%20gage;p=1,x=y")
    metadata = {"bursar.team": "body", "user": "body", "session": "body"}
    found = tags(desk, header, baggage, metadata=metadata)
    assert (found.team, found.user, found.session) == ("header", "bag gage", "body")
    assert (found.workflow, found.task_type, found.tenant) == ("night", "e", "acme")
    assert tags(desk, metadata=metadata).team == "body"
    assert tags(desk).team == "red"


def test_the_tenant_is_the_keys_own() -> None:
    desk = desk_of(KEYED)
    assert tags(desk, (b"x-tenant", b"B")).tenant == "acme"
    assert tags(desk, (b"x-bursar-tenant", b"acme")).tenant == "acme"
    mismatch = (400, "tenant_mismatch")
    assert refusal(desk, (b"x-bursar-tenant", b"B")) == mismatch
    assert refusal(desk, (b"baggage", b"bursar.tenant=B")) == mismatch
    assert refusal(desk, metadata={"tenant": "B"}) == mismatch
    assert refusal(desk, metadata={"bursar_tenant": "B"}) == mismatch
    bedrock = (b"x-amzn-bedrock-request-metadata", b'{"tenant": "B"}')
    assert refusal(desk, bedrock) == mismatch
    assert tags(desk_of(), (b"x-bursar-tenant", b"B")).tenant == "B"


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(Refused) as caught:
        tagged(desk_of(KEYED), (b"x-bursar-tenant", b"someone-else"))
    assert "someone-else" not in str(caught.value)
    assert "acme" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [b"x" * 129, "\u00e9".encode() * 65, b"a\x00b", b"\xff", "e\u0301".encode(), b"a\x7f"]
)
def test_bad_values_that_were_said_to_us(value: bytes) -> None:
    assert refusal(desk_of(), (b"x-bursar-team", value)) == (400, "bad_tag")


@pytest.mark.parametrize(
    "header",
    [
        (b"x-bursar-step-index", b"-1"),
        (b"x-bursar-step-index", b"1.5"),
        (b"x-bursar-step-index", b"10000000"),
        (b"x-bursar-step-index", "\u0663".encode()),
        (b"x-bursar-is-retry", b"maybe"),
        (b"x-bursar-", b"x"),
        (b"x-bursar-" + b"n" * 65, b"x"),
        (b"x-bursar-quarantine", b"x"),
        (b"baggage", b"bursar.step_index=x"),
        (b"baggage", b"bursar.team=%00"),
    ],
)
def test_bad_tags_that_were_said_to_us(header: Pair) -> None:
    assert refusal(desk_of(), header) == (400, "bad_tag")


def test_a_tag_with_two_values_is_refused() -> None:
    pair = ((b"x-bursar-team", b"a"), (b"x-bursar-team", b"b"))
    assert refusal(desk_of(), *pair) == (400, "bad_tag")
    assert tags(desk_of(), pair[0], pair[0]).team == "a"


def test_at_most_64_tags() -> None:
    many = [(f"x-bursar-t{n}".encode(), b"x") for n in range(65)]
    assert len(tags(desk_of(), *many[:64]).other) == 64
    assert refusal(desk_of(), *many) == (400, "too_many_tags")
    crowd = {f"n{n}": "x" for n in range(10_000)}
    assert len(tags(desk_of(), metadata=crowd).other) == 64


def test_what_was_meant_for_the_provider_is_cut_to_fit() -> None:
    found = tags(
        desk_of(),
        metadata={"Odd Name!": "x", "step_index": "x", "ticket": "\u0000e\u0301" + "x" * 500},
    )
    assert found.step_index is None
    assert found.other == {"ticket": "\ufffd\u00e9" + "x" * 123}


CLAUDE_USER = "user_" + "a" * 64 + "_account_0a1b2c3d-0000-4000-8000-000000000001_session_"
SESSION = "0a1b2c3d-0000-4000-8000-000000000002"


@pytest.mark.parametrize(
    ("user_id", "user", "session"),
    [
        ("u-1", "u-1", None),
        (CLAUDE_USER + SESSION, CLAUDE_USER.removesuffix("_session_")[:128], SESSION),
        (json.dumps({"device_id": "d", "account_uuid": "acc", "session_id": "s"}), "acc", "s"),
        (json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s"}), "d", "s"),
        ("{broken", "{broken", None),
    ],
)
def test_the_user_of_anthropic_metadata(user_id: str, user: str, session: str | None) -> None:
    found = tags(desk_of(), metadata={"user_id": user_id})
    assert (found.user, found.session) == (user, session)


def test_headers_of_clients() -> None:
    assert tags(desk_of(), (b"x-claude-code-session-id", b"s1")).session == "s1"
    assert tags(desk_of(), (b"session_id", b"s2")).session == "s2"
    both = ((b"session_id", b"s2"), (b"x-bursar-session", b"ours"))
    assert tags(desk_of(), *both).session == "ours"
    own = desk_of("tags: {headers: {x-feature: route}}")
    assert tags(own, (b"x-feature", b"r"), (b"session_id", b"s")) == Tags(route="r")


@pytest.mark.parametrize("raw", [b'{"team": "t"}', b'{"team": "t", "n": 1}'])
def test_bedrock_metadata_in_a_header(raw: bytes) -> None:
    assert tags(desk_of(), (b"x-amzn-bedrock-request-metadata", raw)).team == "t"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"[" * 9000, b'{"a": "\\ud800"}'])
def test_broken_bedrock_metadata_is_the_providers_business(raw: bytes) -> None:
    assert tags(desk_of(), (b"x-amzn-bedrock-request-metadata", raw)).team is None


@pytest.mark.parametrize(
    ("header", "retried"),
    [
        ((b"x-stainless-retry-count", b"0"), False),
        ((b"x-stainless-retry-count", b"2"), True),
        ((b"amz-sdk-request", b"attempt=1; max=3"), False),
        ((b"amz-sdk-request", b"ttl=20261122T191200Z; attempt=2; max=3"), True),
        ((b"amz-sdk-request", b"nonsense"), False),
    ],
)
def test_retries_of_the_sdks(header: Pair, retried: bool) -> None:
    found = tags(desk_of(), header)
    assert (found.is_retry, found.retry_cause) == (retried, "sdk" if retried else None)
    named = tags(desk_of(), header, (b"x-bursar-retry-cause", b"parse"))
    assert named.retry_cause == "parse"


RULES = """
tags:
  required: [team, environment]
  policy: {policy}
  defaults: {{environment: production}}
  allowed: {{environment: [production, "dev-*"], team: ["*"]}}
"""


def test_policy_refuse() -> None:
    desk = desk_of(RULES.format(policy="refuse"))
    assert refusal(desk) == (400, "tag_missing")
    bad = (b"x-bursar-environment", b"moon")
    assert refusal(desk, (b"x-bursar-team", b"t"), bad) == (400, "tag_not_allowed")
    assert tags(desk, (b"x-bursar-team", b"t")).environment == "production"


def test_policy_default() -> None:
    desk = desk_of(RULES.format(policy="default"))
    found = tags(desk, (b"x-bursar-team", b"t"), (b"x-bursar-environment", b"moon"))
    assert found.environment == "production"
    assert refusal(desk) == (400, "tag_missing")


def test_policy_quarantine() -> None:
    desk = desk_of(RULES.format(policy="quarantine"))
    found = tagged(desk, (b"x-bursar-environment", b"moon"))
    assert found.quarantined
    assert found.tags.environment == "moon"
    assert found.tags.other == {"quarantine": "environment not allowed, team missing"}
    fine = tagged(desk, (b"x-bursar-team", b"t"), (b"x-bursar-environment", b"dev-7"))
    assert not fine.quarantined
    assert fine.tags.other == {}


def test_too_many_values_become_one() -> None:
    desk = desk_of("tags: {most_values: 3}")
    seen = [tags(desk, (b"x-bursar-team", b"t%d" % n)).team for n in range(6)]
    assert seen == ["t0", "t1", "t2", "__other__", "__other__", "__other__"]
    assert tags(desk, (b"x-bursar-team", b"t1")).team == "t1"
    other = tags(desk, (b"x-bursar-team", b"t5"), (b"x-bursar-tenant", b"b"))
    assert (other.team, other.tenant) == ("t5", "b")
    sessions = {tags(desk, (b"x-bursar-session", b"s%d" % n)).session for n in range(9)}
    assert len(sessions) == 9


def test_the_bound_holds_for_tenants_too() -> None:
    desk = desk_of("tags: {most_values: 2}")
    seen = [tags(desk, (b"x-bursar-tenant", b"t%d" % n)).tenant for n in range(4)]
    assert seen == ["t0", "t1", "__other__", "__other__"]


def test_memory_is_bounded_and_a_new_day_begins_afresh() -> None:
    now = [86_400.0 * 20_000]
    desk = desk_of("tags: {most_values: 2}")
    desk.tagger._clock = lambda: now[0]  # type: ignore[method-assign]
    for n in range(20_000):
        tags(desk, (b"x-bursar-team", b"t%d" % n), (b"x-bursar-x", b"x" * 100))
    assert desk.tagger.seen._count <= 8
    assert len(desk.tagger._cache) <= 2_048
    assert tags(desk, (b"x-bursar-team", b"t999")).team == "__other__"
    now[0] += 86_400
    assert tags(desk, (b"x-bursar-team", b"t999")).team == "t999"


def test_what_is_remembered_belongs_to_one_key() -> None:
    desk = desk_of(KEYED + f"  b: {{sha256: {digest('b')}, tenant: other}}\n")
    for name, tenant in (("a", "acme"), ("b", "other"), ("a", "acme")):
        given = [*bearer(token(name)), (b"x-bursar-route", b"r")]
        assert desk.tags(desk.holder(given), given, {}).tags.tenant == tenant


def test_tags_survive_the_journal() -> None:
    found = tags(desk_of(), (b"x-bursar-step-index", b"0"), (b"x-bursar-own", b"x"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Tags) == found
