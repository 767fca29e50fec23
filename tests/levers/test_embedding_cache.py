"""Vectors by text: the answer is the one that the provider would have given, for fewer tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dialects.lens import read_response
from bursar.levers.embedding_cache import (
    Apart,
    EmbeddingCache,
    EmbeddingRoom,
    Vector,
    apart,
    are_alike,
    joined,
    left,
    vectors_of,
)
from bursar.levers.response_cache_keys import Request

EMBEDDINGS = "openai_embeddings"


def request_of(given_input: Any, tenant: str | None = "acme", **more: Any) -> Request:
    body = {"model": "text-embedding-3-small", "input": given_input, **more}
    return Request(
        dialect=EMBEDDINGS, path=b"/v1/embeddings", body=json.dumps(body).encode(), tenant=tenant
    )


def taken(given_input: Any, tenant: str | None = "acme", **more: Any) -> Apart:
    found = apart(request_of(given_input, tenant, **more))
    assert found is not None
    return found


def provider(body: bytes) -> bytes:
    """Embeds a text as its length and letters; counts a token a letter."""
    asked = json.loads(body)
    inputs = asked["input"]
    inputs = [inputs] if isinstance(inputs, str) or isinstance(inputs[0], int) else inputs
    used = sum(map(len, inputs)) + 1
    return json.dumps(
        {
            "object": "list",
            "model": asked["model"],
            "data": [
                {"object": "embedding", "index": n, "embedding": [len(one), hash(str(one)) % 97]}
                for n, one in enumerate(inputs)
            ],
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }
    ).encode()


def through(room: EmbeddingRoom, request: Request, at_ms: int = 0) -> tuple[Any, int]:
    """The answer, and how many inputs were asked for it."""
    whole = apart(request)
    assert whole is not None
    vectors = room.known(whole.keys, at_ms)
    body, keys = left(whole, vectors)
    answer = None
    if body is not None:
        answer = provider(body)
        new = vectors_of(answer, keys)
        assert new is not None
        room.keep(new, at_ms)
        vectors |= new
    return json.loads(joined(whole, vectors, answer)), len(keys)


words = st.lists(
    st.sampled_from(("a", "bb", "ccc", "\u00e9", "e\u0301", "")), min_size=1, max_size=6
)


@given(calls=st.lists(words, min_size=1, max_size=6))
def test_the_same_vectors_in_the_same_order(calls: list[list[str]]) -> None:
    """Law: with the cache as without it, but for the usage; no text is ever asked for twice."""
    room = EmbeddingRoom(EmbeddingCache())
    seen: set[str] = set()
    for texts in calls:
        found, asked = through(room, request_of(texts))
        plain = json.loads(provider(request_of(texts).body))
        new = set(texts) - seen
        assert asked == (len(texts) if len(new) == len(texts) else len(new))
        used = sum(map(len, new)) + 1 if new else 0
        assert found.pop("usage") == {"prompt_tokens": used, "total_tokens": used}
        del plain["usage"]
        assert found == plain
        seen |= set(texts)


@given(tenant=st.none() | st.text(max_size=3), other=st.none() | st.text(max_size=3))
def test_no_other_tenant_ever_hits(tenant: str | None, other: str | None) -> None:
    room = EmbeddingRoom(EmbeddingCache())
    through(room, request_of("x", tenant))
    assert bool(room.known(taken("x", other).keys, 0)) == (tenant == other)


@pytest.mark.parametrize("more", [{"dimensions": 8}, {"encoding_format": "base64"}, {"user": "u"}])
def test_other_wishes_miss(more: dict[str, Any]) -> None:
    room = EmbeddingRoom(EmbeddingCache())
    through(room, request_of("x"))
    assert not room.known(taken("x", **more).keys, 0)
    assert room.known(taken(["x", "y"]).keys, 0)


def test_the_usage_is_read_by_the_lens() -> None:
    room = EmbeddingRoom(EmbeddingCache())
    through(room, request_of(["abc", "de"]))
    found, _ = through(room, request_of(["abc", "de", "f"]))
    usage = read_response(found, EMBEDDINGS).usage
    assert usage is not None
    assert usage.input == 2
    found, asked = through(room, request_of("abc"))
    assert asked == 0
    usage = read_response(found, EMBEDDINGS).usage
    assert usage is not None
    assert usage.prompt == 0


def test_tokens_are_one_input() -> None:
    assert taken([1, 2]).inputs == ([1, 2],)
    assert taken([[1, 2], [3]]).inputs == ([1, 2], [3])
    assert taken([1, 2]).keys == taken([[1, 2]]).keys
    assert taken("1").keys != taken([1]).keys


@pytest.mark.parametrize("odd", [None, [], {}, [["a"]], ["a", 1], [1, "a"], [[]], 5, [True]])
def test_odd_inputs_are_left_alone(odd: Any) -> None:
    assert apart(request_of(odd)) is None


def test_nothing_known_is_the_very_same_body() -> None:
    whole = taken(["a", "b"])
    body, keys = left(whole, {})
    assert body is whole.body
    assert keys == whole.keys


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b'{"error":{"message":"no"},"data":[]}',
        b'{"data":[{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":1,"embedding":[1]},{"index":2,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":null},{"index":1,"embedding":[1]}]}',
    ],
)
def test_an_answer_that_does_not_hold_them_all(answer: bytes) -> None:
    assert vectors_of(answer, (b"a", b"b")) is None


def test_the_order_of_an_answer_is_its_index() -> None:
    answer = b'{"data":[{"index":1,"embedding":[1]},{"index":0,"embedding":"AA=="}],"model":"m"}'
    found = vectors_of(answer, (b"a", b"b"))
    assert found == {
        b"a": Vector(raw=b'"AA=="', model=b'"m"'),
        b"b": Vector(raw=b"[1]", model=b'"m"'),
    }


def test_vectors_of_two_models_are_not_mixed() -> None:
    one, other = Vector(raw=b"[1]", model=b'"a"'), Vector(raw=b"[1]", model=b'"b"')
    assert are_alike({b"a": one})
    assert not are_alike({b"a": one, b"b": other})
    room = EmbeddingRoom(EmbeddingCache())
    room.keep({b"a": one, b"b": other}, 0)
    assert room.known((b"a", b"b"), 0) == {b"a": one}


def test_a_room_is_bounded_and_forgets() -> None:
    room = EmbeddingRoom(EmbeddingCache(ttl_s=1), most_entries=3)
    for text in "abcde":
        through(room, request_of(text))
    assert len(room) == 3
    assert not room.known(taken("a").keys, 0)
    assert room.known(taken("e").keys, 999)
    assert not room.known(taken("e").keys, 1_000)
    room.clear()
    assert room.size_bytes == 0
