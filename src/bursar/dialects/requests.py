"""A request body -> its prompt as blocks, and what else of it moves cost.

Every field is found by a table of the places where dialects keep it, so a body needs no dialect to
be read. Blocks come in the order of the providers' cache prefix: tools, system, messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bursar.dialects.messages import mark_end, message_blocks, system_blocks, tool_blocks
from bursar.dialects.parts import read_part
from bursar.dialects.sheet import Sheet, mark_of
from bursar.dialects.wire import (
    Path,
    Paths,
    as_list,
    as_map,
    at,
    canonical,
    first,
    is_map,
    maps,
    parse_or_none,
    paths,
    text_of,
)
from bursar.model.block import Block, Kind, Role, digest_of
from bursar.model.call import Limits
from bursar.model.entry import ToolOutcome
from bursar.model.errors import BadInput
from bursar.model.usage import LARGEST_COUNT


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A request body, read."""

    blocks: tuple[Block, ...]
    tool_outcomes: tuple[ToolOutcome, ...] = ()
    """All tool results in the prompt, oldest first."""
    limits: Limits = Limits()
    stream: bool | None = None
    """None: the body does not say (Bedrock and Gemini say it in the path)."""
    model: str | None = None
    schema_digest: int | None = None
    """Of the JSON schema that the answer must obey."""
    metadata: dict[str, str] = {}


MODEL = paths("model", "modelId", "model_id")
MAX_TOKENS = paths(
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "maxTokens",
    "inferenceConfig.maxTokens",
    "inferenceConfig.max_new_tokens",
    "generationConfig.maxOutputTokens",
    "generation_config.max_output_tokens",
    "textGenerationConfig.maxTokenCount",
)
EFFORT = paths(
    "reasoning_effort",
    "reasoning.effort",
    "output_config.effort",
    "outputConfig.effort",
    "additionalModelRequestFields.output_config.effort",
    "generationConfig.thinkingConfig.thinkingLevel",
)
SCHEMA = paths(
    "response_format.json_schema.schema",
    "response_format.schema",
    "text.format.schema",
    "output_config.format.schema",
    "output_format.schema",
    "outputConfig.textFormat.structure.jsonSchema.schema",
    "generationConfig.responseJsonSchema",
    "generationConfig.responseSchema",
)
METADATA: Paths = (("metadata",), ("requestMetadata",), ("labels",))
SYSTEM = paths("system", "systemInstruction", "system_instruction", "instructions", "preamble")
TOOLS = paths("tools", "toolConfig.tools", "functions", "tool_config.tools")
TURNS = paths("messages", "contents", "chat_history", "input.converse.messages")
TEXTS = paths("prompt", "input", "inputText", "message", "inputs", "texts", "query", "content")
DOCUMENTS = paths("documents")


def read_request(
    body: Mapping[str, Any],
    dialect: str | None = None,
    *,
    capture: bool = False,
    salt: bytes = b"",
) -> Prompt:
    """The whole request body. `dialect` is not needed: fields are found where any dialect has them.

    `salt` keeps the digests of tenants apart. Raises BadInput when the body is no JSON object or is
    nested too deeply.
    """
    if not isinstance(body, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise BadInput(
            f"request body of {dialect or 'unknown dialect'} is not a JSON object",
            mend="give the body as the client sent it",
        )
    fields = as_map(body)
    try:
        blocks, outcomes = prompt_blocks(fields, {}, capture=capture, salt=salt)
        return Prompt(
            blocks=mark_end(blocks, mark_of(fields)),
            tool_outcomes=outcomes,
            limits=Limits(max_tokens=_limit(fields), effort=text_of(first(fields, EFFORT))),
            stream=stream if isinstance(stream := fields.get("stream"), bool) else None,
            model=text_of(first(fields, MODEL)),
            schema_digest=_schema(fields, salt),
            metadata=_metadata(fields),
        )
    except RecursionError as bad:
        raise BadInput(
            "request body is nested too deeply", mend="nest JSON in it no deeper than 500 levels"
        ) from bad


def prompt_blocks(
    body: dict[str, Any], names: dict[str, str], *, capture: bool = False, salt: bytes = b""
) -> tuple[tuple[Block, ...], tuple[ToolOutcome, ...]]:
    """The blocks and tool results of a request body, or of some of its fields.

    `names` maps the id of a tool use to the tool's name, and is added to.
    """
    blocks: list[Block] = []
    outcomes: list[ToolOutcome] = []
    for path in TOOLS:
        blocks += placed(tool_blocks(maps(at(body, path)), salt=salt), path)
    for path in SYSTEM:
        found = at(body, path)
        if found is not None:
            blocks += placed(system_blocks(found, capture=capture, salt=salt), path)
    for path in DOCUMENTS:
        blocks += _documents(as_list(at(body, path)), capture, salt)
    for path in (*TURNS, *TEXTS):
        found = at(body, path)
        items: list[Any] = [found] if isinstance(found, str) or is_map(found) else as_list(found)
        if items and all(type(item) is int for item in items):
            blocks += placed((_token_array(items, salt),), path)
            continue
        for place, item in enumerate(items):
            said = turn_blocks(item, names, capture=capture, salt=salt)
            blocks += placed(said[0], (*path, str(place)) if isinstance(found, list) else path)
            outcomes += said[1]
    return tuple(blocks), tuple(outcomes)


def turn_blocks(
    item: object, names: dict[str, str], *, capture: bool = False, salt: bytes = b""
) -> tuple[tuple[Block, ...], tuple[ToolOutcome, ...]]:
    """A message, a bare text, or an array of token ids."""
    if isinstance(item, str):
        item = {"role": "user", "content": item}
    if is_map(item):
        said = message_blocks(as_map(item), names, capture=capture, salt=salt)
        return said.blocks, said.tool_outcomes
    numbers = as_list(item)
    if numbers and all(type(number) is int for number in numbers):
        return (_token_array(numbers, salt),), ()
    return (), ()


def _token_array(numbers: list[Any], salt: bytes) -> Block:
    raw = canonical(numbers)
    return Block(
        role=Role.USER,
        kind=Kind.USER,
        digest=digest_of(raw, salt),
        tokens=len(numbers),
        size_bytes=len(raw),
    )


def _documents(documents: list[Any], capture: bool, salt: bytes) -> list[Block]:
    """Cohere's documents beside the messages, and those to be ranked."""
    sheet = Sheet({}, capture=capture, salt=salt)
    sheet.overhead = 0
    for one in documents:
        if isinstance(one, str):
            sheet.text(Role.USER, one, kind=Kind.RAG)
        elif is_map(one):
            text = text_of(as_map(one).get("text"))
            part = {"type": "document", "document": {"data": as_map(one)}}
            if text is not None and set(as_map(one)) == {"text"}:
                sheet.text(Role.USER, text, kind=Kind.RAG)
            else:
                read_part(sheet, Role.USER, part)
    return sheet.blocks


def placed(blocks: tuple[Block, ...], path: Path) -> list[Block]:
    """The blocks with the JSON pointer to where they stand."""
    pointer = "/" + "/".join(path)
    return [msgspec.structs.replace(block, path=pointer) for block in blocks]


def _limit(body: dict[str, Any]) -> int | None:
    found = first(body, MAX_TOKENS)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    whole = int(found) if 0 <= found <= LARGEST_COUNT else -1
    return whole if whole >= 0 else None


def _schema(body: dict[str, Any], salt: bytes) -> int | None:
    schema = first(body, SCHEMA)
    if isinstance(schema, str):
        schema = parse_or_none(schema)
    return digest_of(canonical(schema), salt) if is_map(schema) else None


def _metadata(body: dict[str, Any]) -> dict[str, str]:
    return {
        str(key): value if isinstance(value, str) else canonical(value).decode("utf-8", "replace")
        for path in METADATA
        for key, value in as_map(at(body, path)).items()
        if value is not None
    }
