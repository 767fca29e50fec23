"""The rules of prompt caching, seen from outside: conversations that grow, at three providers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from bursar.model.usage import Usage
from bursar.simulator.server import Simulator
from simulator.asks import ANTHROPIC, CLAUDE_ON_BEDROCK, LONG, OPENAI, Case, ask, prices, read

TURNS = 4
SAID = "What a tool found out about the parcel, at some length. " * 12
MINUTE_S = 60


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def timed(hands: Hands) -> Any:
    with Simulator(seed=7, prices=prices(), clock=hands).running() as running:
        yield running


def openai_case(turns: int, model: str) -> Case:
    messages: list[dict[str, Any]] = [{"role": "system", "content": LONG}]
    for n in range(turns):
        messages += [
            {"role": "user", "content": f"{n} {SAID}"},
            {"role": "assistant", "content": f"answer {n}"},
        ]
    body = {"model": model, "messages": [*messages, {"role": "user", "content": "go on"}]}
    return Case("/v1/chat/completions", body, "openai_chat", OPENAI, model)


def anthropic_case(turns: int, life: str = "5m") -> Case:
    control = {"cache_control": {"type": "ephemeral", "ttl": life}}
    messages: list[dict[str, Any]] = []
    for n in range(turns):
        messages += [
            {"role": "user", "content": [{"type": "text", "text": f"{n} {SAID}"}]},
            {"role": "assistant", "content": f"answer {n}"},
        ]
    messages.append({"role": "user", "content": [{"type": "text", "text": "go on", **control}]})
    system = [{"type": "text", "text": LONG, **control}]
    model = "claude-sonnet-4-6"
    body = {"model": model, "max_tokens": 50, "system": system, "messages": messages}
    return Case("/v1/messages", body, "anthropic_messages", ANTHROPIC, model)


def bedrock_case(turns: int) -> Case:
    point = {"cachePoint": {"type": "default"}}
    messages: list[dict[str, Any]] = []
    for n in range(turns):
        messages += [
            {"role": "user", "content": [{"text": f"{n} {SAID}"}]},
            {"role": "assistant", "content": [{"text": f"answer {n}"}]},
        ]
    messages.append({"role": "user", "content": [{"text": "go on"}, point]})
    body = {"system": [{"text": LONG}, point], "messages": messages}
    path = f"/model/{CLAUDE_ON_BEDROCK}/converse"
    return Case(path, body, "bedrock_converse", {}, CLAUDE_ON_BEDROCK)


def usage_of(sim: Simulator, case: Case) -> Usage:
    usage = read(ask(sim, case), case).usage
    assert usage is not None
    assert usage == sim.invoice.lines[-1].usage
    return usage


def test_openai_reads_in_steps_and_writes_for_free(timed: Simulator) -> None:
    usages = [usage_of(timed, openai_case(n, "gpt-4o")) for n in range(TURNS)]
    assert usages[0].cache_read == 0
    for before, after in pairwise(usages):
        assert after.cache_read % 128 == 0
        assert before.prompt - 200 < after.cache_read <= before.prompt
        assert after.cache_write_5m == 0


def test_newer_openai_models_charge_for_writes(timed: Simulator) -> None:
    usages = [usage_of(timed, openai_case(n, "gpt-6-sol")) for n in range(TURNS)]
    assert usages[0].cache_write_5m == usages[0].prompt
    line = timed.invoice.lines[0]
    rates = prices().book.rates("openai", "gpt-6-sol")
    assert rates.cache_write_5m == (rates.input or 0) * 5 // 4
    assert line.cost_nano == prices().book.cost_nano("openai", "gpt-6-sol", usages[0])[0]


@pytest.mark.parametrize("case_of", [anthropic_case, bedrock_case])
def test_marks_are_read_and_the_rest_is_written(timed: Simulator, case_of: Any) -> None:
    usages = [usage_of(timed, case_of(n)) for n in range(TURNS)]
    assert usages[0].cache_read == 0
    assert usages[0].cache_write_5m == usages[0].prompt
    for usage in usages[1:]:
        assert usage.cache_read >= 2_000
        assert usage.cache_write_5m > 0
        assert usage.cache_read + usage.cache_write_5m == usage.prompt


@pytest.mark.parametrize(("life", "minutes"), [("5m", 5), ("1h", 60)])
def test_a_prefix_dies_when_nobody_reads_it(
    timed: Simulator, hands: Hands, life: str, minutes: int
) -> None:
    case = anthropic_case(2, life)
    written = usage_of(timed, case)
    hands.now_s += minutes * MINUTE_S - 1
    assert usage_of(timed, case).cache_read == written.prompt
    hands.now_s += minutes * MINUTE_S - 1
    assert usage_of(timed, case).cache_read == written.prompt
    hands.now_s += minutes * MINUTE_S
    assert usage_of(timed, case).cache_read == 0


def test_a_changed_beginning_reads_nothing(timed: Simulator) -> None:
    case = openai_case(2, "gpt-4o")
    usage_of(timed, case)
    case.body["messages"][0] = {"role": "system", "content": "x" + LONG}
    assert usage_of(timed, case).cache_read == 0


def test_accounts_and_models_have_caches_of_their_own(timed: Simulator) -> None:
    case = openai_case(2, "gpt-4o")
    usage_of(timed, case)
    other = case._replace(headers={"authorization": "Bearer sk-other"})
    assert usage_of(timed, other).cache_read == 0
    assert usage_of(timed, openai_case(2, "gpt-4o-mini")).cache_read == 0
    assert usage_of(timed, case).cache_read > 0


def test_explicit_mode_without_marks_caches_nothing(timed: Simulator) -> None:
    case = openai_case(2, "gpt-6-sol")
    case.body["prompt_cache_options"] = {"mode": "explicit"}
    for _ in range(2):
        usage = usage_of(timed, case)
        assert usage.input == usage.prompt


def test_a_long_prompt_is_billed_at_the_long_rate(timed: Simulator) -> None:
    body = {
        "model": "claude-haiku-5-5",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": LONG * 60}],
    }
    case = Case("/v1/messages", body, "anthropic_messages", ANTHROPIC, "claude-haiku-5-5")
    usage = usage_of(timed, case)
    rates = prices().book.rates("anthropic", "claude-haiku-5-5")
    (tier,) = rates.tiers
    assert usage.prompt > tier.above_tokens
    assert tier.input is not None
    assert tier.output is not None
    spent_pico = usage.input * tier.input + usage.output * tier.output
    assert timed.invoice.total_nano == round(spent_pico / 1_000)
