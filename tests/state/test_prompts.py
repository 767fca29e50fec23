"""What is known of a prompt from earlier counts: never less than it may be, and bounded itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from bursar.dialects.early import prompt_told
from bursar.dialects.lens import read_request, read_response
from bursar.model.errors import BursarError
from bursar.state import prompts
from bursar.state.prompts import Prompts
from bursar.state.sizes import Size, size_of
from tests.dialects.cassettes import exchanges
from tests.state.test_holds import ELSEWHERE, SHORTENED

KIND = ("openai", "gpt-4o-mini")
TEMPLATE_TOKENS = 7
"""What the provider of these tests puts around each message."""
HIDDEN_TOKENS = 120
"""What it puts before tools."""


def read(body: dict[str, Any], known: Prompts, kind: object = KIND) -> tuple[Size, Any, Size]:
    raw, blocks = json.dumps(body).encode(), read_request(body).blocks
    plain = size_of(raw, blocks, None)
    found, asked = known.bounded(kind, raw, plain, sum(block.tokens or 0 for block in blocks))
    return found, asked, plain


def counted(body: dict[str, Any], tokens_per_byte: float = 1.0) -> int:
    """As a tokenizer counts that makes so many tokens of a byte: 1 is the most that any can."""
    texts = [message["content"] for message in body["messages"]]
    texts += [json.dumps(tool) for tool in body.get("tools", ())]
    told = sum(int(len(text.encode()) * tokens_per_byte) for text in texts)
    told += TEMPLATE_TOKENS * len(body["messages"])
    return told + (HIDDEN_TOKENS if body.get("tools") else 0)


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=200)
roles = st.sampled_from(["system", "user", "assistant"])
message = st.fixed_dictionaries({"role": roles, "content": words})
tool = st.fixed_dictionaries(
    {"type": st.just("function"), "function": st.fixed_dictionaries({"name": words})}
)
prompt = st.lists(message, min_size=1, max_size=8)
shares = st.lists(st.floats(0.15, 1.0), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(st.lists(prompt, min_size=1, max_size=6), st.lists(tool, max_size=2), st.booleans(), shares)
@example(
    [[{"role": "user", "content": "a" * 3_000}], [{"role": "user", "content": "b"}]],
    [],
    True,
    [0.2],
)
def test_no_prompt_has_more_tokens_than_its_bound(
    parts: list[list[dict[str, str]]],
    tools: list[dict[str, Any]],
    goes_on: bool,
    dense: list[float],
) -> None:
    """Sessions whose steps send all of the earlier ones again, or only share their beginning.

    Each message has a density of its own, so that what is new may be much denser than what was.
    """
    known, history = Prompts(), []
    density: dict[str, float] = {}
    for turn, part in enumerate(parts):
        for one in part:
            density.setdefault(one["content"], dense[turn % len(dense)])
        history = [*history, *part] if goes_on else [*history[:1], *part]
        body: dict[str, Any] = {"model": "m", "messages": history}
        if tools:
            body["tools"] = tools
        true = TEMPLATE_TOKENS * len(history) + (HIDDEN_TOKENS if tools else 0)
        true += sum(
            round(len(one["content"].encode()) * density[one["content"]]) for one in history
        )
        true += sum(len(json.dumps(one).encode()) for one in tools)
        found, asked, plain = read(body, known)
        assert found.prompt_tokens <= plain.prompt_tokens
        assert true <= found.prompt_tokens
        if asked is not None:
            known.learn(asked, true)


def conversation(turns: int, size: int = 2_000) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "You answer questions about orders. " * 40},
        *(
            {"role": ("user", "assistant")[n % 2], "content": f"{n} and more words " * (size // 20)}
            for n in range(turns)
        ),
    ]


def test_a_step_of_a_session_holds_what_was_counted_and_its_new_bytes() -> None:
    known = Prompts()
    before = {"model": "m", "messages": conversation(9)}
    _, asked, plain = read(before, known)
    known.learn(asked, counted(before, 0.22))
    after = {"model": "m", "messages": conversation(11)}
    found, _, loose = read(after, known)
    true = counted(after, 0.22)
    assert plain.prompt_tokens > 4 * counted(before, 0.22)
    assert true <= found.prompt_tokens < 2 * true < loose.prompt_tokens


def test_calls_that_share_their_system_prompt_know_it_from_each_other() -> None:
    known = Prompts()
    head = {"role": "system", "content": "You answer questions about orders. " * 400}
    first = {"model": "m", "messages": [head, {"role": "user", "content": "where is it?"}]}
    second = {"model": "m", "messages": [head, {"role": "user", "content": "how much is that?"}]}
    _, asked, _ = read(first, known)
    known.learn(asked, counted(first, 0.22))
    found, _, plain = read(second, known)
    assert counted(second, 0.22) <= found.prompt_tokens < plain.prompt_tokens / 3


def test_another_model_other_tools_or_another_beginning_know_nothing() -> None:
    known = Prompts()
    body: dict[str, Any] = {"model": "m", "messages": conversation(9)}
    _, asked, _ = read(body, known)
    known.learn(asked, counted(body, 0.22))
    for kind, other in [
        (("openai", "gpt-5"), body),
        (KIND, {**body, "tools": [{"type": "function", "function": {"name": "f"}}]}),
        (KIND, {**body, "messages": conversation(9)[::-1]}),
    ]:
        found, _, plain = read(other, known, kind)
        assert found == plain


def test_what_a_provider_keeps_edits_or_draws_is_not_known() -> None:
    known = Prompts()
    body: dict[str, Any] = {"model": "m", "messages": conversation(9)}
    for more in ({"context_management": {"edits": []}}, {"previous_response_id": "resp_1"}):
        assert read({**body, **more}, known)[1] is None


def test_the_same_texts_in_other_fields_are_another_prompt() -> None:
    """Some fields are left out of a prompt by some providers, so their count says nothing of it."""
    known = Prompts()
    said = conversation(9)
    hidden = [
        {"role": one["role"], "reasoning_content": one["content"]} if n % 2 else one
        for n, one in enumerate(said)
    ]
    body: dict[str, Any] = {"model": "m", "messages": hidden}
    _, asked, _ = read(body, known)
    known.learn(asked, 4_000)
    found, _, plain = read({"model": "m", "messages": said}, known)
    assert found.prompt_tokens == plain.prompt_tokens


def test_what_stands_there_twice_is_not_known() -> None:
    known = Prompts()
    size = Size(prompt_tokens=10_000)
    twice = b'{"messages":["%b"],"messages":["a"]}' % (b"x" * 4_000)
    assert known.bounded(KIND, twice, size, 1) == (size, None)


def test_cache_marks_may_move_and_limits_may_change() -> None:
    known = Prompts()
    mark = {"type": "ephemeral", "ttl": "1h"}
    said = [
        {"role": one["role"], "content": [{"type": "text", "text": one["content"]}]}
        for one in conversation(9)
    ]
    marked = json.loads(json.dumps(said))
    marked[-1]["content"][0]["cache_control"] = mark
    _, asked, _ = read({"model": "m", "messages": marked, "max_tokens": 50}, known)
    known.learn(asked, 4_000)
    found, _, plain = read({"model": "m", "messages": [*said, said[1]], "max_tokens": 70}, known)
    assert found.prompt_tokens < 4_000 + len(json.dumps(said[1])) + 100 < plain.prompt_tokens


def test_a_count_above_its_bound_ends_all_that_is_known() -> None:
    known = Prompts()
    for turns, density in ((9, 0.2), (11, 0.5), (13, 0.5)):
        body = {"model": "m", "messages": conversation(turns)}
        found, asked, _ = read(body, known)
        known.learn(asked, counted(body, density))
    assert counted(body, 0.5) <= found.prompt_tokens


def test_an_absurd_count_is_not_believed() -> None:
    """Some say how much of a prompt was not in their cache, and mean all of it."""
    known = Prompts()
    body = {"model": "m", "messages": conversation(9)}
    for told in (0, 12):
        _, asked, plain = read(body, known)
        known.learn(asked, told)
        assert read(body, known)[0] == plain
    assert len(known) == 0


def test_only_so_much_is_remembered(monkeypatch: Any) -> None:
    monkeypatch.setattr(prompts, "MOST_KEPT", 10)
    known = Prompts()
    for n in range(50):
        body = {"model": "m", "messages": [{"role": "user", "content": f"{n} " * 300}]}
        _, asked, _ = read(body, known)
        known.learn(asked, counted(body, 0.5))
    assert len(known) == 10
    body = {"model": "m", "messages": [{"role": "user", "content": "49 " * 300}]}
    assert read(body, known)[0].prompt_tokens < len(json.dumps(body))


def test_no_recorded_prompt_exceeds_what_is_known_of_it(
    shared_data: Callable[[str], Path],
) -> None:
    """Real providers' counts: of 920 calls, 475 go on from another or share its beginning."""
    known, seen, tighter, over = Prompts(), 0, 0, []
    for folder in ("cassettes_openllmetry", "cassettes_otel_genai"):
        for one in exchanges(shared_data(folder)):
            try:
                blocks = read_request(json.loads(one.request)).blocks
                usage = read_response(one.body, None, headers=one.headers).usage
            except (BursarError, ValueError):
                continue
            if usage is None or not usage.prompt or ELSEWHERE in one.uri:
                continue
            if len(one.request) == 312 and any(name in one.place for name in SHORTENED):
                continue
            plain = size_of(one.request, blocks, None)
            estimate = sum(block.tokens or 0 for block in blocks)
            found, asked = known.bounded(one.uri, one.request, plain, estimate)
            seen, tighter = seen + 1, tighter + (found != plain)
            if usage.prompt > found.prompt_tokens:
                over.append((one.place, usage.prompt, found.prompt_tokens))
            if asked is not None:
                known.learn(asked, usage.prompt)
    assert seen > 900
    assert tighter > 400
    assert not over


# -- streams that tell early


def test_a_messages_stream_tells_its_prompt_at_once() -> None:
    usage = {"input_tokens": 7, "cache_read_input_tokens": 900, "output_tokens": 1}
    event = {"type": "message_start", "message": {"id": "m", "usage": usage}}
    raw = b"event: message_start\ndata: " + json.dumps(event).encode() + b"\n\n"
    assert prompt_told(raw) == 907
    assert [prompt_told(raw[:size]) for size in range(len(raw) - 2)] == [None] * (len(raw) - 2)
    assert prompt_told(b'data: {"type":"message_start","message":{"usage":null}}\n\n') is None
    assert prompt_told(b'data: {"choices":[]}\n\n') is None
