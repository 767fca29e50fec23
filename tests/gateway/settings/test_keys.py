"""Virtual keys: bad_inputs 1 to 8, AWS clients, expiry, and the desk without any key."""

from __future__ import annotations

import hmac
from unittest.mock import patch

import pytest

from bursar.gateway.settings.holders import Holder
from bursar.gateway.settings.keys import new_key, read_secret
from bursar.model.errors import BadInput, Refused
from gateway.settings.desks import SECRET, bearer, desk_of, digest, holder, token

DESK = desk_of(
    f"""
    keys:
      a: {{sha256: {digest("a")}, tenant: acme, tags: {{team: red}}}}
      b: {{sha256: {digest("b")}}}
      old: {{sha256: {digest("old")}, expires: 2020-01-01}}
      out: {{sha256: {digest("out")}, blocked: true}}
      aws: {{sha256: {digest("aws")}, sigv4_by_id: true}}
    """
)


def sigv4(access_key: str) -> tuple[bytes, bytes]:
    rest = "/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00"
    return b"authorization", f"AWS4-HMAC-SHA256 Credential={access_key}{rest}".encode()


A = token("a").encode()


@pytest.mark.parametrize(
    "headers",
    [
        bearer(A),
        [(b"authorization", b"bearer " + A)],
        [(b"x-api-key", A)],
        [(b"api-key", A)],
        [(b"x-api-key", A), (b"authorization", b"Bearer " + A), (b"api-key", A)],
    ],
)
def test_one_key_in_any_place_is_one_holder(headers: list[tuple[bytes, bytes]]) -> None:
    found = DESK.holder(headers)
    assert (found.key_id, found.tenant) == ("a", "acme")


BAD = [
    b"' OR '1'='1",
    b"",
    b" " + A,
    A + b" ",
    b"x",
    b"bsr_a_" + b"t" * 43,
    b"bsr_zed_" + SECRET.encode(),
    A[:-1],
    A + b"s",
    A.upper(),
    A + b"\x00",
    A + b"\r\nx: y",
    A + b"\xc3\xa9",
    b"a",
    b"bsr_a_",
    b"bsr__" + SECRET.encode(),
    b"x" * 1025,
    b"x" * (1 << 20),
    b"sk-ant-api03-something",
]


@pytest.mark.parametrize("key", BAD, ids=lambda one: repr(one[:20]))
@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"api-key"])
def test_what_is_no_key_is_401_with_one_answer(name: bytes, key: bytes) -> None:
    value = b"Bearer " + key if name == b"authorization" else key
    with pytest.raises(Refused) as caught:
        DESK.holder([(name, value)])
    bad = caught.value
    assert (bad.status, bad.kind) == (401, "unknown_key")
    assert bad.headers == ((b"www-authenticate", b'Bearer realm="bursar"'),)
    assert key.decode("latin-1").strip()[:12] not in str(bad) or len(key) < 2


@pytest.mark.parametrize(
    "value",
    [b"", b"Bearer", b"bearer  x", b"Basic dXNlcjpwdw==", b"Token x", A, b"AWS4-HMAC-SHA256"],
)
def test_odd_authorization_headers(value: bytes) -> None:
    assert holder(DESK, (b"authorization", value)) == (401, "unknown_key")


def test_no_key_at_all() -> None:
    assert holder(DESK) == (401, "missing_key")
    assert holder(DESK, (b"cookie", b"key=" + A), (b"x-key", A)) == (401, "missing_key")


def test_two_keys_are_refused_whichever_is_good() -> None:
    b = token("b").encode()
    for pair in (
        [(b"x-api-key", A), (b"api-key", b)],
        [(b"x-api-key", A), (b"x-api-key", b"")],
        [(b"authorization", b"Bearer " + A), (b"authorization", b"Bearer " + b)],
        [(b"authorization", b"Basic eA=="), (b"x-api-key", A)],
    ):
        assert holder(DESK, *pair) == (400, "two_keys")


@pytest.mark.parametrize("length", [20, 40, 100, 200])
def test_keys_that_begin_alike_are_two(length: int) -> None:
    one, two = ("s" * length + end for end in ("1", "2"))
    desk = desk_of(
        f"keys: {{k: {{sha256: {digest('k', one)}}}, m: {{sha256: {digest('m', two)}}}}}"
    )
    assert isinstance(holder(desk, *bearer(token("k", one))), Holder)
    assert holder(desk, *bearer(token("k", two))) == (401, "unknown_key")
    assert holder(desk, *bearer(token("m", one))) == (401, "unknown_key")


def test_a_known_and_an_unknown_id_cost_the_same_steps() -> None:
    steps: list[list[int]] = []
    real = hmac.compare_digest
    for key in (token("a", "w" * 43), token("zed", "w" * 43), "'; DROP TABLE keys", "x" * 70):
        seen: list[int] = []

        def counting(one: bytes, two: bytes, seen: list[int] = seen) -> bool:
            seen.append(len(one) + len(two))
            return real(one, two)

        with patch("bursar.gateway.settings.keys.hmac.compare_digest", counting):
            assert holder(DESK, *bearer(key)) == (401, "unknown_key")
        steps.append(seen)
    assert steps == [[64]] * 4


def test_expired_and_blocked() -> None:
    assert holder(DESK, *bearer(token("old"))) == (401, "expired_key")
    assert holder(DESK, *bearer(token("out"))) == (401, "blocked_key")
    assert holder(DESK, *bearer(token("old", "w" * 43))) == (401, "unknown_key")
    text = f"keys: {{a: {{sha256: {digest('a')}, expires: '2027-01-01T00:00:00Z'}}}}"
    at = 1_798_761_600
    assert isinstance(holder(desk_of(text, now_s=at - 1), *bearer(A)), Holder)
    assert holder(desk_of(text, now_s=at), *bearer(A)) == (401, "expired_key")


def test_aws_clients_send_the_whole_key_as_their_access_key_id() -> None:
    assert DESK.holder([sigv4(token("a"))]).key_id == "a"
    assert holder(DESK, sigv4("a")) == (401, "unknown_key")
    assert holder(DESK, sigv4(token("a", "w" * 43))) == (401, "unknown_key")
    assert holder(DESK, sigv4("AKIAIOSFODNN7EXAMPLE")) == (401, "unknown_key")


def test_an_id_alone_is_enough_only_where_the_settings_say_so() -> None:
    assert DESK.holder([sigv4("aws")]).key_id == "aws"
    for name in (b"x-api-key", b"api-key"):
        assert holder(DESK, (name, b"aws")) == (401, "unknown_key")
    assert holder(DESK, *bearer("aws")) == (401, "unknown_key")
    assert holder(DESK, sigv4(token("aws", "w" * 43))) == (401, "unknown_key")


def test_without_keys_everybody_here_may_call_but_no_web_page() -> None:
    desk = desk_of()
    assert (
        desk.holder([(b"authorization", b"Bearer whatever"), (b"x-api-key", b"other")]).key_id == ""
    )
    for host in (b"localhost:8787", b"127.0.0.1:8787", b"[::1]:8787", b"LOCALHOST"):
        assert isinstance(holder(desk, (b"host", host)), Holder)
    assert holder(desk, (b"origin", b"https://evil.example")) == (403, "browser")
    assert holder(desk, (b"host", b"rebound.evil.example:8787")) == (403, "foreign_host")


def test_each_tenant_has_its_own_salt() -> None:
    salts = {DESK.salt_of(one) for one in (None, "", "acme", "other")}
    assert len(salts) == 4
    assert DESK.holder(bearer(A)).salt == DESK.salt_of("acme")


def test_a_new_key_opens_what_its_digest_stands_in() -> None:
    text, sha = new_key("support-bot")
    assert text.startswith("bsr_support-bot_")
    assert len(text.rpartition("bsr_support-bot_")[2]) == 43
    desk = desk_of(f"keys: {{support-bot: {{sha256: {sha}}}}}")
    assert desk.holder(bearer(text)).key_id == "support-bot"
    assert new_key("support-bot")[0] != text


@pytest.mark.parametrize("name", ["", "A", "a_b", "a b", "-a", "x" * 64, "a\n"])
def test_ids_that_are_none(name: str) -> None:
    with pytest.raises(BadInput):
        new_key(name)


def test_secrets_are_read_and_never_shown(tmp_path: object) -> None:
    secret = read_secret("env:K", {"K": " sk-1 \n"})
    assert secret is not None
    assert secret.reveal() == "sk-1"
    assert read_secret("env:K", {}) is None
    assert read_secret("env:K", {"K": " "}) is None
    file = f"{tmp_path}/key"
    assert read_secret(f"file:{file}", {}) is None
    with open(file, "wb") as stream:
        stream.write(b"sk-2\n")
    found = read_secret(f"file:{file}", {})
    assert found is not None
    assert found.reveal() == "sk-2"
    for bad in ("sk 3", "sk\r\n3", "sk\u00e9"):
        with pytest.raises(BadInput) as caught:
            read_secret("env:K", {"K": bad})
        assert "sk" not in str(caught.value)
