"""The same request hits, any other misses, nobody sees another tenant's answer, bounds hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.dialects.lens import read_response
from bursar.dialects.streams import is_stream
from bursar.levers.response_cache import Ask, Kept, ResponseCache, Room, answered, label_of
from bursar.levers.response_cache_keys import LEFT_OUT, Request, fields_of, key_of, question_of
from bursar.levers.response_cache_shelf import OVERHEAD_BYTES, Shelf
from bursar.levers.response_cache_worth import Judged, judged
from bursar.model.call import Tags
from bursar.model.errors import BadInput
from dialects.cassettes import Exchange, exchanges

CHAT = "openai_chat"
JSON = (b"content-type", b"application/json")
SSE = (b"content-type", b"text/event-stream")
BODY: dict[str, Any] = {
    "model": "gpt-5-mini",
    "temperature": 0,
    "messages": [{"role": "user", "content": "How much is 2 plus 2?"}],
}
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
ACME = Tags(tenant="acme", route="search")


def request_of(body: dict[str, Any] = BODY, **more: Any) -> Request:
    given = {"tenant": "acme", "policy": "k1", "model": "gpt-5-mini", "provider": "openai", **more}
    return Request(
        dialect=CHAT, path=b"/v1/chat/completions", body=json.dumps(body).encode(), **given
    )


def answer_of(finish: str = "stop", **message: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "4", **message}}
    return json.dumps(
        {"id": "c1", "model": "m", "choices": [{**choice, "finish_reason": finish}], "usage": USAGE}
    ).encode()


def stream_of(finish: str = "stop", **delta: Any) -> bytes:
    begin = {"index": 0, "delta": {"role": "assistant", "content": "4", **delta}}
    end = {"index": 0, "delta": {}, "finish_reason": finish}
    chunks = [
        {"id": "c1", "model": "m", "object": "chat.completion.chunk", "choices": [begin]},
        {"id": "c1", "model": "m", "object": "chat.completion.chunk", "choices": [end]},
        {"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE},
    ]
    lines = [f"data: {json.dumps(one)}\n\n" for one in chunks]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def asked(room: Room, request: Request, tags: Tags = ACME) -> Ask:
    found = room.ask(request, tags)
    assert isinstance(found, Ask), found
    return found


def put(room: Room, request: Request, body: bytes, at_ms: int = 0, status: int = 200) -> Kept | str:
    header = SSE if request.stream else JSON
    return room.put(asked(room, request), status, [header], body, at_ms)


def hits(room: Room, request: Request, tags: Tags = ACME, at_ms: int = 0) -> bool:
    found = room.ask(request, tags)
    return isinstance(found, Ask) and room.get(found, at_ms) is not None


# -- laws

texts = st.text(max_size=8) | st.sampled_from(("\u00e9", "e\u0301", "", "null", "0"))
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    plain | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
parts = st.fixed_dictionaries(
    {
        "tenant": st.none() | texts,
        "policy": texts,
        "provider": st.none() | texts,
        "model": st.none() | texts,
        "version": st.none() | texts,
        "stream": st.booleans(),
    }
)
fields = st.dictionaries(
    st.sampled_from(("messages", "tools", "seed", "n", "user", "temperature", "top_p", "stop")),
    values,
    max_size=5,
)


def key(body: dict[str, Any], part: dict[str, Any]) -> tuple[bytes, str]:
    """The key, and what it must stand for."""
    request = request_of(body, **part)
    found = fields_of(request)
    assert found is not None
    meant = json.dumps([sorted(part.items()), sorted((n, json.dumps(v)) for n, v in body.items())])
    return key_of(request, found), meant


@given(a=fields, b=fields, first=parts, second=parts)
def test_two_requests_have_one_key_only_if_they_are_one(
    a: dict[str, Any], b: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    for other in ((a, second), (b, first), (b, second)):
        one_key, one = key(a, first)
        other_key, meant = key(*other)
        assert (one_key == other_key) == (one == meant)


@given(body=fields, part=parts, name=st.sampled_from(sorted(LEFT_OUT[CHAT])), label=values)
def test_order_spacing_and_labels_do_not_count(
    body: dict[str, Any], part: dict[str, Any], name: str, label: Any
) -> None:
    turned = {**dict(reversed(body.items())), name: label}
    spaced = replace(request_of(body, **part), body=json.dumps(turned, indent=3).encode())
    found = fields_of(spaced)
    assert found is not None
    assert key_of(spaced, found) == key(body, part)[0]


@given(tenant=st.none() | texts, other=st.none() | texts, body=fields)
def test_no_other_tenant_ever_hits(
    tenant: str | None, other: str | None, body: dict[str, Any]
) -> None:
    room = Room(ResponseCache(temperature="any"))
    mine, theirs = request_of(body, tenant=tenant), request_of(body, tenant=other)
    assert isinstance(put(room, mine, answer_of()), Kept)
    assert hits(room, theirs) == (tenant == other)


class Model:
    """The shelf as it should be, without any thought of speed."""

    def __init__(self, most: int, ttl_ms: int) -> None:
        self.most, self.ttl_ms = most, ttl_ms
        self.rows: list[tuple[bytes, int, str]] = []

    def get(self, name: bytes, now_ms: int) -> bool:
        found = [row for row in self.rows if row[0] == name]
        self.rows = [row for row in self.rows if row[0] != name]
        alive = [row for row in found if now_ms - row[1] < self.ttl_ms]
        self.rows += alive
        return bool(alive)


names = st.integers(0, 6).map(lambda n: b"k%d" % n)
acts = st.lists(
    st.tuples(st.sampled_from(("put", "get", "get", "purge")), names, st.integers(0, 40)),
    max_size=60,
)


@given(steps=acts, most=st.integers(1, 4), ttl_ms=st.integers(1, 100))
def test_a_shelf_is_bounded_and_forgets_as_it_should(
    steps: list[tuple[str, bytes, int]], most: int, ttl_ms: int
) -> None:
    shelf: Shelf[bytes] = Shelf(most_bytes=1 << 20, most_entries=most, ttl_ms=ttl_ms)
    model, now_ms = Model(most, ttl_ms), 0
    for act, name, gap_ms in steps:
        now_ms += gap_ms
        label = f"t={name[1] % 2}"
        if act == "put":
            assert shelf.put(name, name, 10, now_ms, (label,))
            model.rows = [row for row in model.rows if row[0] != name]
            model.rows = [*model.rows, (name, now_ms, label)][-most:]
        elif act == "get":
            place = shelf.get(name, now_ms)
            assert (place is not None) == model.get(name, now_ms)
            assert place is None or place.value == name
        else:
            assert shelf.purge(label) == sum(row[2] == label for row in model.rows)
            model.rows = [row for row in model.rows if row[2] != label]
        assert len(shelf) == len(model.rows) <= most
        assert shelf.size_bytes == len(shelf) * (10 + OVERHEAD_BYTES + len(label))


@given(sizes=st.lists(st.integers(0, 9_000), max_size=60))
def test_a_shelf_is_bounded_in_bytes(sizes: list[int]) -> None:
    shelf: Shelf[int] = Shelf(most_bytes=10_000, most_entries=1_000, ttl_ms=10)
    for at, size in enumerate(sizes):
        is_kept = shelf.put(b"%d" % at, at, size, 0)
        assert is_kept == (4 * (size + OVERHEAD_BYTES) <= 10_000)
        assert (shelf.get(b"%d" % at, 0) is not None) == is_kept
        assert 0 <= shelf.size_bytes <= 10_000


# -- what counts

OTHER_REQUESTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("policy", {}, {"policy": "k2"}),
    ("no tenant", {}, {"tenant": None}),
    ("model", {"model": "gpt-5"}, {}),
    ("routed model", {}, {"model": "gpt-5"}),
    ("provider", {}, {"provider": "azure"}),
    ("temperature", {"temperature": 0.0}, {}),
    ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}, {}),
    ("user", {"user": "u2"}, {}),
    ("seed", {"seed": 1}, {}),
    ("n", {"n": 2}, {}),
    ("format", {"response_format": {"type": "json_object"}}, {}),
    ("stream options", {"stream_options": {"include_usage": True}}, {}),
    ("stream", {}, {"stream": True}),
    ("beta", {}, {"headers": ((b"openai-beta", b"x"),)}),
    ("messages", {"messages": [{"role": "user", "content": "How much is 2 plus 3?"}]}, {}),
]


@pytest.mark.parametrize(("what", "body", "part"), OTHER_REQUESTS)
def test_what_differs_misses(what: str, body: dict[str, Any], part: dict[str, Any]) -> None:
    """Cases 30 to 32."""
    room = Room(ResponseCache())
    assert isinstance(put(room, request_of(), answer_of()), Kept)
    assert hits(room, request_of())
    assert not hits(room, request_of({**BODY, **body}, **part)), what


def test_unicode_equal_prompts_are_two() -> None:
    """Case 36."""
    room = Room(ResponseCache())
    composed = {**BODY, "messages": [{"role": "user", "content": "caf\u00e9"}]}
    decomposed = {**BODY, "messages": [{"role": "user", "content": "cafe\u0301"}]}
    put(room, request_of(composed), answer_of())
    assert hits(room, request_of(composed))
    assert not hits(room, request_of(decomposed))


def test_the_order_of_properties_in_a_schema_counts() -> None:
    """A model answers in the order that a schema has."""
    shapes = ({"a": {}, "b": {}}, {"b": {}, "a": {}})
    one, other = (
        {**BODY, "response_format": {"schema": {"properties": shape}}} for shape in shapes
    )
    room = Room(ResponseCache())
    put(room, request_of(one), answer_of())
    assert not hits(room, request_of(other))


def test_a_stream_comes_again_with_the_same_bytes_and_usage() -> None:
    """Case 33."""
    room = Room(ResponseCache())
    request = request_of({**BODY, "stream": True}, stream=True)
    kept = put(room, request, stream_of(), 1_000)
    assert isinstance(kept, Kept)
    again = room.get(asked(room, request), 31_000)
    assert again is not None
    assert again == kept
    assert again.body == stream_of()
    assert again.usage is not None
    assert (again.usage.input, again.usage.output) == (12, 3)
    decision = answered(again, 31_000)
    assert (decision.verdict, decision.why) == ("answered", "the same call was answered 30 s ago")


BAD: list[tuple[str, bytes, bool, int]] = [
    ("status", answer_of(), False, 500),
    ("error in a 200", b'{"error":{"message":"no"}}', False, 200),
    ("filter", answer_of("content_filter"), False, 200),
    ("cut", answer_of("length"), False, 200),
    ("refusal", answer_of(refusal="I cannot"), False, 200),
    ("unknown end", answer_of("who_knows"), False, 200),
    ("half", answer_of()[:-20], False, 200),
    ("empty", b"", False, 200),
    ("no JSON", b"<html>", False, 200),
    ("stream without end", stream_of().removesuffix(b"data: [DONE]\n\n"), True, 200),
    ("stream filtered", stream_of("content_filter"), True, 200),
    ("stream refused", stream_of(refusal="no"), True, 200),
    ("stream with error", b'data: {"error":{"message":"x"}}\n\ndata: [DONE]\n\n', True, 200),
    ("stream whose last event is half", stream_of()[:-9], True, 200),
    ("whole instead of a stream", answer_of(), True, 200),
    ("stream without finish", stream_of().replace(b'"stop"', b"null"), True, 200),
]


@pytest.mark.parametrize(("what", "body", "stream", "status"), BAD)
def test_bad_answers_are_not_kept(what: str, body: bytes, stream: bool, status: int) -> None:
    """Case 34."""
    room = Room(ResponseCache())
    request = request_of(stream=stream)
    why = put(room, request, body, status=status)
    assert isinstance(why, str), what
    assert len(why) > 10
    assert len(room) == 0


def test_every_choice_counts() -> None:
    body: dict[str, Any] = json.loads(answer_of())
    body["choices"].append({**body["choices"][0], "index": 1, "finish_reason": "length"})
    assert isinstance(put(Room(ResponseCache()), request_of(), json.dumps(body).encode()), str)


def test_cut_answers_where_they_are_wanted() -> None:
    room = Room(ResponseCache(cut_answers=True))
    assert isinstance(put(room, request_of(), answer_of("length")), Kept)
    assert isinstance(put(room, request_of(), answer_of("content_filter")), str)


def test_compressed_answers_are_not_kept() -> None:
    room = Room(ResponseCache())
    ask = asked(room, request_of())
    assert isinstance(room.put(ask, 200, [JSON, (b"content-encoding", b"br")], b"x", 0), str)


def recorded(folder: Path) -> list[tuple[str, Exchange]]:
    """Answers of providers, each with its dialect, that are good enough to be kept."""
    found: list[tuple[str, Exchange]] = []
    for one in exchanges(folder):
        try:
            dialect = read_response(one.body, headers=one.headers, strict=False).dialect
        except BadInput:
            continue
        if dialect in LEFT_OUT and judgement(one, dialect, one.body).why_not is None:
            found.append((dialect, one))
    return found


def judgement(one: Exchange, dialect: str, body: bytes) -> Judged:
    headers = [
        (name.encode(), value.encode("latin-1", "replace"))
        for name, value in one.headers.items()
        if name != "content-encoding"
    ]
    return judged(body, dialect, one.status, headers, stream=is_stream(headers))


@pytest.mark.parametrize("folder", ["cassettes_otel_genai", "cassettes_openllmetry"])
def test_recorded_answers(folder: str, shared_data: Callable[[str], Path]) -> None:
    """Law: an answer that is cut anywhere is not kept, and what is kept ended well."""
    kept = recorded(shared_data(folder))
    assert len({dialect for dialect, _ in kept}) > 2
    for dialect, one in kept:
        assert one.status == 200
        bare = one.body.rstrip()
        for share in (0.1, 0.5, 0.9, 0.99):
            cut = bare[: min(int(len(bare) * share), len(bare) - 8)]
            assert judgement(one, dialect, cut).why_not, (one.place, share)
        assert judgement(one, dialect, bare[:-3]).why_not, one.place


# -- what clients and settings say


def test_no_store_neither_keeps_nor_reads() -> None:
    """Case 35."""
    room = Room(ResponseCache())
    put(room, request_of(), answer_of())
    says = ((b"cache-control", b"max-age=5, No-Store"),)
    assert room.ask(request_of(headers=says), ACME) == "the client says no-store"


@pytest.mark.parametrize("word", [b"no-cache", b"max-age=0"])
def test_no_cache_refreshes(word: bytes) -> None:
    room = Room(ResponseCache())
    put(room, request_of(), answer_of())
    fresh = request_of(headers=((b"cache-control", word),))
    assert not hits(room, fresh)
    assert isinstance(put(room, fresh, answer_of(content="5"), 9), Kept)
    kept = room.get(asked(room, request_of()), 10)
    assert kept is not None
    assert b'"5"' in kept.body


def test_max_age() -> None:
    room = Room(ResponseCache())
    put(room, request_of(), answer_of())
    says = request_of(headers=((b"cache-control", b"max-age=10"),))
    assert hits(room, says, at_ms=10_000)
    assert not hits(room, says, at_ms=10_001)
    assert hits(room, request_of(), at_ms=10_001)


def test_ttl_by_the_given_time() -> None:
    room = Room(ResponseCache(ttl_s=60))
    put(room, request_of(), answer_of(), 5_000)
    assert hits(room, request_of(), at_ms=64_999)
    assert not hits(room, request_of(), at_ms=65_000)
    put(room, request_of(), answer_of(), 5_000)
    assert not hits(room, request_of(), at_ms=4_999)


def test_a_new_version_of_the_knowledge_base() -> None:
    room = Room(ResponseCache(version_tag="kb"))
    old, new = (Tags(tenant="acme", other={"kb": version}) for version in ("1", "2"))
    room.put(asked(room, request_of(), old), 200, [JSON], answer_of(), 0)
    assert hits(room, request_of(), old)
    assert not hits(room, request_of(), new)
    assert "kb" in str(room.ask(request_of(), ACME))


def test_purge_by_tag() -> None:
    room = Room(ResponseCache(purge_tags=("route",)))
    tags = {name: Tags(tenant="acme", route=name) for name in ("a", "b")}
    for name, tag in tags.items():
        ask = asked(room, request_of({**BODY, "seed": ord(name)}), tag)
        assert ask.labels == (label_of("route", name),)
        room.put(ask, 200, [JSON], answer_of(), 0)
    assert room.purge("route", "c") == 0
    assert room.purge("route", "a") == 1
    assert not hits(room, request_of({**BODY, "seed": ord("a")}), tags["a"])
    assert hits(room, request_of({**BODY, "seed": ord("b")}), tags["b"])
    assert room.clear() == 1
    assert room.size_bytes == 0


NEVER: list[dict[str, Any]] = [
    {"temperature": 0.7},
    {"temperature": None},
    {"temperature": False},
    {"conversation": "c1"},
    {"background": True},
    {"web_search_options": {"x": 1}},
    {"tools": [{"type": "web_search_preview"}]},
]


@pytest.mark.parametrize("change", NEVER)
def test_calls_that_are_never_cached(change: dict[str, Any]) -> None:
    assert isinstance(Room(ResponseCache()).ask(request_of({**BODY, **change}), ACME), str)


def test_any_temperature_where_it_is_wanted() -> None:
    body = {name: value for name, value in BODY.items() if name != "temperature"}
    assert isinstance(Room(ResponseCache()).ask(request_of(body), ACME), str)
    assert isinstance(Room(ResponseCache(temperature="any")).ask(request_of(body), ACME), Ask)


def test_streams_can_be_left_out() -> None:
    room = Room(ResponseCache(streams=False))
    assert isinstance(room.ask(request_of(stream=True), ACME), str)
    assert isinstance(room.ask(request_of(), ACME), Ask)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":1e999}', b'{"a":"\\ud800"}', b"\xff"])
def test_bodies_that_nobody_reads_alike(body: bytes) -> None:
    assert isinstance(Room(ResponseCache()).ask(replace(request_of(), body=body), ACME), str)


def test_only_headers_that_outlive_an_exchange() -> None:
    room = Room(ResponseCache())
    kept = room.put(
        asked(room, request_of()), 200, [JSON, (b"x-request-id", b"r1")], answer_of(), 0
    )
    assert isinstance(kept, Kept)
    assert kept.headers == (JSON,)


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"tll_s":5}', type=ResponseCache)


# -- the last question


@pytest.mark.parametrize(
    "fields_given",
    [
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}]},
        {"messages": [{"role": "user", "content": [{"text": "q"}]}]},
        {"input": "q"},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "q"}]}]},
    ],
)
def test_the_last_question(fields_given: dict[str, Any]) -> None:
    found = question_of(fields_given)
    assert found is not None
    text, rest, _ = found
    assert text == "q"
    assert '"q"' not in json.dumps(rest)
    assert '"q"' in json.dumps(fields_given)


@pytest.mark.parametrize(
    "fields_given",
    [
        {},
        {"messages": [{"role": "assistant", "content": "q"}]},
        {"messages": [{"role": "tool", "content": "q"}]},
        {"messages": [{"role": "user", "content": [{"text": "q"}, {"text": "r"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {"messages": "q"},
    ],
)
def test_no_last_question(fields_given: dict[str, Any]) -> None:
    found = question_of(fields_given)
    assert found is None or found[2] == "messages"
