"""Usage objects in the forms that nearly all answers have, as types.

`plain` gives the disjoint counts when the object is beyond doubt: nothing in it that has a price of
its own, parts within their wholes, a total that adds up in the dialect's usual way. Otherwise None,
and `usages`, which weighs every way to read it, decides.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bursar.model.usage import LARGEST_COUNT, Usage


class _PromptDetails(msgspec.Struct, forbid_unknown_fields=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class _AnswerDetails(msgspec.Struct, forbid_unknown_fields=True):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: Any = None
    rejected_prediction_tokens: Any = None


class ChatUsage(msgspec.Struct, forbid_unknown_fields=True):
    """OpenAI chat: the prompt contains caches, the answer contains reasoning."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _AnswerDetails | None = None

    def plain(self) -> Usage | None:
        prompt, answer = self.prompt_tokens, self.completion_tokens
        read = write = thought = 0
        details = self.prompt_tokens_details
        if details is not None:
            if details.audio_tokens:
                return None
            read, write = details.cached_tokens or 0, details.cache_write_tokens or 0
        more = self.completion_tokens_details
        if more is not None:
            if more.audio_tokens:
                return None
            thought = more.reasoning_tokens or 0
        if self.total_tokens != prompt + answer or read + write > prompt or thought > answer:
            return None
        if min(prompt, answer, read, write, thought) < 0 or self.total_tokens > LARGEST_COUNT:
            return None
        return Usage(
            input=prompt - read - write,
            cache_read=read,
            cache_write_5m=write,
            output=answer - thought,
            reasoning=thought,
        )


class EmbeddingsUsage(msgspec.Struct, forbid_unknown_fields=True):
    """OpenAI embeddings: a prompt and nothing else."""

    prompt_tokens: int
    total_tokens: int

    def plain(self) -> Usage | None:
        if self.prompt_tokens != self.total_tokens or not 0 <= self.total_tokens <= LARGEST_COUNT:
            return None
        return Usage(input=self.prompt_tokens)


class _Writes(msgspec.Struct, forbid_unknown_fields=True):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _Thinking(msgspec.Struct, forbid_unknown_fields=True):
    thinking_tokens: int | None = None


class AnthropicUsage(msgspec.Struct, forbid_unknown_fields=True):
    """Anthropic: the prompt leaves caches out; there is no total."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _Writes | None = None
    output_tokens_details: _Thinking | None = None
    service_tier: str | None = None
    speed: str | None = None
    server_tool_use: None = None
    inference_geo: Any = None

    def plain(self) -> Usage | None:
        read, write = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        lives, thinking = self.cache_creation, self.output_tokens_details
        short = long = thought = 0
        if lives is not None:
            short, long = lives.ephemeral_5m_input_tokens or 0, lives.ephemeral_1h_input_tokens or 0
            if short + long != write:
                return None
        if thinking is not None:
            thought = thinking.thinking_tokens or 0
        counts = (self.input_tokens, self.output_tokens, read, write, short, long, thought)
        if min(counts) < 0 or max(counts) > LARGEST_COUNT or thought > self.output_tokens:
            return None
        return Usage(
            input=self.input_tokens,
            cache_read=read,
            cache_write_5m=write - long,
            cache_write_1h=long,
            output=self.output_tokens - thought,
            reasoning=thought,
        )


class ConverseUsage(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Bedrock Converse: the prompt leaves caches out, the total adds them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: list[Any] | None = None
    server_tool_usage: Any = None

    def plain(self) -> Usage | None:
        read, write = self.cache_read_input_tokens or 0, self.cache_write_input_tokens or 0
        counts = (self.input_tokens, self.output_tokens, read, write)
        total = sum(counts)
        if self.cache_details or total != self.total_tokens:
            return None
        if min(counts) < 0 or total > LARGEST_COUNT:
            return None
        return Usage(
            input=self.input_tokens,
            cache_read=read,
            cache_write_5m=write,
            output=self.output_tokens,
        )
