"""Recorded calls and answers of real programs: each is carried, or refused by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bursar.dialects.lens import read_response
from bursar.dialects.translate.crossing import (
    SOURCES,
    TARGETS,
    Back,
    StreamBack,
    answer_back,
    cross,
    error_back,
)
from bursar.dialects.usages import Usage
from bursar.model.errors import BadInput, Refused
from tests.dialects.cassettes import Exchange, exchanges
from tests.dialects.translate.made import ANTHROPIC, CHAT, CONVERSE, MODEL, RESPONSES
from tests.dialects.translate.test_answers import told
from tests.dialects.translate.test_asked import named

FOLDERS = ("cassettes_openllmetry", "cassettes_otel_genai")
ENDS = {
    "/chat/completions": CHAT,
    "/responses": RESPONSES,
    "/v1/messages": ANTHROPIC,
    "/converse": CONVERSE,
    "/converse-stream": CONVERSE,
}
BACK = Back(model="asked", answer_id="ours", at_s=1, wants_usage=True)
LEAST_CARRIED = 0.85


def _recorded(root: Path) -> Iterator[tuple[str, Exchange]]:
    for one in exchanges(root):
        path = one.uri.partition("?")[0]
        for end, dialect in ENDS.items():
            if path.endswith(end) and one.request:
                yield dialect, one


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_recorded_call_is_carried_or_refused_by_name(
    shared_data: Callable[[str], Path], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: Counter[tuple[str, str, str]] = Counter()
    why: Counter[str] = Counter()
    for source, one in _recorded(shared_data(folder)):
        for target in TARGETS:
            if target == source:
                continue
            try:
                cross(one.request, source, target, MODEL)
            except Refused as refusal:
                named(refusal)
                counts[source, target, "refused"] += 1
                why[refusal.message] += 1
            except BadInput:
                counts[source, target, "malformed"] += 1
            else:
                counts[source, target, "carried"] += 1
    with capsys.disabled():
        print(f"\n{folder}: recorded calls")
        for (source, target, verdict), count in sorted(counts.items()):
            print(f"  {source} to {target}: {count} {verdict}")
        for message, count in why.most_common(30):
            print(f"    {count} refused: {message}")
    verdicts: Counter[str] = Counter()
    for (_, _, verdict), count in counts.items():
        verdicts[verdict] += count
    assert not verdicts["malformed"]
    assert verdicts["carried"] >= LEAST_CARRIED * verdicts.total()


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_recorded_answer_comes_back(
    shared_data: Callable[[str], Path], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: Counter[tuple[str, str, str]] = Counter()
    for target, one in _recorded(shared_data(folder)):
        if target not in TARGETS or not one.body:
            continue
        for source in SOURCES:
            if source != target:
                counts[target, source, _brought_back(one, target, source)] += 1
    with capsys.disabled():
        print(f"\n{folder}: recorded answers")
        for (target, source, what), count in sorted(counts.items()):
            print(f"  {target} to {source}: {count} {what}")
    assert counts


def _brought_back(one: Exchange, target: str, source: str) -> str:
    if one.status >= 400:
        headers, body = error_back(one.body, one.status, source)
        assert headers
        assert body
        return "errors"
    before = read_response(one.body, target, headers=one.headers)
    kind = one.headers.get("content-type", "")
    if "stream" in kind:
        stream = StreamBack(target, source, BACK)
        pieces = [one.body[at : at + 37] for at in range(0, len(one.body), 37)]
        sent = b"".join(map(stream.feed, pieces)) + stream.finish()
        whole = stream.broken is None
        what = "streams" if whole else "streams that were recorded without their end"
        if not whole:
            assert before.truncated or before.stop is None, one.place
            return what
    else:
        sent = answer_back(one.body, target, source, BACK)
        what = "answers"
    after = read_response(sent, source)
    if before.usage is not None:
        assert after.usage == told(_plain(before.usage), source), one.place
    assert [use.tool for use in after.tool_uses] == [use.tool for use in before.tool_uses]
    assert not any("provider error" in note for note in after.notes), one.place
    return what


def _plain(usage: Usage) -> Usage:
    """Without units of other kinds, which stand among the plain tokens of other dialects."""
    assert not any(unit.endswith("_tokens") for unit in usage.other)
    return Usage(
        **{name: getattr(usage, name) for name in usage.__struct_fields__ if name != "other"}
    )
