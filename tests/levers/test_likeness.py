"""Likeness says yes to other wordings and to nothing else: near pairs, and laws about changes."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bursar.levers.likeness import MOST_IN_BAG, Likes, judge
from bursar.levers.likeness_reading import LONGEST, Sense, sense_of
from bursar.levers.likeness_words import ARTICLES, MEANINGS
from levers.near_pairs import SETS, is_hit, pairs, path_of, score

FROZEN = "9ef952af3d4079081d5ac3c9e815fa02b15677325dcc09107de3937388286e5d"
ALL = [pair for name in SETS for pair in pairs(name)]
KNOWN = [pair for name in ("tuned", "seen") for pair in pairs(name)]
PROMPTS = sorted({text for pair in KNOWN for text in (pair.a, pair.b)})
SILENT = frozenset(("please", "kindly", "so", "ok", "hi", "hello", "exactly", "do", "does"))
"""Words that may come and go at some place of a question."""
WORDS = sorted(
    {word for text in PROMPTS for word in re.findall(r"[a-z]{2,}", text)} - SILENT - ARTICLES
)
TELLING = ("not", "never", "only", "all", "some", "more", "less", "from", "to", "before", "after")
"""Words that change what is asked, wherever they are put."""


@pytest.mark.parametrize("name", SETS)
def test_near_pairs(name: str) -> None:
    found = score(pairs(name))
    print(name, found)
    assert found.precision >= 0.99
    assert found.recall >= 0.8


def test_all_near_pairs_together() -> None:
    found = score(ALL)
    print("all", found)
    assert found.precision >= 0.99


def test_what_is_held_out_is_frozen() -> None:
    assert sha256(path_of("held_out").read_bytes()).hexdigest() == FROZEN


def test_the_pairs_are_many_and_of_every_kind() -> None:
    assert len({(pair.a, pair.b) for pair in ALL}) == len(ALL) >= 500
    assert sum(pair.same for pair in ALL) >= 150
    assert len(pairs("held_out")) * 3 >= len(ALL)
    other = Counter(pair.why for pair in ALL if not pair.same)
    assert set(other) == {
        *("number", "name", "negation", "date", "unit", "language", "word order", "quantifier"),
        *("direction", "polarity", "question type", "letters", "context"),
    }
    assert min(other.values()) >= 25


# -- laws

prompts = st.sampled_from(PROMPTS) | st.text(max_size=80)


@given(a=prompts, b=prompts)
def test_likeness_goes_both_ways(a: str, b: str) -> None:
    one, other = sense_of(a), sense_of(b)
    assert judge(one, other).same == judge(other, one).same
    if one is not None:
        assert judge(one, one).same


def test_pairs_go_both_ways_and_into_one_bag() -> None:
    for pair in ALL:
        a, b = sense_of(pair.a), sense_of(pair.b)
        assert judge(a, b).same == judge(b, a).same, pair
        if a is not None and b is not None and judge(a, b).same:
            assert a.bag == b.bag, pair


@given(text=st.sampled_from(PROMPTS), at=st.integers(0, 30), word=st.sampled_from(WORDS))
def test_another_word_is_another_question(text: str, at: int, word: str) -> None:
    words = text.split()
    at %= len(words)
    old = re.sub(r"\W", "", words[at]).lower()
    assume(old not in ARTICLES | SILENT | {word} and len(old) > 1 and len(words) > 1)
    assume(MEANINGS.get(old, old) != MEANINGS.get(word, word))
    assume({old, word} not in ({"can", "should"}, {"how", "explain"}, {"sign", "log"}))
    words[at] = word
    changed = " ".join(words)
    assert not is_hit(text, changed), (text, changed)


@given(text=st.sampled_from(PROMPTS), at=st.integers(0, 30), word=st.sampled_from(TELLING))
def test_a_word_that_tells_is_another_question(text: str, at: int, word: str) -> None:
    words = text.split()
    at %= len(words)
    changed = " ".join((*words[:at], word, *words[at:]))
    assert not is_hit(text, changed), (text, changed)


@given(
    text=st.sampled_from([text for text in PROMPTS if re.search(r"\d", text)]),
    at=st.integers(0, 20),
    digit=st.sampled_from("0123456789"),
)
def test_another_digit_is_another_question(text: str, at: int, digit: str) -> None:
    places = [found.start() for found in re.finditer(r"\d", text)]
    place = places[at % len(places)]
    assume(text[place] != digit)
    changed = text[:place] + digit + text[place + 1 :]
    assume(float_of(text) != float_of(changed))
    assert not is_hit(text, changed), (text, changed)


def float_of(text: str) -> list[float]:
    """The numbers of a text: 07:30 and 7:30 are the same ones."""
    return [float(one) for one in re.findall(r"\d+", text)]


NAMES = ("Ana", "Boris", "Cyprus", "Denmark", "Emil", "Fiji", "Gita", "Hungary")


@given(
    frame=st.sampled_from(
        (
            "Does {} owe {} money?",
            "How far is it from {} to {}?",
            "Is {} older than {}?",
            "Who sent {} a letter for {}?",
            "What did {} think about {}?",
            "Tell me why {} left before {}.",
            "If {} calls, may I put {} through?",
        )
    ),
    one=st.sampled_from(NAMES),
    other=st.sampled_from(NAMES),
    lower=st.booleans(),
)
def test_names_do_not_change_places(frame: str, one: str, other: str, lower: bool) -> None:
    text, turned = frame.format(one, other), frame.format(other, one)
    turned = turned.lower() if lower else turned
    assert is_hit(text, turned) == (one == other)


@given(text=st.text(max_size=200))
@example(text="\ud800 is this ok?")
@example(text="what 's")
@example(text="how much does cost")
@example(text="a the an")
@example(text="'s's's is")
@example(text="$ 5 % - 3 the")
def test_any_text_can_be_read(text: str) -> None:
    found = sense_of(text)
    assert found is None or found.form


def test_long_prompts_are_like_no_other() -> None:
    text = "is it so? " * LONGEST
    assert sense_of(text) is None
    assert not judge(sense_of(text), sense_of(text)).same


WHY = [
    ("Wait 5 minutes.", "Wait 6 minutes.", "numbers, units, dates or times"),
    ("Wait 5 minutes.", "Wait 5 hours.", "numbers, units, dates or times"),
    ("Which keys are valid?", "Which keys are not valid?", "negations"),
    ("Do all birds fly?", "Do some birds fly?", "quantities"),
    ("How do I zoom in?", "How do I zoom out?", "directions"),
    ("Does Ann see Bob?", "Does Bob see Ann?", "the order of words"),
    ("Is Ann here?", "Is Bob here?", "names"),
    ("What is a bug?", "What is the bug?", "words"),
    ("How do I pay?", "When do I pay?", "what they ask for"),
    ("Is the shop open?", "Was the shop open?", "what they ask for"),
    ("Who is the US envoy here?", "Who is the us envoy here?", "names: capitals"),
    ("Is it?", "Ist es möglich?", "their languages, or one is about its own words"),
]


@pytest.mark.parametrize(("a", "b", "why"), WHY)
def test_why_two_prompts_differ(a: str, b: str, why: str) -> None:
    assert judge(sense_of(a), sense_of(b)).why == why


OTHERS = [
    ("Komme ich an den See?", "Komme ich den See?"),
    ("Vou a Lisboa do Porto, qual o trem?", "Vou Lisboa do Porto, qual o trem?"),
    ("Is de winkel open in Gent?", "Is een winkel open in Gent?"),
    ("Kan ik a kiezen?", "Kan ik kiezen?"),
    ("Je vais a Paris", "Je vais Paris"),
    ("Wo is an Haus", "Wo is Haus"),
    ("Die Katze an sich", "Die Katze sich"),
]


@pytest.mark.parametrize(("a", "b"), OTHERS)
def test_the_rules_of_english_are_for_english(a: str, b: str) -> None:
    assert not is_hit(a, b)
    assert is_hit(a, a.rstrip("?") + "!")


# -- the index


def read(text: str) -> Sense:
    found = sense_of(text)
    assert found is not None
    return found


@given(
    steps=st.lists(st.tuples(st.sampled_from(PROMPTS[::9]), st.sampled_from((b"a", b"b")))),
    most=st.integers(1, 5),
)
def test_the_index_finds_what_is_alike_in_its_partition_alone(
    steps: list[tuple[str, bytes]], most: int
) -> None:
    likes = Likes(most)
    kept: list[tuple[str, bytes]] = []
    for text, partition in steps:
        key, _ = likes.find(partition, read(text))
        if key is not None:
            where, said = key.split(b":", 1)
            assert where == partition
            assert is_hit(said.decode(), text)
            assert (said.decode(), partition) in kept
        likes.keep(partition, read(text), partition + b":" + text.encode())
        kept.append((text, partition))
        assert likes.find(partition, read(text))[0] is not None
        assert len(likes) <= most


def test_a_bag_is_bounded() -> None:
    likes = Likes(1_000)
    words = ["ann", "bob", "cat", "dog", "elk"]
    for turn in range(30):
        words = [*words[1:], words[0]] if turn % 5 else [*words[2:], *words[:2][::-1]]
        likes.keep(b"p", read(f"Does {' see '.join(words)}?"), b"%d" % turn)
    assert 1 < len(likes) <= MOST_IN_BAG
    likes.clear()
    assert len(likes) == 0
