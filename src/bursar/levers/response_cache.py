"""The same request again is answered from what was kept: no provider is asked, nothing is paid.

What counts as the same is said in `response_cache_keys`; which answers are good enough to be kept,
in `response_cache_worth`. This room joins the two with a bounded shelf, and words what it did as a
Decision. A hit says the usage of the answer that it repeats, at a cost of 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from bursar.levers.ports import ANSWERED, PASS
from bursar.levers.ranges import at_least
from bursar.levers.response_cache_keys import Request, Wanted, fields_of, key_of, wanted, why_never
from bursar.levers.response_cache_shelf import Shelf
from bursar.levers.response_cache_worth import judged
from bursar.model.call import Tags
from bursar.model.entry import Decision
from bursar.model.usage import Usage

NAME = "response_cache"
HIT = (b"x-bursar-cache", b"hit")
"""Stands among the headers of an answer that was kept."""
KEPT_HEADERS = frozenset(
    (
        *(b"content-type", b"openai-model", b"openai-version", b"x-amzn-bedrock-content-type"),
        *(b"x-amzn-bedrock-input-token-count", b"x-amzn-bedrock-output-token-count"),
        *(b"x-amzn-bedrock-cache-read-input-token-count",),
        *(b"x-amzn-bedrock-cache-write-input-token-count",),
    )
)
"""Others are of the one exchange: its id, its date, its rate limits."""
MS_PER_S = 1_000
MOST_ENTRIES = 100_000

Headers = tuple[tuple[bytes, bytes], ...]


class ResponseCache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers of the same request, kept in memory by each worker."""

    ttl_s: int = 3_600
    """How long an answer is kept, in seconds."""
    most_bytes: int = 64 << 20
    """All answers of this route that a worker keeps; the least recently used go first."""
    version_tag: str | None = None
    """The tag whose value is the version of your knowledge base: a new value, and no old answer is
    given any more. Default: there is none."""
    temperature: Literal["zero", "any"] = "zero"
    """`zero`: only calls that ask for temperature 0. `any`: all; the same call then gets the same
    answer where it would otherwise get a new one."""
    streams: bool = True
    """False: calls that stream are neither kept nor answered."""
    cut_answers: bool = False
    """True: answers that end because of `max_tokens` are kept as well."""
    purge_tags: tuple[str, ...] = ("tenant", "route")
    """Tags by whose values answers can be thrown out."""

    def __post_init__(self) -> None:
        at_least(self, ttl_s=1, most_bytes=0)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that can be given again."""

    status: int
    headers: Headers
    body: bytes
    """A whole answer, or all bytes of a stream."""
    stream: bool
    usage: Usage | None
    """As the provider counted it, when it was asked."""
    model: str | None = None
    """The model that answered."""
    since_ms: int = 0


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request, as far as the cache cares."""

    request: Request
    fields: dict[str, Any]
    key: bytes
    wanted: Wanted
    labels: tuple[str, ...] = ()


class Room:
    """The kept answers of one route and worker."""

    __slots__ = ("_shelf", "wish")

    def __init__(self, wish: ResponseCache, most_entries: int = MOST_ENTRIES) -> None:
        self.wish = wish
        self._shelf: Shelf[Kept] = Shelf(
            most_bytes=wish.most_bytes, most_entries=most_entries, ttl_ms=wish.ttl_s * MS_PER_S
        )

    def __len__(self) -> int:
        return len(self._shelf)

    @property
    def size_bytes(self) -> int:
        return self._shelf.size_bytes

    def ask(self, request: Request, tags: Tags) -> Ask | str:
        """What the cache needs to know of a request; or why it has nothing to do with it.

        The version of the knowledge base is taken from `tags`.
        """
        says = wanted(request.headers)
        if not says.store:
            return "the client says no-store"
        if request.stream and not self.wish.streams:
            return "streams are not cached on this route"
        fields = fields_of(request)
        if fields is None:
            return "the body is no plain JSON object"
        why = why_never(request, fields, at_zero=self.wish.temperature == "zero")
        if why is not None:
            return why
        if self.wish.version_tag is not None:
            version = tag_of(tags, self.wish.version_tag)
            if version is None:
                return f"the call has no tag {self.wish.version_tag}, the knowledge base's version"
            request = msgspec.structs.replace(request, version=version)
        return Ask(
            request=request,
            fields=fields,
            key=key_of(request, fields),
            wanted=says,
            labels=tuple(
                label_of(tag, value)
                for tag in self.wish.purge_tags
                if (value := tag_of(tags, tag)) is not None
            ),
        )

    def get(self, ask: Ask, now_ms: int) -> Kept | None:
        """The kept answer, or None: then the provider is asked."""
        return self.at(ask.key, ask.wanted, now_ms) if ask.wanted.read else None

    def at(self, key: bytes, says: Wanted, now_ms: int) -> Kept | None:
        """The answer under a key that somebody else found."""
        most_age = says.most_age_s
        place = self._shelf.get(key, now_ms, None if most_age is None else most_age * MS_PER_S)
        return None if place is None else place.value

    def put(
        self,
        ask: Ask,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        now_ms: int,
    ) -> Kept | str:
        """Keep a complete answer, as its client got it; or why it is not kept."""
        request = ask.request
        if not ask.wanted.store:
            return "the client says no-store"
        found = judged(
            body, request.dialect, status, headers, stream=request.stream, cut=self.wish.cut_answers
        )
        if found.why_not is not None:
            return found.why_not
        kept = Kept(
            status=status,
            headers=tuple(one for one in headers if one[0] in KEPT_HEADERS),
            body=body,
            stream=request.stream,
            usage=found.usage,
            model=found.model,
            since_ms=now_ms,
        )
        size_bytes = len(body) + sum(len(name) + len(value) for name, value in kept.headers)
        if not self._shelf.put(ask.key, kept, size_bytes, now_ms, ask.labels):
            return "the answer is too large for the cache"
        return kept

    def purge(self, tag: str, value: str) -> int:
        """Throw out what was kept for calls with this value of a tag; how many answers that were.
        The tag is one of `purge_tags`."""
        return self._shelf.purge(label_of(tag, value))

    def clear(self) -> int:
        """Throw out everything; how many answers that were."""
        return self._shelf.clear()


def tag_of(tags: Tags, name: str) -> str | None:
    """The value of a tag, as text; None where the call has none."""
    value = getattr(tags, name, None) if name in Tags.__struct_fields__ else tags.other.get(name)
    return None if value is None or isinstance(value, dict) else str(value)


def label_of(tag: str, value: str) -> str:
    return f"{tag}={value}"


def answered(kept: Kept, now_ms: int) -> Decision:
    """The decision of a hit."""
    age_s = max(0, now_ms - kept.since_ms) // MS_PER_S
    return Decision(lever=NAME, verdict=ANSWERED, why=f"the same call was answered {age_s} s ago")


def passed(why: str) -> Decision:
    """The decision of a miss, or of a call that the cache has nothing to do with."""
    return Decision(lever=NAME, verdict=PASS, why=why)
