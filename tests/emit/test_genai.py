"""Laws of what is told: nothing unknown is 0, nothing is lost on the way back, all encodes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from bursar.emit.genai import PROVIDERS, TAGS, metric_attributes, name_of, span_attributes
from bursar.emit.paid import Paid, paid_of
from bursar.intake.labels import with_labels
from bursar.intake.otlp_calls import Reader, labels_of, session_of
from bursar.intake.otlp_spans import Span
from bursar.ledger.blocks import SessionBlocks
from bursar.ledger.journal.spans import FLAGS_TAG, PARENT_TAG, TRACE_TAG, span_id_of
from bursar.ledger.rows import Posted
from bursar.model.call import Call, Tags
from bursar.model.entry import Attempt, Entry, Origin
from bursar.model.usage import Basis, Usage
from ledger.journal.writing import block
from tests.emit.made import paid
from trials import book

COUNTS = st.integers(0, 10**7)
TEXTS = st.one_of(
    st.none(), st.text(max_size=300), st.sampled_from(["gpt-4o", "\ud800", "a" * 999])
)
USAGES = st.builds(
    Usage,
    **dict.fromkeys(("input", "cache_read", "cache_write_5m", "cache_write_1h"), COUNTS),
    output=COUNTS,
    reasoning=COUNTS,
    other=st.dictionaries(st.sampled_from(["web_searches", "input_images"]), st.integers(1, 99)),
)
ATTEMPTS = st.builds(
    Attempt,
    provider=st.one_of(st.none(), st.sampled_from([*PROVIDERS, "openai", "anthropic"])),
    model=TEXTS,
    price_class=st.sampled_from(["standard", "batch", "flex", "priority", "fast"]),
    usage=st.one_of(st.none(), USAGES),
    basis=st.sampled_from(Basis),
    cost_nano=st.one_of(st.none(), st.integers(0, 10**13)),
    unpriced_reason=TEXTS,
    status=st.one_of(st.none(), st.integers(100, 599)),
    first_byte_ms=st.one_of(st.none(), COUNTS),
    total_ms=st.one_of(st.none(), COUNTS),
    provider_request_id=TEXTS,
)
TAG_SETS = st.builds(
    Tags,
    **dict.fromkeys(TAGS, TEXTS),
    other=st.dictionaries(
        st.sampled_from(["color", "n", TRACE_TAG, PARENT_TAG, FLAGS_TAG]), st.text(max_size=300)
    ),
)
PAIDS = st.builds(
    Paid,
    call_id=st.integers(0, 2**63 - 1),
    call=st.builds(Call, key=st.just("k"), model=TEXTS, provider=TEXTS, tags=TAG_SETS),
    attempt=ATTEMPTS,
    cost_basis=st.sampled_from([None, "measured", "modelled"]),
    step=COUNTS,
    stop=TEXTS,
    outcome=st.sampled_from(["ok", "left", "failed"]),
)
FEW = settings(max_examples=60, deadline=None)


@FEW
@given(PAIDS)
def test_every_value_can_be_sent_and_none_is_long(one: Paid) -> None:
    for told in (span_attributes(one, {}), metric_attributes(one, {}, ("tenant", "color"))):
        for name, value in told.items():
            for text in value if isinstance(value, list) else [value]:
                assert isinstance(text, (str, int, float)), name
                if isinstance(text, str) and name != "bursar.usage":
                    assert len(text.encode()) <= 4 * 256, name
    assert name_of(one).encode()


@FEW
@given(PAIDS)
def test_what_nobody_counted_or_priced_is_left_out(one: Paid) -> None:
    told = span_attributes(one, {})
    counts = [name for name in told if name.startswith("gen_ai.usage.")]
    assert bool(counts) == (one.attempt.usage is not None)
    assert ("bursar.cost_nano" in told) == (one.attempt.cost_nano is not None)
    assert not {name for name in told if name.endswith((TRACE_TAG, PARENT_TAG, FLAGS_TAG))}


@FEW
@given(USAGES)
def test_the_input_contains_what_was_cached(usage: Usage) -> None:
    told: Any = span_attributes(paid(usage=usage), {})
    cached = told["gen_ai.usage.cache_read.input_tokens"]
    cached += told["gen_ai.usage.cache_creation.input_tokens"]
    assert told["gen_ai.usage.input_tokens"] == usage.input + cached == usage.prompt
    answer = usage.output + told["gen_ai.usage.reasoning.output_tokens"]
    assert told["gen_ai.usage.output_tokens"] == answer


def read_back(one: Paid) -> tuple[Entry, Tags]:
    """The entry that our own import makes of a span."""
    told = span_attributes(one, {})
    span = Span(
        trace="t",
        id="s",
        parent="",
        name=name_of(one),
        start_nano=0,
        end_nano=0,
        attributes=told,
        events=[],
        failed="error.type" in told,
        said="",
        scope="bursar",
        resource={},
        line=1,
    )
    tags = with_labels(Tags(session=session_of(told)), labels_of(told))
    return Reader(span, Origin(file="f")).entry(), tags


@FEW
@given(USAGES, st.integers(0, 10**13), st.sampled_from(["standard", "flex", "batch", "fast"]))
def test_read_back_nothing_is_lost(usage: Usage, cost_nano: int, price_class: str) -> None:
    entry, _ = read_back(paid(usage=usage, cost_nano=cost_nano, price_class=price_class))
    (attempt,) = entry.attempts
    assert attempt.usage == usage
    assert attempt.recorded_cost_nano == cost_nano
    assert attempt.price_class == price_class


def test_tags_are_read_back() -> None:
    named = {name: f"the-{name}" for name in TAGS}
    _, tags = read_back(paid(tags=Tags(**named, other={"color": "green"})))
    assert tags == Tags(**named, other={"color": "green"})


@pytest.mark.parametrize(
    ("status", "outcome", "error"),
    [(200, "ok", None), (200, "left", None), (429, "failed", "429"), (None, "failed", "_OTHER")],
)
def test_errors_are_few_words(status: int | None, outcome: str, error: str | None) -> None:
    one = replace(paid(status=status), outcome=outcome)
    assert span_attributes(one, {}).get("error.type") == error


def test_a_server_is_named_only_where_it_is_known() -> None:
    told = span_attributes(paid(), {"openai": ("api.openai.com", 443)})
    assert (told["server.address"], told["server.port"]) == ("api.openai.com", 443)
    assert "server.address" not in span_attributes(paid(), {"anthropic": ("a", 1)})


def test_our_words_for_providers_are_known_to_the_prices() -> None:
    assert {mine: book().provider_id(theirs) for mine, theirs in PROVIDERS.items()} == {
        mine: mine for mine in PROVIDERS
    }


def test_every_tag_has_its_attribute() -> None:
    others = {"step_index", "is_retry", "other"}
    assert set(TAGS) == {one.name for one in fields(Tags)} - others


@given(st.integers(0, 2**63 - 1), st.integers(0, 5))
def test_span_ids(call_id: int, n: int) -> None:
    assert 0 < span_id_of(call_id, n) < 2**63
    assert n or span_id_of(call_id) == (call_id or 1)
    assert span_id_of(call_id, 1) != span_id_of(call_id, 2)


def test_no_block_is_kept() -> None:
    call = Call(key="id:1", blocks=(block("prompt"),))
    attempts = ((Attempt(), None, None), (Attempt(n=1), None, None))
    posted = Posted(
        entry=Entry(call=call, attempts=(Attempt(), Attempt(n=1))),
        call_id=1,
        session=None,
        step=0,
        blocks=SessionBlocks(),
        attempts=attempts,
    )
    assert [(one.call.blocks, one.attempt.n) for one in paid_of([posted])] == [(None, 0), (None, 1)]
