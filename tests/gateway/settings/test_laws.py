"""Laws of settings: what is written reads back; nothing that is read can crash the reader."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.gateway.settings import caps, structs
from bursar.gateway.settings.amounts import (
    Amount,
    Amounts,
    Count,
    Every,
    Money,
    Percent,
    Words,
    amounts_of,
)
from bursar.gateway.settings.reading import dump_settings, parse_settings
from bursar.gateway.settings.tag_names import LONGEST_BYTES, mended, value_problem
from bursar.gateway.settings.values import Bytes, Moment, Seconds, matcher_of
from bursar.gateway.settings.yaml_text import read_yaml, yaml_of
from bursar.model.errors import BadInput, Refused
from gateway.settings.desks import ENVIRON, desk_of

seconds = st.floats(0.001, 86_400).map(lambda x: Seconds(round(x, 6)))
sizes = st.integers(1, 1 << 40).map(Bytes)
counts = st.integers(1, 1 << 40)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
values = st.text(min_size=1, max_size=60).map(mended).filter(lambda x: value_problem(x) is None)
tag_names = st.sampled_from(["team", "route", "user", "my.own", "x-1"])
tags = st.dictionaries(tag_names, values, max_size=4)
patterns = st.text(min_size=1, max_size=40)
waits = st.builds(
    structs.Timeouts,
    connect_s=st.none() | seconds,
    idle_s=st.none() | seconds,
    total_s=st.none() | seconds,
)
calls = st.builds(
    structs.Calls,
    disconnect=st.sampled_from(["drain", "cancel"]),
    drain_s=seconds,
    drain_bytes=sizes,
    answer_s=st.none() | seconds,
    unpriced=st.sampled_from(["allow", "deny", "assume_ceiling"]),
    max_prompt_bytes=st.none() | sizes,
    max_output_tokens=st.none() | counts,
    large_request_tokens=counts,
    timeouts=waits,
)
keys = st.builds(
    structs.VirtualKey,
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    tenant=st.none() | values,
    tags=tags,
    models=st.lists(patterns, max_size=3).map(tuple),
    providers=st.sampled_from([(), ("openai",)]),
    expires=st.none() | st.integers(0, 4_000_000_000).map(Moment),
    blocked=st.booleans(),
    sigv4_by_id=st.booleans(),
)
routes = st.lists(
    st.builds(
        structs.Route,
        name=names.filter(lambda x: x != "default"),
        when=st.builds(
            structs.When,
            models=st.lists(patterns, max_size=2).map(tuple),
            path=st.none() | patterns,
            headers=st.dictionaries(names, patterns, max_size=2),
            tags=st.dictionaries(tag_names, patterns, max_size=2),
        ),
        provider=st.sampled_from([None, "openai", "anthropic"]),
        drain_s=st.none() | seconds,
        timeouts=waits,
    ),
    max_size=3,
    unique_by=lambda one: one.name,
).map(tuple)
amounts = st.builds(
    Amount, st.sampled_from(["usd", "tokens", "calls"]), st.integers(0, (1 << 53) - 1), st.none()
)
windows = st.sampled_from(["minute", "day", "quarter", "never", "24h", "90m", "30d"]).map(Every)
limits = st.lists(amounts, min_size=1, max_size=3, unique_by=lambda one: one.unit).map(Amounts)
words = st.lists(tag_names.filter(lambda x: "." not in x), min_size=1, max_size=2, unique=True)
wheres = st.builds(
    caps.Where,
    tags=st.dictionaries(tag_names, st.lists(patterns, min_size=1, max_size=2).map(Words)),
    models=st.just(Words()) | st.lists(patterns, min_size=1, max_size=2).map(Words),
)
budgets = st.builds(
    caps.Budget,
    limit=limits,
    every=windows,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
    where=wheres,
    each=words.map(Words),
    unknown=st.sampled_from(["share", "refuse", "pass"]),
    hard=st.booleans(),
    warn=st.lists(st.integers(1, 1_000).map(Percent), max_size=3).map(tuple),
    fail=st.sampled_from(["closed", "local", "open"]),
    wait_s=st.none() | seconds,
)
tasks = st.builds(
    caps.Task,
    where=wheres,
    dollars=st.integers(0, (1 << 53) - 1).map(Money),
    tokens=st.none() | st.integers(0, (1 << 53) - 1).map(Count),
    wall_s=st.none() | seconds,
)
everything = st.builds(
    structs.Settings,
    providers=st.just({})
    | st.just({n: structs.ProviderSettings() for n in ("anthropic", "openai")}),
    models=st.lists(
        st.builds(structs.ModelRule, match=patterns, provider=st.just("openai")), max_size=3
    ).map(tuple),
    keys=st.dictionaries(names, keys, max_size=3).filter(
        lambda held: len({one.sha256 for one in held.values()}) == len(held)
    ),
    routes=routes,
    calls=calls,
    tags=st.builds(
        structs.TagRules,
        required=st.lists(tag_names, max_size=3).map(tuple),
        policy=st.sampled_from(["refuse", "default", "quarantine"]),
        defaults=tags,
        most_values=counts,
        many_values=st.just(("team", "my.own", "x-1")),
    ),
    budgets=st.dictionaries(names, budgets, max_size=2),
    tasks=st.dictionaries(names, tasks, max_size=2),
)


@given(amounts.flatmap(lambda one: st.builds(Amount, *map(st.just, one[:2]), windows)))
def test_an_amount_reads_back_as_it_was_written(amount: Amount) -> None:
    assert amounts_of(str(amount)) == (amount,)


@given(st.text("$0123456789_.,eE+-kM /dayhtokensclNa%", max_size=14))
def test_what_reads_as_an_amount_is_whole_and_below_the_first_that_is_not_exact(text: str) -> None:
    with contextlib.suppress(ValueError):
        (found,) = amounts_of(text)
        assert 0 <= found.amount < 1 << 53
        assert amounts_of(str(found)) == (found,)


@settings(max_examples=150, deadline=None)
@given(everything)
def test_what_is_dumped_loads_as_the_same(given_settings: structs.Settings) -> None:
    text = dump_settings(given_settings)
    loaded = parse_settings(text.encode(), "x", ENVIRON)
    again = parse_settings(dump_settings(loaded).encode(), "x", {})
    assert again == loaded
    providers = given_settings.providers or loaded.providers
    assert list(providers) == list(loaded.providers)
    same = msgspec.structs.replace(loaded, providers=given_settings.providers)
    assert same == given_settings


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=60), inner, max_size=4)
    ),
    max_leaves=20,
)


def encodable(value: object) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        str(value).encode()
        return True
    return False


@settings(max_examples=200, deadline=None)
@given(plain.filter(encodable))
def test_plain_values_survive_being_written(value: object) -> None:
    assert read_yaml(yaml_of(value).encode(), "x").value == value
    assert yaml.safe_load(yaml_of(value)) == value


parts = [one for one in (vars(structs) | vars(caps)).values() if isinstance(one, type)]
known_words = st.sampled_from(
    [
        name
        for one in parts
        if issubclass(one, msgspec.Struct)
        for name in one.__struct_encode_fields__
    ]
)
near = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | known_words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known_words, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(near)
def test_no_yaml_crashes_the_load(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=False)
    with contextlib.suppress(BadInput):
        parse_settings(text.encode(), "x", {})


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=80) | st.text("{}[]:-&*!|>'\"#%@,? \n\tab01", max_size=60).map(str.encode)
)
def test_no_bytes_crash_the_load(content: bytes) -> None:
    with contextlib.suppress(BadInput):
        parse_settings(content, "x", {})


KEYED = desk_of(f"keys: {{a: {{sha256: {'0' * 64}}}}}")
OPEN = desk_of("tags: {required: [team], policy: default, defaults: {team: x}}")
header_names = st.sampled_from(
    [
        *(b"authorization", b"x-api-key", b"api-key", b"baggage", b"x-bursar-team", b"session_id"),
        *(b"x-bursar-step-index", b"x-bursar-is-retry", b"x-amzn-bedrock-request-metadata"),
        *(b"amz-sdk-request", b"x-stainless-retry-count", b"x-bursar-", b"host", b"x-bursar-A b"),
    ]
)
headers = st.lists(st.tuples(header_names, st.binary(max_size=60)), max_size=6)


@settings(max_examples=300, deadline=None)
@given(headers)
def test_no_headers_open_a_desk_with_keys(given_headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refused) as caught:
        KEYED.holder(given_headers)
    assert caught.value.status in (400, 401)


@settings(max_examples=300, deadline=None)
@given(headers, st.dictionaries(st.text(max_size=10), st.text(max_size=200), max_size=4))
def test_tags_are_well_formed_or_refused(
    given_headers: list[tuple[bytes, bytes]], metadata: dict[str, str]
) -> None:
    with contextlib.suppress(Refused):
        tags = OPEN.tags(OPEN.holder([]), given_headers, metadata).tags
        texts = [tags.team, tags.user, tags.session, *tags.other.values()]
        assert not [one for one in texts if one is not None and value_problem(one)]
        assert tags.team is not None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_a_mended_value_is_a_value(text: str) -> None:
    found = mended(text)
    assert len(found.encode("utf-8", "surrogatepass")) <= LONGEST_BYTES
    assert not found or value_problem(found) is None


def test_no_pattern_takes_long() -> None:
    fits = matcher_of("*a" * 60 + "*b")
    assert not fits("a" * 2_000)
