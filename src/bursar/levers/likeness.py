"""Whether two prompts ask the same: no model, no network, and a no wherever there is a doubt.

Two prompts are alike when their forms (`likeness_reading`) are: the same numbers with their units,
the same dates and times, names and ids, negations, quantities, directions and words, in the same
order, asked in the same way and language. What is left aside is only what `likeness_words` and
`likeness_phrases` list. So precision does not rest on a threshold; recall ends where the lists do.

Candidates are the prompts of the same partition with the same bag of words: one look-up.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from bursar.levers.likeness_figures import is_figure
from bursar.levers.likeness_reading import Sense
from bursar.levers.likeness_words import DIRECTIONS, NEGATIONS, QUANTIFIERS, SEVERAL_MEANINGS

CAPITALS = frozenset(("title", "upper", "mixed"))
MOST_IN_BAG = 8
"""Different prompts with the same words that are looked at; the oldest is forgotten."""


class Verdict(NamedTuple):
    """Whether two prompts ask the same, and what tells them apart."""

    same: bool
    why: str


SAME = Verdict(same=True, why="the same question in other words")
LONG = Verdict(same=False, why="a prompt is too long to be compared")

_KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("numbers, units, dates or times", is_figure),
    ("negations", NEGATIONS.__contains__),
    ("quantities", QUANTIFIERS.__contains__),
    ("directions", DIRECTIONS.__contains__),
)


def judge(a: Sense | None, b: Sense | None) -> Verdict:
    """Compare two senses."""
    if a is None or b is None:
        return LONG
    if a.mode != b.mode:
        return Verdict(same=False, why="their languages, or one is about its own words")
    if a.kind != b.kind:
        return Verdict(same=False, why="what they ask for")
    if a.form != b.form and not _but_for_an_s(a, b):
        return Verdict(same=False, why=_difference(a, b))
    if a.auxiliaries != b.auxiliaries:
        return Verdict(same=False, why="time or manner: can, should, is, was")
    if _conflict(dict(a.articles), dict(b.articles)):
        return Verdict(same=False, why="a and the")
    if not _written_alike(a, b):
        return Verdict(same=False, why="names: capitals")
    return SAME


def _difference(a: Sense, b: Sense) -> str:
    """The first kind of word in which two forms differ."""
    only = (Counter(a.form) - Counter(b.form)) + (Counter(b.form) - Counter(a.form))
    if not only:
        return "the order of words"
    for kind, holds in _KINDS:
        if any(map(holds, only)):
            return kind
    cased = {word for word, shape in (*a.shapes, *b.shapes) if shape in CAPITALS}
    named = any(word in cased or not word.isalpha() for word in only)
    return "names" if named else "words"


def _but_for_an_s(a: Sense, b: Sense) -> bool:
    """When does it open, when it opens: the one s that `does` has taken over."""
    if a.drops_does == b.drops_does or len(a.form) != len(b.form):
        return False
    short, long = (a, b) if a.drops_does else (b, a)
    apart = [(x, y) for x, y in zip(short.form, long.form, strict=True) if x != y]
    return len(apart) == 1 and apart[0][1] in (apart[0][0] + "s", apart[0][0] + "es")


def _conflict(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether the same word has `a` here and `the` there."""
    return any(other.get(word, article) != article for word, article in one.items())


def _written_alike(a: Sense, b: Sense) -> bool:
    """Whether no word is a name in one and perhaps none in the other. Where one of them has no
    capitals, or nothing else, they can be missing: then only words that have another meaning in
    capitals are in doubt."""
    if a.shapes == b.shapes:
        return True
    here, there = _shapes(a), _shapes(b)
    apart = {word for word, shapes in here.items() if there.get(word, shapes) != shapes} - {"i"}
    if not apart:
        return True
    doubtful = any(word in SEVERAL_MEANINGS or len(word) == 1 for word in apart)
    return not doubtful and (a.is_uniform or b.is_uniform)


def _shapes(sense: Sense) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for word, shape in sense.shapes:
        found.setdefault(word, set()).add(shape)
    return found


class Likes:
    """Prompts by partition and bag of words, with what belongs to each. Bounded, the oldest go."""

    __slots__ = ("_bags", "_count", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._bags: OrderedDict[tuple[bytes, int], list[tuple[Sense, bytes]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, partition: bytes, sense: Sense) -> tuple[bytes | None, str]:
        """What belongs to a prompt that asks the same, and why; or None, and why not."""
        bag = self._bags.get((partition, sense.bag))
        if bag is None:
            return None, "no prompt with these words"
        why = ""
        for known, belonging in reversed(bag):
            same, why = judge(known, sense)
            if same:
                return belonging, why
        return None, f"the likest differs: {why}"

    def keep(self, partition: bytes, sense: Sense, belonging: bytes) -> None:
        """Remember a prompt; of two that ask the same, the newer counts."""
        place = (partition, sense.bag)
        bag = self._bags.setdefault(place, [])
        kept = [one for one in bag if not judge(one[0], sense).same][1 - MOST_IN_BAG :]
        self._count += len(kept) + 1 - len(bag)
        self._bags[place] = [*kept, (sense, belonging)]
        self._bags.move_to_end(place)
        while self._count > self.most:
            _, gone = self._bags.popitem(last=False)
            self._count -= len(gone)

    def clear(self) -> None:
        self._bags.clear()
        self._count = 0
