"""What the two dialects of OpenAI share: settings, formats, images, cache breakpoints.

Tables say which fields are left out with a word (nothing in the answer depends on them) and why
others are refused.
"""

from __future__ import annotations

import re
from typing import Any

from bursar.dialects.translate.fields import Fields, malformed, not_carried
from bursar.dialects.translate.neutral import Choice, Image, Json, Schema, Text, Tool
from bursar.model.block import Mark

HINTS = ("verbosity", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options")
"""Known to both dialects of OpenAI and to no other."""

DROPPED = {
    "store": "the answer is not stored at OpenAI",
    "stream_options": "only include_usage has a meaning elsewhere",
}
DEFAULTS: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
    "modalities": (["text"],),
    "background": (False,),
    "truncation": ("disabled",),
    "store": (False,),
}
REASONS = {
    "n": "more than one answer cannot be asked for",
    "logprobs": "log probabilities cannot be asked for",
    "top_logprobs": "log probabilities cannot be asked for",
    "logit_bias": "token ids are OpenAI's own",
    "frequency_penalty": "the other dialects have no such sampling",
    "presence_penalty": "the other dialects have no such sampling",
    "seed": "the other dialects have no seed",
    "audio": "audio answers cannot be asked for",
    "modalities": "only text can be asked for",
    "prediction": "predicted output is OpenAI's own",
    "web_search_options": "a server-side tool of OpenAI",
    "moderation": "OpenAI's own moderation",
    "functions": "deprecated; ask with tools",
    "function_call": "deprecated; ask with tools",
    "previous_response_id": "the earlier turns are held at OpenAI",
    "conversation": "the earlier turns are held at OpenAI",
    "prompt": "the prompt is held at OpenAI",
    "background": "the answer would be fetched from OpenAI later",
    "truncation": "OpenAI would shorten the prompt",
    "context_management": "OpenAI would shorten the prompt",
    "max_tool_calls": "it bounds server-side tools",
}
TIERS = ("default", "flex", "priority", "fast", "scale")
_INLINE = re.compile(r"data:([\w.+/-]+);base64,([A-Za-z0-9+/=_-]*)\Z")


def read_settings(fields: Fields, notes: list[str], places: dict[str, str]) -> Json:
    """The settings that both dialects spell alike, as arguments of Neutral."""
    found: Json = {
        "model": fields.text("model"),
        "stream": fields.flag("stream") or False,
        "temperature": fields.number("temperature"),
        "top_p": fields.number("top_p"),
        "one_tool": fields.flag("parallel_tool_calls") is False,
        "metadata": fields.words("metadata"),
        "tier": _tier(fields),
        "hints": {name: value for name in HINTS if (value := fields.take(name)) is not None},
    }
    safety, user = fields.text("safety_identifier"), fields.text("user")
    if safety and user and safety != user:
        notes.append(f"{fields.to('safety_identifier')} dropped: {fields.to('user')} stands for it")
    found["user"] = user or safety
    places |= {"one_tool": "/parallel_tool_calls", "tier": "/service_tier"}
    for name, values in DEFAULTS.items():
        fields.default(name, *values)
    for name, why in DROPPED.items():
        fields.drop(name, notes, why)
    return found


def _tier(fields: Fields) -> str | None:
    word = fields.text("service_tier")
    if word not in (None, "auto", *TIERS):
        raise not_carried(fields.to("service_tier"), f"unknown tier {word!r}")
    return None if word == "auto" else word


def read_effort(word: str | None) -> tuple[str | None, Json | None]:
    """Effort and thinking: `none` means that the model shall not think."""
    return (None, {"type": "disabled"}) if word == "none" else (word, None)


def read_schema(fields: Fields) -> tuple[Schema | None, bool]:
    """A `response_format` of chat (its schema one level down) or `text.format` of Responses."""
    kind = fields.text("type")
    if kind in (None, "text"):
        fields.close()
        return None, False
    if kind == "json_object":
        fields.close()
        return None, True
    if kind != "json_schema":
        raise not_carried(fields.to("type"), f"format {kind!r} is OpenAI's own")
    inner = fields.schema("json_schema")
    if inner is not None:
        fields.close()
        fields = Fields(inner, fields.to("json_schema"))
    schema = fields.schema("schema")
    if schema is None:
        raise malformed(fields.to("schema"), "missing")
    found = Schema(
        schema=schema,
        name=fields.text("name") or "",
        description=fields.text("description") or "",
        strict=fields.flag("strict"),
    )
    fields.close()
    return found, False


def schema_fields(schema: Schema) -> Json:
    found: Json = {"name": schema.name or "answer", "schema": schema.schema}
    if schema.description:
        found["description"] = schema.description
    if schema.strict is not None:
        found["strict"] = schema.strict
    return found


def read_function(function: Fields, at: str) -> Tool:
    """A function that the model may call: in a field of its own in chat, the tool itself in
    Responses."""
    schema = function.schema("parameters")
    found = Tool(
        name=function.need("name"),
        schema={"type": "object", "properties": {}} if schema is None else schema,
        description=function.text("description") or "",
        strict=function.flag("strict"),
        at=at,
    )
    function.close()
    return found


def read_choice(fields: Fields, inside: str | None = None) -> Choice | None:
    """`tool_choice`. `inside`: the field of a chosen function that holds its name."""
    found = fields.take("tool_choice")
    at = fields.to("tool_choice")
    if found is None:
        return None
    if isinstance(found, str):
        if found not in ("auto", "none", "required"):
            raise malformed(at, f"unknown choice {found!r}")
        return Choice("any" if found == "required" else found)
    choice = Fields(found, at)
    if choice.text("type") != "function":
        raise not_carried(at, "only a function can be chosen")
    named = choice if inside is None else choice.inner(inside)
    name = named.need("name")
    named.close()
    choice.close()
    return Choice("tool", name)


def read_image(url: str, detail: str | None, mark: Mark, at: str) -> Image:
    detail = "" if detail in (None, "auto") else detail
    inline = _INLINE.match(url)
    if inline:
        return Image(media=inline[1], b64=inline[2], detail=detail, mark=mark, at=at)
    if url.startswith("data:"):
        raise malformed(at, "a data URL that is not base64")
    return Image(url=url, detail=detail, mark=mark, at=at)


def image_url(image: Image) -> str:
    return image.url or f"data:{image.media};base64,{image.b64}"


def read_text(fields: Fields, at: str) -> Text:
    """A part with `text`; the output parts of Responses bring annotations along."""
    text = Text(fields.text("text") or "", mark=breakpoint_of(fields), at=at)
    for name in ("annotations", "logprobs"):
        fields.take(name)
    return text


def breakpoint_of(fields: Fields) -> Mark:
    """A breakpoint lives 30 minutes at OpenAI; of the others' lives, 5 minutes costs as much."""
    found = fields.take("prompt_cache_breakpoint")
    return Mark.NONE if found is None else Mark.M5


def no_part(kind: Any, at: str) -> Exception:
    """The refusal of a part of a message that only OpenAI knows."""
    why = {
        "input_audio": "audio cannot be carried",
        "file": "documents cannot be carried",
        "input_file": "documents cannot be carried",
        "item_reference": "the item is held at OpenAI",
    }.get(str(kind), f"a part of type {kind!r} is OpenAI's own")
    return not_carried(at, why)
