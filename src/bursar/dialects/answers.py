"""What a response body says beside its usage: answer, stop, model, provider, price class.

All of it is tables: where each dialect keeps the answer, the many words for why a model stopped,
the words by which a provider says which price it charged. The response decides the price class;
what the request asked for does not count, since a provider may downgrade it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bursar.dialects.messages import read_message
from bursar.dialects.sheet import Sheet
from bursar.dialects.wire import Paths, as_list, as_map, at, first, maps, paths, text_of
from bursar.model.block import Role
from bursar.model.entry import STANDARD

MESSAGES: dict[str, Paths] = {
    "openai_chat": paths("choices"),
    "openai_responses": paths("output"),
    "anthropic_messages": paths("content"),
    "bedrock_converse": paths("output.message"),
    "gemini_generate": paths("candidates"),
    "cohere_chat": paths("message"),
    "bedrock_invoke": paths("content", "output.message", "choices"),
}
"""Where the answer is: a message, its content, or a list of either."""

PLAIN_TEXTS = paths(
    "generation",
    "completion",
    "outputText",
    "text",
    "generated_text",
    "results.0.outputText",
    "outputs.0.text",
    "completions.0.data.text",
    "generations.0.text",
)
"""Where models without messages put their text."""

STOPS = {
    **dict.fromkeys(
        (
            *("stop", "end_turn", "stop_sequence", "endoftext", "complete", "completed", "finish"),
            *("finished", "eos", "end", "eos_token"),
        ),
        "end",
    ),
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "error_limit", "max_length"), "max_tokens"
    ),
    **dict.fromkeys(("tool_use", "tool_calls", "function_call", "tool_call"), "tool_use"),
    **dict.fromkeys(("refusal",), "refusal"),
    **dict.fromkeys(
        (
            *(
                "content_filter",
                "content_filtered",
                "guardrail_intervened",
                "safety",
                "error_toxic",
            ),
            *("recitation", "blocklist", "prohibited_content", "spii"),
        ),
        "filter",
    ),
}
"""Our word for each provider's; a word that is not here is kept as it is."""

GEMINI_STOPS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
"""Where enums come as their protobuf numbers."""

STOP_PLACES = paths(
    "choices.0.finish_reason",
    "candidates.0.finishReason",
    "incomplete_details.reason",
    "stop_reason",
    "stopReason",
    "finish_reason",
    "completionReason",
    "results.0.completionReason",
    "outputs.0.stop_reason",
    "completions.0.finishReason.reason",
    "generations.0.finish_reason",
    "details.finish_reason",
    "status",
)
STATUS = ("status",)
"""Where a Responses answer says `completed`, also when it asks for a tool."""
TOOL_STOP = "tool_use"
ASKING = frozenset(
    (
        *("function_call", "custom_tool_call", "local_shell_call", "shell_call"),
        *("apply_patch_call", "computer_call", "mcp_approval_request"),
    )
)
"""Items of a Responses answer that wait for the client. Other calls ran at the provider."""
MODEL_PLACES = paths(
    "trace.promptRouter.invokedModelId", "model", "modelVersion", "response.model", "modelId"
)
ID_PLACES = paths("id", "responseId", "response_id", "generation_id")

TIER_PLACES: dict[str, Paths] = {
    "openai_chat": paths("service_tier", "usage.service_tier"),
    "openai_responses": paths("service_tier"),
    "openai_embeddings": paths("service_tier"),
    "anthropic_messages": paths("usage.speed", "usage.service_tier"),
    "bedrock_converse": paths("serviceTier.type", "performanceConfig.latency"),
    "bedrock_invoke": paths(
        "usage.speed", "usage.service_tier", "serviceTier.type", "service_tier"
    ),
    "gemini_generate": paths("usageMetadata.serviceTier", "usageMetadata.trafficType"),
}
CLASSES = {
    **dict.fromkeys(
        (
            *("default", "auto", "standard", "standard_only", "on_demand", "none", ""),
            *("traffic_type_unspecified", "0", "1", "service_tier_unspecified"),
        ),
        STANDARD,
    ),
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
    "provisioned_throughput": "provisioned",
    "2": "provisioned",
    "optimized": "latency_optimized",
}
"""The price class of each word; a word that is not here is a class of its own."""

PROVIDER_OF_DIALECT = {
    "openai_responses": "openai",
    "anthropic_messages": "anthropic",
    "bedrock_converse": "aws",
    "bedrock_invoke": "aws",
    "gemini_generate": "google",
    "cohere_chat": "cohere",
}
PROVIDER_OF_HEADER = (
    ("x-amzn-bedrock-invocation-latency", "aws"),
    ("x-amzn-bedrock-input-token-count", "aws"),
    ("apim-request-id", "azure"),
    ("azureml-model-session", "azure"),
    ("x-ms-region", "azure"),
    ("x-groq-region", "groq"),
    ("anthropic-organization-id", "anthropic"),
    ("openai-organization", "openai"),
    ("openai-version", "openai"),
)
PROVIDER_OF_KEY = (
    (("x_groq",), "groq"),
    (("usage_breakdown",), "groq"),
    (("prompt_filter_results",), "azure"),
    (("choices", "0", "content_filter_results"), "azure"),
    (("citations",), "perplexity"),
)
PROVIDER_OF_MODEL = (
    (("gpt-", "o1", "o3", "o4", "chatgpt-", "text-embedding-", "davinci", "babbage"), "openai"),
    (("claude",), "anthropic"),
    (("gemini",), "google"),
    (("deepseek-chat", "deepseek-reasoner"), "deepseek"),
    (("mistral-", "ministral", "codestral", "magistral", "pixtral", "open-mi"), "mistral"),
    (("grok",), "x-ai"),
    (("sonar",), "perplexity"),
    (("command",), "cohere"),
)
"""By how the model's name begins, where the body has no better sign."""


def read_answer(sheet: Sheet, body: dict[str, Any], dialect: str) -> None:
    """Put the answer's blocks and tool uses on the sheet."""
    found = first(body, MESSAGES.get(dialect, ()))
    for one in as_list(found) or [found]:
        fields = as_map(one)
        message = as_map(fields.get("message")) or as_map(fields.get("content")) or fields
        if dialect in ("openai_responses", "gemini_generate") or "role" in message:
            read_message(sheet, {"role": "model", **message} if "parts" in message else message)
        elif "text" in fields and "type" not in fields and "choices" in body:
            sheet.text(Role.ASSISTANT, text_of(fields.get("text")) or "")
        elif fields:
            read_message(sheet, {"role": "assistant", "content": [fields]})
    if not sheet.blocks:
        sheet.text(Role.ASSISTANT, text_of(first(body, PLAIN_TEXTS)) or "")
        for call in maps(body.get("tool_calls")):
            sheet.tool_use(None, call.get("name"), call.get("parameters"))


def stop_of(body: dict[str, Any]) -> str | None:
    """Why the model stopped, in our words where there is one."""
    for path in STOP_PLACES:
        word = at(body, path)
        if type(word) is int and path[-1] == "finishReason":
            word = GEMINI_STOPS.get(word)
        if isinstance(word, str) and word:
            stop = STOPS.get(word.lower(), word)
            return TOOL_STOP if stop == "end" and path == STATUS and _asks(body) else stop
    return "error" if body.get("error") else None


def _asks(body: dict[str, Any]) -> bool:
    """Whether a Responses answer ends with the client's turn: a tool call without its result."""
    items = maps(body.get("output"))
    given = {one.get("call_id") for one in items if str(one.get("type")).endswith("_output")}
    return any(one.get("type") in ASKING and one.get("call_id") not in given for one in items)


def price_class_of(body: Mapping[str, Any], dialect: str) -> str:
    """The price class that a RESPONSE says: `standard`, `batch`, `flex`, `priority`, `fast`, or the
    provider's own word. The first place that says something else than standard decides."""
    for path in TIER_PLACES.get(dialect, ()):
        word = at(body, path)
        if isinstance(word, (str, int)) and not isinstance(word, bool):
            found = CLASSES.get(str(word).lower(), str(word).lower())
            if found != STANDARD:
                return found
    return STANDARD


def provider_of(
    body: dict[str, Any], dialect: str, model: str | None, headers: Mapping[str, str]
) -> str | None:
    """Who answered, by the names of genai-prices, or None when the body does not tell."""
    for name, provider in PROVIDER_OF_HEADER:
        if name in headers:
            return provider
    known = PROVIDER_OF_DIALECT.get(dialect)
    if known == "anthropic" and str(body.get("id")).startswith("msg_bdrk_"):
        return "aws"
    if known is not None:
        return known
    for path, provider in PROVIDER_OF_KEY:
        if at(body, path) is not None:
            return provider
    if at(body, ("usage", "prompt_cache_hit_tokens")) is not None:
        return "deepseek"
    name = (model or "").lower()
    for prefixes, provider in PROVIDER_OF_MODEL:
        if name.startswith(prefixes):
            return provider
    return None
