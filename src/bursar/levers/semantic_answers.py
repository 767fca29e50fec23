"""Whether two answers to the same question say the same: yes, no, or nobody knows.

No model is asked. Two answers contradict each other where one says yes and the other no, where each
has a number that the other has not, or where they ask for different tools. They agree where nothing
of that is so and most of the words of the shorter one stand in the longer one. Anything between
proves nothing, and a judge model may be asked instead.
"""

from __future__ import annotations

import re

from bursar.levers.likeness_words import NEGATIONS

MOST_LETTERS = 8_000
SHARED = 0.6
"""Share of the words of the shorter answer in the other, from which both say the same."""
APART = 0.15
"""Below this share they say something else."""
_WORD = re.compile(r"[^\W\d_]{4,}")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_YES = re.compile(r"\W*(yes|no|true|false)\b", re.IGNORECASE)
_STEM = 5
"""Letters of a word that count: cancel, cancelling."""


def say_the_same(one: str, other: str) -> bool | None:
    """Compare the texts of two answers; None: it cannot be told."""
    if one.strip() == other.strip():
        return True
    one, other = one[:MOST_LETTERS], other[:MOST_LETTERS]
    first, second = _YES.match(one), _YES.match(other)
    if first is not None and second is not None and first[1].lower() != second[1].lower():
        return False
    here, there = _numbers(one), _numbers(other)
    if here - there and there - here:
        return False
    a, b = _words(one), _words(other)
    if not a or not b:
        return None if a or b or here != there else True
    shared = len(a & b) / min(len(a), len(b))
    if shared < APART:
        return False
    denies = _denies(one) == _denies(other)
    return True if shared >= SHARED and denies and here == there else None


def _numbers(text: str) -> set[str]:
    return {found.replace(",", "") for found in _NUMBER.findall(text)}


def _words(text: str) -> set[str]:
    return {word[:_STEM].lower() for word in _WORD.findall(text)}


def _denies(text: str) -> bool:
    return any(word in NEGATIONS for word in text.lower().replace("n't", " not").split())
