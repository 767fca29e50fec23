"""What emitters of traces do differently, as data.

The convention wants cached tokens inside `input_tokens`; some instrumentations report the
provider's raw count, which for Anthropic and Bedrock leaves them out. `SCOPES` says what each
does, with the version it was seen in. Of an emitter that is not here, the reported total decides,
and where there is none, cache counts that are larger than the input.
"""

from __future__ import annotations

import msgspec

from bursar.model.usage import Basis

INSIDE = True
OUTSIDE = False


class Scope(msgspec.Struct, frozen=True):
    """One emitter, by the beginning of its scope name."""

    name: str
    cache_inside: bool
    """Whether its input count contains cached tokens."""
    seen: str
    """The version that this was seen in."""


SCOPES: tuple[Scope, ...] = (
    Scope("opentelemetry.instrumentation.botocore", OUTSIDE, "0.66b1"),
    Scope("opentelemetry.instrumentation.bedrock", OUTSIDE, "0.62.4"),
    Scope("opentelemetry.instrumentation.anthropic", INSIDE, "0.62.4"),
    Scope("opentelemetry.instrumentation.openai", INSIDE, "0.62.4"),
    Scope("com.anthropic.sdk.", INSIDE, "2.12.0"),
    Scope("openinference.instrumentation.openai", INSIDE, "0.1.66"),
    Scope("strands.", INSIDE, "1.62.0"),
    Scope("pydantic-ai", INSIDE, "2.68.0"),
    Scope("logfire.pydantic_ai", INSIDE, "2.68.0"),
    Scope("bursar", INSIDE, "0.1"),
)


def provider_named(word: str) -> str | None:
    """The provider in an emitter's word for it; the price list knows the spellings."""
    name, dot, ending = word.strip().lower().rpartition(".")
    return (name if dot and ending in KIT_ENDINGS else word.strip().lower()) or None


def cache_inside(scope: str) -> bool | None:
    """Whether the emitter counts cached tokens as input; None where it is not known."""
    for row in SCOPES:
        if scope.startswith(row.name):
            return row.cache_inside
    return None


MODEL_WORDS = frozenset(
    (
        *("chat", "text_completion", "generate_content", "embeddings"),
        *("completion", "embedding", "responses", "response"),
        *("llm", "generation"),
        *(
            "ai.generatetext",
            "ai.generatetext.dogenerate",
            "ai.streamtext",
            "ai.streamtext.dostream",
        ),
        *("ai.generateobject", "ai.generateobject.dogenerate"),
        *("ai.streamobject", "ai.streamobject.dostream"),
        *("ai.embed", "ai.embed.doembed", "ai.embedmany", "ai.embedmany.doembed"),
    )
)
"""Words of `KIND_KEYS`, in lower case, that mean a call of a model; every other word does not."""
TOOL_WORDS = frozenset(("execute_tool", "tool", "ai.toolcall"))

KIND_KEYS = (
    "openinference.span.kind",
    "langfuse.observation.type",
    "ai.operationId",
    "gen_ai.operation.name",
    "llm.request.type",
    "traceloop.span.kind",
)
"""Attributes that say what a span is; the first that is present decides."""

COUNTS: dict[str, tuple[str, ...]] = {
    "input": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    "output": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cached_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "llm.token_count.prompt_details.cache_read",
        "llm.usage.cache_read_input_tokens",
        "ai.usage.cachedInputTokens",
    ),
    "cache_write": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "llm.token_count.prompt_details.cache_write",
        "llm.usage.cache_creation_input_tokens",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens",
        "ai.usage.reasoningTokens",
    ),
    "total": (
        "gen_ai.usage.total_tokens",
        "llm.token_count.total",
        "llm.usage.total_tokens",
        "ai.usage.totalTokens",
    ),
    "input_audio": ("llm.token_count.prompt_details.audio",),
    "output_audio": ("llm.token_count.completion_details.audio",),
}
"""Every spelling of each count, the current convention first."""

ASKED_MODEL = (
    "gen_ai.request.model",
    "llm.request.model",
    "ai.model.id",
    "langfuse.observation.model.name",
    "llm.model_name",
    "embedding.model_name",
)
SERVED_MODEL = ("gen_ai.response.model", "llm.response.model", "ai.response.model")
PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
KIT_ENDINGS = frozenset("chat responses completion embedding messages generative-ai image".split())
"""What Vercel's kit puts behind a provider's name: `openai.responses`."""
RESPONSE_ID = ("gen_ai.response.id", "llm.response.id", "ai.response.id")
COST = (
    *("operation.cost", "llm.cost.total", "gen_ai.usage.cost", "llm.usage.cost"),
    "bursar.cost_usd",
)
TIER = (
    "openai.response.service_tier",
    "gen_ai.openai.response.service_tier",
    "aws.bedrock.response.service_tier",
)
STOP = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "llm.response.finish_reason",
    "llm.finish_reason",
    "llm.response.stop_reason",
    "anthropic.message.stop_reason",
    "ai.response.finishReason",
)
OWN_USAGE = "bursar.usage"
"""Our gateway's own spans: every unit, where the convention has fewer."""
OWN_PRICE_CLASS = "bursar.price_class"
OWN_BASIS = "bursar.usage.basis"
OWN_OUTCOME = "bursar.outcome"
"""On each of our own spans; what such a span does not say is not known, and not guessed."""
OWN_COST = "bursar.cost_nano"
OWN_RETRY = "bursar.is_retry"
OWN_REQUEST_ID = "bursar.provider_request_id"
OWN_DIALECT = "bursar.dialect"
BASES = {basis.value: basis for basis in Basis}
OUTCOMES = frozenset(("ok", "cached", "refused", "left", "failed"))
STREAM = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")
MAX_TOKENS = ("gen_ai.request.max_tokens", "llm.request.max_tokens", "ai.settings.maxTokens")
HTTP_STATUS = ("http.response.status_code", "http.status_code")
FIRST_BYTE = (
    ("gen_ai.response.time_to_first_chunk", 1_000_000),
    ("gen_ai.server.time_to_first_token", 1_000),
    ("ai.response.msToFirstChunk", 1_000),
)
"""(attribute, its microseconds per unit): the convention's is in seconds, the others are in ms."""
SESSION = (
    "gen_ai.conversation.id",
    "session.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.thread_id",
    "ai.telemetry.metadata.sessionId",
)

LABELS: dict[str, tuple[str, ...]] = {
    "workflow": (
        "gen_ai.workflow.name",
        "gen_ai.agent.name",
        "traceloop.workflow.name",
        "agent.name",
        "graph.node.name",
    ),
    "route": ("ai.telemetry.functionId",),
    "user": ("user.id", "enduser.id", "langfuse.user.id", "enduser.pseudo.id"),
    "environment": (
        "deployment.environment.name",
        "deployment.environment",
        "langfuse.environment",
    ),
    "application": ("service.name",),
}
"""Attributes that mean a tag; others are read by their name, see `labels`."""

LABEL_FOLDERS = (
    "traceloop.association.properties.",
    "ai.telemetry.metadata.",
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
    "metadata.",
    "bursar.tag.",
)
"""Attributes below these are labels that the application's own people set."""

TECHNICAL = frozenset(
    "gen_ai llm ai aws openai anthropic http url server client net network rpc db messaging code"
    " thread process host os telemetry k8s cloud container event_loop input output embedding"
    " langfuse traceloop openinference pydantic_ai logfire exception error operation otel faas"
    " peer source destination event message feature_flag tls browser device graph mcp azure gcp"
    " vcs".split()
)
"""First words of attributes that never hold labels of the application."""
