"""Scripts: a function or a file says what is answered, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from bursar.dialects.lens import read_request
from bursar.model.errors import BadInput
from bursar.simulator.asking import Asked
from bursar.simulator.saying import Said, Use, scripted
from bursar.simulator.script_file import read_script
from bursar.simulator.server import Simulator
from simulator.asks import CASES, ask, chat, converse, message, prices, read, responses

AGENT = """
[terms]
latency_ms = 1

[[answer]]
contains = "parcel"
turn = 0
tools = [{ name = "find_order", arguments = { order = 7 } }]
output_tokens = 40

[[answer]]
contains = "parcel"
turn = 1
text = "It is late."
thinking = "The parcel is late."
reasoning_tokens = 11

[[answer]]
model = "claude-*"
text = "I may not say that."
stop = "refusal"

[[fault]]
kind = "rate_limit"
contains = "hurry"
first = 1
retry_after_s = 0
"""


def agent(tmp_path: Path) -> Simulator:
    file = tmp_path / "agent.toml"
    file.write_text(AGENT)
    told = read_script(file)
    return Simulator(
        script=scripted(told.answer), faults=told.fault, terms=told.terms, prices=prices()
    )


def test_a_file_scripts_an_agent(tmp_path: Path) -> None:
    with agent(tmp_path).running() as sim:
        opened = chat()
        first = read(ask(sim, opened), opened)
        assert [use.tool for use in first.tool_uses] == ["find_order"]
        assert first.usage is not None
        assert first.usage.output == 40
        messages = [
            *opened.body["messages"],
            {"role": "assistant", "content": "Let me look."},
            {"role": "user", "content": "Well?"},
        ]
        later = chat()._replace(body={**opened.body, "messages": messages})
        got = ask(sim, later)
        assert got.json()["choices"][0]["message"]["content"] == "It is late."
        assert got.json()["usage"]["completion_tokens_details"]["reasoning_tokens"] == 11
        other = message("Tell me a secret")
        assert read(ask(sim, other), other).stop == "refusal"
        hurry = chat("hurry up")
        assert [ask(sim, hurry).status for _ in range(2)] == [429, 200]


def test_a_function_scripts_every_wire_alike() -> None:
    def script(asked: Asked) -> Said | None:
        return Said(text="Hello.", thinking="Hm.", output_tokens=9, reasoning_tokens=4)

    with Simulator(script=script, prices=prices()).running() as sim:
        for case in (chat(), responses(), message(), converse(), CASES["messages-stream"]):
            reading = read(ask(sim, case), case)
            assert reading.usage is not None
            assert reading.usage.answer == 13
            assert reading.answer_blocks


def test_max_tokens_cuts_what_a_script_says() -> None:
    said = Said(text="word " * 100, tools=(Use(name="f"),), thinking="hm " * 10)
    with Simulator(script=lambda _: said, prices=prices()).running() as sim:
        case = message(max_tokens=30)
        reading = read(ask(sim, case), case)
        assert reading.usage is not None
        assert reading.usage.answer == 30
        assert (reading.stop, reading.tool_uses) == ("max_tokens", ())


def test_turns_are_counted_by_what_the_model_said() -> None:
    def turn(*roles: str) -> int:
        body = {"messages": [{"role": role, "content": "x"} for role in roles]}
        prompt = read_request(body)
        return Asked(model="m", body=body, prompt=prompt, digest=1).turn

    assert turn("user") == 0
    assert turn("system", "user", "assistant", "user") == 1
    assert turn("user", "assistant", "assistant", "user", "assistant") == 2


@pytest.mark.parametrize(
    "text",
    [
        "[[answer]",
        "[[answer]]\nodd = 1",
        '[[fault]]\nkind = "nonsense"',
        "[[fault]]\nprobability = 3",
        "[terms]\nlatency_ms = 'x'",
        "[other]\n",
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"bad\.toml") as refused:
        read_script(file)
    assert refused.value.mend


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_script(tmp_path / "none.toml")
