"""Bad input costs a clear line with its place, and nothing of what stands beside it."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pytest

from bursar.advisor.analysis import Analysis, analyse
from bursar.intake import source as source_module
from bursar.ledger import shelf
from bursar.ledger.engines.duck import Duck
from bursar.model.block import digest_of
from bursar.model.money import usd
from trials import COST_NANO, FAULTS, GOOD, book, bursar, bursar_apart, call_line, jsonl, take_in

EVEN = jsonl([call_line("even")]).strip()
EARLY = "ends too early"


class Seen:
    """An import of one path into a ledger in memory, and its analysis."""

    def __init__(self, *paths: Path) -> None:
        self.duck = Duck(None)
        self.done = take_in(self.duck, *paths)
        shown = [one.reason for one in self.done.skips]
        assert not any(fault in reason for fault in FAULTS for reason in shown), shown

    @cached_property
    def found(self) -> Analysis:
        return analyse(self.duck, book())

    @property
    def skips(self) -> list[tuple[str, int | None, str]]:
        return [(Path(one.file).name, one.line, one.reason) for one in self.done.skips]

    def flags(self, kind: str) -> list[str]:
        return [f"{one['where']} {one['what']}" for one in self.found.flags if one["kind"] == kind]

    def holds_good(self, more: int = 0) -> None:
        """The ten good calls are there with their exact cost, and `more` of the same cost."""
        rows = self.duck.rows(
            "SELECT count(*), sum(cost_nano) FROM attempts a JOIN sessions s USING (session)"
            " WHERE s.id LIKE 'good-%'"
        )
        assert rows == [(10, 10 * COST_NANO)]
        total = self.duck.rows("SELECT sum(cost_nano) FROM attempts")
        assert total == [((10 + more) * COST_NANO,)]


def seen(folder: Path, content: bytes, name: str = "f.jsonl") -> Seen:
    file = folder / name
    file.write_bytes(content)
    return Seen(file)


# -- damage inside a file

BROKEN: dict[str, tuple[bytes, str]] = {
    "cut": (EVEN[:-20], EARLY),
    "nul_bytes": (b"\0" * 50, "NUL"),
    "nul_in_text": (EVEN.replace(b"even", b"ev\0en"), "NUL"),
    "text": (b"hello", "not a JSON object"),
    "array": (b"[1, 2]", "object"),
    "number": (b"7", "object"),
    "nan": (EVEN.replace(b"1000", b"NaN"), "NaN"),
    "infinity": (EVEN.replace(b"1000", b"-Infinity"), "NaN or Infinity"),
    "two_objects": (EVEN + b" " + EVEN, "JSON"),
    "single_quotes": (EVEN.replace(b'"', b"'"), "JSON"),
    "usage_list": (EVEN.replace(b'{"input"', b'[{"input"').replace(b"100}", b"100}]"), "usage"),
    "usage_number": (b'{"usage": 5}', "usage"),
    "nothing": (b"{}", "none of"),
    "messages_of_texts": (b'{"messages": ["a"]}', "messages"),
    "no_assistant": (b'{"messages": [{"role": "user", "content": "a"}]}', "assistant"),
    "deep": (b'{"messages": [' + b'{"a":' * 100_000, "deep|early"),
    "deep_closed": (b'{"tags":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep|tags"),
    "deep_usage": (b'{"usage":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "deep"),
    "long_number": (EVEN.replace(b"1000", b"1e400"), "range"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_broken_line_costs_itself(name: str, place: str, tmp_path: Path) -> None:
    broken, reason = BROKEN[name]
    lines = GOOD.splitlines()
    at = {"first": 0, "middle": 5, "last": 10}[place]
    lines.insert(at, broken)
    found = seen(tmp_path, b"\n".join(lines) + b"\n")
    found.holds_good()
    ((file, line, why),) = found.skips
    assert (file, line) == ("f.jsonl", at + 1)
    assert any(word in why for word in reason.split("|")), why


def test_an_analysis_lists_what_was_skipped(tmp_path: Path) -> None:
    found = seen(tmp_path, GOOD + b"broken\n" + EVEN + b"\n").found
    assert found.totals["cost_usd"] == usd(11 * COST_NANO)
    assert found.skipped == [
        {"file": str(tmp_path / "f.jsonl"), "line": 11, "reason": "is not a JSON object"}
    ]


KEPT: dict[str, bytes] = {
    "half_escaped": EVEN.replace(b"even", b"ev\\ud800en"),
    "half_swapped": EVEN.replace(b"even", b"ev\\ude00\\ud83d"),
    "half_in_tags": EVEN[:-1] + b', "tags": {"a\\udfff": "b\\ud800", "c": ["\\ud800"]}}',
    "half_in_route": EVEN[:-1] + b', "route": "\\ud83d", "tenant": "\\udc00x"}',
    "bad_utf_8": EVEN.replace(b"even", b"ev\xff\xc3en"),
    "surrogate_bytes": EVEN.replace(b"even", b"ev\xed\xa0\x80en"),
    "escaped_nul": EVEN.replace(b"even", b"ev\\u0000en"),
    "duplicate_keys": b'{"session": "x", "usage": {"input": 9}, ' + EVEN[1:],
    "other_order": json.dumps(dict(reversed(call_line("even").items()))).encode(),
    "crlf": EVEN + b"\r",
    "spaces": b"  \t" + EVEN.replace(b":", b" : ") + b"  ",
    "unknown_fields": EVEN[:-1] + b', "x": {"y": [null]}, "ids": 1e5}',
    "whole_floats": EVEN.replace(b"1000", b"1000.0"),
    "number_texts": EVEN.replace(b"1000", b'"1000"'),
    "odd_cost": EVEN[:-1] + b', "cost_usd": "about 1 cent"}',
    "endless_cost": EVEN[:-1] + b', "cost_usd": "1e999999"}',
    "huge_cost": EVEN[:-1] + b', "cost_usd": 1e300}',
    "negative_cost": EVEN[:-1] + b', "cost_usd": -0.5}',
    "huge_step": EVEN[:-1] + b', "step_index": 1000000000000000000000000}',
    "huge_status": EVEN[:-1] + b', "status": 1000000000000000000000000}',
    "huge_latency": EVEN[:-1] + b', "latency_ms": 1e300}',
    "huge_id": EVEN[:-1] + b', "id": 100000000000000000000000000000}',
    "huge_session": EVEN.replace(b'"even"', b"100000000000000000000000000000"),
    "no_time": EVEN.replace(b'"2026-05-01T10:00:00Z"', b"null"),
    "not_a_time": EVEN.replace(b"2026-05-01T10:00:00Z", b"yesterday"),
    "1970": EVEN.replace(b"2026-05-01T10:00:00Z", b"1970-01-01T00:00:00Z"),
    "2100": EVEN.replace(b"2026-05-01T10:00:00Z", b"2100-01-01T00:00:00Z"),
    "year_1": EVEN.replace(b"2026-05-01T10:00:00Z", b"0001-01-01T00:00:00+14:00"),
    "year_9999": EVEN.replace(b"2026-05-01T10:00:00Z", b"9999-12-31T23:59:59-12:00"),
    "no_zone": EVEN.replace(b"00Z", b"00"),
    "huge_time": EVEN.replace(b'"2026-05-01T10:00:00Z"', b"1e300"),
}


@pytest.mark.parametrize("name", KEPT)
def test_an_odd_line_is_read_and_priced(name: str, tmp_path: Path) -> None:
    found = seen(tmp_path, GOOD + KEPT[name] + b"\n")
    found.holds_good(more=1)
    assert found.skips == []


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("1970", "time_suspect", "1970"),
        ("2100", "time_suspect", "2100"),
        ("no_zone", "time_suspect", "line 11: '2026-05-01T10:00:00' has no zone"),
        ("not_a_time", "time_suspect", ":11 'yesterday' is not a time"),
        ("huge_time", "time_suspect", "not a time"),
        ("odd_cost", "contradiction", ":11 cost_usd is 'about 1 cent'"),
        ("endless_cost", "contradiction", "not an amount"),
        ("huge_cost", "contradiction", "beyond any real amount"),
        ("negative_cost", "contradiction", "below zero"),
    ],
)
def test_an_odd_line_is_flagged(name: str, kind: str, text: str, tmp_path: Path) -> None:
    (flag,) = seen(tmp_path, GOOD + KEPT[name] + b"\n").flags(kind)
    assert text in flag


def test_honest_lines_raise_no_flag(tmp_path: Path) -> None:
    assert seen(tmp_path, GOOD).found.flags == []


@pytest.mark.parametrize(
    "usage",
    [
        {"input": -5, "output": 1},
        {"input": 10.5, "output": 1},
        {"input": "many", "output": 1},
        {"input": True, "output": 1},
        {"input": 10**30, "output": 1},
        {"input": [1], "output": 1},
        {"prompt_tokens": 5, "completion_tokens": -1},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}},
        {},
        {"words": 5},
    ],
    ids=str,
)
def test_counts_that_cannot_be_true_are_flagged_and_never_zero(
    usage: dict[str, object], tmp_path: Path
) -> None:
    found = seen(tmp_path, GOOD + jsonl([call_line("odd", usage=usage)]))
    found.holds_good()
    assert len(found.flags("usage_suspect")) == 1
    assert ":11 " in found.flags("usage_suspect")[0]
    assert found.found.totals["unpriced_attempts"] == 1
    rows = found.duck.rows(
        "SELECT cost_nano, input_tokens FROM attempts WHERE unpriced IS NOT NULL"
    )
    assert rows == [(None, None)]


def test_absurd_counts_are_kept_but_never_priced(tmp_path: Path) -> None:
    absurd = {"input": 2**53, "output": 2**53, "cache_read": 2**53, "cache_write_1h": 2**53}
    lines = [call_line(f"odd-{n}", usage=absurd) for n in range(600)]
    found = seen(tmp_path, GOOD + jsonl(lines))
    found.holds_good()
    assert found.found.totals["unpriced_attempts"] == 600
    assert found.found.totals["usage"]["input"] == 600 * 2**53 + 10_000
    assert any("100,000,000" in flag for flag in found.flags("usage_suspect"))


@pytest.mark.parametrize("model", ["mystery-9", "", "'; DROP TABLE attempts; --", None])
def test_an_unknown_model_is_unpriced_and_flagged(model: str | None, tmp_path: Path) -> None:
    found = seen(tmp_path, GOOD + jsonl([call_line("odd", model=model)]))
    found.holds_good()
    assert found.found.totals["unpriced_attempts"] == 1
    assert len(found.flags("unpriced")) == 1
    alone = seen(tmp_path, jsonl([call_line("odd", model=model)]), "alone.jsonl")
    assert alone.found.totals["cost_usd"] is None
    assert {row["cost_usd"] for row in alone.found.by["model"]} == {None}


# -- files that are written otherwise

WRITINGS: dict[str, Callable[[bytes], bytes]] = {
    "bom": lambda raw: b"\xef\xbb\xbf" + raw,
    "crlf": lambda raw: raw.replace(b"\n", b"\r\n"),
    "no_last_line_end": lambda raw: raw.rstrip(b"\n"),
    "blank_lines": lambda raw: raw.replace(b"\n", b"\n\n  \n"),
    "utf_16_le": lambda raw: b"\xff\xfe" + raw.decode().encode("utf-16-le"),
    "utf_16_be": lambda raw: b"\xfe\xff" + raw.decode().encode("utf-16-be"),
    "gzip": gzip.compress,
    "gzip_of_bom": lambda raw: gzip.compress(b"\xef\xbb\xbf" + raw),
    "gzip_of_utf_16": lambda raw: gzip.compress(raw.decode().encode("utf-16")),
    "gzip_members": lambda raw: b"".join(gzip.compress(line + b"\n") for line in raw.split()),
    "gzip_padded": lambda raw: gzip.compress(raw) + b"\0" * 512,
}


@pytest.mark.parametrize("name", WRITINGS)
def test_a_writing_is_recognised_by_content(name: str, tmp_path: Path) -> None:
    raw = jsonl(json.loads(line) for line in GOOD.splitlines())
    plain = raw.replace(b" ", b"") if name == "gzip_members" else raw
    found = seen(tmp_path, WRITINGS[name](plain), "strange.name")
    found.holds_good()
    assert found.skips == []


def noisy_lines(count: int) -> bytes:
    noise = random.Random(7)
    return jsonl(call_line(f"n-{n}", tags={"x": noise.randbytes(40).hex()}) for n in range(count))


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 100, 0.1, 0.5, 0.99])
def test_a_gzip_that_ends_early_gives_every_line_before(cut: float, tmp_path: Path) -> None:
    plain = GOOD + noisy_lines(400)
    packed = gzip.compress(plain)
    keep = len(packed) - cut if isinstance(cut, int) else int(len(packed) * cut)
    found = seen(tmp_path, packed[: int(keep)], "f.gz")
    whole = len(whole_lines(packed[: int(keep)]))
    assert found.done.entries == whole
    if whole >= 10:
        found.holds_good(more=whole - 10)
    assert EARLY in found.skips[-1][2] or EARLY in found.skips[0][2]


def whole_lines(packed: bytes) -> list[bytes]:
    """The whole lines of a cut gzip file, by another way: feed it byte by byte."""
    import zlib

    member, plain = zlib.decompressobj(31), b""
    for place in range(len(packed)):
        plain += member.decompress(packed[place : place + 1])
    cut = plain.split(b"\n")
    return [line for line in cut if line.endswith(b"}")]


@pytest.mark.parametrize("damage", ["checksum", "length", "behind"])
def test_a_damaged_gzip_gives_what_stands_before(damage: str, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(GOOD))
    if damage == "behind":
        packed += b"not gzip at all"
    else:
        packed[-6 if damage == "checksum" else -2] ^= 255
    found = seen(tmp_path, bytes(packed), "f.gz")
    found.holds_good()
    ((file, line, why),) = found.skips
    assert (file, line) == ("f.gz", 11)
    assert "damaged" in why


def test_a_gzip_broken_in_its_middle_keeps_both_the_lines_and_the_count(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(GOOD + noisy_lines(2000)))
    packed[len(packed) // 2] ^= 255
    found = seen(tmp_path, bytes(packed), "f.gz")
    assert found.done.entries > 500
    assert sum("damaged" in why for _, _, why in found.skips) == 1


def test_a_gzip_without_any_content_says_that_it_is_damaged(tmp_path: Path) -> None:
    found = seen(tmp_path, gzip.compress(GOOD)[:5], "f.gz")
    assert found.skips == [("f.gz", None, found.skips[0][2])]
    assert "damaged" in found.skips[0][2]


@pytest.mark.parametrize(
    "content",
    [
        b"\n\n",
        bytes(range(256)) * 500,
        b"PK\x03\x04" + b"\0" * 100,
        b"<html></html>",
        b"a,b\n1,2\n",
    ],
    ids=["blank", "binary", "zip", "html", "csv"],
)
def test_a_file_of_no_format_is_listed_with_the_mend(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    (tmp_path / "odd").write_bytes(content)
    (tmp_path / "empty").write_bytes(b"")
    found = Seen(tmp_path)
    found.holds_good()
    why = {name: reason for name, _, reason in found.skips}
    assert why["empty"] == "is empty"
    assert "docs/formats" in why["odd"]
    assert found.done.files == 3


def test_a_first_line_longer_than_the_head_is_recognised(tmp_path: Path) -> None:
    long = call_line("even", messages=[{"role": "user", "content": "word " * 100_000}])
    found = seen(tmp_path, jsonl([long]) + GOOD)
    found.holds_good(more=1)
    assert found.skips == []


def test_a_broken_first_line_longer_than_the_head_costs_itself(tmp_path: Path) -> None:
    found = seen(tmp_path, b'{"messages": [' + b'{"a":' * 100_000 + b"\n" + GOOD)
    found.holds_good()
    assert [line for _, line, _ in found.skips] == [1]


def test_a_line_beyond_the_bound_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "LONGEST_LINE", 100_000)
    found = seen(tmp_path, GOOD + b'{"session": "' + b"x" * 300_000 + b'"}\n' + EVEN + b"\n")
    found.holds_good(more=1)
    ((_, line, why),) = found.skips
    assert line == 11
    assert "longer than" in why


def test_many_broken_lines_are_listed_up_to_a_bound(tmp_path: Path) -> None:
    found = seen(tmp_path, GOOD + b"broken\n" * 5000)
    found.holds_good()
    assert len(found.skips) == source_module.MOST_SKIPS + 1
    assert found.skips[-1][2].startswith("and 4000 more")


def test_many_flags_are_listed_up_to_a_bound(tmp_path: Path) -> None:
    odd = [call_line(f"odd-{n}", usage={"input": -n - 1}) for n in range(3000)]
    found = seen(tmp_path, GOOD + jsonl(odd))
    found.holds_good()
    assert len(found.flags("usage_suspect")) < 200
    assert any("more" in flag for flag in found.flags("usage_suspect"))


# -- folders and what is no file


def odd_folder(folder: Path) -> list[str]:
    """A folder with all that a walk may meet; the names that must be listed."""
    (folder / "good.jsonl").write_bytes(GOOD)
    os.mkfifo(folder / "fifo")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "again.jsonl").symlink_to("good.jsonl")
    (folder / "itself").symlink_to(folder)
    (folder / "out").symlink_to("/etc")
    (folder / "out.jsonl").symlink_to("/etc/hostname")
    (folder / "folder.jsonl").mkdir()
    (folder / ".git").mkdir()
    (folder / ".git" / "x.jsonl").write_bytes(EVEN)
    return ["dangling", "fifo", "loop", "out", "out.jsonl"]


def test_a_walk_lists_what_it_does_not_read(tmp_path: Path) -> None:
    names = odd_folder(tmp_path)
    found = Seen(tmp_path)
    found.holds_good()
    assert sorted(name for name, _, _ in found.skips) == names
    assert found.done.files == 1


def test_a_socket_is_listed(tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(tmp_path, os.O_RDONLY)
        os.chdir(before := os.getcwd())
        try:
            os.fchdir(here)
            bound.bind("socket")
        finally:
            os.chdir(before)
            os.close(here)
        found = Seen(tmp_path)
    found.holds_good()
    assert [name for name, _, _ in found.skips] == ["socket"]


@pytest.mark.parametrize("name", ["fifo", "/dev/null", "/dev/zero"])
def test_a_path_that_is_no_file_neither_hangs_nor_is_read(name: str, tmp_path: Path) -> None:
    odd_folder(tmp_path)
    ran = bursar_apart("analyze", tmp_path / name, home=tmp_path / "home")
    assert ran.code == 2
    assert "is no regular file" in ran.err
    assert "mend" in ran.err


def test_the_same_file_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "good.jsonl"
    file.write_bytes(GOOD + b"broken\n")
    found = Seen(file, tmp_path, tmp_path / "." / "good.jsonl")
    found.holds_good()
    assert found.done.files == 1
    assert len(found.skips) == 1


def test_a_name_with_half_a_character_is_printed_and_stored(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"sur\xff")
    os.mkdir(folder)
    name = os.fsdecode(os.path.join(folder, b"x\xed\xa0\x80.jsonl"))
    Path(name).write_bytes(GOOD + b"broken\n")
    found = Seen(Path(name))
    found.holds_good()
    for how in ("--json", "--ledger=x"):
        ran = bursar_apart("analyze", name, os.fsdecode(folder), how, home=tmp_path / "home")
        assert ran.code == 0
        assert b":11" in ran.out or ran.json["skipped"][0]["line"] == 11


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="permissions do not bind root"
)
def test_a_folder_and_a_file_without_permission_are_listed(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    shut = logs / "shut"
    shut.mkdir(parents=True)
    (shut / "x.jsonl").write_bytes(EVEN)
    (logs / "good.jsonl").write_bytes(GOOD)
    (logs / "secret.jsonl").write_bytes(EVEN)
    (logs / "secret.jsonl").chmod(0)
    shut.chmod(0)
    home = tmp_path / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    folders = [tmp_path, *(one for one in tmp_path.parents if one.stat().st_uid == os.geteuid())]
    modes = {one: one.stat().st_mode for one in folders if one.stat().st_mode & 5 != 5}
    try:
        for one in modes:
            one.chmod(0o755)
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        ran = bursar_apart(
            *("analyze", logs, "--json"), home=home, before=drop if os.geteuid() == 0 else ()
        )
    finally:
        for one, mode in modes.items():
            one.chmod(mode)
        shut.chmod(0o755)
    assert ran.code == 0, ran.err
    assert ran.json["totals"]["cost_usd"] == usd(10 * COST_NANO)
    why = {Path(one["file"]).name: one["reason"] for one in ran.json["skipped"]}
    assert why == {
        "shut": "cannot be entered: Permission denied",
        "secret.jsonl": "cannot be read: Permission denied",
    }


@pytest.mark.parametrize("how", ["missing", "empty_file", "empty_folder", "binary", "all_broken"])
def test_nothing_to_read_is_exit_2_with_the_place_and_the_mend(how: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if how == "empty_folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes({"binary": os.urandom(5000), "all_broken": GOOD[:100]}.get(how, b""))
    for command in ("analyze", "import"):
        ran = bursar(command, path, home=tmp_path / "home")
        assert ran.code == 2
        assert "mend: " in ran.err
        assert str(path) in ran.err or how == "empty_folder"


def test_a_missing_path_beside_a_good_one_is_listed(tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    ran = bursar("analyze", tmp_path / "nope", tmp_path / "good.jsonl", "--json", home=tmp_path)
    assert ran.code == 0
    assert ran.json["totals"]["cost_usd"] == usd(10 * COST_NANO)
    assert ran.json["skipped"] == [
        {"file": str(tmp_path / "nope"), "line": None, "reason": "does not exist"}
    ]


def test_mixed_formats_in_one_folder(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    for name in ("claude_code_real", "bedrock_invocation_logs"):
        shutil.copytree(shared_data(name), tmp_path / name)
    (tmp_path / "broken.json").write_bytes(b'{"usage": {"input"')
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    found = Seen(tmp_path)
    rows = found.duck.rows(
        "SELECT sum(cost_nano) FROM attempts a JOIN sessions s USING (session)"
        " WHERE s.id LIKE 'good-%'"
    )
    assert rows == [(10 * COST_NANO,)]
    assert {"exchange", "claude_code", "bedrock_logs"} <= found.done.formats.keys()
    assert {"broken.json", "picture.png"} <= {name for name, _, _ in found.skips}


# -- size


def test_sessions_whose_numbers_collide_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "session_key", lambda name, at: digest_of(name) % 5)
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    lines = [call_line(f"s-{n}", messages=messages) for n in range(60)]
    file = tmp_path / "f.jsonl"
    duck = Duck(None)
    for part in (lines[:20], lines[:40], lines):
        file.write_bytes(jsonl(part))
        take_in(duck, file)
    assert duck.rows("SELECT count(*), count(DISTINCT session) FROM sessions") == [(60, 60)]
    assert duck.rows("SELECT count(*), count(DISTINCT session) FROM attempts") == [(60, 60)]
    rows = duck.rows("SELECT sum(fresh_nano), count(DISTINCT session) FROM blocks")
    parts = duck.rows("SELECT sum(fresh_nano) FROM parts WHERE kind <> 'output'")
    assert rows == [(parts[0][0], 60)]


def one_broken(file: Path, lines: int) -> None:
    """A file of many calls in a few sessions, and one broken line in its middle."""
    with file.open("wb") as stream:
        for n in range(lines):
            if n == lines // 2:
                stream.write(b'{"session": "s", "usage": {"input": 10\n')
            else:
                stream.write(
                    b'{"id":%d,"session":"s%d","provider":"openai","model":"gpt-4o","kind":"call",'
                    b'"at":"2026-05-01T10:00:00Z","usage":{"input":1000,"output":100}}\n'
                    % (n, n % 997)
                )


def limited(script: str, *args: object) -> tuple[dict[str, int], float]:
    """Run a script that prints JSON; its time, and its greatest memory as `rss_kb`."""
    started = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", script, *map(str, args)], capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return json.loads(ran.stdout), time.monotonic() - started


IMPORT = """
import json, resource, sys
from pathlib import Path
from datetime import datetime
from bursar.intake.importing import import_paths
from bursar.ledger.engines.duck import Duck
from bursar.ledger.recorder import Recorder
from bursar.price.book import load_book
now = datetime(2026, 11, 22)
duck = Duck(Path(sys.argv[2]))
done = import_paths([Path(sys.argv[1])], Recorder(duck, load_book(now=now), now))
cost = duck.rows("SELECT count(*), sum(cost_nano), count(DISTINCT session) FROM attempts")[0]
print(json.dumps({
    "calls": cost[0], "nano": int(cost[1] or 0), "sessions": cost[2],
    "skips": [[s.line, s.reason] for s in done.skips],
    "rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
}))
"""


def test_one_broken_line_among_very_many(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    one_broken(file, 20_000)
    found, took_s = limited(IMPORT, file, tmp_path / "x.duckdb")
    assert found["calls"] == 19_999
    assert found["nano"] == 19_999 * COST_NANO
    assert found["skips"] == [[10_001, "is JSON that ends too early"]]
    assert took_s < 60


@pytest.mark.slow
@pytest.mark.parametrize("lines", [200_000, 1_000_000])
def test_one_broken_line_among_a_million(lines: int, tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    one_broken(file, lines)
    found, took_s = limited(IMPORT, file, tmp_path / "x.duckdb")
    assert (found["calls"], found["nano"]) == (lines - 1, (lines - 1) * COST_NANO)
    assert found["skips"] == [[lines // 2 + 1, "is JSON that ends too early"]]
    assert took_s < lines * 600e-6
    assert found["rss_kb"] < 900_000


@pytest.mark.slow
def test_very_many_sessions_stay_within_memory(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    with file.open("wb") as stream:
        for n in range(300_000):
            stream.write(
                b'{"session":"session-%d","provider":"openai","model":"gpt-4o",'
                b'"usage":{"input":1000,"output":100}}\n' % n
            )
    found, _ = limited(IMPORT, file, tmp_path / "x.duckdb")
    assert (found["calls"], found["sessions"]) == (300_000, 300_000)
    assert found["nano"] == 300_000 * COST_NANO
    assert found["rss_kb"] < 900_000


@pytest.mark.slow
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_line_of_300_megabytes(place: str, tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    with file.open("wb") as stream:
        if place == "last":
            stream.write(GOOD)
        stream.write(b'{"session": "')
        for _ in range(300):
            stream.write(b"x" * 1_000_000)
        stream.write(b'"}\n')
        if place == "first":
            stream.write(GOOD)
    found, took_s = limited(IMPORT, file, tmp_path / "x.duckdb")
    assert found["rss_kb"] < 1_500_000
    assert took_s < 60
    if place == "last":
        assert found["nano"] == 10 * COST_NANO
        assert found["skips"] == [[11, "a line longer than 256 MB"]]
    else:
        assert found["skips"]
