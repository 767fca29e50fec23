"""Easy calls go to a cheaper model, by rules; a conversation stays with the model that it got.

The first rule that fits a conversation's first call decides, and later calls of the conversation
follow it, so that the provider's prompt cache is not lost from one call to the next. A conversation
is known by its session where the client names one, else by its system prompt and first message.
Rules look at sizes, tools, tags and words; a rule that must look at words and cannot see them does
not fit. Which tasks a cheaper model does as well is not known here: no rule is on by default.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from fnmatch import fnmatchcase

import msgspec

from bursar.levers.ports import PASS, REWROTE, Lever, Ports, rewrite, shown
from bursar.levers.ranges import at_least
from bursar.model.block import Block, Role
from bursar.model.call import Call
from bursar.model.entry import Decision

NAME = "model_route"
MOST_CONVERSATIONS = 50_000
LONGEST_TEXT = 20_000
"""Letters of a message in which words are looked for, from its start."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which conversations go to a model. All that is stated must fit."""

    to: str
    """The model that is asked instead, as if the client had: `models` and the key's own `models`
    hold for it."""
    models: tuple[str, ...] = ()
    """Models that the client asks for, as globs. Empty: all."""
    prompt_below: int | None = None
    """The prompt has fewer tokens than this, by estimate."""
    answer_below: int | None = None
    """The client bounds the answer (`max_tokens`) below this."""
    tools: bool | None = None
    """Whether the call offers tools."""
    task_types: tuple[str, ...] = ()
    """Values of the tag `task_type`, as globs."""
    words: tuple[str, ...] = ()
    """The last message of the user holds one of these, whatever the case."""
    without_words: tuple[str, ...] = ()
    """The last message of the user holds none of these."""

    def __post_init__(self) -> None:
        at_least(self, prompt_below=1, answer_below=1)
        stated = msgspec.structs.asdict(self)
        del stated["to"]
        if all(one is None or one == () for one in stated.values()):
            raise ValueError("a rule needs something that must fit, such as prompt_below")


class ModelRoute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model answers, by rules."""

    rules: tuple[Rule, ...]
    """The first that fits counts; where none does, the call goes as it was asked."""
    sticky: bool = True
    """A conversation stays with what its first call got. False: each call by itself."""


def fits(rule: Rule, call: Call, ports: Ports) -> bool:
    """Whether all that the rule states is so."""
    blocks = call.blocks or ()
    bound = call.limits.max_tokens
    if rule.models and not _any(rule.models, call.model):
        return False
    if rule.task_types and not _any(rule.task_types, call.tags.task_type):
        return False
    if rule.prompt_below is not None and not _tokens(blocks) < rule.prompt_below:
        return False
    if rule.answer_below is not None and not (bound is not None and bound < rule.answer_below):
        return False
    if rule.tools is not None and rule.tools != any(b.role is Role.TOOL_SPEC for b in blocks):
        return False
    return not (rule.words or rule.without_words) or _words_fit(rule, blocks, ports)


def _words_fit(rule: Rule, blocks: tuple[Block, ...], ports: Ports) -> bool:
    said = next((one for one in reversed(blocks) if one.role is Role.USER), None)
    found = None if said is None else shown(ports, said)
    if found is None:
        return False
    text = found.text[:LONGEST_TEXT].casefold()
    if rule.words and not any(word.casefold() in text for word in rule.words):
        return False
    return not any(word.casefold() in text for word in rule.without_words)


def _any(globs: tuple[str, ...], text: str | None) -> bool:
    return text is not None and any(fnmatchcase(text, one) for one in globs)


def _tokens(blocks: tuple[Block, ...]) -> int:
    return sum([block.tokens or 0 for block in blocks])


def conversation_of(call: Call) -> Hashable:
    """What stays the same through a conversation."""
    tags = call.tags
    if tags.session is not None:
        return (tags.tenant, tags.session)
    begin: list[int] = []
    for block in call.blocks or ():
        if block.role is not Role.TOOL_SPEC:
            begin.append(block.digest)
        if block.role is Role.USER:
            break
    return (tags.tenant, *begin)


def model_route(wish: ModelRoute) -> Lever:
    """The lever, as the chain takes it."""
    went: OrderedDict[Hashable, int] = OrderedDict()

    def choice(call: Call, ports: Ports) -> int:
        """Which rule holds; -1: none."""
        key = (conversation_of(call), call.model) if wish.sticky else None
        if key in went:
            went.move_to_end(key)
            return went[key]
        found = (n for n, rule in enumerate(wish.rules) if fits(rule, call, ports))
        chosen = next(found, -1)
        if key is not None:
            went[key] = chosen
            if len(went) > MOST_CONVERSATIONS:
                went.popitem(last=False)
        return chosen

    def change(call: Call, ports: Ports) -> Call:
        chosen = choice(call, ports)
        if chosen < 0:
            ports.note(Decision(lever=NAME, verdict=PASS, why="no rule fits"))
            return call
        rule = wish.rules[chosen]
        if rule.to == call.model:
            return call
        why = f"rule {chosen + 1}: {call.model} -> {rule.to}"
        ports.note(Decision(lever=NAME, verdict=REWROTE, why=why))
        return msgspec.structs.replace(call, model=rule.to)

    return rewrite(NAME, change)
