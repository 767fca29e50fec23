"""Request bodies of every dialect, and answers, as hypothesis draws them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=0, max_size=40
) | st.sampled_from(["yes", "<document>" + "long text " * 30, '{"a": "b: c"}', 'say "x": \\'])
ids = st.sampled_from(["call_1", "call_2", "toolu_3", ""])
tools = st.sampled_from(["search", "book", "cancel"])
marks = st.sampled_from([{}, {}, {"cache_control": {"type": "ephemeral"}}])
opaque = st.fixed_dictionaries({"type": st.just("hologram"), "beam": words})


@st.composite
def chat_message(draw: st.DrawFn) -> Json:
    part = st.fixed_dictionaries({"type": st.just("text"), "text": words}) | opaque
    content = words | st.lists(part, max_size=3)
    call = st.fixed_dictionaries(
        {
            "id": ids,
            "type": st.just("function"),
            "function": st.fixed_dictionaries({"name": tools, "arguments": words}),
        }
    )
    kind = draw(st.sampled_from(["system", "user", "assistant", "tool"]))
    if kind == "assistant":
        calls = draw(st.lists(call, max_size=2))
        return {"role": kind, "content": draw(content | st.none()), "tool_calls": calls}
    if kind == "tool":
        return {"role": kind, "tool_call_id": draw(ids), "content": draw(content)}
    return {"role": kind, "content": draw(content)}


@st.composite
def anthropic_message(draw: st.DrawFn) -> Json:
    text = st.builds(lambda t, m: {"type": "text", "text": t} | m, words, marks)
    use = st.fixed_dictionaries(
        {"type": st.just("tool_use"), "id": ids, "name": tools, "input": st.just({"q": 1})}
    )
    result = st.fixed_dictionaries(
        {"type": st.just("tool_result"), "tool_use_id": ids, "content": words},
        optional={"is_error": st.booleans()},
    )
    content = words | st.lists(text | use | result | opaque, max_size=4)
    return {"role": draw(st.sampled_from(["user", "assistant"])), "content": draw(content)}


@st.composite
def converse_message(draw: st.DrawFn) -> Json:
    text = st.fixed_dictionaries({"text": words})
    use = st.builds(
        lambda i, n: {"toolUse": {"toolUseId": i, "name": n, "input": {"q": 1}}}, ids, tools
    )
    result = st.builds(
        lambda i, t: {"toolResult": {"toolUseId": i, "content": [{"text": t}]}}, ids, words
    )
    point = st.just({"cachePoint": {"type": "default"}})
    content = st.lists(text | use | result | point, max_size=4)
    return {"role": draw(st.sampled_from(["user", "assistant"])), "content": draw(content)}


def responses_item() -> st.SearchStrategy[Json]:
    message = st.builds(lambda r, t: {"role": r, "content": t}, st.just("user"), words)
    call = st.builds(
        lambda i, n: {"type": "function_call", "call_id": i, "name": n, "arguments": "{}"},
        ids,
        tools,
    )
    output = st.builds(
        lambda i, t: {"type": "function_call_output", "call_id": i, "output": t}, ids, words
    )
    return message | call | output


def _spec(name: str) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


_common = {"metadata": st.dictionaries(st.text("abc", min_size=1), words, max_size=2)}
_some = {"temperature": st.floats(0, 1), "user": words, "hologram": opaque}

chat = st.fixed_dictionaries(
    {"model": st.just("gpt-4o"), "messages": st.lists(chat_message(), min_size=1, max_size=8)},
    optional={
        "tools": st.lists(tools.map(_spec), max_size=3),
        "max_completion_tokens": st.integers(1, 1000) | st.none(),
        "n": st.integers(1, 4),
        "stream": st.booleans(),
        "stream_options": st.fixed_dictionaries({}, optional={"include_usage": st.booleans()}),
        "reasoning_effort": st.sampled_from(["low", "high"]),
        "response_format": st.just(
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
        ),
        **_common,
        **_some,
    },
)
anthropic = st.fixed_dictionaries(
    {
        "model": st.just("claude-sonnet-4-6"),
        "max_tokens": st.integers(0, 1000),
        "messages": st.lists(anthropic_message(), min_size=1, max_size=8),
    },
    optional={
        "system": words
        | st.lists(st.builds(lambda t, m: {"type": "text", "text": t} | m, words, marks)),
        "cache_control": st.just({"type": "ephemeral", "ttl": "1h"}),
        "tools": st.lists(
            st.builds(lambda n, m: {"name": n, "input_schema": {}} | m, tools, marks)
        ),
        "stream": st.booleans(),
        **_common,
        **_some,
    },
)
converse = st.fixed_dictionaries(
    {"messages": st.lists(converse_message(), min_size=1, max_size=8)},
    optional={
        "system": st.just([{"text": "be brief"}, {"cachePoint": {"type": "default"}}]),
        "inferenceConfig": st.fixed_dictionaries({"maxTokens": st.integers(1, 1000)}),
        "toolConfig": st.just(
            {"tools": [{"toolSpec": {"name": "search", "inputSchema": {"json": {}}}}]}
        ),
        "requestMetadata": st.just({"tenant": "a"}),
    },
)
responses = st.fixed_dictionaries(
    {"model": st.just("gpt-5"), "input": words | st.lists(responses_item(), max_size=6)},
    optional={"instructions": words, "max_output_tokens": st.integers(1, 9), **_some},
)
embeddings = st.fixed_dictionaries(
    {
        "model": st.just("text-embedding-3-small"),
        "input": words
        | st.lists(words, max_size=3)
        | st.lists(st.integers(0, 9), max_size=5)
        | st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=3)
        | st.lists(words | st.integers(0, 9), max_size=3),
    }
)
gemini = st.fixed_dictionaries(
    {
        "contents": st.lists(
            st.builds(lambda r, t: {"role": r, "parts": [{"text": t}]}, st.just("user"), words),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "systemInstruction": st.just({"parts": [{"text": "be brief"}]}),
        "generationConfig": st.fixed_dictionaries({"maxOutputTokens": st.integers(1, 9)}),
    },
)
cohere = st.fixed_dictionaries(
    {"message": words},
    optional={
        "chat_history": st.lists(
            st.builds(lambda t: {"role": "USER", "message": t}, words), max_size=2
        ),
        "preamble": words,
        "documents": st.lists(st.fixed_dictionaries({"text": words}), max_size=2),
    },
)
invoke = anthropic | st.fixed_dictionaries(
    {"inputText": words}, optional={"textGenerationConfig": st.just({"maxTokenCount": 5})}
)
counting = st.builds(
    lambda m, p: {"input": {"converse": {"messages": m}}, **p},
    st.lists(converse_message(), max_size=3),
    st.sampled_from([{}, {"prompt": "a text beside it"}]),
)

requests = st.one_of(
    st.tuples(st.just("openai_chat"), chat),
    st.tuples(st.just("openai_responses"), responses),
    st.tuples(st.just("openai_embeddings"), embeddings),
    st.tuples(st.just("anthropic_messages"), anthropic),
    st.tuples(st.just("bedrock_converse"), converse | counting),
    st.tuples(st.just("bedrock_invoke"), invoke),
    st.tuples(st.just("gemini_generate"), gemini),
    st.tuples(st.just("cohere_chat"), cohere),
)


def spelled(body: object, style: int) -> bytes:
    """The same JSON as different clients write it."""
    separators = [(",", ":"), (", ", ": "), (" ,\n", " : ")][style % 3]
    ascii_only = style % 2 == 0
    indent = 2 if style % 5 == 4 else None
    return json.dumps(body, separators=separators, ensure_ascii=ascii_only, indent=indent).encode()
