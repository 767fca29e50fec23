"""The OpenAPI page says what the gateway does: schemathesis asks by it, in front of the simulator.

What the page calls wrong is refused before a provider sees it; what it calls right is answered as
it says. `BURSAR_OPENAPI_EXAMPLES` asks for more random requests than the few of an ordinary run.
"""

from __future__ import annotations

import asyncio
import copy
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, Config, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi import checks as found_wrong

from bursar.dialects.quick.reader import LISTS, SPOKEN
from bursar.dialects.refusals import FAMILIES
from bursar.gateway.endpoints import PAGES, endpoint_of, page_of, served
from bursar.gateway.openapi import openapi_page
from bursar.gateway.openapi.errors import ERRORS
from bursar.gateway.pages import Pages
from bursar.gateway.settings.structs import Metrics, Settings
from tests.gateway.rig import (
    BEARER,
    KEY,
    Answered,
    Rig,
    converse_body,
    running,
    settings_for,
)
from tests.gateway.shapes import fits

SEED = 7
EXAMPLES = int(os.environ.get("BURSAR_OPENAPI_EXAMPLES", "12"))
ROOT = Path(__file__).resolve().parents[2]
LABELS = [f"{method} {path}" for method, path, _ in served()]
METERED = [f"{method} {path}" for method, path, found in served() if found and found[0].metered]
UNKNOWN_TO_SIMULATOR = ("POST /v1/responses/input_tokens",)
EXAMPLE = converse_body()
REFUSING = ["400", "404", "405", "414"]
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CHECKS = [
    not_a_server_error,
    found_wrong.status_code_conformance,
    found_wrong.content_type_conformance,
    found_wrong.response_headers_conformance,
    found_wrong.response_schema_conformance,
    found_wrong.negative_data_rejection,
    found_wrong.unsupported_method,
    found_wrong.allow_header_conformance,
]
MODELS = [
    "gpt-4o-mini",
    "us.anthropic.claude-sonnet-4-6",
    "over-there",
    "over-here",
    "over-the-hills",
]
USUAL = {
    "openai_chat": ["messages", "max_completion_tokens", "n", "stream", "stream_options"],
    "openai_responses": ["input", "max_output_tokens", "stream"],
    "openai_embeddings": ["input"],
    "anthropic_messages": ["messages", "max_tokens", "stream"],
    "bedrock_converse": ["messages", "inferenceConfig"],
    "bedrock_invoke": ["messages", "max_tokens"],
}
"""Fields of each dialect's own bodies, the one that must be there first."""


def strict_page() -> Any:
    """The page without the errors that a provider may make up: the simulator makes up none.

    What no schema says stays out: turns are not judged behind a number in their list, nor where
    `input` and `prompt` stand in one body; an idempotency-key is good for one body alone.
    """
    page: Any = copy.deepcopy(openapi_page())
    for operations in page["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("default", None)
            named = operation.get("parameters", [])
            named[:] = [one for one in named if not one["$ref"].endswith("/idempotency-key")]
    for dialect in FAMILIES:
        schema = page["components"]["schemas"][dialect]
        del schema["properties"]["input" if "anyOf" in schema else "prompt"]
        for name in (SPOKEN - LISTS) & schema["properties"].keys():
            schema["properties"][name].pop("items", None)
    return page


def usual_page() -> Any:
    """The strict page, narrowed to what clients send, so that most of it is answered."""
    page = strict_page()
    schemas = page["components"]["schemas"]
    texts = {"type": "string", "minLength": 1}
    schemas["turn"]["properties"] = {"role": {"enum": ["user", "USER"]}, "content": texts}
    schemas["turn"]["required"] = ["role", "content"]
    for dialect, names in USUAL.items():
        properties = {name: schemas[dialect]["properties"][name] for name in names}
        needed = [names[0]]
        if FAMILIES[dialect] != "bedrock":
            properties["model"] = {"enum": MODELS}
            needed.append("model")
        if "input" in names:
            properties["input"] = {
                "anyOf": [texts, {"type": "array", "items": texts, "minItems": 1}]
            }
        schemas[dialect] |= {"properties": properties, "required": needed, "type": "object"}
    page["components"]["parameters"]["model"]["schema"] = {"enum": MODELS}
    for _, path, found in served():
        if found and found[0].operation == "count_tokens":
            body = page["paths"][path]["post"]["requestBody"]
            schema = {"$ref": f"#/components/schemas/{found[0].dialect}"}
            body |= {"required": True, "content": {"application/json": {"schema": schema}}}
    return page


def loaded(page: Any) -> Any:
    made = {
        "seed": SEED,
        "generation": {
            "database": "none",
            "with-security-parameters": False,
            "allow-extra-parameters": False,
        },
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSING}},
    }
    return from_dict(page, config=Config.from_dict(made))


@pytest.fixture(scope="module", name="page")
def page_fixture() -> Any:
    return loaded(strict_page())


@pytest.fixture(scope="module", name="usual")
def usual_fixture() -> Any:
    return loaded(usual_page())


def _settings(sim: Any) -> dict[str, Any]:
    """Every call is bounded, and the key has no tenant that a generated tag could contradict."""
    made = settings_for(sim, calls={"max_output_tokens": 500})
    del made["keys"]["tests"]["tenant"]
    return made


@pytest.fixture(scope="module", name="rig")
def rig_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("openapi"), _settings, any_model=True) as one:
        yield one
        log = one.log()
        assert "fault" not in log, log
        assert "Traceback" not in log, log


@pytest.fixture(scope="module", name="session")
def session_fixture() -> Iterator[requests.Session]:
    with requests.Session() as one:
        yield one


def asked(page: Any, label: str, mode: GenerationMode, rig: Rig, session: Any) -> list[int]:
    """Ask all that schemathesis thinks of. The statuses of the answers."""
    operation = page.find_operation_by_label(label)
    statuses: list[int] = []

    def one(case: Case) -> None:
        before = len(rig.sim.invoice.lines)
        answer = case.call_and_validate(rig.url, session, BEARER, checks=CHECKS)
        statuses.append(answer.status_code)
        if mode is BAD and label in METERED and answer.status_code == 400:
            assert len(rig.sim.invoice.lines) == before, answer.text

    generation = page.config.generation_for(operation=operation)
    for case in page.iter_coverage_cases(
        operation, generation_modes=[GOOD, BAD], generation_config=generation
    ):
        if case.meta.generation.mode is mode:  # all but one part of a wrong one is right
            one(case)

    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    @given(case=operation.as_strategy(generation_mode=mode))
    def more(case: Case) -> None:
        one(case)

    if mode is GOOD or label in METERED:  # of other requests nothing but the method is judged
        more()
    return statuses


@pytest.mark.parametrize("label", LABELS)
def test_what_is_right_is_answered_as_the_page_says(
    usual: Any, label: str, rig: Rig, session: requests.Session
) -> None:
    statuses = asked(usual, label, GOOD, rig, session)
    assert 200 in statuses or label in UNKNOWN_TO_SIMULATOR
    assert statuses.count(200) > len(statuses) / 2 or label not in METERED


@pytest.mark.parametrize("label", LABELS)
def test_what_is_wrong_is_refused_as_the_page_says(
    page: Any, label: str, rig: Rig, session: requests.Session
) -> None:
    statuses = asked(page, label, BAD, rig, session)
    assert 405 in statuses
    assert 400 in statuses or label not in METERED


@pytest.mark.parametrize("label", [one for one in LABELS if one.split()[1] not in PAGES])
def test_a_key_is_needed_as_the_page_says(
    usual: Any, label: str, rig: Rig, session: requests.Session
) -> None:
    operation = usual.find_operation_by_label(label)

    @seed(SEED)
    @settings(max_examples=2, deadline=None, database=None)
    @given(case=operation.as_strategy(generation_mode=GOOD))
    def one(case: Case) -> None:
        case.call_and_validate(rig.url, session, BEARER, checks=[found_wrong.ignored_auth])

    one()


# -- what is not on the page

METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "QUERY", "BREW")
STARTS = [path.replace("{model}", MODELS[1]) for _, path, _ in served()]
ODDITIES = (
    "/",
    "//",
    "/..",
    "/.",
    "%2e",
    "%2F",
    "%00",
    "%ff",
    "%",
    "?",
    "?a=b",
    "#",
    ";",
    "\\",
    "é",
)
TARGETS = st.builds(
    lambda start, place, odd: start[:place] + odd + start[place:],
    st.sampled_from(STARTS),
    st.integers(0, 60),
    st.one_of(st.just(""), st.sampled_from(ODDITIES), st.text("aA./%~{}-:0", max_size=4)),
)


@seed(SEED)
@settings(max_examples=max(150, EXAMPLES), deadline=None, database=None)
@given(method=st.sampled_from(METHODS), target=TARGETS)
def test_what_is_not_on_the_page_goes_nowhere(rig: Rig, method: str, target: str) -> None:
    target = "/" + target.encode().decode("latin-1").lstrip("/") if target[:1] != "/" else target
    sent = method.encode(), target.encode()
    if endpoint_of(*sent) is not None or page_of(*sent) is not None:
        return
    before = len(rig.sim.invoice.lines)
    found = raw_ask(rig, *sent)
    assert found.status in (400, 404, 405), found
    assert len(rig.sim.invoice.lines) == before
    if found.status == 405:
        allowed = (found.header("allow") or "").split(", ")
        assert all(
            endpoint_of(one.encode(), sent[1]) or page_of(one.encode(), sent[1]) for one in allowed
        )
    if method != "HEAD":
        assert any(fits(kind, found.json()) for kind in ERRORS), found


def raw_ask(rig: Rig, method: bytes, target: bytes) -> Answered:
    """A request with any bytes as its target, which http.client would not send."""
    head = b"%b %b HTTP/1.1\r\nhost: gw\r\ncontent-length: 0\r\n\r\n" % (method, target)
    with socket.create_connection(("127.0.0.1", rig.port), 10) as line:
        line.sendall(head)
        answer = http.client.HTTPResponse(line, method=method.decode())
        answer.begin()
        named = [(name.lower(), value) for name, value in answer.getheaders()]
        return Answered(answer.status, named, answer.read())


def test_the_page_is_served_to_everybody(rig: Rig) -> None:
    found = rig.get("/openapi.json")
    written = (ROOT / "docs" / "reference" / "openapi.json").read_bytes()
    assert (found.status, found.body) == (200, written)
    assert found.header("content-type") == "application/json"
    assert KEY.encode() not in found.body


# -- what schemathesis and these laws have found


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_known_by_its_path(rig: Rig, page: str) -> None:
    """A probe may add a query, ask with HEAD, or use a wrong method."""
    assert rig.get(f"{page}?probe=1").status == 200
    found = rig.ask("HEAD", page)
    assert (found.status, found.body) == (200, b"")
    wrong = rig.ask("POST", page)
    assert (wrong.status, wrong.header("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages", 405, "anthropic_error"),
        ("POST", "/v1/messages/batches", 404, "anthropic_error"),
        ("GET", "/model/m/converse", 405, "bedrock_error"),
        ("POST", "/model/m/rerank", 404, "bedrock_error"),
        ("DELETE", "/v1/responses", 405, "openai_error"),
    ],
)
def test_who_asks_for_what_is_not_served_is_told_in_the_dialect_of_the_path(
    rig: Rig, method: str, path: str, status: int, kind: str
) -> None:
    found = rig.ask(method, path, b"{}", BEARER)
    assert found.status == status
    assert fits(kind, found.json())
    assert bool(found.header("x-amzn-errortype")) == (kind == "bedrock_error")


@pytest.mark.parametrize("model", ["..", ".", "%2e%2e", "%2E", "%ff", "a%00b", "m" * 2_049, ""])
@pytest.mark.parametrize("operation", ["converse", "count-tokens"])
def test_a_model_id_that_is_none(rig: Rig, model: str, operation: str) -> None:
    """A step in a path, or bytes that would go on as others, reach no provider."""
    before = len(rig.sim.invoice.lines)
    found = rig.post(f"/model/{model}/{operation}", EXAMPLE)
    assert found.status == 404
    assert fits("bedrock_error", found.json())
    assert len(rig.sim.invoice.lines) == before


@pytest.mark.parametrize(
    ("config", "status"), [([], 400), ("x", 400), (7, 400), (None, 200), ({}, 200)]
)
def test_a_bound_on_the_answer_meets_an_odd_place(rig: Rig, config: object, status: int) -> None:
    """The route sets `inferenceConfig.maxTokens`, whatever the client has put there."""
    found = rig.post(f"/model/{MODELS[1]}/converse", {**EXAMPLE, "inferenceConfig": config})
    assert found.status == status, found
    assert status == 200 or "inferenceConfig" in found.json()["message"]


def test_tokens_are_counted_of_the_model_that_is_called(rig: Rig) -> None:
    """`over-there` is a name of the settings; the provider knows it by its own."""
    body = {"model": "over-there", "messages": [{"role": "user", "content": "hello"}]}
    assert rig.post("/v1/messages/count_tokens", body).status == 200
    assert rig.sim.invoice.lines[-1].model == "claude-sonnet-4-6"


def test_metrics_that_are_hidden_are_no_path() -> None:
    """The same answer as for any other path that is not served."""
    off = SimpleNamespace(desk=SimpleNamespace(settings=Settings(metrics=Metrics(on=False))))
    page = Pages(off, Path(), print, dict).by_path()["/metrics"]  # type: ignore[arg-type]
    asked = SimpleNamespace(header=lambda name: None)
    status, _, body = asyncio.run(page(asked))  # type: ignore[arg-type]
    assert status == 404
    assert fits("openai_error", json.loads(body))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("baggage", "bursar.route=%ff"),
        ("baggage", "bursar.tenant=a,bursar.tenant=b"),
        ("baggage", "bursar.step_index=x"),
        ("baggage", "bursar.=,=;,,bursar.route"),
        ("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-00"),
        ("traceparent", "ff-x"),
        ("x-amzn-bedrock-request-metadata", "[" * 4_000),
        ("x-amzn-bedrock-request-metadata", '{"bursar.tenant": "a b", "x": 1}'),
        ("amz-sdk-request", "attempt=99999; max=1"),
        ("x-stainless-retry-count", "-1"),
        ("x-bursar-", "x"),
        ("x-bursar-quarantine", "x"),
        ("x-bursar-step-index", "1000001"),
        ("content-type", "text/plain; charset=utf-16"),
    ],
)
def test_odd_headers(rig: Rig, name: str, value: str) -> None:
    found = rig.chat("odd", {name: value})
    assert found.status in (200, 400)
    assert found.status == 200 or fits("openai_error", found.json())
