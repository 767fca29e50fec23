"""Where calls go, and which keys may go there."""

from __future__ import annotations

import pytest

from bursar.model.call import Tags
from gateway.settings.desks import bearer, desk_of, digest, planned, token

HOUSE = """
providers:
  openai: {timeouts: {idle: 30s, connect: 1s}}
  anthropic: {}
  bedrock: {}
  vllm: {base_url: "http://10.0.0.9:8000/v1", private: true, key: none}
models:
  - {match: "llama-*", provider: vllm}
  - {match: house, provider: vllm, model: meta/Llama-3}
  - {match: "claude-on-openai-*", provider: anthropic}
"""


def test_by_dialect_and_by_name() -> None:
    desk = desk_of(HOUSE)
    assert planned(desk, "gpt-5") == "openai gpt-5 default"
    assert planned(desk, "claude-sonnet-4-6", "anthropic_messages").startswith("anthropic ")
    assert planned(desk, "us.anthropic.x", "bedrock_converse").startswith("bedrock ")
    assert planned(desk, "llama-3") == "vllm llama-3 default"
    assert planned(desk, "house") == "vllm meta/Llama-3 default"
    assert planned(desk, None) == "openai None default"


def test_another_dialect_where_a_rule_says_so() -> None:
    desk = desk_of(HOUSE)
    plan = desk.plan(desk.holder([]), "openai_chat", "claude-on-openai-1", Tags())
    assert (plan.provider.name, plan.dialect) == ("anthropic", "anthropic_messages")
    assert planned(desk, "claude-on-openai-1", "openai_embeddings") == "400 dialect_not_spoken"


@pytest.mark.parametrize("model", ["", "x" * 2_049, "a\x00b", "a\nb"])
def test_models_that_are_no_names(model: str) -> None:
    assert planned(desk_of(HOUSE), model) == "400 bad_model"


def test_nobody_speaks_it() -> None:
    desk = desk_of("providers: {anthropic: {}}")
    assert planned(desk, "gpt-5") == "404 no_provider"


def test_unlisted_models_may_be_refused() -> None:
    desk = desk_of(HOUSE + "unlisted_models: refuse")
    assert planned(desk, "gpt-5") == "404 unknown_model"
    assert planned(desk, "llama-3") == "vllm llama-3 default"


ROUTES = """
routes:
  - {name: by-tag, when: {tags: {route: "triage*", step_index: "0"}}, model: gpt-5-mini}
  - {name: by-header, when: {headers: {x-tier: gold}}, provider: vllm}
  - {name: by-path, when: {path: "/v1/responses*"}}
  - {name: by-model, when: {models: ["o*", "gpt-4?"], dialects: [openai_chat]}, model: house}
"""


def test_the_first_route_that_fits() -> None:
    desk = desk_of(HOUSE + ROUTES)
    first = Tags(route="triage-7", step_index=0)
    assert planned(desk, "gpt-5", tags=first) == "openai gpt-5-mini by-tag"
    assert planned(desk, "gpt-5", tags=Tags(route="triage-7")) == "openai gpt-5 default"
    gold = [(b"x-tier", b"gold")]
    assert planned(desk, "gpt-5", headers=gold) == "vllm gpt-5 by-header"
    assert planned(desk, "gpt-5", headers=[(b"x-tier", b"tin")]) == "openai gpt-5 default"
    assert planned(desk, "gpt-5", target=b"/v1/responses?x") == "openai gpt-5 by-path"
    assert planned(desk, "gpt-4x") == "vllm meta/Llama-3 by-model"
    assert planned(desk, "gpt-5") == "openai gpt-5 default"


def test_a_route_by_key() -> None:
    keys = f"keys: {{a: {{sha256: {digest('a')}}}, b: {{sha256: {digest('b')}}}}}\n"
    desk = desk_of(keys + "routes: [{name: night, when: {keys: [a]}}]")
    a, b = (desk.holder(bearer(token(one))) for one in "ab")
    assert planned(desk, "gpt-5", holder=a) == "openai gpt-5 night"
    assert planned(desk, "gpt-5", holder=b) == "openai gpt-5 default"


def test_what_a_key_may_use() -> None:
    keys = f"""
keys:
  m: {{sha256: {digest("m")}, models: ["gpt-5*", house]}}
  p: {{sha256: {digest("p")}, providers: [openai]}}
  r: {{sha256: {digest("r")}, routes: [by-path]}}
"""
    desk = desk_of(HOUSE + ROUTES + keys)
    m, p, r = (desk.holder(bearer(token(one))) for one in "mpr")
    assert planned(desk, "gpt-5-mini", holder=m) == "openai gpt-5-mini default"
    assert planned(desk, "house", holder=m) == "vllm meta/Llama-3 default"
    assert planned(desk, "meta/Llama-3", holder=m) == "403 model_not_allowed"
    assert planned(desk, "gpt-5", holder=p) == "openai gpt-5 default"
    assert planned(desk, "llama-3", holder=p) == "403 provider_not_allowed"
    assert planned(desk, "gpt-5", holder=r) == "403 route_not_allowed"
    assert planned(desk, "gpt-5", holder=r, target=b"/v1/responses") == "openai gpt-5 by-path"


def test_what_is_remembered_does_not_cross_keys() -> None:
    keys = f"keys: {{a: {{sha256: {digest('a')}}}, b: {{sha256: {digest('b')}, models: [x]}}}}"
    desk = desk_of(keys)
    a, b = (desk.holder(bearer(token(one))) for one in "ab")
    assert planned(desk, "gpt-5", holder=a) == "openai gpt-5 default"
    assert planned(desk, "gpt-5", holder=b) == "403 model_not_allowed"
    assert planned(desk, "gpt-5", holder=a) == "openai gpt-5 default"


def test_every_default_is_filled_in() -> None:
    text = """
calls: {drain_for: 10s, unpriced: deny, max_output_tokens: 9, timeouts: {total: 5m, idle: 1m}}
routes:
  - name: r
    when: {models: [x]}
    disconnect: cancel
    answer_within: 2s
    timeouts: {first_byte: 3s, connect: 2s}
"""
    desk = desk_of(HOUSE + text)
    who = desk.holder([])
    plan = desk.plan(who, "openai_chat", "x", Tags())
    rule, waits = plan.route, plan.waits
    assert (rule.disconnect, rule.drain_s, rule.answer_s) == ("cancel", 10, 2)
    assert (rule.unpriced, rule.max_output_tokens) == ("deny", 9)
    assert rule.large_request_tokens == 20_000
    assert (waits.connect_s, waits.head_s, waits.idle_s, waits.total_s) == (2, 3, 30, 300)
    rest = desk.plan(who, "openai_chat", "y", Tags())
    assert (rest.route.disconnect, rest.waits.head_s, rest.waits.connect_s) == ("drain", 600, 1)


def test_a_provider_whose_key_is_not_there() -> None:
    assert planned(desk_of("", {}), "gpt-5") == "503 provider_not_ready"
    assert planned(desk_of("", {}), "x", "bedrock_converse") == "503 provider_not_ready"
    assert planned(desk_of(HOUSE, {"AWS_REGION": "us-east-1"}), "house").startswith("vllm ")


def test_how_each_provider_is_called() -> None:
    text = """
providers:
  openai: {headers: {openai-organization: org-1}}
  azure: {base_url: "https://c.openai.azure.com/openai/v1/", auth: api-key, key: "env:AZ"}
  both: {base_url: "https://b.example.com", dialects: [anthropic_messages], key: "env:AZ"}
  bedrock: {key: "env:AZ"}
"""
    desk = desk_of(text, {"AZ": "s3cr3t", "AWS_REGION": "us-east-1"})
    found = {name: one.auth for name, one in desk.providers.items()}
    assert found == {
        "openai": "bearer",
        "azure": "api-key",
        "both": "x-api-key",
        "bedrock": "bearer",
    }
    assert desk.providers["openai"].headers == ((b"openai-organization", b"org-1"),)
    assert desk.providers["azure"].base_path == b"/openai/v1"
    assert desk.providers["azure"].origin.host == "c.openai.azure.com"
    assert desk.providers["bedrock"].prices == "aws"
    assert "s3cr3t" not in repr(desk.providers)
