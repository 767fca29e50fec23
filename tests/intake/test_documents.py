"""Any JSON document is cut into the same elements that a JSON parser would give."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bursar.intake import documents
from bursar.intake.source import Source

scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=12)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
records = st.dictionaries(st.text(max_size=5), values, min_size=1, max_size=4)
SLOW = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def cut(path: Path, *names: str) -> tuple[list[tuple[int, Any]], list[tuple[int | None, str]]]:
    source = Source(path)
    found = [(line, json.loads(raw)) for line, raw in documents.elements(source, *names)]
    return found, [(skip.line, skip.reason) for skip in source.skips]


def printed(rows: list[Any], shape: str, indent: int | None) -> str:
    if shape == "lines":
        return "\n".join(json.dumps(row) for row in rows)
    if shape == "objects":
        return "\n".join(json.dumps(row, indent=indent) for row in rows)
    if shape == "array":
        return json.dumps(rows, indent=indent)
    return json.dumps({"next": [1, {"a": "]}"}], "rows": rows, "more": None}, indent=indent)


@SLOW
@given(
    rows=st.lists(records, max_size=6),
    shape=st.sampled_from(["lines", "objects", "array", "named"]),
    indent=st.sampled_from([None, 0, 2]),
    piece=st.sampled_from([1, 7, 1 << 20]),
    as_lines=st.booleans(),
)
def test_elements_are_what_a_parser_sees(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[Any],
    shape: str,
    indent: int | None,
    piece: int,
    as_lines: bool,
) -> None:
    rows = [{**row, "z": 1} for row in rows]
    rows = [row for row in rows if "rows" not in row]
    path = tmp_path / "x.json"
    path.write_text(printed(rows, shape, indent))
    monkeypatch.setattr(documents, "PIECE_BYTES", piece)
    if not as_lines:
        monkeypatch.setattr(documents, "_is_lines", lambda source: False)
    found, skips = cut(path, "rows")
    assert [value for _, value in found] == rows
    assert not skips


def test_lines_are_counted_across_shapes(tmp_path: Path) -> None:
    rows = [{"n": n, "text": "a\nb"} for n in range(3)]
    path = tmp_path / "x.json"
    path.write_text("\n\n" + json.dumps({"rows": rows}, indent=1))
    found, _ = cut(path, "rows")
    lines = path.read_text().split("\n")
    assert [line for line, _ in found] == [n for n, text in enumerate(lines, 1) if text == "  {"]


def test_one_broken_element_loses_only_itself(tmp_path: Path) -> None:
    for shape in ("array", "objects", "named"):
        text = printed([{"n": n, "t": {"u": "v"}} for n in range(20)], shape, 2)
        for broken in ('"u": "v', '"u": v"', '"u": {"v"'):
            path = tmp_path / "x.json"
            head, tail = text.split('"n": 7', 1)
            path.write_text(head + '"n": 7' + tail.replace('"u": "v"', broken, 1))
            source = Source(path)
            seen = []
            for _, raw in documents.objects(source, "rows"):
                seen.append(raw["n"])
            assert seen == [n for n in range(20) if n != 7], (shape, broken)
            assert len(source.skips) == 1
            assert source.skips[0].line is not None
            assert source.skips[0].line > 20


def test_a_file_that_is_cut_off_keeps_what_is_whole(tmp_path: Path) -> None:
    text = json.dumps([{"n": n, "t": "x" * 20} for n in range(50)])
    path = tmp_path / "x.json"
    path.write_text(text[: len(text) // 2])
    found, skips = cut(path)
    assert len(found) == 24 or len(found) == 25
    assert len(skips) == 1
    assert "ends too early" in skips[0][1]


def test_a_gzip_that_ends_early_keeps_what_is_whole(tmp_path: Path) -> None:
    rows = [{"n": n, "t": str(n * 7919)} for n in range(5000)]
    raw = gzip.compress(json.dumps({"Records": rows}).encode())
    path = tmp_path / "x.json.gz"
    path.write_bytes(raw[: len(raw) // 2])
    found, skips = cut(path, "Records")
    assert [row["n"] for _, row in found] == list(range(len(found)))
    assert len(found) > 1000
    assert any("damaged" in reason for _, reason in skips)


def test_text_and_noise_are_listed_once_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{\n"a": 1\n}\nsome words {here}\n{\n"a": 2\n}\n]]\n{"a": 3}\n')
    found, skips = cut(path)
    assert [row["a"] for _, row in found] == [1, 2, 3]
    assert [line for line, _ in skips] == [4, 8]


def test_nul_bytes_and_depth_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    path.write_bytes(b'[{"a": 1},\n{"a": "\x00"},\n' + deep + b',\n{"a": 4}]')
    source = Source(path)
    found = [value["a"] for _, value in documents.objects(source)]
    assert found == [1, 4]
    assert [skip.line for skip in source.skips] == [2, 3]


def test_an_element_beyond_the_bound_is_refused_and_the_rest_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "LONGEST_ELEMENT", 5_000)
    monkeypatch.setattr(documents, "PIECE_BYTES", 1_000)
    rows = ['{"n": 1}', '{"n": [' + "[1]," * 5_000 + "2]}", '{"n": 3}']
    path = tmp_path / "x.json"
    path.write_text("[\n" + ",\n".join(rows) + "\n]")
    found, skips = cut(path)
    assert [row["n"] for _, row in found] == [1, 3]
    assert len(skips) == 1
    assert skips[0][0] == 3


@pytest.mark.parametrize("shape", ["array", "named"])
def test_none_of_many_is_lost(tmp_path: Path, shape: str) -> None:
    row = {
        "id": "abc",
        "usage": {"input": 5, "output": 7},
        "input": [{"role": "user", "content": "word " * 60}],
    }
    path = tmp_path / "x.json"
    path.write_text(printed([row] * 40_000, shape, None))
    assert sum(1 for _ in documents.elements(Source(path), "rows")) == 40_000
