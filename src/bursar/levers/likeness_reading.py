"""What a prompt asks, as a form that other wordings of the same question share.

An English prompt loses its courtesies, contractions, articles and spellings; numbers, units, dates
and times get one spelling each; ways to open the same question become one way. Everything else
stays, in its order, so that two prompts with one form differ in nothing that this knows of. A
prompt that may be about its own words (quotes, code, `translate`, several lines) stays word by word
as it is, and so does one in another language, but for its ends.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import msgspec

from bursar.levers.likeness_figures import with_figures
from bursar.levers.likeness_phrases import direct, one_way, plain_opening
from bursar.levers.likeness_words import (
    ARTICLES,
    AUXILIARIES,
    COURTESIES,
    FOREIGN,
    FORMAL,
    FUNCTION,
    HEAVY,
    MEANINGS,
    NEGATIONS,
    PREPOSITIONS,
    QUANTIFIERS,
    QUESTIONS,
    SEVERAL_MEANINGS,
    SHARED,
    TOLD_WORD_BY_WORD,
)

LONGEST = 600
"""Letters of a prompt that is read; a longer one is like no other."""
ENGLISH, VERBATIM, OTHER = "english", "verbatim", "other"

_ODD_SIGNS = str.maketrans({"\u2019": "'", "\u2018": "'", "\u00a0": " ", "\u202f": " "})
_TOKEN = re.compile(
    r"https?://\S+|[^\s@]{1,64}@\S+\.\w+"
    r"|\d{4}-\d\d-\d\d(?![\d-])"
    r"|\d{1,2}:\d\d(?::\d\d)?(?![\d:])"
    r"|(?:[A-Za-z][A-Za-z._/-]*)?\d[\w.,]*(?:[-_/.]\w+)*[+#]*"
    r"|[ap]\.m\.?(?![a-z])"
    r"|[A-Za-z]+(?:['-][A-Za-z]+)*'?(?:[+#]+)?"
    r"|°[CF]\b|[^\w\s]|\w+",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([A-Za-zµ%]{1,2}|mins|hrs|lbs)")
_HALVES = frozenset(("a.m.", "p.m."))
_ORDINAL_ENDS = frozenset(("st", "nd", "rd", "th"))
_MARKS = frozenset("?!.,;\u2026")
_VERBATIM = re.compile(r"[\"`\n{}<>=|\\\u201c\u201d\u00ab\u00bb&^*~\[\]]|\S:\s")
_ENDS = " \t?!.\u2026\u00bf\u00a1\u061f\uff1f\u3002\uff01"
_CONTRACTED = re.compile(r"(?i)\b(can|won|shan|ai|[a-z]+)(?:n't)\b|\bcannot\b")
_IRREGULAR = {"can": "can not", "won": "will not", "shan": "shall not", "ca": "can not"}
_ENDINGS = (("'re", "are"), ("'ve", "have"), ("'ll", "will"), ("'m", "am"))
_IS = frozenset("what who where how that it there here when why he she".split())


class Sense(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a prompt asks."""

    mode: str
    """`english`, `verbatim` or `other`."""
    kind: str
    """How it asks: a question word, an auxiliary, or what it tells to do."""
    form: tuple[str, ...]
    auxiliaries: tuple[str, ...] = ()
    articles: tuple[tuple[str, str], ...] = ()
    """(word, the article before it)."""
    shapes: tuple[tuple[str, str], ...] = ()
    """(word, how it is written): `lower`, `title`, `upper` or `mixed`. Not for the first word."""
    is_uniform: bool = True
    """All words but the first are written in one way: capitals may be missing, or say nothing."""
    drops_does: bool = False
    """It asks with `does`: its verb has lost an s."""

    @property
    def bag(self) -> int:
        """The same for all senses that could be alike, in this process."""
        words = sorted(word.removesuffix("s") for word in self.form)
        return hash((self.mode, self.kind, tuple(words)))


def sense_of(text: str) -> Sense | None:
    """Read a prompt; None where it is too long or empty."""
    if len(text) > LONGEST:
        return None
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_ODD_SIGNS))
    bare = text.strip()
    if not bare.strip(_ENDS):
        return None
    if not bare.isascii() and any(one.isalpha() and not one.isascii() for one in bare):
        return _other(bare)
    opened = plain_opening(bare)
    if _VERBATIM.search(opened.strip()):
        return _verbatim(bare)
    written = _TOKEN.findall(_spelled_out(opened))
    low = {word.lower() for word in written}
    if low & TOLD_WORD_BY_WORD:
        return _verbatim(bare)
    return _english(written) if _is_english(low) else _other(bare)


def _is_english(low: set[str]) -> bool:
    """Whether these are words of an English sentence. A doubt costs a hit, no more."""
    known, foreign = low & FUNCTION, len(low & FOREIGN)
    surely = len(known - SHARED)
    return surely > foreign or (not foreign and bool(known))


def _verbatim(bare: str) -> Sense:
    """Every word counts, and so do capitals; only the outermost ends do not."""
    if "\n" in bare or "`" in bare:
        return Sense(mode=VERBATIM, kind="", form=(bare,))
    found = " ".join(bare.split())
    if found[-1:] in "?!" or (found.endswith(".") and not found.endswith("..")):
        found = found[:-1].rstrip()
    return Sense(mode=VERBATIM, kind="", form=(found[:1].lower() + found[1:],))


def _other(bare: str) -> Sense:
    """A language that is not known: the same words in the same order, without courtesies."""
    found = " ".join(bare.strip(_ENDS).split())
    for courtesy in COURTESIES:
        low = found.lower()
        if low.startswith((courtesy + ",", courtesy + "!", courtesy + ".")):
            found = found[len(courtesy) + 1 :].strip(_ENDS)
        elif low.endswith((f" {courtesy}", f",{courtesy}")):
            found = found[: -len(courtesy) - 1].strip(_ENDS + ",")
    found = re.sub(r"\s+([?!:;,.])", r"\1", found)
    first, _, rest = found.partition(" ")
    if first not in FORMAL and not first[1:2].isupper():
        found = f"{first[:1].lower()}{first[1:]} {rest}".strip()
    return Sense(mode=OTHER, kind="", form=tuple(re.split(r"(?<=[?!.]) ", found)))


def _english(written: list[str]) -> Sense:
    while written and written[-1] in _MARKS:
        written.pop()
    figures = with_figures(_apart(["," if one in _MARKS else one for one in written]))
    while figures and figures[-1] == ",":
        figures.pop()
    shapes = tuple((one.lower(), _shape(one)) for one in figures[1:] if one.isalpha())
    tokens = [
        one.lower() if len(one) > 1 and one.isalpha() else _named(one, at)
        for at, one in enumerate(figures)
    ]
    tokens = _with_negation_in_place(one_way(tokens))
    tokens, drops_does = direct(tokens)
    tokens = [MEANINGS.get(one, one) for one in tokens]
    kind = _kind(tokens)
    tokens, articles = _without_articles(tokens)
    auxiliaries = ["do" if one == "does" else one for one in tokens if one in AUXILIARIES]
    return Sense(
        mode=ENGLISH,
        kind=kind,
        form=tuple(one for one in tokens if one not in AUXILIARIES),
        auxiliaries=tuple(auxiliaries),
        articles=articles,
        shapes=shapes,
        is_uniform=len({shape for word, shape in shapes if word != "i"}) < 2,
        drops_does=drops_does,
    )


def _spelled_out(text: str) -> str:
    """Without contractions: can't -> can not."""

    def meant(found: re.Match[str]) -> str:
        stem = found[1]
        return "can not" if stem is None else _IRREGULAR.get(stem.lower(), f"{stem} not")

    return _CONTRACTED.sub(meant, text) if "n't" in text or "annot" in text else text


def _apart(tokens: Sequence[str]) -> list[str]:
    """Endings as words: what's -> what is, Tom's -> Tom 's, we're -> we are, 16GB -> 16 GB."""
    found: list[str] = []
    for token in tokens:
        if token.isalpha():
            found.append(token)
            continue
        low = token.lower()
        ending = next((end for end in _ENDINGS if low.endswith(end[0])), None)
        if ending is not None:
            found += (token[: -len(ending[0])], ending[1])
        elif low.endswith("'s"):
            found += (token[:-2], "is" if low[:-2] in _IS else "'s")
        elif low.endswith("s'"):
            found += (token[:-1], "'s")
        elif token[-1:] in ".," and len(token) > 1:
            is_half = low in _HALVES
            found += [token] if is_half else [*_apart([token[:-1]]), ","]
        elif low[-2:] not in _ORDINAL_ENDS and (glued := _NUMBER.fullmatch(token)) is not None:
            found += glued.groups()
        else:
            found.append(token)
    return found


def _named(token: str, at: int) -> str:
    """A token whose capitals are part of it, codes, ids and single letters, or in lower case."""
    if len(token) == 1:
        is_letter = token not in "aiI" and not (at == 0 and token == "A")
        return token if is_letter else token.lower()
    return token if any(one.isdigit() for one in token) else token.lower()


def _shape(word: str) -> str:
    if word.islower():
        return "lower"
    if word.isupper():
        return "upper"
    return "title" if word.istitle() else "mixed"


def _with_negation_in_place(tokens: list[str]) -> list[str]:
    """Why is it not on -> why is not it on; only where nothing else could be meant."""
    begin = next((at for at, one in enumerate(tokens[:2]) if one in AUXILIARIES), None)
    if begin is None or tokens.count("not") != 1 or not QUANTIFIERS.isdisjoint(tokens):
        return tokens
    at = tokens.index("not")
    between = tokens[begin + 1 : at]
    plain = not (set(between) & (QUESTIONS | NEGATIONS | {"and", "or", "if", "that", ","}))
    if at <= begin or len(between) > 3 or not plain or tokens[at + 1 : at + 2] == ["to"]:
        return tokens
    return [*tokens[: begin + 1], "not", *between, *tokens[at + 1 :]]


def _kind(tokens: Sequence[str]) -> str:
    first = tokens[0] if tokens else ""
    if first in AUXILIARIES:
        return "do" if first == "does" else first
    return first if first in QUESTIONS else "tell"


def _without_articles(tokens: list[str]) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    """Articles aside, but for those that make another word of what follows them."""
    content = [one for one in tokens if one not in ARTICLES and one not in AUXILIARIES]
    found: list[str] = []
    articles: list[tuple[str, str]] = []
    for at, one in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if one not in ARTICLES or not following:
            found.append(one)
        elif following.startswith("date:"):
            continue
        elif len(content) < 3 or _weighs(following, tokens[at - 1] if at else ""):
            found.append("a" if one == "an" else one)
        else:
            articles.append((following, "a" if one == "an" else one))
    return found, tuple(articles)


def _weighs(following: str, before: str) -> bool:
    """Whether an article changes what is meant: in march, in a march."""
    heavy = following in HEAVY or following in QUANTIFIERS or following in SEVERAL_MEANINGS
    return heavy or before in PREPOSITIONS
