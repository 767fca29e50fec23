"""Ways to say the same thing become one way: openings, courtesies, embedded questions, particles.

Each rule is a row or a small function, and holds only where nothing else can be meant: `how do you
bake` is `how do I bake`, but `how do you feel` stays what it is.
"""

from __future__ import annotations

import re

from bursar.levers.likeness_words import (
    ARTICLES,
    AUXILIARIES,
    MOVING,
    NOT_ANYONE,
    PARTICLES,
    PREPOSITIONS,
    QUESTIONS,
    REQUESTS,
)

_GREETING = re.compile(
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening))(?: (?:there|all|team))?\s*[,!.:]?\s+"
    r"|(?:please|kindly)\s*[,:]?\s+"
    r"|(?:quick question|i have a question|just wondering|thanks in advance"
    r"|thank you in advance)\s*[:,.!]\s*"
    r"|(?:so|ok|okay)\s*,?\s+(?=(?:how|what|who|when|where|why|which|can|is|are|do|does)\b)",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"(?:(?<=[.?!,])|(?<=[.?!,]\s)|,)\s*"
    r"(?:please|thanks|thank you|many thanks|thanks in advance|thank you in advance)\s*[.!?]*\s*$",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"(?:(?:can|could|would|will) you (?:please |kindly )?"
    r"|please (?:can|could|would|will) you (?:please |kindly )?)"
    r"(?=(?:" + "|".join(sorted(REQUESTS)) + r")\b)",
    re.IGNORECASE,
)
_KNOWING = re.compile(
    r"(?:(?:please )?tell me|please let me know|let me know|do you know|i (?:would|'d) like to know"
    r"|i'd like to know|i want to know|i need to know)\s*:?\s+"
    r"(?=(?:what|who|when|where|why|how|which)\b)",
    re.IGNORECASE,
)
_TELLING = re.compile(
    r"(?:tell me|i would like to know|i'd like to know|i want to know|let me know)"
    r" (?=the (?!truth|difference|story|rest|whole)\w)",
    re.IGNORECASE,
)
_OPENINGS = (_GREETING, _ASKING, _KNOWING)
_OPENERS = frozenset(
    "hi hello hey good please kindly quick i just thanks thank so ok okay can could would will tell"
    " let do i'd".split()
)
"""The first words of all that the patterns take."""
_FIRST = re.compile(r"[A-Za-z']+")


def plain_opening(text: str) -> str:
    """The text without greetings, thanks, and ways to ask whether one may ask."""
    low = text[-40:].lower()
    if "please" in low or "thank" in low:
        text = _THANKS.sub("", text)
    for _ in range(4):
        before = text
        first = _FIRST.match(text)
        if first is None or first[0].lower() not in _OPENERS:
            break
        for opening in _OPENINGS:
            found = opening.match(text)
            if found is not None and len(text) > found.end():
                text = text[found.end() :]
        if text == before:
            break
    told = _TELLING.match(text)
    return "what is " + text[told.end() :] if told is not None else text


_ROWS: tuple[tuple[str, str], ...] = (
    ("how can i", "how-to"),
    ("how do i", "how-to"),
    ("how should i", "how-to"),
    ("how would i", "how-to"),
    ("how i can", "how-to"),
    ("how to", "how-to"),
    ("what is the way to", "how-to"),
    ("what are the steps to", "how-to"),
    ("explain how to", "how-to"),
    ("explain how", "how"),
    ("explain to me how", "how"),
    ("what is the price of", "how much is"),
    ("is it possible to", "can i"),
    ("am i able to", "can i"),
    ("is there a way to", "can i"),
    ("what do i do", "what should i do"),
    ("where do i find", "where can i find"),
    ("at what time", "what time"),
    ("in which year", "what year"),
    ("in what year", "what year"),
    ("what is the reason that", "why"),
    ("what is the reason", "why"),
    ("for what reason", "why"),
    ("how come", "why"),
    ("give me a list of", "list"),
    ("what is the definition of", "define"),
    ("show me", "show"),
    ("give me", "give"),
    ("send me", "send"),
    ("explain to me", "explain"),
    ("list me", "list"),
)
"""Openings, each with the one way to say it. The first that fits counts."""
_BY_FIRST: dict[str, list[tuple[list[str], list[str]]]] = {}
for _said, _way in _ROWS:
    _words: list[str] = list(_said.split())
    _BY_FIRST.setdefault(_words[0], []).append((_words, list(_way.split())))

_INNER: dict[str, tuple[tuple[list[str], list[str]], ...]] = {
    "right": ((["right", "now"], ["now"]),),
    "sign": ((["sign", "in"], ["log", "in"]),),
    "login": ((["login", "to"], ["log", "in", "to"]),),
    "switch": ((["switch", "off"], ["turn", "off"]), (["switch", "on"], ["turn", "on"])),
    "web": ((["web", "site"], ["website"]),),
    "have": ((["have", "to"], ["need", "to"]),),
    "set-up": ((["set-up"], ["set", "up"]),),
    "cell": ((["cell", "phone"], ["mobile"]),),
    "mobile": ((["mobile", "phone"], ["mobile"]),),
    "get": ((["get", "in", "touch", "with"], ["contact"]),),
    "in": ((["in", "order", "to"], ["to"]),),
}
"""Words anywhere, with the one way to say them."""
_EMPTY_BEHIND = {"exactly": QUESTIONS, "actually": {"i", "how-to"}, "simply": {"i", "how-to"}}
"""Words that say nothing directly behind these."""
NOBODY = frozenset("i you he she we they it this that".split())
"""What they mean is not what a word means."""
SYMMETRIC = frozenset(("between", "compare"))


def one_way(tokens: list[str]) -> list[str]:
    """The same meaning in the one way that this knows. Tokens are in lower case."""
    tokens = _opened(_fronted(tokens))
    tokens = _inner(tokens)
    tokens = _particles(tokens)
    tokens = _possessives(tokens)
    return _sorted_pair(tokens)


def _opened(tokens: list[str]) -> list[str]:
    if tokens[:3] == ["how", "do", "you"] and tokens[3:4] and tokens[3] not in NOT_ANYONE:
        return ["how-to", *tokens[3:]]
    tokens = _priced(tokens)
    for said, way in _BY_FIRST.get(tokens[0], ()) if tokens else ():
        if tokens[: len(said)] == said:
            return [*way, *tokens[len(said) :]]
    return tokens


def _priced(tokens: list[str]) -> list[str]:
    """How much does it cost -> how much is it; what does it mean -> what is the meaning of it."""
    is_one = {"does": "is", "do": "are"}
    if tokens[-1:] == ["cost"] and tokens[:2] == ["how", "much"] and tokens[2] in is_one:
        return ["how", "much", is_one[tokens[2]], *tokens[3:-1]]
    if len(tokens) < 4 or tokens[0] != "what" or tokens[1] not in is_one:
        return tokens
    if tokens[-1] == "cost":
        return ["how", "much", is_one[tokens[1]], *tokens[2:-1]]
    if tokens[-1] == "mean" and tokens[2] not in NOBODY:
        return ["what", "is", "the", "meaning", "of", *tokens[2:-1]]
    return tokens


def _inner(tokens: list[str]) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(tokens):
        one = tokens[at]
        if one in _EMPTY_BEHIND and found and found[-1] in _EMPTY_BEHIND[one]:
            at += 1
            continue
        for said, way in _INNER.get(one, ()):
            if tokens[at : at + len(said)] == said:
                found += way
                at += len(said)
                break
        else:
            found.append(one)
            at += 1
    return found


def _fronted(tokens: list[str]) -> list[str]:
    """In Italy, what is it? -> what is it in Italy?"""
    if tokens.count(",") != 1 or not tokens or tokens[0] not in PREPOSITIONS:
        return tokens
    at = tokens.index(",")
    rest = tokens[at + 1 :]
    asks = bool(rest) and (rest[0] in QUESTIONS or rest[0] in AUXILIARIES)
    return [*rest, *tokens[:at]] if asks else tokens


def _particles(tokens: list[str]) -> list[str]:
    """Turn the alarm off -> turn off the alarm."""
    for at, one in enumerate(tokens):
        if one not in MOVING:
            continue
        thing = tokens[at + 1 : at + 3]
        particle = tokens[at + 3 : at + 4]
        following = tokens[at + 4 : at + 5]
        moves = len(thing) == 2 and (thing[0] in ARTICLES or thing[0] in ("my", "your", "our"))
        ends = not following or following[0] in PREPOSITIONS or following[0] == ","
        if moves and ends and particle and particle[0] in PARTICLES:
            return [*tokens[: at + 1], particle[0], *thing, *tokens[at + 4 :]]
    return tokens


def _possessives(tokens: list[str]) -> list[str]:
    """France 's currency -> the currency of France."""
    if tokens.count("'s") != 1:
        return tokens
    at = tokens.index("'s")
    if at == 0 or at + 1 >= len(tokens):
        return tokens
    begin = at - 2 if at > 1 and tokens[at - 2] in ARTICLES else at - 1
    owner, owned = tokens[begin:at], tokens[at + 1]
    return [*tokens[:begin], "the", owned, "of", *owner, *tokens[at + 2 :]]


def _sorted_pair(tokens: list[str]) -> list[str]:
    """The difference between b and a -> between a and b; what has an order by nature keeps it."""
    at = next((at for at, one in enumerate(tokens) if one in SYMMETRIC), None)
    if at is None or tokens.count("and") != 1:
        return tokens
    if tokens[at] == "between" and "difference" not in tokens[:at]:
        return tokens
    joint = tokens.index("and")
    left, right = tokens[at + 1 : joint], tokens[joint + 1 :]
    plain = all(one.isalpha() and one not in PREPOSITIONS for one in (*left, *right))
    short = 0 < len(left) < 4 and 0 < len(right) < 4
    if not plain or not short or len(_bare(left)) != len(_bare(right)):
        return tokens
    first, last = sorted((left, right), key=_bare)
    return [*tokens[: at + 1], *first, "and", *last]


def _bare(tokens: list[str]) -> list[str]:
    return [one for one in tokens if one not in ARTICLES]


def direct(tokens: list[str]) -> tuple[list[str], bool]:
    """A question without `do` and `does` behind its question word; whether there was a `does`.

    Auxiliaries count by their order alone, so that an embedded question is then a direct one.
    """
    for at, one in enumerate(tokens[:4]):
        if one in ("do", "does") and at and tokens[0] in QUESTIONS:
            return [*tokens[:at], *tokens[at + 1 :]], one == "does"
    return tokens, False
