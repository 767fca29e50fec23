"""Bodies that are a little wrong: calls give their named errors, answers come back as they can."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.dialects.frames import frames_of
from bursar.dialects.translate.crossing import (
    SOURCES,
    TARGETS,
    StreamBack,
    answer_back,
    cross,
    error_back,
)
from bursar.dialects.translate.neutral import NeutralAnswer
from bursar.dialects.translate.telling import write_answer
from bursar.dialects.translate.wires import framed, sse
from bursar.model.errors import BadInput, BursarError, Refused
from tests.dialects.translate.made import CONVERSE, MODEL, answers
from tests.dialects.translate.page import ROWS
from tests.dialects.translate.test_streams import BACK, streamed

MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, ...]] = []
    if isinstance(value, dict):
        inner = [place for key, one in value.items() for place in _places(one, (*path, key))]
    elif isinstance(value, list):
        inner = [place for key, one in enumerate(value) for place in _places(one, (*path, key))]
    return [path, *inner]


@st.composite
def spoilt(draw: st.DrawFn, body: Any) -> Any:
    """The body with one of its values replaced by anything."""
    body = json.loads(json.dumps(body))
    place = draw(st.sampled_from(_places(body)))
    value = draw(odd)
    if not place:
        return value
    inner = body
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return body


def told(known: BursarError) -> None:
    assert known.message
    assert known.mend


@pytest.mark.parametrize("source", SOURCES)
def test_a_spoilt_call_gives_a_named_error(source: str) -> None:
    bodies = [body for _, _, body in ROWS[source]]

    @MANY
    @given(st.data())
    def law(tools: st.DataObject) -> None:
        body = tools.draw(spoilt(tools.draw(st.sampled_from(bodies))))
        raw = json.dumps(body).encode()
        for target in TARGETS:
            try:
                crossed = cross(raw, source, target, MODEL)
            except (BadInput, Refused) as known:
                told(known)
            else:
                assert isinstance(json.loads(crossed.body), dict)

    law()


@pytest.mark.parametrize("target", TARGETS)
def test_a_spoilt_answer_comes_back_or_is_no_json(target: str) -> None:
    @MANY
    @given(answers(), st.data())
    def law(answer: NeutralAnswer, tools: st.DataObject) -> None:
        body = tools.draw(spoilt(json.loads(write_answer(answer, target, BACK))))
        raw = json.dumps(body).encode()
        for source in SOURCES:
            assert error_back(raw, 500, source)[1]
            if isinstance(body, dict):
                json.loads(answer_back(raw, target, source, BACK))
            else:
                with pytest.raises(BadInput):
                    answer_back(raw, target, source, BACK)

    law()


@pytest.mark.parametrize("target", TARGETS)
def test_a_spoilt_stream_ends_well_or_with_an_error(target: str) -> None:
    @MANY
    @given(answers(), st.data())
    def law(answer: NeutralAnswer, tools: st.DataObject) -> None:
        events = frames_of(streamed(answer, target)).events
        spoil = tools.draw(st.integers(0, len(events) - 1))
        events[spoil] = tools.draw(spoilt(events[spoil]))
        for source in SOURCES:
            stream = StreamBack(target, source, BACK)
            sent = b"".join(stream.feed(_bytes(event, target)) for event in events)
            assert sent + stream.finish()
            assert stream.done

    law()


def _bytes(event: Any, target: str) -> bytes:
    if target != CONVERSE:
        return sse(event)
    if isinstance(event, dict) and len(event) == 1:
        ((name, payload),) = event.items()
        return framed(name[:200], payload)
    return framed("messageStart", event)


@pytest.mark.parametrize("target", TARGETS)
@given(raw=st.binary(max_size=200), cut=st.integers(0, 200))
@settings(max_examples=60, deadline=None, database=None)
def test_noise_ends_with_an_error(target: str, raw: bytes, cut: int) -> None:
    stream = StreamBack(target, "openai_chat", BACK)
    sent = stream.feed(raw[:cut]) + stream.feed(raw[cut:]) + stream.finish()
    assert stream.broken is not None
    assert sent
