"""Which model a log line means, and what is unpriced rather than guessed."""

from __future__ import annotations

from datetime import datetime

import pytest

from bursar.model.errors import Unpriced
from bursar.model.usage import Usage
from bursar.price import Book

AT = datetime(2026, 11, 1)
ARN = "arn:aws:bedrock:us-east-1:111122223333"


@pytest.mark.parametrize(
    ("provider", "model", "owner", "found"),
    [
        ("aws.bedrock", "us.amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
        ("bedrock", "us.amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
        ("AWS", "US.AMAZON.NOVA-PRO-V1:0", "aws", "amazon.nova-pro-v1:0"),
        (None, "us.amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
        (None, "amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
        (None, "openai.gpt-oss-120b-1:0", "aws", "openai.gpt-oss-120b-1:0"),
        (None, "bedrock/converse/us.amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
        (None, "bedrock/us-east-1/amazon.nova-lite-v1:0", "aws", "amazon.nova-lite-v1:0"),
        (None, f"{ARN}:inference-profile/us.amazon.nova-pro-v1:0", "aws", "amazon.nova-pro-v1:0"),
        (
            "anthropic",
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "aws",
            "amazon.nova-lite-v1:0",
        ),
        (
            None,
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Famazon.nova-lite-v1%3A0",
            "aws",
            "amazon.nova-lite-v1:0",
        ),
        ("openai", "gpt-4o-2024-08-06", "openai", "gpt-4o"),
        ("openai", "openai/gpt-5", "openai", "gpt-5"),
        (None, "gpt-5", "openai", "gpt-5"),
        (None, "text-embedding-3-small", "openai", "text-embedding-3-small"),
        ("aws", "anthropic.claude-v2:1", "aws", "anthropic.claude-v2:1"),
        ("mistralai", "mistral-large-latest", "mistral", "mistral-large"),
        (None, "claude-opus-5-5", "anthropic", "claude-opus-5-5"),
        (None, "anthropic/claude-opus-5-5", "anthropic", "claude-opus-5-5"),
        ("litellm", "anthropic/claude-opus-5-5", "anthropic", "claude-opus-5-5"),
        ("litellm", "vertex_ai/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("gcp.gemini", "models/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("vertex_ai", "claude-sonnet-4-5@20250929", "google", "claude-sonnet-4-5"),
        ("az.ai.openai", "gpt-4o", "azure", "gpt-4o"),
        ("azure.ai.openai", "gpt-4o", "azure", "gpt-4o"),
        ("azure", "claude-opus-5-5", "azure", "claude-opus-5-5"),
        ("x_ai", "grok-4", "x-ai", "grok-4-0709"),
        ("mistral_ai", "mistral-large-latest", "mistral", "mistral-large"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5"),
    ],
)
def test_names_in_logs(
    book: Book, provider: str | None, model: str, owner: str, found: str
) -> None:
    rates = book.rates(provider, model, AT)
    assert (rates.provider, rates.model) == (owner, found)


@pytest.mark.parametrize(
    ("provider", "model", "price_class", "says"),
    [
        ("openai", None, "standard", "the model is not known"),
        ("openai", "   ", "standard", "the model is not known"),
        ("openai", "gpt-99", "standard", "lists no model 'gpt-99' at openai"),
        ("openai", "claude-opus-5-5", "standard", "listed at anthropic"),
        ("nobody", "gpt-4o", "standard", "the provider 'nobody' is not known"),
        (None, "some-llm", "standard", "no provider was named"),
        (None, "mistralai/Mixtral-8x7B-Instruct-v0.1", "standard", "no provider was named"),
        ("aws", f"{ARN}:application-inference-profile/x1", "standard", "names no model"),
        ("aws", f"{ARN}:provisioned-model/x1", "standard", "provisioned-model"),
        ("openai", "gpt-4o", "scale", "paid by contract"),
        ("aws", "us.amazon.nova-pro-v1:0", "reserved", "paid by contract"),
        ("openai", "gpt-4o", "btach", "price class 'btach'"),
        ("anthropic", "claude-opus-5-5", "priority", "price class 'priority'"),
        ("azure", "gpt-4o", "batch", "price class 'batch' of azure/gpt-4o"),
        ("anthropic", "claude-opus-5-5", "batch+mars", "price class 'mars'"),
    ],
)
def test_unknown_is_unpriced_with_a_reason(
    book: Book, provider: str | None, model: str | None, price_class: str, says: str
) -> None:
    usage = Usage(input=10, output=10)
    priced = book.price(provider, model, usage, AT, price_class)
    fast, _, reason = book.cost_nano(provider, model, usage, AT, price_class)
    assert priced.cost_nano is None
    assert fast is None
    assert says in (priced.unpriced_reason or "")
    assert reason == priced.unpriced_reason
    with pytest.raises(Unpriced) as caught:
        book.rates(provider, model, AT, price_class)
    assert caught.value.mend


def test_a_unit_without_a_rate_is_named(book: Book) -> None:
    usage = Usage(input=10, other={"guardrail_units": 2})
    priced = book.price("anthropic", "claude-opus-5-5", usage, AT)
    assert priced.cost_nano is None
    assert "guardrail_units" in (priced.unpriced_reason or "")
    embedding = book.price("openai", "text-embedding-3-small", Usage(input=10, output=1), AT)
    assert embedding.cost_nano is None
    assert "output" in (embedding.unpriced_reason or "")
    assert book.price("openai", "text-embedding-3-small", Usage(input=10), AT).cost_nano == 200


def test_find_and_list(book: Book) -> None:
    listed = list(book.models())
    assert len(listed) > 2300
    assert {"anthropic", "openai", "aws", "google"} <= {one.provider for one in listed}
    assert next(one.model for one in book.find("anthropic/claude-opus-5-5")) == "claude-opus-5-5"
    assert any(one.origin for one in book.find("cohere embed-v4"))
    assert book.find("no such model at all") == []


def test_aware_times_are_read_as_utc(book: Book) -> None:
    ahead = datetime.fromisoformat("2026-08-21T01:00:00+02:00")
    assert book.rates("openai", "gpt-5.6-sol", ahead).input == 5_000_000


def test_no_time_means_the_books_today(book: Book) -> None:
    usage = Usage(input=1000)
    assert book.cost_nano("openai", "gpt-5.6-sol", usage)[0] == 4_000_000


def test_made_up_names_do_not_grow_the_book(book: Book) -> None:
    for n in range(200):
        assert book.cost_nano("openai", f"gpt-nonsense-{n}", Usage(input=1))[0] is None
