"""`bursar check` and `bursar keys new`, as a person uses them; the reference of the settings."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from bursar.gateway.settings import structs
from bursar.gateway.settings.meanings import sections
from bursar.model.errors import BursarError
from gateway.settings.desks import bearer, desk_of, digest
from trials import bursar, bursar_apart

FILE = f"""
listen: {{host: 0.0.0.0}}
providers:
  openai: {{key: env:BURSAR_TEST_ABSENT}}
  vllm: {{base_url: "http://10.0.0.9:8000/v1", private: true, key: none}}
models: [{{match: "llama-*", provider: vllm, model: big}}]
keys:
  bot: {{sha256: {digest("bot")}, tenant: acme, models: ["gpt-*"]}}
  old: {{sha256: {digest("old")}, expires: 2020-01-01, sigv4_by_id: true}}
routes: [{{name: night, when: {{keys: [bot]}}, disconnect: cancel}}]
tags: {{required: [team], policy: refuse}}
journal: {{sync: interval}}
"""


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "bursar.yaml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_check_says_what_the_file_means(path: Path, tmp_path: Path) -> None:
    run = bursar("check", path, home=tmp_path)
    assert run.code == 0
    for words in (
        "http://0.0.0.0:8787",
        "1. night: key bot -> disconnect cancel",
        "2. llama-* -> vllm as big",
        "bot: valid, tenant acme; models gpt-*; providers any; routes any",
        "old: expired until 2020-01-01T00:00:00Z",
        "anthropic_messages: nobody; refused (404)",
        "400: a call without the tags team",
        "openai: its key env:BURSAR_TEST_ABSENT is not there",
        "cross the network as plain text",
        "whoever knows the id may spend (sigv4_by_id): old",
        "limits.body_bytes: 8MiB",
    ):
        assert words in run.text, words
    assert digest("bot") not in run.text


def test_check_as_json(path: Path, tmp_path: Path) -> None:
    found = bursar("check", path, "--json", home=tmp_path).json
    assert [one["id"] for one in found["keys"]] == ["bot", "old"]
    assert found["dialects"]["openai_chat"] == "openai"
    assert [one["key_found"] for one in found["providers"]] == [False, True]
    assert digest("bot") not in str(found)


def test_check_of_a_bad_file(path: Path, tmp_path: Path) -> None:
    path.write_text("listen: {prot: 1}", encoding="utf-8")
    run = bursar("check", path, home=tmp_path)
    assert run.code == 2
    assert f"{path}:1: listen.prot is no setting" in run.err
    assert "did you mean port?" in run.err


def test_where_the_file_is_looked_for(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monkeypatch.delenv("BURSAR_SETTINGS", raising=False)
    assert bursar("check", "--json", home=tmp_path).json["file"] is None
    monkeypatch.setenv("BURSAR_SETTINGS", str(path))
    assert bursar("check", "--json", home=tmp_path).json["file"] == str(path)
    monkeypatch.delenv("BURSAR_SETTINGS")
    monkeypatch.chdir(tmp_path)
    assert bursar("check", "--json", home=tmp_path).json["file"] == "bursar.yaml"


def test_a_new_key_is_printed_once_with_its_lines(tmp_path: Path) -> None:
    run = bursar_apart("keys", "new", "--id", "bot-2", "--tenant", "a: b", home=tmp_path)
    assert run.code == 0
    key, _, fragment = run.text.partition("\n")
    desk = desk_of(fragment)
    found = desk.holder(bearer(key))
    assert (found.key_id, found.tenant) == ("bot-2", "a: b")
    assert key not in fragment + run.err
    as_json = bursar("keys", "new", "--id", "bot-3", "--json", home=tmp_path).json
    assert as_json["key"].startswith("bsr_bot-3_")


def test_ids_and_tenants_that_are_none(tmp_path: Path) -> None:
    assert bursar("keys", "new", "--id", "Bad_Id", home=tmp_path).code == 2
    assert bursar("keys", "new", "--id", "a", "--tenant", "x" * 200, home=tmp_path).code == 2


def test_a_setting_without_a_meaning_stops_the_reference() -> None:
    source = inspect.getsource(structs)
    assert {"", "keys.NAME", "levers.prompt_cache"} <= {one.path for one in sections(source)}
    for text in ('    """False: 404."""\n', '    """Which calls."""\n'):
        assert text in source
        with pytest.raises(BursarError, match="has no meaning"):
            sections(source.replace(text, ""))


def test_every_part_of_the_file_stands_in_the_reference() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "bursar-yaml.md").read_text("utf-8")
    for one in sections():
        assert f"## `{one.path}`" in page or not one.path
        assert not [row.name for row in one.settings if f"| `{row.name}`" not in page]


def test_levers_are_told_by_route(tmp_path: Path) -> None:
    file = tmp_path / "bursar.yaml"
    file.write_text(
        "levers: {prompt_cache: {}, no_progress: {}, response_cache: {}}\n"
        "routes:\n"
        "  - {name: plain, when: {models: [gpt-4o]}, levers: {}}\n"
        "  - {name: rest, when: {path: /v1/*}}\n"
    )
    told = bursar("check", str(file), home=tmp_path)
    assert told.code == 0, told.err
    text = told.out.decode()
    assert "default: response_cache, no_progress, prompt_cache" in text
    assert "plain: none" in text
    assert "rest: response_cache, no_progress, prompt_cache" in text
    file.write_text("levers: {prompt_cache: {ttl: 2h}}\n")
    refused = bursar("check", str(file), home=tmp_path)
    assert refused.code == 2
    assert "levers.prompt_cache.ttl" in refused.err
