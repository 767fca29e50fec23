"""Token counts without a tokenizer: exact enough to share out a bill, at the speed of memory.

The text is mapped to a few classes of bytes, and the estimate is a linear model over how often
classes and neighbours of classes occur (letters, digits, punctuation, blanks, scripts). All of
the counting happens inside `bytes` and `int`. The coefficients were fitted to the cl100k_base
tokenizer by `benchmarks/fit_tokens.py`, which prints them with the errors that they leave; other
model families are multiples of cl100k.
"""

from __future__ import annotations

from operator import mul

FAMILIES: dict[str, float] = {
    "cl100k": 1.0,
    "o200k": 0.98,
    "claude": 1.15,
    "claude_new": 1.35,
    "gemini": 1.08,
    "llama": 1.0,
    "mistral": 1.12,
    "nova": 1.1,
    "cohere": 1.05,
    "deepseek": 1.02,
}
"""Tokens per token of cl100k on mixed English, code and JSON. Rules of thumb, except `cl100k`;
`claude_new` is the most that the maker states for its tokenizers since Opus 4.7 (+35 %)."""

LONGEST_TOKEN_BYTES = 80
"""Not even a run of blanks becomes fewer tokens than one per this many bytes."""
SLICE_BYTES = 1_024
STRIDE_BYTES = 3_072
WHOLE_BYTES = 4_096
"""A text longer than this is judged by one slice in each stride."""

CLASSES: tuple[tuple[str, bytes], ...] = (
    ("l", b"abcdefghijklmnopqrstuvwxyz"),
    ("u", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ("d", b"0123456789"),
    ("s", b" "),
    ("n", b"\n\r\t\x0b\x0c"),
    ("o", bytes(range(0x80, 0x100))),
)
"""Letters, digits, blanks, line ends, bytes outside ASCII. The rest is punctuation, `p`."""

SCRIPTS: tuple[tuple[str, bytes], ...] = (
    ("a", bytes(range(0xC2, 0xCA))),
    ("g", bytes(range(0xCA, 0xE0))),
    ("q", bytes(range(0xE0, 0xE3))),
    ("c", bytes(range(0xE3, 0xEA))),
    ("h", bytes(range(0xEA, 0xF0))),
    ("e", bytes(range(0xF0, 0x100))),
)
"""First bytes of accented Latin, of Greek to Arabic, of Indic scripts and typographic signs, of
Chinese and kana, of Hangul, of emoji."""

PATTERNS = (
    "l", "u", "d", "s", "n", "p",
    "lp", "pl", "pp", "sp", "nn", "dd", "ss", "ns", "lu", "sl", "ll", "uu", "ul",
)  # fmt: skip
"""Classes, and neighbours of classes, that are counted in every text. What did not make the
estimate worse when it was left out is left out."""

COEFFICIENTS: tuple[float, ...] = (
    1.3649, 0.3353, 1.3662, 0.4623, 0.3185, 0.7219, -0.0781, -0.7631, -0.6147, 0.0612,
    -0.5346, -1.0593, -0.4038, 0.4554, -0.9641, -1.0795, -1.2819, -0.1429, -0.7553,
    2.0221, 0.4399, 0.4418, 1.0288, 1.0241, 2.583,
)  # fmt: skip
"""Tokens per occurrence of each pattern, then of each script."""

_CODES = {name: place for place, (name, _) in enumerate((*CLASSES, ("p", b"")), start=1)}
_BITS = 3
"""A class fits into three bits, so a byte holds the class of a byte and of the one before it."""


def _table(groups: tuple[tuple[str, bytes], ...], codes: dict[str, int], rest: int) -> bytes:
    table = bytearray([rest]) * 256
    for name, members in groups:
        for member in members:
            table[member] = codes[name]
    return bytes(table)


_TABLE = _table(CLASSES, _CODES, _CODES["p"])
_SCRIPT_CODES = {name: ord(name) for name, _ in SCRIPTS}
_SCRIPT_TABLE = _table(SCRIPTS, _SCRIPT_CODES, 0)
_SINGLES = tuple(_CODES[one] for one in PATTERNS if len(one) == 1)
_NO_LETTERS = tuple(code for code in _SINGLES if code != _CODES["l"])
_LETTERS = bytes([_CODES["l"] | _CODES["l"] << _BITS])
_PAIRS = tuple(_CODES[one[1]] | _CODES[one[0]] << _BITS for one in PATTERNS if len(one) == 2)
_LETTER_PAIRS = PATTERNS.index("ll")


def features(raw: bytes) -> list[int]:
    """How often each of `PATTERNS`, then each of `SCRIPTS`, occurs.

    The classes of neighbours are brought into one byte by shifting the whole text, as one number,
    by one byte and three bits: counting single bytes is four times faster than counting pairs.
    Small letters and pairs of them, the most frequent and so the slowest to count, are what the
    others leave.
    """
    classes = raw.translate(_TABLE)
    number = int.from_bytes(classes, "little")
    pairs = (number | number << 8 + _BITS).to_bytes(len(raw) + 2, "little")
    others = list(map(classes.count, _NO_LETTERS))
    rare = pairs.translate(None, _LETTERS)
    found = [len(raw) - sum(others), *others, *map(rare.count, _PAIRS)]
    found[_LETTER_PAIRS] = len(pairs) - len(rare)
    if not raw.isascii():
        found[0] -= classes.count(_CODES["o"])
        scripts = raw.translate(_SCRIPT_TABLE)
        found += [scripts.count(code) for code in _SCRIPT_CODES.values()]
    return found


def estimate_tokens(text: str | bytes, family: str | None = None) -> int:
    """Estimated tokens of a text for a model family (`FAMILIES`; None or unknown: like cl100k).

    0 for the empty text, at least 1 for any other.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    size = len(raw)
    if size > WHOLE_BYTES:
        slices = range(0, size - SLICE_BYTES + 1, STRIDE_BYTES)
        raw = b"".join([raw[start : start + SLICE_BYTES] for start in slices])
    elif not size:
        return 0
    found = sum(map(mul, features(raw), COEFFICIENTS))
    if size > WHOLE_BYTES:
        found *= size / len(raw)
    if family is not None:
        found *= FAMILIES.get(family, 1.0)
    return max(1, size // LONGEST_TOKEN_BYTES, round(found))


_KNOWN: dict[int, int] = {}
_MOST_KNOWN = 50_000


def known_tokens(digest: int, raw: bytes) -> int:
    """The estimate of a text that may have been seen before, by its digest.

    Agents send the same system prompt and tool specifications in every call and session, and most
    logs show the whole history again with every call.
    """
    found = _KNOWN.get(digest)
    if found is None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        found = _KNOWN[digest] = estimate_tokens(raw)
    return found


def forget() -> None:
    """Drop what `known_tokens` has kept: for measuring."""
    _KNOWN.clear()
