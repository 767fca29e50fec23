"""Embeddings by text: the known ones are answered, only the unknown ones are asked for.

A request is taken apart into its inputs, each with a key of its own: everything that counts in the
request besides the inputs, and the one input. `left` is the request for what is not known (each
text once), `joined` puts the answer together in the order of the inputs, with the usage of what was
asked. Pure functions over bodies; vectors stay the bytes that they came in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from bursar.dialects.wire import as_list
from bursar.levers.response_cache_keys import Request, fields_of, key_of
from bursar.levers.response_cache_shelf import Shelf

NAME = "embedding_cache"
MS_PER_S = 1_000
MOST_ENTRIES = 1_000_000

_encode = msgspec.json.encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class EmbeddingCache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Vectors of texts that were embedded before, kept in memory by each worker."""

    ttl_s: int = 86_400
    """How long a vector is kept, in seconds."""
    most_bytes: int = 256 << 20
    """All vectors of this route that a worker keeps; the least recently used go first."""


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """A request for embeddings, taken apart."""

    body: bytes
    inputs: tuple[Any, ...]
    """Texts, or lists of tokens, in their order."""
    keys: tuple[bytes, ...]
    """One for each input; the same inputs have the same key."""


class Vector(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A kept embedding."""

    raw: bytes
    """JSON: a list of numbers, or a text in base64."""
    model: bytes
    """JSON: the name of the model that made it, as the answer said it."""


class _Item(msgspec.Struct):
    embedding: msgspec.Raw
    index: int


class _Answer(msgspec.Struct):
    data: list[_Item]
    model: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


_answer = msgspec.json.Decoder(_Answer).decode


def apart(request: Request) -> Apart | None:
    """The inputs and their keys; None where the request is not one that can be taken apart."""
    fields = fields_of(request)
    if fields is None:
        return None
    given = fields.pop("input", None)
    inputs = _inputs(given)
    if inputs is None:
        return None
    rest = key_of(request, fields)
    keys = tuple(sha256(rest + _encode(one)).digest() for one in inputs)
    return Apart(body=request.body, inputs=inputs, keys=keys)


def _inputs(given: object) -> tuple[Any, ...] | None:
    """A text, a list of tokens, or a list of one of them."""
    if isinstance(given, str):
        return (given,)
    items = as_list(given)
    if not items:
        return None
    if all(type(one) is int for one in items):
        return (items,)
    if all(isinstance(one, str) for one in items) or all(map(_is_tokens, items)):
        return tuple(items)
    return None


def _is_tokens(one: object) -> bool:
    tokens = as_list(one)
    return bool(tokens) and all(type(token) is int for token in tokens)


def left(whole: Apart, known: Mapping[bytes, Vector]) -> tuple[bytes | None, tuple[bytes, ...]]:
    """The request for what is not known, and the keys of its inputs in their order.

    None: all is known. The very same body: nothing is, and no text comes twice.
    """
    unknown: dict[bytes, Any] = {
        key: one for key, one in zip(whole.keys, whole.inputs, strict=True) if key not in known
    }
    if not unknown:
        return None, ()
    if len(unknown) == len(whole.inputs):
        return whole.body, whole.keys
    fields: dict[str, bytes | msgspec.Raw] = dict(_fields(whole.body))
    fields["input"] = _encode(list(unknown.values()))
    return _object(fields), tuple(unknown)


def vectors_of(answer: bytes, keys: Sequence[bytes]) -> dict[bytes, Vector] | None:
    """Key -> vector, from the answer to what `left` asked; None where it does not hold them all."""
    try:
        found = _answer(answer)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    by_index = {item.index: bytes(item.embedding) for item in found.data}
    whole = len(found.data) == len(keys) and by_index.keys() == set(range(len(keys)))
    if not whole or found.error or any(raw[:1] not in b'["' for raw in by_index.values()):
        return None
    model = bytes(found.model)
    return {key: Vector(raw=by_index[at], model=model) for at, key in enumerate(keys)}


def joined(whole: Apart, vectors: Mapping[bytes, Vector], answer: bytes | None) -> bytes:
    """The answer to the whole request. `vectors` has all of its keys; `answer` is what the provider
    said to the part that was asked, None where nothing was: then no token is counted."""
    said: dict[str, bytes | msgspec.Raw]
    if answer is None:
        said = {
            "object": b'"list"',
            "data": b"",
            "model": vectors[whole.keys[0]].model,
            "usage": b'{"prompt_tokens":0,"total_tokens":0}',
        }
    else:
        said = dict(_fields(answer))
    said["data"] = (
        b"["
        + b",".join(
            b'{"object":"embedding","index":%d,"embedding":%b}' % (at, vectors[key].raw)
            for at, key in enumerate(whole.keys)
        )
        + b"]"
    )
    return _object(said)


def are_alike(vectors: Mapping[bytes, Vector]) -> bool:
    """Whether one model made them all. Where not, the whole request is to be asked anew: vectors of
    two models cannot be compared."""
    return len({vector.model for vector in vectors.values()}) < 2


def _object(fields: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    pieces = [_encode(name) + b":" + bytes(raw) for name, raw in fields.items()]
    return b"{" + b",".join(pieces) + b"}"


class EmbeddingRoom:
    """The kept vectors of one route and worker."""

    __slots__ = ("_shelf",)

    def __init__(self, wish: EmbeddingCache, most_entries: int = MOST_ENTRIES) -> None:
        self._shelf: Shelf[Vector] = Shelf(
            most_bytes=wish.most_bytes, most_entries=most_entries, ttl_ms=wish.ttl_s * MS_PER_S
        )

    def __len__(self) -> int:
        return len(self._shelf)

    @property
    def size_bytes(self) -> int:
        return self._shelf.size_bytes

    def known(self, keys: Sequence[bytes], now_ms: int) -> dict[bytes, Vector]:
        """Those of the keys whose vectors are kept. All are of one model, that of the first."""
        found: dict[bytes, Vector] = {}
        for key in dict.fromkeys(keys):
            place = self._shelf.get(key, now_ms)
            if place is not None:
                found[key] = place.value
        models = [vector.model for vector in found.values()]
        return {key: one for key, one in found.items() if one.model == models[0]}

    def keep(self, vectors: Mapping[bytes, Vector], now_ms: int) -> None:
        for key, vector in vectors.items():
            self._shelf.put(key, vector, len(vector.raw) + len(vector.model), now_ms)

    def clear(self) -> int:
        return self._shelf.clear()
