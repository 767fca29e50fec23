"""Usage objects as data: which count of which provider is which unit, and what contains what.

One row per shape of a usage object. `inside` says whether the provider's own prompt count contains
its cache counts (OpenAI, Gemini: yes; Anthropic, Bedrock: no), the classic error of this field; a
total that only adds up the other way overturns it, see `usages`. A new provider with one of these
shapes needs nothing here; a new shape is a new row.
"""

from __future__ import annotations

import msgspec

from bursar.dialects.wire import Path, Paths, paths


class Part(msgspec.Struct, frozen=True):
    """Tokens of a special kind that the provider counts within its prompt or its answer."""

    unit: str
    """Name in `Usage.other`."""
    places: Paths
    whole: str
    """`prompt` or `answer`: what they are taken out of. "": counted apart."""


class Modality(msgspec.Struct, frozen=True):
    """A list of `{modality, tokenCount}`, of which some modalities have a price of their own."""

    path: Path
    units: dict[str, str]
    """Modality -> unit in `Usage.other`; what is not named stays where it is counted."""
    whole: str
    """`prompt`, `answer` or `cache_read`: what they are taken out of."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Where a usage object keeps its counts. Of several paths the first that is present counts."""

    dialect: str
    signs: tuple[str, ...]
    """A usage object of this shape has at least one of these keys..."""
    without: tuple[str, ...] = ()
    """...and none of these..."""
    also: tuple[str, ...] = ()
    """...and, where its dialect is not named, at least one of these."""
    prompt: Paths = ()
    answer: Paths = ()
    cache_read: Paths = ()
    cache_write: Paths = ()
    """All cache writes, whatever their lifetime."""
    write_5m: Paths = ()
    write_1h: Paths = ()
    write_lives: Paths = ()
    """Objects of `ephemeral_<lifetime>_input_tokens`: cache writes by lifetime."""
    write_list: Path = ()
    """A list of `{ttl, inputTokens}`: cache writes by lifetime."""
    only_life: str | None = None
    """A lifetime which is the only one of the models that have it, so that their writes have one
    price. Beside others it is a lifetime of its own."""
    reasoning: Paths = ()
    total: Paths = ()
    more_prompt: Paths = ()
    """Prompt tokens that the prompt count leaves out; all of them are added."""
    cache_inside: bool = True
    """The prompt count contains cache reads and writes."""
    reasoning_inside: bool = True
    """The answer count contains reasoning."""
    parts: tuple[Part, ...] = ()
    modalities: tuple[Modality, ...] = ()
    extra: bool = False
    """`other` holds further units under the names of `Usage.other`."""


def _details(side: str, *names: str) -> Paths:
    """Detail counts under every spelling seen: `prompt_tokens_details`, `prompt_token_details`."""
    return paths(
        *(f"{side}_{word}_details.{name}" for name in names for word in ("tokens", "token"))
    )


CHAT = Shape(
    dialect="openai_chat",
    signs=("prompt_tokens", "completion_tokens"),
    prompt=paths("prompt_tokens"),
    answer=paths("completion_tokens"),
    cache_read=(
        *_details("prompt", "cached_tokens"),
        *paths(
            "prompt_cache_hit_tokens",
            "cached_tokens",
            "cache_read_input_tokens",
            "cached_prompt_text_tokens",
        ),
    ),
    cache_write=(
        *_details("prompt", "cache_write_tokens", "cache_creation_tokens"),
        *paths("cache_creation_input_tokens"),
    ),
    write_lives=_details("prompt", "cache_creation_token_details"),
    reasoning=(*_details("completion", "reasoning_tokens"), *paths("reasoning_tokens")),
    total=paths("total_tokens"),
    parts=(
        Part("input_audio_tokens", _details("prompt", "audio_tokens"), "prompt"),
        Part("output_audio_tokens", _details("completion", "audio_tokens"), "answer"),
        Part("output_image_tokens", _details("completion", "image_tokens"), "answer"),
        Part("output_citation_tokens", paths("citation_tokens"), ""),
        Part("web_searches", paths("num_search_queries", "num_sources_used"), ""),
    ),
)

_ANTHROPIC_SIGNS = (
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "server_tool_use",
    "inference_geo",
)

RESPONSES = Shape(
    dialect="openai_responses",
    signs=("input_tokens", "output_tokens"),
    without=_ANTHROPIC_SIGNS,
    also=(
        "total_tokens",
        *(f"{side}_{word}_details" for side in ("input", "output") for word in ("tokens", "token")),
    ),
    prompt=paths("input_tokens"),
    answer=paths("output_tokens"),
    cache_read=_details("input", "cached_tokens", "cache_read_input_tokens"),
    cache_write=_details("input", "cache_write_tokens"),
    reasoning=_details("output", "reasoning_tokens"),
    total=paths("total_tokens"),
    parts=(
        Part("input_audio_tokens", _details("input", "audio_tokens"), "prompt"),
        Part("input_image_tokens", _details("input", "image_tokens"), "prompt"),
        Part("output_audio_tokens", _details("output", "audio_tokens"), "answer"),
        Part("output_image_tokens", _details("output", "image_tokens"), "answer"),
        Part("web_searches", paths("tool_calls_details.search_web.invocation"), ""),
    ),
)

ANTHROPIC = Shape(
    dialect="anthropic_messages",
    signs=("input_tokens", "output_tokens", *_ANTHROPIC_SIGNS[:2]),
    prompt=paths("input_tokens"),
    answer=paths("output_tokens"),
    cache_read=paths("cache_read_input_tokens"),
    cache_write=paths("cache_creation_input_tokens"),
    write_lives=paths("cache_creation"),
    reasoning=paths("output_tokens_details.thinking_tokens"),
    cache_inside=False,
    parts=(
        Part("web_searches", paths("server_tool_use.web_search_requests"), ""),
        Part("web_fetches", paths("server_tool_use.web_fetch_requests"), ""),
    ),
)

CONVERSE = Shape(
    dialect="bedrock_converse",
    signs=("inputTokens", "outputTokens"),
    prompt=paths("inputTokens"),
    answer=paths("outputTokens"),
    cache_read=paths("cacheReadInputTokens", "cacheReadInputTokenCount"),
    cache_write=paths("cacheWriteInputTokens", "cacheWriteInputTokenCount"),
    write_list=("cacheDetails",),
    only_life="30m",
    total=paths("totalTokens"),
    cache_inside=False,
)

INVOCATION_METRICS = Shape(
    dialect="bedrock_invoke",
    signs=("inputTokenCount", "outputTokenCount"),
    prompt=paths("inputTokenCount"),
    answer=paths("outputTokenCount"),
    cache_read=paths("cacheReadInputTokenCount"),
    cache_write=paths("cacheWriteInputTokenCount"),
    cache_inside=False,
)

LLAMA = Shape(
    dialect="bedrock_invoke",
    signs=("prompt_token_count", "generation_token_count"),
    prompt=paths("prompt_token_count"),
    answer=paths("generation_token_count"),
)

TITAN = Shape(
    dialect="bedrock_invoke",
    signs=("inputTextTokenCount", "totalOutputTextTokenCount"),
    prompt=paths("inputTextTokenCount"),
    answer=paths("totalOutputTextTokenCount"),
)

_AUDIO, _IMAGE, _VIDEO = ("AUDIO", "4"), ("IMAGE", "2"), ("VIDEO", "3")
"""The name in JSON and the number in protobuf of each modality."""

GEMINI = Shape(
    dialect="gemini_generate",
    signs=(
        "promptTokenCount",
        "candidatesTokenCount",
        "totalTokenCount",
        "cachedContentTokenCount",
        "thoughtsTokenCount",
    ),
    prompt=paths("promptTokenCount"),
    answer=paths("candidatesTokenCount"),
    cache_read=paths("cachedContentTokenCount"),
    reasoning=paths("thoughtsTokenCount"),
    total=paths("totalTokenCount"),
    more_prompt=paths("toolUsePromptTokenCount"),
    reasoning_inside=False,
    modalities=(
        Modality(("promptTokensDetails",), dict.fromkeys(_AUDIO, "input_audio_tokens"), "prompt"),
        Modality(
            ("toolUsePromptTokensDetails",), dict.fromkeys(_AUDIO, "input_audio_tokens"), "prompt"
        ),
        Modality(
            ("cacheTokensDetails",), dict.fromkeys(_AUDIO, "cache_audio_read_tokens"), "cache_read"
        ),
        Modality(
            ("candidatesTokensDetails",),
            dict.fromkeys(_AUDIO, "output_audio_tokens")
            | dict.fromkeys(_IMAGE, "output_image_tokens")
            | dict.fromkeys(_VIDEO, "output_video_tokens"),
            "answer",
        ),
    ),
)

COHERE = Shape(
    dialect="cohere_chat",
    signs=("billed_units",),
    prompt=paths("billed_units.input_tokens"),
    answer=paths("billed_units.output_tokens"),
    parts=(Part("search_units", paths("billed_units.search_units"), ""),),
)

COHERE_TOKENS = Shape(
    dialect="cohere_chat",
    signs=("tokens",),
    prompt=paths("tokens.input_tokens"),
    answer=paths("tokens.output_tokens"),
)

OWN = Shape(
    dialect="bursar",
    signs=("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning"),
    prompt=paths("input"),
    answer=paths("output"),
    cache_read=paths("cache_read"),
    write_5m=paths("cache_write_5m"),
    write_1h=paths("cache_write_1h"),
    reasoning=paths("reasoning"),
    total=paths("total"),
    cache_inside=False,
    reasoning_inside=False,
    extra=True,
)

SHAPES = (
    CHAT,
    RESPONSES,
    ANTHROPIC,
    CONVERSE,
    INVOCATION_METRICS,
    GEMINI,
    LLAMA,
    TITAN,
    COHERE,
    COHERE_TOKENS,
    OWN,
)

SHAPES_OF: dict[str, tuple[Shape, ...]] = {
    "openai_chat": (CHAT, RESPONSES),
    "openai_responses": (RESPONSES, CHAT),
    "openai_embeddings": (CHAT,),
    "anthropic_messages": (ANTHROPIC,),
    "bedrock_converse": (CONVERSE, INVOCATION_METRICS),
    "bedrock_invoke": (CHAT, ANTHROPIC, CONVERSE, INVOCATION_METRICS, LLAMA, TITAN, COHERE),
    "gemini_generate": (GEMINI,),
    "cohere_chat": (COHERE, COHERE_TOKENS),
    "bursar": (OWN,),
}
"""The shapes that occur in each dialect, likeliest first."""

REASONING_APART = frozenset({"x-ai", "xai", "x_ai", "perplexity"})
"""Providers with chat-shaped usage whose answer count leaves reasoning out."""
