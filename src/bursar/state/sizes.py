"""What one attempt may come to at most: its tokens, and the dearest rates that may bill them.

A text has at most as many tokens as bytes: tokenizers cut bytes, and none makes two tokens of one.
(Those that first rewrite the text, to NFKC, make more of a few rare signs.) An estimate is no
bound: somebody who wants to can exceed ours seventyfold. What a body does not hold has no bound at
all: images by address, histories kept by the provider, pages that its own tools fetch. For these
stand the assumptions of `Assumed`, and a `Size` says when it rests on one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from bursar.model.block import Block, Mark, Role
from bursar.model.errors import Unpriced
from bursar.model.money import PICO_PER_NANO
from bursar.price.billing import Way
from bursar.price.book import Book
from bursar.price.rates import Rates, RateSet
from bursar.price.units import PROMPT_UNITS, REQUESTS, WRITES, is_token

THIN = 80
"""Bytes per estimated token above which a block is no text, but a picture or a file."""
WIRE_TOKENS = 8
"""By which the estimate of a short text may exceed its bytes."""
TOOL_BYTES = 200
"""A tool whose specification is shorter may be one of the provider's own, with hidden words."""

CARRIED = re.compile(rb'"(?:data|bytes|url|file_data)"\s*:\s*"([^"\\]{512,})"')
"""Pictures and files inside a body."""
ELSEWHERE = re.compile(
    rb'"(?:previous_response_id|conversation|prompt_id|cachedContent|cached_content|file_id'
    rb'|file_url|fileUri|file_uri|s3Location|container)"\s*:\s*["{]'
)
"""Prompts that are not in the body."""
SERVED = re.compile(
    rb'"type"\s*:\s*"(?:web_search|web_fetch|file_search|code_interpreter|code_execution|mcp|'
    rb"tool_search|computer|image_generation|advisor)"
    rb'|"(?:web_search_options|googleSearch|google_search|urlContext|codeExecution|systemTool'
    rb'|mcp_servers)"\s*:'
)
"""Tools that the provider runs itself, within the call, at our cost."""
USES = re.compile(rb'"(?:max_uses|max_tool_calls)"\s*:\s*(\d{1,4})\b')
THOUGHT = re.compile(rb'"(?:budget_tokens|thinkingBudget|thinking_budget)"\s*:\s*(\d{1,7})\b')
"""A limit on the answer must be above it, or the provider refuses the call."""
SPOKEN = re.compile(rb'"(?:modalities|responseModalities|response_modalities)"\s*:')
"""Answers that may be more than text, at other rates."""

EDITED = re.compile(rb'"(?:context_management|contextManagement|transforms|truncation)"\s*:')
"""Prompts that the provider shortens, each time in its own way."""

ANY = re.compile(b"|".join(one.pattern for one in (ELSEWHERE, SERVED, THOUGHT, SPOKEN, EDITED)))
"""Most bodies have none of these: one search, not five."""


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """Stands where nothing is known. Each is shown with the budgets that rest on it."""

    text_percent: int = 0
    """Of the estimate of a text, that its tokens stay within, where that is less than its bytes.
    0: only the bytes are believed. 200 has held for every recorded prompt, and fails for a text
    that is made to fail."""
    answer_tokens: int = 32_000
    """Longest answer of a call that names no limit, where no other cap is known. It is written
    upstream, which makes it true."""
    attachment_times: int = 4
    """A picture or file is this many times its estimate at most."""
    tools_tokens: int = 1_000
    """Hidden words for tools, once, and for each tool that may be the provider's own."""
    elsewhere_tokens: int = 100_000
    """A prompt that the provider keeps: an earlier answer, a cached content, a file by its id."""
    use_tokens: int = 10_000
    """What one use of a provider's own tool adds to the prompt."""
    uses: int = 5
    """Such uses in a call that does not limit them."""


ASSUMED = Assumed()


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """The most that an attempt may use."""

    prompt_tokens: int
    answers: int = 1
    """How many; 0 for embeddings and whatever else writes nothing."""
    cap_tokens: int = 0
    """Longest answer."""
    asked_tokens: int | None = None
    """The limit that stands in the body. None: it has none, and `cap_tokens` is to be written."""
    least_tokens: int = 0
    """A lower limit would be refused: what the client lets the model think, and 1 more."""
    uses: int = 0
    """Of tools that the provider runs and bills."""
    mark: Mark = Mark.NONE
    """The dearest cache mark in the prompt."""
    mixed: bool = False
    """Prompt or answer may be more than text."""
    is_edited: bool = False
    """The provider may shorten the prompt, and next time otherwise."""
    assumed: tuple[str, ...] = ()
    """Fields of `Assumed` that it rests on."""


class Top(msgspec.Struct, frozen=True, kw_only=True):
    """The dearest that a token, and a call, may be."""

    prompt_pico: int
    answer_pico: int
    use_pico: int = 0
    """One use of a provider's own tool."""
    call_pico: int = 0
    is_ceiling: bool = False
    """No price is known: these are the dearest of the provider, or of all."""

    def nano(self, size: Size, answer_tokens: int) -> int:
        """The most that a call of this size costs with so many answer tokens, rounded up."""
        pico = size.prompt_tokens * self.prompt_pico + size.uses * self.use_pico + self.call_pico
        return -(-(pico + answer_tokens * self.answer_pico) // PICO_PER_NANO)


def size_of(
    body: bytes,
    blocks: Sequence[Block],
    asked_tokens: int | None,
    answers: int = 1,
    caps: Iterable[int | None] = (),
    assumed: Assumed = ASSUMED,
) -> Size:
    """The size of a call, from its body as it is sent. `answers=0`: it writes none.

    `caps`: limits of the route and of the model, where there are any.
    """
    rests: list[str] = []
    prompt_tokens, mixed = prompt_bound(body, blocks, assumed, rests)
    uses, least, told = 0, 0, ANY.search(body) is not None
    if told and SERVED.search(body):
        uses = max([int(found) for found in USES.findall(body)], default=0) or assumed.uses
        prompt_tokens += uses * assumed.use_tokens
        rests.append("use_tokens")
    if told and ELSEWHERE.search(body):
        prompt_tokens += assumed.elsewhere_tokens
        rests.append("elsewhere_tokens")
    if told:
        least = max([int(found) + 1 for found in THOUGHT.findall(body)], default=0)
        mixed = mixed or SPOKEN.search(body) is not None
    known = [cap for cap in (asked_tokens, *caps) if cap is not None]
    if not known and answers:
        rests.append("answer_tokens")
    marks = {block.mark for block in blocks}
    return Size(
        prompt_tokens=prompt_tokens,
        answers=answers,
        cap_tokens=(min(known) if known else assumed.answer_tokens) if answers else 0,
        asked_tokens=asked_tokens,
        least_tokens=least,
        uses=uses,
        mark=Mark.H1 if Mark.H1 in marks else Mark.M5 if Mark.M5 in marks else Mark.NONE,
        mixed=mixed,
        is_edited=told and EDITED.search(body) is not None,
        assumed=tuple(rests),
    )


def prompt_bound(
    body: bytes, blocks: Sequence[Block], assumed: Assumed, rests: list[str]
) -> tuple[int, bool]:
    """(tokens that a prompt has at most, whether it is more than text)."""
    tokens, percent = len(body), assumed.text_percent
    attached = pictures = tools = own = spared = 0
    for block in blocks:
        estimate, size = block.tokens or 0, block.size_bytes
        if estimate > size + WIRE_TOKENS or estimate * THIN < size:
            attached += estimate
            pictures += 1 + estimate // 1_000
        elif percent:
            spared += max(0, size - (estimate + WIRE_TOKENS) * percent // 100)
        if block.role is Role.TOOL_SPEC:
            tools += 1
            own += size < TOOL_BYTES
    if spared:
        tokens -= spared
        rests.append("text_percent")
    if attached:
        tokens += attached * assumed.attachment_times
        rests.append("attachment_times")
        carried = [len(found) for found in CARRIED.findall(body)]
        if len(carried) <= pictures:
            tokens -= sum(carried)
    if tools:
        tokens += (1 + own) * assumed.tools_tokens
        rests.append("tools_tokens")
    return max(tokens, 1), bool(attached)


def dearest(lists: Iterable[Rates], size: Size, way: Way | None) -> Top | None:
    """The dearest rates that may bill a call of this size, or None where some are not known.

    `lists`: of each price class that the provider may choose. `way`: how the model's cache is
    filled (`price.billing`); None where no rule says.
    """
    units = {"input", "cache_read"}
    if size.mark is not Mark.NONE or way not in (Way.NONE, Way.STEPS, Way.MARKS):
        units.add("cache_write_5m")
    if size.mark is Mark.H1:
        units.add("cache_write_1h")
    prompt, answer, use, call = [-1], [-1], [0], [0]
    for rates in lists:
        above = [tier for tier in rates.tiers if size.prompt_tokens > tier.above_tokens]
        for one in (rates, *above):
            prompt += _rates(one, units, size.mixed)
            answer += [rate for rate in (one.output, one.reasoning) if rate is not None]
            for unit, rate in one.other.items():
                if unit == REQUESTS:
                    call.append(rate)
                elif not is_token(unit):
                    use.append(rate)
                elif size.mixed and unit.startswith("output_"):
                    answer.append(rate)
    if max(prompt) < 0 or (size.answers and max(answer) < 0):
        return None
    return Top(
        prompt_pico=max(prompt),
        answer_pico=max(0, *answer),
        use_pico=max(use) if size.uses else 0,
        call_pico=max(call),
    )


def _rates(rates: RateSet, units: Iterable[str], mixed: bool) -> list[int]:
    found = [rate for unit in units if (rate := getattr(rates, unit)) is not None]
    for unit, rate in rates.other.items():
        if unit.startswith(WRITES) or (mixed and unit in PROMPT_UNITS):
            found.append(rate)
    return found


class Tops:
    """The dearest rates of any call, from one book. Not for use by several threads."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._ceilings: dict[str | None, Top] = {}

    def top(
        self,
        names: tuple[str | None, str | None],
        size: Size,
        at: datetime,
        classes: Sequence[str] = ("standard",),
        way: Way | None = None,
    ) -> Top | None:
        """Of the model `names` (provider, model). None: no price is known.

        `classes`: each that the provider may bill, such as `("standard", "priority")`; one that
        has no price of its own is left out.
        """
        lists: list[Rates] = []
        for price_class in classes:
            try:
                lists.append(self._book.rates(*names, at, price_class))
            except Unpriced:
                continue
        return dearest(lists, size, way)

    def ceiling(self, provider: str | None) -> Top:
        """The dearest known token of a provider, or of all where none of its prices is known."""
        if not self._ceilings:
            self._fill()
        name = self._book.provider_id(provider) if provider is not None else None
        return self._ceilings.get(name) or self._ceilings[None]

    def _fill(self) -> None:
        most: dict[str | None, tuple[int, int, int, int]] = {None: (0, 0, 0, 0)}
        size = Size(prompt_tokens=1 << 40, answers=0, uses=1, mark=Mark.H1, mixed=True)
        for listed in self._book.models():
            top = self.top((listed.provider, listed.model), size, self._book.now)
            if top is None:
                continue
            found = (top.prompt_pico, top.answer_pico, top.use_pico, top.call_pico)
            for name in (None, listed.provider):
                before = most.get(name, found)
                most[name] = (
                    max(before[0], found[0]),
                    max(before[1], found[1]),
                    max(before[2], found[2]),
                    max(before[3], found[3]),
                )
        self._ceilings = {
            name: Top(prompt_pico=a, answer_pico=b, use_pico=c, call_pico=d, is_ceiling=True)
            for name, (a, b, c, d) in most.items()
        }
