"""Made-up calls and answers in the neutral form, in its normal form."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from bursar.dialects.translate.neutral import (
    ANSWERED,
    ASSISTANT,
    CONTEXT,
    CONTINUED,
    END,
    FILTER,
    MAX_TOKENS,
    REFUSAL,
    STOP_SEQUENCE,
    SYSTEM,
    TOOL_USE,
    USER,
    Choice,
    Image,
    Neutral,
    NeutralAnswer,
    Part,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from bursar.model.block import Mark
from bursar.model.usage import Usage

CHAT, ANTHROPIC, CONVERSE = "openai_chat", "anthropic_messages", "bedrock_converse"
RESPONSES = "openai_responses"
MODEL = "anthropic.claude-sonnet-5"
"""Named so that Converse takes what only Claude knows."""

texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('\n"\\{}é€😀 '),
    min_size=1,
    max_size=30,
).filter(str.strip)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts | st.floats(-1e6, 1e6)
objects = st.dictionaries(texts, scalars | st.lists(scalars, max_size=3), max_size=3)
schemas = st.builds(
    lambda keys: {"type": "object", "properties": {key: {"type": "string"} for key in keys}},
    st.lists(names, max_size=3, unique=True),
)
marks = st.sampled_from([Mark.NONE, Mark.NONE, Mark.NONE, Mark.M5, Mark.H1])
media = st.sampled_from(["image/png", "image/jpeg", "image/gif", "image/webp"])


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


@st.composite
def images(draw: st.DrawFn, mark: st.SearchStrategy[Mark], by_url: bool) -> Image:
    if by_url and draw(st.booleans()):
        return Image(url=f"https://example.com/{draw(names)}.png", mark=draw(mark))
    return Image(media=draw(media), b64="aGVsbG8=", mark=draw(mark))


@st.composite
def turns(draw: st.DrawFn, target: str, tools: bool) -> tuple[Turn, ...]:
    """A conversation that begins with the user; results answer the uses before them."""
    mark = st.just(Mark.NONE) if target == CHAT else marks
    text = st.builds(Text, texts, mark)
    image = images(mark, target != CONVERSE)
    found: list[Turn] = []
    owed: list[str] = []
    for number in range(draw(st.integers(1, 3))):
        results: list[Part] = [
            ToolResult(
                id=name,
                parts=tuple(draw(st.lists(st.builds(Text, texts), max_size=2))),
                failed=target != CHAT and draw(st.booleans()),
                mark=draw(mark),
            )
            for name in owed
        ]
        said = draw(st.lists(text | image, min_size=0 if results else 1, max_size=3))
        found.append(Turn(USER, (*results, *said)))
        if draw(st.integers(0, 5)) == 0:
            found.append(Turn(SYSTEM, tuple(draw(st.lists(st.builds(Text, texts), min_size=1)))))
            owed = []
            if number < 2:
                continue
        parts: list[Part] = []
        if target != CHAT and draw(st.booleans()):
            parts.append(draw(thoughts()))
        parts += draw(st.lists(text, max_size=2))
        owed = draw(st.lists(names, max_size=2, unique=True)) if tools else []
        parts += [ToolUse(name, draw(names), json_text(draw(objects)), draw(mark)) for name in owed]
        if not parts:
            parts = [draw(text)]
        found.append(Turn(ASSISTANT, tuple(parts)))
    return _merged(found if draw(st.booleans()) else found[:-1] or found)


def _merged(found: list[Turn]) -> tuple[Turn, ...]:
    out: list[Turn] = []
    for turn in found:
        if out and out[-1].role == turn.role:
            out[-1] = Turn(turn.role, out[-1].parts + turn.parts)
        else:
            out.append(turn)
    return tuple(out)


@st.composite
def thoughts(draw: st.DrawFn) -> Thinking:
    if draw(st.integers(0, 3)) == 0:
        return Thinking(redacted="c2VjcmV0")
    return Thinking(draw(texts), signature=draw(names))


@st.composite
def asked(draw: st.DrawFn, target: str) -> Neutral:
    """A call that the target carries whole, without a note."""
    spare = st.just(Mark.NONE) if target == CHAT else marks
    tool = st.builds(
        Tool, names, schemas, texts | st.just(""), st.sampled_from([None, True, False]), spare
    )
    tools = tuple(draw(st.lists(tool, max_size=2)))
    conversation = draw(turns(target, bool(tools)))
    last = ANSWERED if target == CHAT else CONTINUED
    kinds = {CHAT: ["auto", "any", "none", "tool"], CONVERSE: ["auto", "any", "tool"]}
    kind = draw(st.sampled_from([None, *kinds.get(target, kinds[CHAT])])) if tools else None
    choice = None if kind is None else Choice(kind, tools[0].name if kind == "tool" else "")
    one = bool(tools) and target != CONVERSE and choice is not None and choice.kind != "none"
    tiers = {
        CHAT: ["default", "flex", "priority", "fast", "scale"],
        ANTHROPIC: ["default", "fast"],
        CONVERSE: ["default", "flex", "priority", "reserved"],
    }
    return Neutral(
        system=tuple(draw(st.lists(st.builds(Text, texts, spare), max_size=2))),
        turns=conversation,
        last=last if conversation[-1].role == ASSISTANT else "",
        tools=tools,
        choice=choice,
        one_tool=one and draw(st.booleans()),
        max_tokens=draw(st.integers(1, 10**6)),
        stops=tuple(draw(st.lists(texts, max_size=4))),
        temperature=draw(st.none() | st.floats(0, 1)),
        top_p=draw(st.none() | st.floats(0, 1)),
        top_k=None if target == CHAT else draw(st.none() | st.integers(1, 500)),
        schema=draw(st.none() | _schema(target)),
        json_object=False,
        effort=draw(st.sampled_from([None, "low", "medium", "high", "xhigh", "max"])),
        thinking=None if target == CHAT else draw(_thinking),
        tier=draw(st.sampled_from([None, *tiers[target]])),
        user=None if target == CONVERSE else draw(st.none() | names),
        metadata={} if target == ANTHROPIC else draw(st.dictionaries(names, names, max_size=3)),
        automark=draw(marks) if target == ANTHROPIC else Mark.NONE,
        stream=draw(st.booleans()),
    )


_thinking = st.sampled_from(
    [
        None,
        {"type": "disabled"},
        {"type": "adaptive", "display": "omitted"},
        {"type": "enabled", "budget_tokens": 2048},
    ]
)


def _schema(target: str) -> st.SearchStrategy[Schema]:
    if target == ANTHROPIC:
        return st.builds(Schema, schemas)
    strict = st.sampled_from([None, True, False]) if target == CHAT else st.none()
    return st.builds(Schema, schemas, names, texts | st.just(""), strict)


@st.composite
def wild(draw: st.DrawFn) -> Neutral:
    """Any call: what one dialect carries, with what only another knows put on top."""
    one, other = (draw(asked(draw(st.sampled_from([CHAT, ANTHROPIC, CONVERSE])))) for _ in "ab")
    fields = draw(st.sets(st.sampled_from(Neutral.__struct_fields__)))
    fields -= {"notes", "places", "hints", "turns", "last", "tools", "choice", "one_tool"}
    found = msgspec.structs.replace(one, **{name: getattr(other, name) for name in fields})
    return msgspec.structs.replace(
        found,
        json_object=found.schema is None and draw(st.booleans()),
        hints=draw(st.sampled_from([{}, {"verbosity": "low"}, {"prompt_cache_key": "k"}])),
    )


counts = st.integers(0, 10**7)
usages = st.builds(
    Usage,
    input=counts,
    cache_read=counts,
    cache_write_5m=counts,
    cache_write_1h=counts,
    output=counts,
    reasoning=counts,
    other=st.just({}) | st.fixed_dictionaries({"cache_write_12h": st.integers(1, 10**7)}),
)
stops = st.sampled_from([END, MAX_TOKENS, STOP_SEQUENCE, REFUSAL, FILTER, CONTEXT])


@st.composite
def answers(draw: st.DrawFn) -> NeutralAnswer:
    """An answer as providers give them: thoughts, then texts, then tool uses."""
    parts: list[Text | ToolUse | Thinking] = draw(st.lists(thoughts(), max_size=1))
    parts += draw(st.lists(st.builds(Text, texts), max_size=1))
    uses = draw(st.lists(names, max_size=2, unique=True))
    parts += [ToolUse(name, draw(names), json_text(draw(objects))) for name in uses]
    stop = TOOL_USE if uses else draw(stops)
    return NeutralAnswer(
        id=draw(names),
        model=draw(names),
        parts=tuple(parts),
        stop=stop,
        stop_text=draw(texts) if stop == STOP_SEQUENCE else None,
        usage=draw(usages),
        tier=draw(st.sampled_from(["standard", "priority", "flex", "fast"])),
    )
