"""Sessions, steps and retries of calls that name none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bursar.ledger.engines.duck import Duck
from bursar.ledger.journal.inferring import Inference
from bursar.ledger.recorder import Recorder
from bursar.model.block import Role
from bursar.model.call import Tags
from bursar.model.entry import Answer, Entry, ToolOutcome, ToolUse
from ledger.journal.writing import ANSWER, ATTEMPT, START, block, call
from trials import NOW, book

FAILED = replace(ATTEMPT, status=503, usage=None)


def entry(number: int, *texts: str, **more: Any) -> Entry:
    given = {"attempts": (ATTEMPT,), "answer": ANSWER} | {
        name: more.pop(name) for name in ("attempts", "answer", "tool_outcomes") if name in more
    }
    return Entry(call=call(number, *texts, **more), **given)


def tags_of(*entries: Entry, inference: Inference | None = None) -> list[Tags]:
    inference = Inference() if inference is None else inference
    return [inference.infer(one).call.tags for one in entries]


def sessions(*entries: Entry) -> list[str | None]:
    return [tags.session for tags in tags_of(*entries)]


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_interleaved_agents_each_keep_their_session(turns: list[int]) -> None:
    """Each agent sends its whole transcript again; whatever the order, none is mixed up."""
    grown: dict[int, list[str]] = {}
    inference = Inference()
    named: dict[int, set[str | None]] = {}
    for number, agent in enumerate(turns):
        texts = grown.setdefault(agent, ["system", f"task of {agent}"])
        tags = inference.infer(entry(number, *texts)).call.tags
        named.setdefault(agent, set()).add(tags.session)
        assert not tags.is_retry
        texts += [f"answer {agent} {len(texts)}", f"result {agent} {len(texts)}"]
    assert all(len(names) == 1 for names in named.values())
    assert len(set.union(*named.values())) == len(grown)


def test_tenants_and_users_never_share_a_session() -> None:
    one, other, third = (Tags(tenant="a"), Tags(tenant="b"), Tags(tenant="a", user="u"))
    found = sessions(
        entry(1, "s", "x", tags=one),
        entry(2, "s", "x", "y", tags=other),
        entry(3, "s", "x", "y", tags=third),
        entry(4, "s", "x", "y", tags=one),
    )
    assert found[3] == found[0]
    assert len(set(found)) == 3


def test_what_the_client_names_stays() -> None:
    tags = Tags(session="mine", step_index=7, is_retry=True, retry_cause="sdk")
    assert tags_of(entry(1, "x", tags=tags)) == [tags]
    found = tags_of(entry(1, "x"), entry(2, "x", "y", tags=Tags(tenant="acme", session="mine")))
    assert found[1].session == "mine"


def test_a_call_without_a_prompt_has_no_session() -> None:
    bare = Entry(call=replace(call(1), blocks=None), attempts=(ATTEMPT,))
    empty = Entry(call=replace(call(2), blocks=()), attempts=(ATTEMPT,))
    assert sessions(bare, empty, entry(3, "x")) == [None, None, "auto-3"]


def test_a_tool_result_leads_to_the_session_that_asked_for_it() -> None:
    """An agent that shortens its transcript still answers its own tool uses."""
    asked = Answer(tool_uses=(ToolUse(id="use-1", tool="look"),), stop="tool_use")
    told = (ToolOutcome(id="use-1", tool="look"),)
    first = entry(1, "system", "long task", answer=asked)
    short = entry(2, "system", "summary", "result", tool_outcomes=told)
    assert len(set(sessions(first, short))) == 1
    other = replace(short, call=call(2, "z", tags=Tags(tenant="b")))
    assert len(set(sessions(first, other))) == 2


def test_the_same_prompt_after_a_failure_is_a_retry_of_the_provider() -> None:
    for failed in ({"attempts": (FAILED,)}, {"answer": Answer(status="left")}):
        first, again = tags_of(entry(1, "x", **failed), entry(2, "x"))
        assert (again.session, again.is_retry, again.retry_cause) == (
            first.session,
            True,
            "provider",
        )


def test_the_same_prompt_after_success_is_another_task() -> None:
    first, again = tags_of(entry(1, "x"), entry(2, "x"))
    assert first.session != again.session
    assert not again.is_retry


def test_an_answer_complained_about_at_once_did_not_parse() -> None:
    def asked(number: int, *roles: Role, later_ms: int = 0, size_bytes: int = 99) -> Entry:
        blocks = (block("task"), *(block(f"{role}", role, size_bytes) for role in roles))
        at = START + timedelta(milliseconds=later_ms)
        asking = replace(call(number, schema_digest=5), blocks=blocks, at=at)
        return Entry(call=asking, attempts=(ATTEMPT,), answer=ANSWER)

    heard = (Role.ASSISTANT, Role.USER)
    soon = tags_of(asked(1), asked(2, *heard, later_ms=450))[1]
    assert (soon.is_retry, soon.retry_cause) == (True, "parse")
    later = tags_of(asked(1), asked(2, *heard, later_ms=60_000))[1]
    assert not later.is_retry
    longer = tags_of(asked(1), asked(2, *heard, later_ms=450, size_bytes=9_999))[1]
    assert not longer.is_retry
    same = tags_of(asked(1), asked(2, later_ms=450))[1]
    assert same.retry_cause == "parse"
    beside = tags_of(asked(1), asked(2, later_ms=100))
    assert not beside[1].is_retry, "the first answer had not come yet"


def test_a_step_after_a_tool_use_is_no_retry() -> None:
    asked = Answer(tool_uses=(ToolUse(id="u", tool="t"),))
    blocks = (block("prompt 1"), block("a", Role.ASSISTANT), block("r"))
    second = replace(call(1, schema_digest=1), blocks=blocks, at=START + timedelta(seconds=1.5))
    first = Entry(call=call(1, schema_digest=1), attempts=(ATTEMPT,), answer=asked)
    assert not tags_of(first, Entry(call=second, attempts=(ATTEMPT,)))[1].is_retry


def test_what_is_forgotten_is_counted() -> None:
    inference = Inference(most=10)
    tags_of(*(entry(n, f"task {n}") for n in range(25)), inference=inference)
    assert (len(inference), inference.forgotten) == (10, 15)
    assert inference.infer(entry(99, "task 24", "more")).call.tags.session == "auto-18"
    assert inference.infer(entry(98, "task 0", "more")).call.tags.session == "auto-62"


def test_after_a_restart_sessions_go_on_from_the_ledger() -> None:
    duck = Duck(None)
    recorder = Recorder(duck, book(), NOW)
    recorder.go_on("journal", "journal", NOW)
    first = Inference()
    for one in (entry(1, "s", "x"), entry(2, "s", "x", "a", "b"), entry(3, "s", "z")):
        recorder.take(first.infer(one))
    recorder.commit(lambda: None)
    again = Inference()
    again.learn(duck)
    assert again.infer(entry(4, "s", "x", "a", "b", "c")).call.tags.session == "auto-1"
    assert again.infer(entry(5, "s", "z", "c")).call.tags.session == "auto-3"
    assert again.infer(entry(6, "other")).call.tags.session == "auto-6"
