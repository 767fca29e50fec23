"""What the simulated model says: by a script, or made up under the seed from the request's digest.

The same request gets the same answer, whoever brings it. A script is a function from `Asked` to
`Said`, or the `[[answer]]` tables of a TOML file; where it has no answer, the seed makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import Any

import msgspec

from bursar.dialects.tokens import estimate_tokens
from bursar.simulator.asking import Asked, answer_schema, choice_of, thinks, tools_of
from bursar.simulator.schemas import made_value, resolved

WORDS = tuple(
    "order parcel refund address invoice customer warehouse carrier delay label stock price item"
    " account email policy window exchange receipt status pending shipped returned partial note"
    " request agent review region currency total discount payment card transfer limit check the"
    " is was will be has been sent to from your our with before after today tomorrow please".split()
)
TEXT = " ".join(Random(20261122).choices(WORDS, k=40_000))
"""One long made-up text; every answer is a part of it."""
SHORTEST_CHARS, LONGEST_CHARS = 60, 700
TOOL_SHARE = 0.4
"""How often a model that may use a tool does."""
MOST_WISHED_TOKENS = 64_000
"""No answer is made longer."""


class Use(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool that the answer asks for."""

    name: str
    arguments: dict[str, Any] = {}


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer."""

    text: str = ""
    thinking: str = ""
    tools: tuple[Use, ...] = ()
    stop: str | None = None
    """`end`, `max_tokens`, `tool_use`, `refusal` or `filter`. None: by what the answer holds."""
    output_tokens: int | None = None
    """Without thinking. None: estimated."""
    reasoning_tokens: int | None = None


class Answer(Said, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[answer]]` of a script: what is said, and to which requests. All that is given fits."""

    model: str = "*"
    """Glob over the model's id."""
    contains: str = ""
    """Text in the request's body."""
    turn: int | None = None
    """How many times the model spoke before."""
    first: int | None = None
    """Only the first so many times that the very same request comes."""


Script = Callable[[Asked], Said | None]


def scripted(answers: Sequence[Answer]) -> Script:
    """The script of `[[answer]]` tables: the first that fits."""

    def script(asked: Asked) -> Said | None:
        return next((one for one in answers if _fits(one, asked)), None)

    return script


def _fits(answer: Answer, asked: Asked) -> bool:
    return (
        fnmatchcase(asked.model, answer.model)
        and answer.contains.encode() in asked.raw
        and (answer.turn is None or answer.turn == asked.turn)
        and (answer.first is None or asked.n < answer.first)
    )


def made_up(asked: Asked) -> Said:
    """An answer from the request's digest alone."""
    rng = Random(asked.digest)
    thinking = ""
    if thinks(asked.body):
        thinking = _part(rng)
    tools = tools_of(asked.body) if asked.body.keys() & {"tools", "toolConfig"} else []
    if tools:
        must, name = choice_of(asked.body)
        if must or (must is None and rng.random() < TOOL_SHARE):
            tool = next((one for one in tools if one.name == name), None) or rng.choice(tools)
            arguments = made_value({"type": "object", **resolved(tool.schema)}, rng, WORDS)
            text = "" if must or rng.random() < 0.5 else _part(rng)[:80]
            use = Use(name=tool.name, arguments=arguments)
            return Said(text=text, thinking=thinking, tools=(use,))
    schema = answer_schema(asked.body)
    if schema is not None:
        value = made_value({"type": "object", **resolved(schema)}, rng, WORDS)
        return Said(text=msgspec.json.encode(value).decode(), thinking=thinking)
    return Said(text=_part(rng), thinking=thinking)


def _part(rng: Random) -> str:
    size = rng.randrange(SHORTEST_CHARS, LONGEST_CHARS)
    start = rng.randrange(len(TEXT) - size)
    return TEXT[start : start + size].strip()


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """An answer within the request's bounds, counted."""

    said: Said
    stop: str
    output_tokens: int
    reasoning_tokens: int


def counted(said: Said, family: str, asked: Asked, wished_tokens: int | None = None) -> Counted:
    """Counts the answer and cuts it at `max_tokens`; `wished_tokens` wins over its own count.

    A text that is shorter than was wished is said again until it is as long.
    """
    if wished_tokens is not None and not said.tools:
        said = _lengthened(said, family, wished_tokens)
    spoken = said.text
    for use in said.tools:
        spoken += f"\n{use.name} {msgspec.json.encode(use.arguments).decode()}"
    output = _given(wished_tokens, said.output_tokens)
    if output is None:
        output = estimate_tokens(spoken, family)
    thought = said.reasoning_tokens
    if thought is None:
        thought = estimate_tokens(said.thinking, family)
    stop = said.stop or ("tool_use" if said.tools else "end")
    most = asked.prompt.limits.max_tokens
    if most is None or output + thought <= most:
        return Counted(said=said, stop=stop, output_tokens=output, reasoning_tokens=thought)
    thinking, kept = min(thought, most), max(0, most - thought)
    cut = msgspec.structs.replace(
        said,
        text=said.text[: len(said.text) * kept // max(output, 1)],
        thinking=said.thinking[: len(said.thinking) * thinking // max(thought, 1)],
        tools=(),
    )
    return Counted(said=cut, stop="max_tokens", output_tokens=kept, reasoning_tokens=thinking)


def _lengthened(said: Said, family: str, wished_tokens: int) -> Said:
    own = estimate_tokens(said.text, family)
    if not 0 < own < wished_tokens <= MOST_WISHED_TOKENS:
        return said
    size = len(said.text) * wished_tokens // own
    again = -(-size // (len(said.text) + 1))
    return msgspec.structs.replace(said, text=" ".join([said.text] * again)[:size].rstrip())


def _given(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
