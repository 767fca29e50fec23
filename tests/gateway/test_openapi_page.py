"""The OpenAPI page and the code say the same: bodies, endpoints, refusals, examples, words."""

from __future__ import annotations

import ast
import copy
import json
import operator
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from jsonschema_rs import validator_for
from schemathesis.openapi import from_dict

from bursar.dialects.kinds import ROLES
from bursar.dialects.quick import Bounds, QuickReader
from bursar.dialects.refusals import FAMILIES
from bursar.gateway import endpoints, openapi
from bursar.gateway.endpoints import PAGES, Endpoint, endpoint_of, page_of, served
from bursar.gateway.http.incoming import Kind
from bursar.gateway.openapi import openapi_page
from bursar.gateway.openapi.bodies import body_schema
from bursar.gateway.pages import Pages
from bursar.model.errors import BadInput, BursarError
from tests.gateway.shapes import fits

SEED = 7
EXAMPLES = int(os.environ.get("BURSAR_OPENAPI_EXAMPLES", "150"))
ROOT = Path(__file__).resolve().parents[2]

# -- bodies: the page against the reader itself

EDGES = (0, 1, Bounds().answers, Bounds().max_tokens)
NUMBERS = [edge + step for edge in EDGES for step in (-1, 0, 1)]
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda one: one != int(one)),
    st.text(min_size=1, max_size=4),
)
ROLE = st.one_of(st.sampled_from([*ROLES, "zzz", ""]), PLAIN)
TURN = st.fixed_dictionaries({}, optional={"role": ROLE, "content": st.text(max_size=4)})
VALUE = st.one_of(PLAIN, st.just({}), TURN, st.lists(TURN, max_size=2), st.lists(PLAIN, max_size=2))


def bodies(dialect: str) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies out of what the page names for a dialect."""
    named = body_schema(dialect)["properties"]
    assert isinstance(named, dict)
    fields: dict[str, Any] = {"another": VALUE}
    for name, schema in named.items():
        inner = schema.get("properties", {}) if isinstance(schema, dict) else {}
        nested = st.fixed_dictionaries({}, optional=dict.fromkeys(inner, PLAIN))
        fields[name] = st.one_of(VALUE, nested) if inner else VALUE
    few = st.sets(st.sampled_from(sorted(fields)), max_size=2).flatmap(
        lambda names: st.fixed_dictionaries({name: fields[name] for name in names})
    )
    said = st.sampled_from([{}, {"messages": [{"role": "user"}]}, {"messages": []}])
    return st.builds(operator.or_, said, few)


def judged(dialect: str, reader: QuickReader, body: dict[str, Any]) -> None:
    """The page and the reader are of one mind."""
    try:
        reader.asking(dialect, json.dumps(body).encode())
        refused = None
    except BadInput as bad:
        refused = bad.message
    assert fits(dialect, body) == (refused is None), (body, refused)


BOTH = {"input": "a", "prompt": "b"}
"""One of them gives blocks before and after the other's, so such bodies are read in another way."""
SAMPLES = [
    None,
    True,
    "x",
    0.5,
    {},
    [],
    {"role": "zzz"},
    [{"role": "zzz"}],
    [{}],
    [None],
    [7, {}],
    *NUMBERS,
]


@pytest.mark.parametrize("dialect", FAMILIES)
def test_each_field_is_judged_as_the_page_says(dialect: str) -> None:
    reader = QuickReader()
    named = body_schema(dialect)["properties"]
    assert isinstance(named, dict)
    for name, schema in named.items():
        inner = schema.get("properties", {}) if isinstance(schema, dict) else {}
        for value in SAMPLES:
            for field in (value, *({step: value} for step in inner)):
                judged(dialect, reader, {"messages": [{"role": "user"}], name: field})
                judged(dialect, reader, {"messages": [{"role": "user"}], **BOTH, name: field})


@pytest.mark.parametrize("dialect", FAMILIES)
def test_bodies_are_judged_as_the_page_says(dialect: str) -> None:
    reader = QuickReader()

    @seed(SEED)
    @settings(max_examples=EXAMPLES, deadline=None, database=None)
    @given(body=bodies(dialect))
    def law(body: dict[str, Any]) -> None:
        judged(dialect, reader, body)

    law()


# -- the page and the code


def test_the_page_is_what_is_served() -> None:
    page: Any = openapi_page()
    shown = {(method.upper(), path) for path, one in page["paths"].items() for method in one}
    assert shown == {(method, path) for method, path, _ in served()}
    known = {id(one) for _, _, several in served() for one in several}
    tables = [one for one in vars(endpoints).values() if isinstance(one, dict)]
    found = [one for table in tables for one in table.values()] + list(vars(endpoints).values())
    assert {id(one) for one in found if isinstance(one, Endpoint)} == known
    for method, path, several in served():
        target = path.replace("{model}", "m").encode()
        entrance = endpoint_of(method.encode(), target)
        assert (entrance.endpoint in several) if entrance else page_of(b"GET", target) == path
    assert tuple(Pages(None, Path(), print, dict).by_path()) == PAGES  # type: ignore[arg-type]


def refusals_in(source: str) -> Iterator[tuple[str, int | None]]:
    """(word, status where it stands there) of every refusal that a source can make."""
    places = {"Refused": 1, "refusal": 1, "_bad": 0, "_forbidden": 0}
    tree = ast.parse(source)
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in places:
            args = [
                one.value
                if isinstance(one, ast.Constant)
                else constants.get(getattr(one, "id", ""))
                for one in node.args
            ]
            word = args[places[node.func.id]] if args else None  # type: ignore[attr-defined]
            if isinstance(word, str):
                yield word, args[0] if isinstance(args[0], int) else None


def test_every_refusal_of_the_code_is_on_the_page() -> None:
    words = openapi.words()["refusals"]
    found: set[str] = {f"upstream_{kind}" for kind in get_args(Kind)}
    package = ROOT / "src" / "bursar"
    for folder in ("gateway", "dialects", "ledger/journal"):
        for path in (package / folder).rglob("*.py"):
            if path.parent.name != "http":
                for word, status in refusals_in(path.read_text(encoding="utf-8")):
                    found.add(word)
                    known = words.get(word, {}).get("statuses", [])
                    assert known, (word, path)
                    assert status in (None, *known), (word, path)
    assert found == words.keys()


def test_every_example_has_its_shape() -> None:
    page: Any = openapi_page()
    components = page["components"]
    for name, response in components["responses"].items():
        content = response["content"]["application/json"]
        judge = validator_for({**content["schema"], "components": components})
        assert content["examples"], name
        assert all(judge.is_valid(one["value"]) for one in content["examples"].values()), name
    for operations in page["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                judge = validator_for({**content["schema"], "components": components})
                assert judge.is_valid(content.get("example", {}))


def test_the_page_is_openapi() -> None:
    from_dict(openapi_page()).validate()


def test_words_without_code_stop_the_page() -> None:
    for part in ("paths", "keys", "tags", "headers", "statuses", "examples"):
        told = copy.deepcopy(openapi.words())
        told[part]["gone"] = "nothing"
        with pytest.raises(BursarError, match="gone"):
            openapi_page(told)
