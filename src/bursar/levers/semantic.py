"""Another wording of the same question is answered from what was kept, and proves that it may.

Only the last thing that a user says may differ, and only as `likeness` allows: everything else in
the request is part of the partition, byte by byte, as it is for the exact cache, tenant included.

Whether kept answers are right is measured, not believed. Before the first one is given, `proofs`
of them are compared with what the provider says to the new wording; from then on a share is asked
all the same. If too many differ, the cache stops answering, says so, and goes on comparing, which
costs nothing then, until it has proved itself anew.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from bursar.levers.likeness import Likes
from bursar.levers.likeness_reading import Sense, sense_of
from bursar.levers.ports import ANSWERED, PASS
from bursar.levers.response_cache import Ask
from bursar.levers.response_cache_keys import key_of, question_of
from bursar.model.entry import Decision

NAME = "semantic_cache"
Z = 1.959964
"""Of a 95 % interval."""
MOST_COMPARED = 2_000
"""Old comparisons fade: counts are halved when so many have gathered."""
LEAST_TO_STOP = 20
"""Comparisons before which no share counts as too low, but for two that differ in a row."""
IN_A_ROW = 2
LONGEST_BODY = 1 << 16
ABOUT_WORDS = tuple(
    word.encode()
    for word in """translat rewrit rephras paraphras proofread grammar spelling transcri verbatim
    sentiment classif rhyme wording politeness tone word-for-word""".split()
)
"""Where one of them stands anywhere in a conversation, its instructions may take the question as a
text to work on: then another wording has another answer."""


class SemanticCache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers of the same question in other words, kept in memory by each worker."""

    on: bool = False
    """True: use it. It works on top of the response cache, and on what that keeps."""
    precision: float = 0.99
    """The least share of right answers; below, it stops answering by itself."""
    proofs: int = 50
    """Hits that are asked all the same, and compared, before the first one is answered."""
    shadow_share: float = 0.05
    """Share of later hits that are asked all the same, and compared."""
    most_prompts: int = 50_000
    """Prompts that a worker remembers for this route; the oldest go first."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.precision < 1.0:
            raise ValueError("precision is a share from 0.5 to below 1, such as 0.99")
        if not 0.0 < self.shadow_share <= 1.0:
            raise ValueError("shadow_share is a share above 0, at most 1, such as 0.05")
        if self.proofs < 0 or self.most_prompts < 1:
            raise ValueError("proofs is 0 or more, most_prompts is 1 or more")


class Interval(NamedTuple):
    """A share and its 95 % interval (Wilson). Nothing counted: from 0 to 1."""

    share: float | None
    low: float
    high: float


def wilson(right: float, all_of_them: float) -> Interval:
    """The interval of a share, good for small numbers and for shares near 1."""
    if all_of_them <= 0:
        return Interval(None, 0.0, 1.0)
    share = right / all_of_them
    spread = Z * Z / all_of_them
    middle = share + spread / 2
    reach = Z * math.sqrt(share * (1 - share) / all_of_them + spread / (4 * all_of_them))
    low, high = (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)
    return Interval(share, max(0.0, low), min(1.0, high))


class Proof:
    """What comparisons have shown, and whether the cache may answer."""

    __slots__ = ("_in_a_row", "_lots", "all", "is_stopped", "right", "unsure", "wish")

    def __init__(self, wish: SemanticCache) -> None:
        self.wish = wish
        self.right = 0.0
        self.all = 0.0
        self.unsure = 0
        """Comparisons that could not be decided: they prove nothing, either way."""
        self.is_stopped = False
        self._in_a_row = 0
        self._lots = 0.0

    @property
    def interval(self) -> Interval:
        """The precision so far."""
        return wilson(self.right, self.all)

    @property
    def may_answer(self) -> bool:
        return not self.is_stopped and self.all >= self.wish.proofs

    def draw(self) -> bool:
        """Whether this hit is asked all the same. Every hit that may not be answered is."""
        if not self.may_answer:
            return True
        self._lots += self.wish.shadow_share
        if self._lots < 1.0:
            return False
        self._lots -= 1.0
        return True

    def compared(self, same: bool | None) -> None:
        """The kept answer and the new one say the same; None: nobody knows."""
        if same is None:
            self.unsure += 1
            return
        if self.all >= MOST_COMPARED:
            self.right, self.all = self.right / 2, self.all / 2
        self.right += same
        self.all += 1
        self._in_a_row = 0 if same else self._in_a_row + 1
        if self.is_stopped:
            if self.interval.low >= self.wish.precision:
                self.is_stopped = False
        elif self._is_too_low():
            self.is_stopped = True
            self.right, self.all = 0.0, 0.0

    def _is_too_low(self) -> bool:
        if self._in_a_row >= IN_A_ROW:
            return True
        return self.all >= LEAST_TO_STOP and self.right < self.wish.precision * self.all

    def told(self) -> str:
        """The state in words."""
        share, low, high = self.interval
        seen = f"{self.all:.0f} compared"
        if share is not None:
            seen += f", {share:.1%} right (95 %: {low:.1%} to {high:.1%})"
        if self.is_stopped:
            return f"stopped: fewer than {self.wish.precision:.1%} were right; since then {seen}"
        if self.all < self.wish.proofs:
            return f"proving itself: {seen} of {self.wish.proofs}"
        return f"on: {seen}"


class Look(NamedTuple):
    """A request as the semantic cache sees it."""

    partition: bytes
    """The key of everything but the question."""
    sense: Sense
    body: bytes
    """Of the whole request."""


class Hit(NamedTuple):
    """A kept answer to another wording."""

    key: bytes
    """Of the exact cache."""
    is_shadow: bool
    """Ask all the same, give the new answer, and compare the two."""


class SemanticRoom:
    """The prompts of one route and worker."""

    __slots__ = ("_likes", "proof", "wish")

    def __init__(self, wish: SemanticCache) -> None:
        self.wish = wish
        self.proof = Proof(wish)
        self._likes = Likes(wish.most_prompts)

    def __len__(self) -> int:
        return len(self._likes)

    def look(self, ask: Ask) -> Look | str:
        """The partition and the sense of a request; or why it can be like no other."""
        if not self.wish.on:
            return "off"
        found = question_of(ask.fields)
        if found is None:
            return "the request does not end with one text of a user"
        text, rest, hole = found
        if len(ask.request.body) > LONGEST_BODY:
            return "the conversation is too long to be compared"
        sense = sense_of(text)
        if sense is None:
            return "the question is too long to be compared"
        return Look(key_of(ask.request, rest, hole), sense, ask.request.body)

    def find(self, look: Look) -> Hit | str:
        """The exact key of an answer to the same question; or why there is none."""
        key, why = self._likes.find(look.partition, look.sense)
        if key is None:
            return why
        if _is_about_words(look.body):
            return "the conversation may be about the words of a text"
        return Hit(key, self.proof.draw())

    def keep(self, look: Look, key: bytes) -> None:
        """An answer to this question is kept under the exact key."""
        self._likes.keep(look.partition, look.sense, key)

    def clear(self) -> None:
        self._likes.clear()


def _is_about_words(body: bytes) -> bool:
    """Whether the wording of a question may be what is asked about."""
    return any(map(body.lower().__contains__, ABOUT_WORDS))


def decided(hit: Hit | str, proof: Proof) -> Decision:
    """The decision of a look-up."""
    if isinstance(hit, str):
        return Decision(lever=NAME, verdict=PASS, why=hit)
    if hit.is_shadow:
        return Decision(lever=NAME, verdict=PASS, why=f"asked all the same; {proof.told()}")
    why = f"the same question in other words; {proof.told()}"
    return Decision(lever=NAME, verdict=ANSWERED, why=why)
