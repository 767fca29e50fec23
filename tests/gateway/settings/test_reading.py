"""What a settings file may say, and what a person is told who writes it wrongly."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import msgspec
import pytest

from bursar.gateway.settings import bounds_of, journal_rules_of, load_settings, tls_of
from bursar.gateway.settings.values import Secret
from bursar.model.errors import BadInput
from gateway.settings.desks import ENVIRON, digest, parsed, refused_text

KEY = f"keys: {{a: {{sha256: {digest('a')}}}}}"


def test_no_file_is_a_gateway_for_this_machine() -> None:
    settings = load_settings(None, {})
    assert (settings.listen.host, settings.listen.port) == ("127.0.0.1", 8787)
    assert {name: one.key for name, one in settings.providers.items()} == {
        "openai": "env:OPENAI_API_KEY",
        "anthropic": "env:ANTHROPIC_API_KEY",
        "bedrock": "aws",
    }


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_says_nothing(text: str) -> None:
    assert parsed(text) == load_settings(None, ENVIRON)


def test_named_providers_are_all_that_are_used() -> None:
    settings = parsed("providers: {openai: {}, vllm: {base_url: 'https://v.example.com/v1'}}")
    assert list(settings.providers) == ["openai", "vllm"]
    assert settings.providers["vllm"].key == "env:VLLM_API_KEY"
    assert settings.providers["vllm"].dialects[0] == "openai_chat"


def test_the_region_comes_from_the_environment_last() -> None:
    text = "providers: {bedrock: {region: eu-west-1}}"
    assert parsed(text).providers["bedrock"].region == "eu-west-1"
    bedrock = parsed("", {"AWS_DEFAULT_REGION": "cn-north-1"}).providers["bedrock"]
    assert bedrock.base_url == "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
    assert parsed("", {}).providers["bedrock"].base_url is None


WRONG = [
    # text, line, what the message must hold
    ("listen:\n  prot: 1", 2, "listen.prot is no setting|did you mean port"),
    ("lissten: {}", 1, "lissten is no setting|did you mean listen"),
    ("listen:\n  host: 127.0.0.1\n  port: eighty", 3, "listen.port needs a whole number"),
    ("listen: []", 1, "listen needs names with values"),
    ("- a", 1, "needs names with values"),
    ("just words", 1, "needs names with values"),
    ("keys:\n  a:\n    tenant: x", 2, "keys.a needs `sha256`"),
    ("keys:\n  a:\n    sha256: 12", 3, "keys.a.sha256 needs a text"),
    ("keys:\n  a:\n    sha256: abc", 3, "keys.a.sha256 is no SHA-256"),
    (f"keys:\n  A_b: {{sha256: {digest('x')}}}", 2, "keys.A_b is no name"),
    (
        f"keys:\n  a: {{sha256: {digest('x')}}}\n  b: {{sha256: {digest('x')}}}",
        3,
        "that of a as well",
    ),
    ("calls:\n  drain_for: soon", 2, "calls.drain_for needs a duration|30s"),
    ("calls:\n  drain_for: -5s", 2, "needs a duration"),
    ("calls:\n  drain_for: 0", 2, "needs a duration"),
    ("calls:\n  drain_for: 90d", 2, "needs a duration"),
    ("calls:\n  drain_for: true", 2, "needs a duration"),
    ("calls:\n  drain_for: .inf", 2, "needs a duration"),
    ("calls:\n  drain_bytes: 5 parsecs", 2, "needs a size"),
    ("calls:\n  disconnect: shrug", 2, "calls.disconnect needs one of: drain, cancel"),
    ("calls:\n  max_output_tokens: 0", 2, "out of range"),
    ("calls:\n  max_output_tokens: -1", 2, "out of range"),
    ("calls:\n  max_output_tokens: 1.5", 2, "needs a whole number"),
    ("calls:\n  timeouts: {first_byte: 2h, total: 1h}", 2, "longer than total"),
    ("routes:\n  - name: a\n    provider: nobody", 3, "routes.0.provider names the provider"),
    ("routes:\n  - {name: a}\n  - {name: a}", 3, "routes.1.name"),
    ("routes:\n  - {name: default}", 2, "stands for another route"),
    ("routes:\n  - when: {}", 2, "routes.0 needs `name`"),
    ("routes:\n  - name: a\n    when: {keys: [zed]}", 3, "names the key 'zed'"),
    ("routes:\n  - name: a\n    when: {dialects: [klingon]}", 3, "names the dialect"),
    ("routes:\n  - name: a\n    when: {tags: {Bad Name: x}}", 3, "no name of a tag"),
    ("models:\n  - {match: x, provider: openia}", 2, "openia"),
    ("models:\n  - {match: '', provider: openai}", 2, "needs a pattern"),
    (f"models:\n  - {{match: {'x' * 300}, provider: openai}}", 2, "needs a pattern"),
    (f"keys:\n  a:\n    sha256: {digest('a')}\n    routes: [r]", 4, "names the route 'r'"),
    (f"keys:\n  a:\n    sha256: {digest('a')}\n    expires: never", 4, "needs a day or a time"),
    (f"keys:\n  a:\n    sha256: {digest('a')}\n    tags: {{tenant: b}}", 4, "use `tenant`"),
    (f"keys:\n  a:\n    sha256: {digest('a')}\n    tags: {{step_index: x}}", 4, "whole number"),
    ("tags:\n  required: [team, Team]", 2, "tags.required.1 is no name"),
    ("tags:\n  required: [model]", 2, "is known of every call"),
    ("tags:\n  defaults: {team: ''}", 2, "is empty"),
    (f"tags:\n  defaults: {{team: {'x' * 129}}}", 2, "longer than 128 bytes"),
    ("tags:\n  allowed: {env: [a]}\n  defaults: {env: b}", 3, "not allowed itself"),
    ("tags:\n  headers: {authorization: user}", 2, "cannot hold a tag"),
    ("metrics:\n  labels: [session]", 2, "may have any number"),
    ("providers:\n  mine: {}", 2, "has no base_url"),
    ("providers:\n  openai: {key: sk-live-123}", 2, "no reference to a key"),
    ("providers:\n  openai: {key: 'file:relative'}", 2, "no reference to a key"),
    ("providers:\n  openai: {auth: sigv4}", 2, "does not fit the key"),
    ("providers:\n  openai: {dialects: [morse]}", 2, "names the dialect 'morse'"),
    ("providers:\n  openai: {headers: {authorization: x}}", 2, "cannot be set"),
    ('providers:\n  openai: {headers: {x-a: "b\\r\\nx: y"}}', 2, "no header may have"),
    ("providers:\n  bedrock: {region: 'x.evil.com/'}", 2, ""),
    ("listen: {port: 70000}", 1, "is no port"),
    ("listen: {workers: 0}", 1, "out of range"),
    ("listen: {tls_key: /k}", 1, "half of what HTTPS needs"),
    ("limits: {body_bytes: 1GiB}", 1, "above 256MiB"),
    ("limits: {headers: 0}", 1, "out of range"),
    # the file itself
    ("a: 1\nlisten: {}\nlisten: {}", 3, "'listen' stands twice"),
    ("keys:\n  a: {}\n  a: {}", 3, "'a' stands twice"),
    ("a: &x {}\nb: *x", 1, "anchors"),
    ("a: !!python/object/apply:os.system ['true']", 1, "tags"),
    ("listen: {}\n---\nlisten: {}", 2, "second document"),
    ("? {a: b}\n: c", 1, "a key that is no word"),
    ("listen:\n\tport: 1", 2, "no YAML"),
    ("listen: {port: 1", 1, "no YAML"),
    ("listen: " + "[" * 5000, 1, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "line", "holds"), WRONG, ids=[one[2][:40] for one in WRONG])
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, holds: str) -> None:
    told = refused_text(text)
    assert told.startswith((f"bursar.yaml:{line}: ", f"bursar.yaml:{line + 1}: is no YAML"))
    assert all(part in told for part in holds.split("|"))


def test_a_key_that_stands_in_the_file_is_not_repeated() -> None:
    assert "sk-live" not in refused_text("providers: {openai: {key: sk-live-123}}")


def test_bytes_that_are_no_text() -> None:
    assert "bursar.yaml:2: is not UTF-8" in refused_text(b"listen: {}\nx: \xff\n")
    assert "no YAML" in refused_text(b"listen: \x00")
    assert "larger than 1 MiB" in refused_text(b"#" * (1 << 20) + b"#")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load_settings(tmp_path / "no.yaml", {})
    with pytest.raises(BadInput, match="cannot be read"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.4", "example.com"])
def test_beyond_loopback_there_must_be_keys(host: str) -> None:
    assert "there are no keys" in refused_text(f"listen: {{host: '{host}'}}")
    assert parsed(f"listen: {{host: '{host}'}}\n{KEY}").listen.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert parsed(f"listen: {{host: '{host}'}}").listen.host == host


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h", 3600), ("7d", 604_800), ("2.5", 2.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parsed(f"calls: {{drain_for: {text}}}").calls.drain_s == seconds


@pytest.mark.parametrize(("text", "size"), [("64KiB", 65_536), ("'2 MB'", 2_000_000), ("9", 9)])
def test_sizes(text: str, size: int) -> None:
    assert parsed(f"calls: {{drain_bytes: {text}}}").calls.drain_bytes == size


def test_words_stay_words() -> None:
    settings = parsed("tags: {defaults: {team: no, application: on, workflow: '0123'}}")
    assert settings.tags.defaults == {"team": "no", "application": "on", "workflow": "0123"}


def test_what_the_server_and_the_journal_get() -> None:
    settings = parsed("limits: {body_bytes: 1MiB}\njournal: {sync: interval, patience: 2s}")
    assert bounds_of(settings).body_bytes == 1 << 20
    assert journal_rules_of(settings).sync == "interval"
    assert journal_rules_of(settings).patience_s == 2
    assert tls_of(settings) is None


def test_the_defaults_are_those_of_the_server_and_the_journal() -> None:
    settings = parsed("")
    assert bounds_of(settings) == type(bounds_of(settings))()
    assert journal_rules_of(settings) == type(journal_rules_of(settings))()


def test_tls_files_that_are_not_there(tmp_path: Path) -> None:
    paths = f"tls_certificate: {tmp_path}/a, tls_key: {tmp_path}/b"
    with pytest.raises(BadInput, match="cannot be used"):
        tls_of(parsed(f"listen: {{{paths}}}"))


def test_a_secret_never_shows() -> None:
    secret = Secret("sk-live-123")
    shown = f"{secret} {secret!r} {[secret]}"
    assert "sk-live" not in shown
    assert secret.reveal() == "sk-live-123"
    assert secret == Secret("sk-live-123")
    assert secret != Secret("sk-live-124")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(TypeError):
        hash(secret)


def test_the_example_of_the_how_to_loads() -> None:
    page = Path(__file__).parents[3] / "docs" / "howto" / "gateway-settings.md"
    example = re.search(r"```yaml title=\"bursar.yaml\"\n(.*?)```", page.read_text("utf-8"), re.S)
    assert example is not None
    settings = parsed(example[1])
    assert {"vllm", "azure", "groq"} <= settings.providers.keys()
    assert settings.routes[0].disconnect == "cancel"
