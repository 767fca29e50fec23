"""Each flag: planted once, and absent from honest data."""

from __future__ import annotations

from typing import Any

import pytest

from bursar.advisor.flags import KINDS, find_flags
from bursar.ledger.engines.duck import Duck
from bursar.ledger.reports import Scope
from tests.advisor.conftest import Plant
from tests.advisor.planting import GPT, SONNET, Line, at, call, text, use

USAGE = {"input": 1_000, "output": 150}
"""$0.004 on gpt-4o."""


def priced(count: int, cost_usd: str | None, usage: Line | None = None, **more: Any) -> list[Line]:
    return [
        call(n, f"s{n}", usage or USAGE, cost_usd=cost_usd, id=f"{cost_usd}{n}", **more)
        for n in range(count)
    ]


# -- recorded costs


@pytest.mark.parametrize("cost_usd", ["0.004", "0.00403", "0.003999"])
def test_a_recorded_cost_within_rounding_is_honest(plant: Plant, cost_usd: str) -> None:
    assert plant(priced(5, cost_usd)).flags() == []


@pytest.mark.parametrize(
    ("cost_usd", "kind", "cause"),
    [
        ("0.008", "recorded_cost_high", "counted twice"),
        ("0.002", "recorded_cost_low", "batch or flex"),
        ("0.4", "recorded_cost_high", "cents"),
        ("0.0044", "recorded_cost_high", "regional"),
        ("0.0015", "recorded_cost_low", "only the answer"),
        ("0.0071", "recorded_cost_high", "another price list"),
    ],
)
def test_recorded_costs_come_with_their_likely_cause(
    plant: Plant, cost_usd: str, kind: str, cause: str
) -> None:
    found = plant(priced(3, cost_usd) + priced(2, "0.004")).flag(kind)
    assert found.where == "openai/gpt-4o"
    assert "3 of 5 attempts" in found.what
    assert cause in found.what


@pytest.mark.parametrize(
    ("cost_usd", "cause"),
    [
        ("0.0315", "at the full input rate"),  # 10,000 x $3 + 100 x $15
        ("0.03195", "as input and as cached"),  # that and 9,000 x $0.30 less 1,500 x ...
    ],
)
def test_cached_tokens_charged_wrongly_are_recognised(
    plant: Plant, cost_usd: str, cause: str
) -> None:
    usage = {"input": 1_000, "cache_read": 9_000, "output": 100}  # truly $0.0072
    if "as input and" in cause:
        cost_usd = "0.0342"  # $0.0072 and 9,000 x $3 once more
    found = plant(priced(3, cost_usd, usage, **SONNET)).flag("recorded_cost_high")
    assert cause in found.what


def test_reasoning_charged_twice_is_recognised(plant: Plant) -> None:
    usage = {"input": 1_000, "output": 100, "reasoning": 400}  # $0.00625 on gpt-5
    found = plant(priced(3, "0.01025", usage, model="gpt-5")).flag("recorded_cost_high")
    assert "reasoning tokens were charged twice" in found.what


def test_recorded_session_costs_are_compared_with_the_sum(plant: Plant) -> None:
    def session(cost_usd: str) -> list[Line]:
        turn = {"role": "assistant", "content": "yes", "usage": USAGE}
        messages = [{"role": "user", "content": text(700)}, turn, turn | {"content": "no"}]
        return [{**GPT, "session": "s", "at": at(0), "messages": messages, "cost_usd": cost_usd}]

    assert plant(session("0.008")).flags() == []
    found = plant(session("0.016")).flag("recorded_cost_high")
    assert "s, were recorded at $0.016 where their calls cost $0.008" in found.what


def test_estimated_costs_are_not_held_against_recorded_ones(plant: Plant) -> None:
    lines = priced(3, "0.5")
    for line in lines:
        del line["usage"]
    assert plant(lines).flags() == []


# -- zero cost


def test_zero_cost_success(plant: Plant) -> None:
    found = plant(priced(3, "0") + priced(5, "0.004")).flag("zero_cost_success")
    assert "3 answered attempts" in found.what
    assert "they cost $0.012" in found.what


def test_missing_cost_where_most_have_one(plant: Plant) -> None:
    found = plant(priced(2, None) + priced(5, "0.004")).flag("zero_cost_success")
    assert "2 with none" in found.what


def test_costs_that_nobody_records_are_not_missed(plant: Plant) -> None:
    assert plant(priced(5, None)).flags() == []


def test_a_failed_call_may_be_free(plant: Plant) -> None:
    failed = call(9, "s9", None, cost_usd="0", status=500)
    assert plant([failed, *priced(5, "0.004")]).flags() == []


# -- contradictions


def test_contradiction_of_an_error_with_an_answer(plant: Plant) -> None:
    found = plant(priced(2, None, status=500) + priced(2, "0.004")).flag("contradiction")
    assert found.what == "2 of 4 attempts have an error status and answer tokens"


def test_contradiction_of_a_prompt_with_its_text(plant: Plant) -> None:
    messages = [{"role": "user", "content": text(3_000)}, {"role": "assistant", "content": "ok"}]
    thin = call(0, "s", {"input": 300, "output": 5}, messages=messages)
    assert "cached tokens may have been left out" in plant([thin]).flag("contradiction").what
    fair = call(0, "s", {"input": 3_100, "output": 5}, messages=messages)
    assert plant([fair]).flags() == []


def answered(n: int, request_id: str, output: int) -> Line:
    response = {
        "id": request_id,
        "object": "chat.completion",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": output, "total_tokens": 100 + output},
    }
    line = call(n, f"s{n}", None, dialect="openai_chat", response=response)
    del line["messages"]
    return line


def test_contradiction_of_one_request_with_itself(plant: Plant) -> None:
    found = plant([answered(0, "chatcmpl-1", 10), answered(1, "chatcmpl-1", 90)])
    assert "such as the one at " in found.flag("contradiction").what
    assert "stand as 2 calls whose usage differs" in found.flag("contradiction").what


def test_duplicate_lines_of_one_request_under_two_ids(plant: Plant) -> None:
    found = plant([answered(0, "chatcmpl-1", 10), answered(1, "chatcmpl-1", 10)])
    assert "$0.00035 too much" in found.flag("duplicate_lines").what
    assert plant([answered(0, "chatcmpl-1", 10), answered(1, "chatcmpl-2", 10)]).flags() == []


def test_contradiction_of_one_step_with_itself(plant: Plant) -> None:
    lines = [call(3, "s", {"input": 100 + n, "output": 5}, id=f"twin{n}") for n in range(2)]
    assert "step 3" in plant(lines).flag("contradiction").what
    for line in lines:
        line["is_retry"] = line["id"] == "twin1"
    assert plant(lines).flags() == []


def test_contradiction_with_a_recorded_total(plant: Plant) -> None:
    ledger = plant(priced(1, None))
    assert ledger.flags() == []
    for said, told in ((1_004, False), (2_000, True)):
        ledger.duck.run(
            "UPDATE sessions SET recorded_usage = ?", [f'{{"input":{said},"output":150}}']
        )
        assert bool(ledger.flags()) is told
    assert "2,000 prompt tokens" in ledger.flag("contradiction").what


def test_a_session_cut_by_the_scope_is_not_compared(plant: Plant) -> None:
    ledger = plant([call(n, "s", USAGE) for n in range(4)])
    ledger.duck.run(
        "UPDATE sessions SET recorded_usage = ?, recorded_cost_nano = 16000000",
        ['{"input":4000,"output":600}'],
    )
    assert ledger.flags() == []
    assert find_flags(ledger.duck, Scope(where="a.step < ?", values=(2,))) == []


# -- answers, prices, times, counts


def test_truncated_answers_are_counted(plant: Plant) -> None:
    cut = [call(n, f"c{n}", USAGE, stop="length", route="faq") for n in range(2)]
    whole = [call(n, f"w{n}", USAGE, stop="stop", route="faq") for n in range(3)]
    found = plant(cut + whole).flag("truncated_answers")
    assert found.where == "faq"
    assert "2 of 5 answers" in found.what


def test_probes_of_a_few_tokens_are_no_truncation(plant: Plant) -> None:
    probe = call(0, "s", {"input": 100, "output": 1}, stop="length")
    assert plant([probe]).flags() == []


def test_unpriced_tells_reason_and_mend(plant: Plant) -> None:
    found = plant(priced(3, None, model="acme-9000")).flag("unpriced")
    assert found.where == "openai/acme-9000"
    assert "3 attempts of 3,450 tokens have no cost" in found.what
    assert "[[price]]" in found.what


def test_price_ambiguous_is_said_once(plant: Plant) -> None:
    usage = {"input": 1_000, "output": 150}
    model = {"provider": "aws", "model": "anthropic.claude-sonnet-4-6"}
    found = plant(priced(6, None, usage, **model)).flag("price_ambiguous")
    assert found.where == "aws/anthropic.claude-sonnet-4-6"
    assert found.what.endswith("and 5 more")


@pytest.mark.parametrize("moment", ["1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"])
def test_time_suspect(plant: Plant, moment: str) -> None:
    found = plant([call(0, "s", USAGE) | {"at": moment}]).flag("time_suspect")
    assert moment[:4] in found.what


def test_duplicate_lines(plant: Plant) -> None:
    line = call(0, "s", USAGE)
    assert ":2 repeats" in plant([line, line]).flag("duplicate_lines").what


@pytest.mark.parametrize(
    ("usage", "wrong"),
    [
        ({"input": 0, "output": 0}, "usage of zero"),
        ({"input": 0, "output": 9}, "zero prompt tokens"),
        ({"input": 200_000_000, "output": 9}, "more than 100,000,000"),
        ({"input": 500, "output": 0}, "zero answer tokens"),
    ],
)
def test_usage_suspect(plant: Plant, usage: Line, wrong: str) -> None:
    messages = [{"role": "user", "content": "pay"}, use("pay", "{}", "u1")]
    flags = plant([call(0, "s", usage, messages=messages)]).flags()
    assert [one.kind for one in flags] == ["usage_suspect"]
    assert wrong in flags[0].what


@pytest.mark.parametrize("tokens", [10**9, 10**12, 2**50])
def test_absurd_counts_are_told_and_break_nothing(plant: Plant, tokens: int) -> None:
    usages = [
        {"input": tokens, "output": 9},
        {"input": 9, "cache_read": tokens, "output": 9},
        {"input": 9, "output": 9, "reasoning": tokens},
        {"input": 9, "cache_write_5m": tokens, "output": tokens},
    ]
    for usage in usages:
        lines = [
            call(n, "s", usage, route="odd", cost_usd="9000000000", **SONNET) for n in range(9)
        ]
        ledger = plant(lines)
        assert "usage_suspect" in {one.kind for one in ledger.flags()}
        ledger.suspects()


def test_an_embedding_has_no_answer(plant: Plant) -> None:
    line = call(0, "s", {"input": 500, "output": 0}, model="text-embedding-3-small")
    line["messages"] = line["messages"][:1]
    assert plant([line]).flags() == []


# -- the whole


def test_flags_of_reading_are_merged_by_place() -> None:
    duck = Duck()
    for number, what in enumerate(["a; b", "c; c; c; and 4 more", "a; b"], 1):
        duck.append(
            "flags",
            {"kind": ["duplicate_lines"], "place": ["x"], "what": [what], "source": [number]},
        )
    (found,) = find_flags(duck)
    assert found.what == "a; b; c; and 7 more"


def test_flags_follow_the_scope() -> None:
    duck = Duck()
    duck.append("attempts", {"call_id": [1], "source": [1], "route": ["a"]})
    duck.append("flags", {"kind": ["time_suspect"], "place": ["x"], "what": ["y"], "source": [1]})
    told = [
        [one.kind for one in find_flags(duck, Scope(where="a.route = ?", values=(route,)))]
        for route in ("a", "b")
    ]
    assert told == [["unpriced", "time_suspect"], []]


def test_every_kind_is_planted_here() -> None:
    names = [name for name in globals() if name.startswith("test_")]
    told = {"recorded_cost_high": "recorded_costs", "recorded_cost_low": "recorded_costs"}
    assert not [kind for kind in KINDS if not any(told.get(kind, kind) in one for one in names)]
