"""A shorter prompt for a long conversation, cut where the cut pays.

Every trim rewrites the prompt from the cut on: what the provider held there is written anew, dearer
than it was read. So the lever trims in steps. Between two steps it waits until what the old turns
cost since the last step has reached what the next one will cost, the best that can be done without
knowing the future; it steps only if the session is expected to go on for long enough to earn that
back (`lean_lengths`), and if the session cannot lose more by it than `most_lost_tokens`.

What is cut follows from the conversation alone: the steps of its earlier calls are found by going
through its turns, and what is remembered only spares that. So a shape holds for every later call,
and a shape that was forgotten is found again, here or in another worker. What must stay is said in
`keeping`, how results are cut short in `compacting`. No text ever stands in a decision.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import msgspec

from bursar.dialects.showing import IMAGE, REASONING
from bursar.levers.keeping import WHOLE, Script, Shape, turn_starts
from bursar.levers.lean_lengths import Lengths
from bursar.levers.lean_tariff import Tariff
from bursar.levers.lean_thinning import Thinning
from bursar.levers.ports import PASS, REWROTE, Lever, Ports, rewrite
from bursar.levers.ranges import at_least
from bursar.model.block import Block, Mark
from bursar.model.call import Call
from bursar.model.entry import Decision
from bursar.model.errors import Unpriced
from bursar.price.billing_rules import Rules
from bursar.price.book import Book

NAME = "lean_context"
MOST_STATES = 20_000
"""Places in conversations that are remembered."""
NEVER = 2**31
YOUNG = "nothing is old enough"


class LeanContext(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lean context. What is not given is not done."""

    keep_turns: int | None = None
    """At least the last so many turns stay; of older ones, whole turns are dropped. A turn is what
    the model said with what was said to it then: tool results, or a person's words."""
    result_tokens: int | None = None
    """Tool results of old turns are cut to about so many tokens."""
    result_fields: dict[str, tuple[str, ...]] = {}
    """Tool -> the fields of its JSON results that are kept when such a result is cut."""
    drop_images: bool = False
    """Images go from old turns."""
    drop_reasoning: bool = False
    """Reasoning goes from old turns."""
    recent_turns: int = 3
    """The last so many turns are not old: nothing is cut in them."""
    optional_tools: tuple[str, ...] = ()
    """Tools, as globs over their names, that a session may lose when it does not use them. Name
    none that the application forces the model to use."""
    idle_turns: int = 10
    """After so many turns in which it was not used, an optional tool goes."""
    pace: Literal["pays", "every_turn"] = "pays"
    """When to trim: where it pays for the part of the prompt that is written anew, or always."""
    most_lost_tokens: int = 50_000
    """What trims may cost more than they earn, per session, in plain input tokens."""

    def __post_init__(self) -> None:
        at_least(self, keep_turns=0, result_tokens=0, recent_turns=0)
        at_least(self, idle_turns=0, most_lost_tokens=0)


class State(NamedTuple):
    """A conversation up to one of its calls."""

    shape: Shape = WHOLE
    waited_pico: int = 0
    """What it cost to carry what could have been cut, since the last trim."""
    waited_tools_pico: int = 0
    """The same, of tools that could have been left out."""
    lost_pico: int = 0
    """What trims cost more than they earned; gains are not kept."""
    asked_tokens: int = 0
    """Of the last call, as it was asked, and..."""
    sent_tokens: int = 0
    """...in its shape."""
    why: str = YOUNG


class Step(NamedTuple):
    """A trim that could be made at a call."""

    shape: Shape
    tokens: int
    worst_pico: int
    """What this call costs at the most, if it is made."""
    extra_pico: int
    """Of this call, more than without it."""
    gain_pico: int
    """Of each later call."""


class Measure(NamedTuple):
    """What a conversation is judged by."""

    tariff: Tariff
    key: Hashable
    lost_pico: int
    """The most that it may lose."""


class Trimmer:
    """The lever, with what it remembers. One per worker and route."""

    def __init__(self, wish: LeanContext, book: Book, rules: Rules, *, marks: bool = False) -> None:
        """`marks`: the route's prompt_cache lever marks what is sent."""
        self._wish = wish
        self._book = book
        self._rules = rules
        self._marks = marks
        self._lengths = Lengths()
        self._states: OrderedDict[int, State] = OrderedDict()
        self._thinning = Thinning(
            result_tokens=wish.result_tokens,
            result_fields=wish.result_fields,
            gone=[
                form
                for form, is_gone in ((IMAGE, wish.drop_images), (REASONING, wish.drop_reasoning))
                if is_gone
            ],
        )
        self._quiet_turns = _quiet_turns(wish)

    def change(self, call: Call, ports: Ports) -> Call:
        """The call, trimmed."""
        blocks = call.blocks
        if not blocks:
            return call
        tariff = self._tariff(call)
        if tariff is None:
            return self._passed(call, ports, "no price or no cache rule is known for the model")
        tags = call.tags
        starts = turn_starts(blocks)
        root = hash((tags.tenant, tags.route, call.provider, call.model))
        prefixes = _prefixes(blocks, starts, root)
        route = Measure(
            tariff,
            (tags.route, call.provider, call.model),
            self._wish.most_lost_tokens * (tariff.rates.input or 0),
        )
        session = prefixes[0] if tags.session is None else (tags.tenant, tags.session)
        self._lengths.came(session, route.key, len(starts), ports.now_ms)
        if len(starts) <= self._quiet_turns:
            return self._passed(call, ports, YOUNG)
        seen = self._thinning.seen_in(ports)
        script = Script(blocks, starts, seen)
        state = self._at(script, prefixes, route)
        if state.shape == WHOLE:
            return self._passed(call, ports, state.why)
        kept = script.kept(state.shape, seen)
        whole = sum(one.tokens or 0 for one in blocks)
        tokens = sum(one.tokens or 0 for one in kept)
        if tokens >= whole:
            return self._passed(call, ports, "what could be cut is short already")
        ports.note(
            Decision(
                lever=NAME,
                verdict=REWROTE,
                why=f"{_told(state.shape)}; {state.why}",
                tokens_before=whole,
                tokens_after=tokens,
            )
        )
        return msgspec.structs.replace(call, blocks=kept)

    def _passed(self, call: Call, ports: Ports, why: str) -> Call:
        ports.note(Decision(lever=NAME, verdict=PASS, why=why))
        return call

    def _tariff(self, call: Call) -> Tariff | None:
        rule = self._rules.rule(call.provider or "", call.model or "")
        try:
            rates = self._book.rates(call.provider, call.model)
        except Unpriced:
            return None
        if rule is None or not rates.input:
            return None
        marks = {one.mark for one in call.blocks or ()}
        if Mark.H1 in marks:
            return Tariff(rule, rates, Mark.H1)
        return Tariff(rule, rates, Mark.M5 if self._marks or Mark.M5 in marks else Mark.NONE)

    # -- through the turns of a conversation

    def _at(self, script: Script, prefixes: list[int], route: Measure) -> State:
        """The state at this call, from the last place that is remembered."""
        states = self._states
        first = script.count
        while first >= 0 and prefixes[first] not in states:
            first -= 1
        state = states[prefixes[first]] if first >= 0 else State()
        for turns in range(first + 1, script.count + 1):
            state = self._next(script, state, turns, route)
            states[prefixes[turns]] = state
        states.move_to_end(prefixes[script.count])
        while len(states) > MOST_STATES:
            states.popitem(last=False)
        return state

    def _next(self, script: Script, state: State, turns: int, route: Measure) -> State:
        """The state at the call whose prompt has so many turns."""
        tariff = route.tariff
        tools = state.shape.tools
        if tools & script.used_by(turns):
            state = state._replace(
                shape=state.shape._replace(tools=tools - script.used_by(turns)), sent_tokens=0
            )
        asked = script.tokens(WHOLE, turns)
        sent = script.tokens(state.shape, turns)
        cost_pico = tariff.cost_pico(sent, state.sent_tokens)
        asked_pico = tariff.cost_pico(asked, state.asked_tokens)
        target = self._target(script, turns)
        steps = [
            self._step(script, (state, shape), turns, (tariff, sent, cost_pico))
            for shape in dict.fromkeys((target, target._replace(tools=state.shape.tools)))
            if shape != state.shape
        ]
        steps = [one for one in steps if one.tokens < sent]
        waited = [state.waited_pico, state.waited_tools_pico]
        why = YOUNG
        best: Step | None = None
        for one in steps:
            at = int(one.shape.tools != state.shape.tools)
            waited[at] += max(0, one.gain_pico)
            said = self._judged(one, waited[at], route, (turns, state.lost_pico, asked_pico))
            why = said or why
            if said is None and (best is None or one.gain_pico > best.gain_pico):
                best = one
        if best is not None:
            cost_pico, sent = best.worst_pico, best.tokens
            waited, why = [0, 0], f"trimmed at turn {turns}"
        elif state.shape != WHOLE:
            why = state.why
        lost_pico = max(0, state.lost_pico + cost_pico - asked_pico)
        shape = state.shape if best is None else best.shape
        return State(shape, waited[0], waited[1], lost_pico, asked, sent, why)

    def _target(self, script: Script, turns: int) -> Shape:
        """The leanest shape that is allowed at the call."""
        wish = self._wish
        drop = 0 if wish.keep_turns is None else script.droppable(turns, max(1, wish.keep_turns))
        old = max(0, turns - wish.recent_turns)
        thin = strip = 0
        if wish.result_tokens is not None:
            thin = old
        if wish.drop_images or wish.drop_reasoning:
            strip = max(0, min(old, script.told(turns)))
        tools: frozenset[str] = frozenset()
        if wish.optional_tools and turns >= wish.idle_turns:
            used = script.used_by(turns)
            idle = [name for name in script.tools if name not in used and self._is_optional(name)]
            tools = frozenset(idle if len(idle) < len(script.tools) else ())
        return Shape(
            drop, script.pinned(turns, drop), thin, strip, script.last_result(turns), tools
        )

    def _is_optional(self, name: str) -> bool:
        return bool(name) and any(fnmatchcase(name, one) for one in self._wish.optional_tools)

    def _step(
        self,
        script: Script,
        shapes: tuple[State, Shape],
        turns: int,
        now: tuple[Tariff, int, int],
    ) -> Step:
        state, shape = shapes
        tariff, sent, cost_pico = now
        tokens = script.tokens(shape, turns)
        same, turn = script.common(shape, state.shape, turns)
        gone = sum(script.tools.get(name, 0) for name in shape.tools)
        held, sure = tariff.held(
            min(same, state.sent_tokens),
            script.head_tokens - gone,
            script.opening_tokens - gone,
            script.blocks_from(turn, shape, turns),
        )
        new_pico = tariff.cost_pico(tokens, held)
        gain_pico = tariff.cost_pico(sent, sent) - tariff.cost_pico(tokens, tokens)
        worst_pico = tariff.cost_pico(tokens, sure)
        return Step(shape, tokens, worst_pico, new_pico - cost_pico, gain_pico)

    def _judged(
        self, step: Step, waited_pico: int, route: Measure, now: tuple[int, int, int]
    ) -> str | None:
        """Why the step is not made now; None: it is made."""
        turns, lost_pico, asked_pico = now
        if self._wish.pace == "every_turn":
            return None
        if step.tokens < route.tariff.least_tokens:
            return "a shorter prompt would be too short for the provider's cache"
        if step.gain_pico <= 0:
            return "a shorter prompt would cost no less"
        if lost_pico + step.worst_pico - asked_pico > route.lost_pico:
            return "trims could lose more than they may"
        if step.extra_pico <= 0:
            return None
        if waited_pico < step.extra_pico:
            return "the old turns have not yet cost what a trim would"
        if self._lengths.more(route.key, turns) * step.gain_pico <= step.extra_pico:
            return "the session is not expected to go on for long enough"
        return None


def _quiet_turns(wish: LeanContext) -> int:
    """Conversations of so many turns have nothing that could go."""
    found: list[int] = []
    if wish.keep_turns is not None:
        found.append(max(1, wish.keep_turns))
    if wish.result_tokens is not None or wish.drop_images or wish.drop_reasoning:
        found.append(wish.recent_turns)
    if wish.optional_tools:
        found.append(wish.idle_turns - 1)
    return min(found, default=NEVER)


def _prefixes(blocks: Sequence[Block], starts: Sequence[int], root: int) -> list[int]:
    """Hash of the prompt of each call of the conversation, by its turns."""
    found: list[int] = []
    prefix, begin = root, 0
    for end in (*starts, len(blocks)):
        prefix = hash((prefix, *[one.digest for one in blocks[begin:end]]))
        found.append(prefix)
        begin = end
    return found


def _told(shape: Shape) -> str:
    """What is left out, in words and counts."""
    said: list[str] = []
    if shape.drop:
        said.append(f"{shape.drop - len(shape.pinned)} turns dropped")
    if shape.thin > shape.drop:
        said.append(f"long results short before turn {shape.thin}")
    if shape.strip > shape.drop:
        said.append(f"no images or reasoning before turn {shape.strip}")
    if shape.tools:
        said.append(f"{len(shape.tools)} tools left out")
    return ", ".join(said)


def lean_context(wish: LeanContext, book: Book, rules: Rules, *, marks: bool = False) -> Lever:
    """The lever, as the chain takes it."""
    return rewrite(NAME, Trimmer(wish, book, rules, marks=marks).change)
