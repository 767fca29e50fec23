"""Frames: what was written is read; damage is seen, and costs only what it hits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bursar.ledger.journal.frames import HEAD, MARK, frame, frames, seed_of

SEED = seed_of("node-1-2", 1)
CONTENTS = st.lists(st.binary(max_size=60) | st.just(MARK * 9), min_size=1, max_size=12)


def whole(contents: list[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    raw, places = b"", []
    for content in contents:
        framed = frame(content, SEED)
        places.append((len(raw), len(raw) + len(framed)))
        raw += framed
    return raw, places


def read(raw: bytes, *, final: bool = True) -> list[bytes]:
    return [one.content for one in frames(raw, SEED, final=final) if one.content is not None]


@given(CONTENTS)
def test_what_was_written_is_read(contents: list[bytes]) -> None:
    raw, _ = whole(contents)
    found = list(frames(raw, SEED, final=True))
    assert [one.content for one in found] == contents
    assert found[-1].end == len(raw)


@given(CONTENTS, st.data())
def test_a_file_cut_anywhere_gives_every_whole_frame(
    contents: list[bytes], data: st.DataObject
) -> None:
    raw, places = whole(contents)
    cut = data.draw(st.integers(0, len(raw)))
    kept = [content for content, (_, end) in zip(contents, places, strict=True) if end <= cut]
    assert read(raw[:cut], final=False) == kept
    found = list(frames(raw[:cut], SEED, final=True))
    assert [one.content for one in found if one.content is not None] == kept
    torn = cut not in {0, *(end for _, end in places)}
    assert [one.content for one in found].count(None) == torn


@given(CONTENTS, st.data())
def test_flipped_bits_cost_the_frames_they_hit_and_are_reported(
    contents: list[bytes], data: st.DataObject
) -> None:
    raw, places = whole(contents)
    bits = data.draw(st.sets(st.integers(0, len(raw) * 8 - 1), min_size=1, max_size=3))
    bad = bytearray(raw)
    for bit in bits:
        bad[bit // 8] ^= 1 << bit % 8
    hit = {n for n, (a, b) in enumerate(places) if any(a <= bit // 8 < b for bit in bits)}
    found = list(frames(bytes(bad), SEED, final=True))
    kept = [content for n, content in enumerate(contents) if n not in hit]
    assert [one.content for one in found if one.content is not None] == kept
    damaged = [(one.start, one.end) for one in found if one.content is None]
    for n in hit:
        assert any(a <= places[n][0] and places[n][1] <= b for a, b in damaged)
    assert sum(b - a for a, b in damaged) == sum(places[n][1] - places[n][0] for n in hit)


def test_a_frame_hidden_in_a_frame_does_not_come_out_of_damage() -> None:
    """A client who guesses the layout cannot plant records behind a damaged one."""
    planted = frame(b"planted", 0) + frame(b"planted", seed_of("node-1-2", 2))
    raw, _ = whole([b"a" + planted, b"b"])
    bad = b"\0" + raw[1:]
    assert read(bad) == [b"b"]


def test_a_length_beyond_the_file_does_not_stop_the_reader() -> None:
    raw, _ = whole([b"first", b"second"])
    bad = HEAD.pack(MARK, 2**31, 7) + raw
    assert read(bad, final=False) == [b"first", b"second"]
