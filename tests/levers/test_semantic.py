"""The semantic cache answers only what it has proved, within its partition, and stops itself."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.levers.response_cache import Ask, Kept, ResponseCache, Room
from bursar.levers.response_cache_keys import Request
from bursar.levers.semantic import (
    LEAST_TO_STOP,
    MOST_COMPARED,
    Hit,
    Look,
    Proof,
    SemanticCache,
    SemanticRoom,
    decided,
    wilson,
)
from bursar.levers.semantic_answers import say_the_same
from bursar.model.call import Tags
from levers.near_pairs import pairs

ON = SemanticCache(on=True, proofs=0)
SAME = [pair for pair in pairs("tuned") if pair.same and "translate" not in pair.a + pair.b]
ANSWER = json.dumps(
    {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": {}}
).encode()


def ask_of(room: Room, text: str, tenant: str | None = "acme", **more: Any) -> Ask:
    body = {"temperature": 0, "messages": [{"role": "user", "content": text}], **more}
    request = Request(
        dialect="openai_chat",
        path=b"/v1/chat/completions",
        body=json.dumps(body).encode(),
        tenant=tenant,
    )
    found = room.ask(request, Tags(tenant=tenant))
    assert isinstance(found, Ask)
    return found


def look_of(semantic: SemanticRoom, ask: Ask) -> Look:
    found = semantic.look(ask)
    assert isinstance(found, Look)
    return found


# -- laws

tenants = st.none() | st.sampled_from(("", "acme", "ACME", "-", "b"))


@given(
    pair=st.sampled_from(SAME),
    tenant=tenants,
    other=tenants,
    more=st.sampled_from(({}, {"seed": 1}, {"model": "m"}, {"tools": []}, {"user": "u"})),
)
def test_only_the_same_tenant_and_request_hit(
    pair: Any, tenant: str | None, other: str | None, more: dict[str, Any]
) -> None:
    room, semantic = Room(ResponseCache()), SemanticRoom(ON)
    first = ask_of(room, pair.a, tenant)
    kept = room.put(first, 200, [(b"content-type", b"application/json")], ANSWER, 0)
    assert isinstance(kept, Kept)
    semantic.keep(look_of(semantic, first), first.key)
    hit = semantic.find(look_of(semantic, ask_of(room, pair.a, other, **more)))
    assert isinstance(hit, Hit) == (tenant == other and not more)
    if isinstance(hit, Hit):
        assert room.at(hit.key, first.wanted, 0) == kept


def test_no_tenant_hits_another_over_all_near_pairs() -> None:
    room, semantic = Room(ResponseCache()), SemanticRoom(ON)
    hits = 0
    for pair in SAME:
        ask = ask_of(room, pair.a, "one")
        semantic.keep(look_of(semantic, ask), ask.key)
    for pair in SAME:
        for text in (pair.a, pair.b):
            found = semantic.find(look_of(semantic, ask_of(room, text, "two")))
            assert isinstance(found, str)
            hits += isinstance(semantic.find(look_of(semantic, ask_of(room, text, "one"))), Hit)
    assert hits > 1.5 * len(SAME)


@given(turns=st.lists(st.booleans() | st.none(), max_size=300), proofs=st.integers(0, 40))
def test_it_answers_only_while_it_is_right(turns: list[bool | None], proofs: int) -> None:
    """Law: nothing is answered before the proofs, nor while the share is below the target."""
    wish = SemanticCache(on=True, proofs=proofs, precision=0.9, shadow_share=0.25)
    proof, known = Proof(wish), [one for one in turns if one is not None]
    for turn in turns:
        is_shadow = proof.draw()
        share = proof.interval.share
        if not is_shadow:
            assert proof.all >= proofs
            assert not proof.is_stopped
            assert share is None or proof.all < LEAST_TO_STOP or share >= wish.precision
        proof.compared(turn)
    assert proof.all <= len(known)


@given(right=st.integers(0, 3_000), wrong=st.integers(0, 3_000))
def test_the_interval_holds_its_share(right: int, wrong: int) -> None:
    share, low, high = wilson(right, right + wrong)
    assert 0.0 <= low <= high <= 1.0
    if share is not None:
        assert low - 1e-9 <= share <= high + 1e-9
        assert wilson(right * 2, (right + wrong) * 2).low >= low - 1e-9


def test_wilson_as_in_the_books() -> None:
    assert wilson(0, 0) == (None, 0.0, 1.0)
    share, low, high = wilson(95, 100)
    assert share == 0.95
    assert low == pytest.approx(0.8882, abs=1e-4)
    assert high == pytest.approx(0.9785, abs=1e-4)


# -- proving, sampling, stopping


def test_it_proves_itself_first() -> None:
    proof = Proof(SemanticCache(on=True, proofs=30))
    for _ in range(30):
        assert proof.draw()
        assert "proving itself" in proof.told()
        proof.compared(True)
    assert [proof.draw() for _ in range(40)].count(True) == 2
    assert proof.told().startswith("on: 30 compared, 100.0% right (95 %: 88.6% to 100.0%)")


def test_what_nobody_knows_proves_nothing() -> None:
    proof = Proof(SemanticCache(on=True, proofs=1))
    for _ in range(100):
        proof.compared(None)
    assert proof.draw()
    assert proof.unsure == 100


def test_it_stops_and_proves_itself_anew() -> None:
    proof = Proof(ON)
    assert not proof.draw()
    for same in (True, False, False):
        proof.compared(same)
    assert proof.is_stopped
    assert proof.told().startswith("stopped: fewer than 99.0% were right")
    compared = 0
    while proof.draw() and compared < 1_000:
        proof.compared(True)
        compared += 1
    assert 350 < compared < 400, "a lower end of 99 % takes so many"
    assert not proof.is_stopped


def test_one_wrong_answer_in_fifty_is_too_many() -> None:
    proof = Proof(SemanticCache(on=True, proofs=50))
    for turn in range(50):
        proof.compared(turn != 25)
    assert proof.is_stopped


def test_old_comparisons_fade() -> None:
    proof = Proof(ON)
    for _ in range(MOST_COMPARED * 3):
        proof.compared(True)
    assert proof.all <= MOST_COMPARED


def test_off_by_default() -> None:
    room, semantic = Room(ResponseCache()), SemanticRoom(SemanticCache())
    assert semantic.look(ask_of(room, "Is it open?")) == "off"


def test_what_a_decision_says() -> None:
    proof = Proof(ON)
    assert decided("no prompt with these words", proof).verdict == "pass"
    assert decided(Hit(b"k", is_shadow=True), proof).verdict == "pass"
    told = decided(Hit(b"k", is_shadow=False), proof)
    assert (told.verdict, told.why) == (
        "answered",
        "the same question in other words; on: 0 compared",
    )


def test_earlier_turns_count() -> None:
    """Only the last thing that a user says may be worded in another way."""
    room, semantic = Room(ResponseCache()), SemanticRoom(ON)
    begin = [
        {"role": "user", "content": "I live in Wales."},
        {"role": "assistant", "content": "Ok."},
    ]
    asked = {"role": "user", "content": "What tax do I pay?"}
    other = {"role": "user", "content": "Please, what tax do I pay?"}
    first = ask_of(room, "", messages=[*begin, asked])
    semantic.keep(look_of(semantic, first), first.key)
    same = ask_of(room, "", messages=[*begin, other])
    assert isinstance(semantic.find(look_of(semantic, same)), Hit)
    moved = [{"role": "user", "content": "I live in Kent."}, begin[1], other]
    assert isinstance(semantic.find(look_of(semantic, ask_of(room, "", messages=moved))), str)


def test_a_question_that_is_a_text_to_work_on() -> None:
    """Translate it, says the system prompt: then every wording has an answer of its own."""
    room, semantic = Room(ResponseCache()), SemanticRoom(ON)
    for text, is_hit in (("Be kind.", True), ("Translate into French.", False)):
        system = {"role": "system", "content": text}
        first, other = (
            ask_of(room, "", messages=[system, {"role": "user", "content": wording}])
            for wording in ("How do I pay?", "How can I pay?")
        )
        semantic.keep(look_of(semantic, first), first.key)
        assert isinstance(semantic.find(look_of(semantic, other)), Hit) == is_hit
    long = [{"role": "system", "content": "Be kind. " * 10_000}, {"role": "user", "content": "Hm?"}]
    assert isinstance(semantic.look(ask_of(room, "", messages=long)), str)


def test_prompts_are_bounded() -> None:
    room, semantic = Room(ResponseCache()), SemanticRoom(SemanticCache(on=True, most_prompts=10))
    for number in range(50):
        ask = ask_of(room, f"Is {number} a prime number?")
        semantic.keep(look_of(semantic, ask), ask.key)
    assert len(semantic) == 10
    semantic.clear()
    assert len(semantic) == 0


@pytest.mark.parametrize(
    "bad", [{"precision": 1.0}, {"precision": 0.1}, {"shadow_share": 0.0}, {"proofs": -1}, {"x": 1}]
)
def test_settings_that_cannot_be(bad: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(bad, SemanticCache)


# -- answers

LONG = "The museum opens at ten and closes at six, and students pay half of the regular price."
ANSWERS: list[tuple[str, str, bool | None]] = [
    ("Paris.", "Paris.", True),
    (LONG, LONG.replace("opens", "usually opens"), True),
    ("Yes, you may.", "No, you may not.", False),
    ("It costs 5 euros.", "It costs 7 euros.", False),
    ("It costs 1,000 euros.", "It costs 1000 euros.", True),
    ("", "", True),
    (LONG, "Bring flour, butter, sugar and fresh yeast.", False),
    (LONG, LONG + " Entry is not possible later.", None),
    ("Call the office.", "Call the office at 5.", None),
    ("42", "42.", True),
    ("42", "43", False),
]


@pytest.mark.parametrize(("one", "other", "same"), ANSWERS)
def test_two_answers(one: str, other: str, same: bool | None) -> None:
    assert say_the_same(one, other) is same
    assert say_the_same(other, one) is same
