"""The laws of a store, as a machine that anything which claims to be one must pass.

Gateways of two nodes reserve, settle, void, extend and renew for two tenants over a network that
loses, repeats and reorders; the clock runs, steps back, and differs by node; leases end, windows
roll, limits are raised and lowered, stores are wiped and told again. Every answer and every number
must be what `truth` works out from the whole history, and the laws of the books must hold by name.

`machine_of(Subject(make))` gives the class for one kind of store; `Broken.law` names what failed.
`make(nodes)` gives an empty store that waits for these nodes. START_MS lies in the future, so that
keys which expire by a real clock do not.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bursar.state.terms import Ask, Carried, Claim, Denial, Rate, Standing, Store, StoreLost
from bursar.state.windows import Place, checked_window, place
from state.truth import Truth

START_MS = 2_051_222_000_000
"""31 December 2034, some minutes before the end of the day."""
LONGEST_MS = 18 * 3_600_000
"""A run is shorter than a day, so that nothing is forgotten meanwhile."""
NODES = ("north", "south")
SKEWS_MS = {"north": 0, "south": -2_500}
TENANTS = ("acme", "blue")


class Broken(AssertionError):
    """A law of the books does not hold."""

    def __init__(self, law: str, text: str) -> None:
        super().__init__(f"{law}: {text}")
        self.law = law


class Kind(NamedTuple):
    """One kind of account."""

    name: str
    window: Any
    limit: int | None
    most_age_ms: int | None = None
    each: bool = True
    """One for each tenant; else one for all."""
    flight: bool = False
    """Of calls under way: takes 1, gives it back."""


KINDS = (
    Kind("minute", checked_window("rolling", 60), 60),
    Kind("tick", checked_window("minute"), 100),
    Kind("hour", checked_window("rolling", 3_600), 150),
    Kind("day", checked_window("day", zone="Europe/Berlin"), 250),
    Kind("prepaid", checked_window("never"), 400),
    Kind("task", checked_window("never"), 120, most_age_ms=900_000),
    Kind("flight", checked_window("rolling", 7_200), 4, flight=True),
    Kind("seen", checked_window("day"), None),
    Kind("all", checked_window("day"), 450, each=False),
)


def at_once(step: Coroutine[Any, Any, Any]) -> Any:
    """Drive a coroutine that waits for nothing."""
    try:
        step.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits; drive it with a loop")


@dataclass
class Subject:
    """A kind of store under test."""

    make: Callable[[Sequence[str]], Store]
    drive: Callable[[Coroutine[Any, Any, Any]], Any] = at_once
    leaves_out: tuple[str, ...] = ()
    """Fields of answers that it does not fill."""
    replays: bool = True
    """Whether its state is to come out of its steps alone (I6, I9)."""


@dataclass
class Attempt:
    """What a gateway knows of one of its calls."""

    ask: Ask
    node: str
    tenant: str
    granted: bool = False
    end: str = ""
    """`settle` or `void`, once it was sent."""
    actuals: tuple[int, ...] = ()


@dataclass
class Message:
    """A step on its way to the store."""

    name: str
    given: tuple[Any, ...]
    tenant: str = ""
    delivered: bool = False


@dataclass
class World:
    """What the gateways and the network know."""

    attempts: dict[str, Attempt] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    log: list[tuple[str, tuple[Any, ...], Any]] = field(default_factory=list)
    """Steps that the store has taken since it began, with its answers."""
    nodes: tuple[str, ...] = ()
    """That the store began by waiting for."""


class StoreMachine(RuleBasedStateMachine):
    """See the head of this file."""

    subject: Subject

    @initialize(offset_ms=st.integers(0, 1_300_000))
    def begin(self, offset_ms: int) -> None:
        self.now_ms = START_MS + offset_ms
        self.latest_ms = self.now_ms
        self.world = World()
        self.limits = {(t, k.name): k.limit for t in (*TENANTS, "") for k in KINDS}
        self.places: dict[str, dict[Claim, None]] = {}
        self.is_thrifty = True
        self._new_store(())

    def _new_store(self, nodes: tuple[str, ...]) -> None:
        self.store = self.subject.make(nodes)
        self.truth = Truth(nodes)
        self.world.nodes = nodes
        self.world.log.clear()

    # What happens. ------------------------------------------------------------------------

    @rule(
        who=st.tuples(st.sampled_from(TENANTS), st.sampled_from(NODES)),
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=5, unique=True),
        amount=st.one_of(st.integers(0, 60), st.sampled_from((1, 30, 50, 60, 100))),
        lease_ms=st.sampled_from((5_000, 60_000, 600_000)),
        tokens=st.sampled_from((None, None, None, None, None, 0, 1, 2, 5, 6)),
        fates=st.lists(
            st.sampled_from(("now", "now", "now", "now", "twice", "later")), min_size=1, max_size=5
        ),
    )
    def reserve(
        self,
        who: tuple[str, str],
        kinds: list[Kind],
        amount: int,
        lease_ms: int,
        tokens: int | None,
        fates: list[str],
    ) -> None:
        """A burst of like calls."""
        tenant, node = who
        at_ms = self.now_ms + SKEWS_MS[node]
        for fate in fates:
            claims = tuple(self._claim(kind, tenant, amount, at_ms) for kind in kinds)
            rates = (Rate(f"{tenant}/tokens", tokens, 5, 7_000_003),) if tokens is not None else ()
            key = f"{len(self.world.attempts)}.1"
            ask = Ask(key, at_ms, lease_ms, claims, rates, node, f"of {tenant}")
            self.world.attempts[key] = Attempt(ask, node, tenant)
            self._send(Message("reserve", (ask,), tenant), fate)

    @precondition(lambda self: self._under_way())
    @rule(
        picks=st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
        share=st.one_of(st.integers(0, 100), st.sampled_from((100, 100, 150))),
        fate=st.sampled_from(("now", "now", "twice", "later")),
    )
    def settle(self, picks: list[int], share: int, fate: str) -> None:
        """With what the calls really cost: `share` per cent of their holds."""
        for pick in picks:
            if under_way := self._under_way():
                self._settle(self._one(under_way, pick), share, fate)

    def _settle(self, attempt: Attempt, share: int, fate: str) -> None:
        attempt.actuals = tuple(
            0 if "/flight" in claim.account else claim.amount * share // 100
            for claim in attempt.ask.claims
        )
        attempt.end = "settle"
        self.is_thrifty = self.is_thrifty and share <= 100
        given = (attempt.ask.key, attempt.actuals, self._at(attempt))
        self._send(Message("settle", given, attempt.tenant), fate)

    @precondition(lambda self: self._unsettled())
    @rule(pick=st.integers(0, 10**6), fate=st.sampled_from(("now", "twice", "later")))
    def void(self, pick: int, fate: str) -> None:
        """Also of a reservation that no answer has come for."""
        attempt = self._one(self._unsettled(), pick)
        attempt.end = "void"
        given = (attempt.ask.key, self._at(attempt))
        self._send(Message("void", given, attempt.tenant), fate)

    @precondition(lambda self: self._under_way())
    @rule(pick=st.integers(0, 10**6), more=st.integers(-40, 40))
    def extend(self, pick: int, more: int) -> None:
        """Below 0: less, as when a stream tells what its prompt came to."""
        attempt = self._one(self._under_way(), pick)
        record = self.truth.records.get(attempt.ask.key)
        held = [0] * len(attempt.ask.claims) if record is None else record.holds
        amounts = tuple(
            0 if "/flight" in one.account else max(more, -was)
            for one, was in zip(attempt.ask.claims, held, strict=True)
        )
        given = (attempt.ask.key, amounts, self._at(attempt))
        self._send(Message("extend", given, attempt.tenant), "now")

    @precondition(lambda self: self.world.attempts)
    @rule(picks=st.lists(st.integers(0, 10**6), min_size=1, max_size=3))
    def renew(self, picks: list[int]) -> None:
        keys = tuple(self._one(list(self.world.attempts.values()), one).ask.key for one in picks)
        self._send(Message("renew", (keys, self.now_ms)), "now")

    @precondition(lambda self: self.world.attempts)
    @rule(node=st.sampled_from(NODES))
    def abandon(self, node: str) -> None:
        """A worker is gone; its calls may be heard of all the same."""
        self._deliver(Message("abandon", (node, self.now_ms)))

    @precondition(lambda self: len(self.places) > 3)
    @rule(
        teller=st.sampled_from(NODES),
        pick=st.integers(0, 10**6),
        posted=st.integers(0, 20),
        is_born=st.booleans(),
    )
    def carry(self, teller: str, pick: int, posted: int, is_born: bool) -> None:
        """A ledger tells of spending beside what was reserved, and corrects itself."""
        account = self._one(list(self.places), pick)
        window = self._one(list(self.places[account]), pick)
        one = Carried(account, window.slot, posted, self.now_ms - 500 if is_born else None)
        self.is_thrifty = False
        tenant = account.partition("/")[0]
        self._deliver(Message("carry", (teller, (one,), self.now_ms), tenant))

    @precondition(lambda self: self.world.sent)
    @rule(pick=st.integers(0, 10**6), recent=st.booleans())
    def deliver_again(self, pick: int, recent: bool) -> None:
        """What was late, or a second time; in any order."""
        sent = self.world.sent
        self._deliver(self._one(sent[-3:] if recent else sent, pick))

    @rule(
        by_ms=st.sampled_from(
            (1, 400, 5_000, 20_000, 45_000, 61_000, 600_000, 2_700_000, 3_700_000)
        ),
        sweeps=st.booleans(),
    )
    def tick(self, by_ms: int, sweeps: bool) -> None:
        if self.now_ms + by_ms < START_MS + LONGEST_MS:
            self.now_ms += by_ms
            self.latest_ms = max(self.latest_ms, self.now_ms)
        if sweeps:
            self._deliver(Message("sweep", (self.now_ms,)))

    @rule(by_ms=st.sampled_from((1, 999, 30_000, 4_000_000)))
    def clock_steps_back(self, by_ms: int) -> None:
        self.now_ms = max(START_MS, self.now_ms - by_ms)

    @rule(
        tenant=st.sampled_from((*TENANTS, "")),
        kind=st.sampled_from(KINDS),
        by=st.sampled_from((-60, -1, 1, 100)),
    )
    def change_limit(self, tenant: str, kind: Kind, by: int) -> None:
        limit = self.limits[tenant, kind.name]
        if limit is not None:
            self.limits[tenant, kind.name] = max(0, limit + by)

    @precondition(lambda self: len(self.world.attempts) > 8 and not self.world.nodes)
    @rule(
        telling=st.sampled_from((NODES, NODES, NODES[:1], NODES[1:], ())),
        picks=st.lists(st.integers(0, 10**6), max_size=4),
    )
    def wipe(self, telling: tuple[str, ...], picks: list[int]) -> None:
        """The store loses everything; some tell it again at once, some later. Then steps of
        before come a second time."""
        self._new_store(NODES)
        for node in telling:
            self.rebuild(node)
        for pick in picks:
            self.deliver_again(pick, False)

    @precondition(lambda self: self.world.nodes)
    @rule(node=st.sampled_from(NODES))
    def rebuild(self, node: str) -> None:
        self._deliver(self._told(node))
        for one in list(self.world.attempts.values()):
            if one.node == node and one.granted and not one.end:
                self._deliver(Message("restore", (one.ask,), one.tenant))

    # What must hold. ----------------------------------------------------------------------

    @invariant()
    def books_hold(self) -> None:
        if not hasattr(self, "store"):
            return
        for account, claims in self.places.items():
            for claim in self._windows(account, claims):
                was = self._standing(claim)
                true = self.truth.standing(claim)
                if any(type(one) is not int for one in msgspec.structs.astuple(was)[1:6]):
                    raise Broken("integers", f"{was}")
                if min(was.posted, was.held, was.suspect, was.total) < 0:
                    raise Broken("I1", f"below zero: {was}")
                if (was.held, was.suspect) != (true.held, true.suspect):
                    raise Broken("I1", f"held is not what is open: {was}, not {true}")
                if was.total != true.total:
                    raise Broken("I2", f"posted is not what was settled: {was}, not {true}")
                if was.posted != true.posted:
                    raise Broken("I8", f"posted in another window: {was}, not {true}")
                if was != true:
                    raise Broken("standing", f"{was}, not {true}")
                self._check_limit(claim, was)
        suspects = self._call(self.store, "suspects", (1_000,))
        if len(suspects) != len(set(suspects)) or set(suspects) != self.truth.suspects():
            raise Broken("suspects", f"{suspects}, not {self.truth.suspects()}")

    def _check_limit(self, claim: Claim, was: Standing) -> None:
        """I3, where nothing cost more than its hold and nothing was held by force."""
        if not self.is_thrifty or self.world.nodes or claim.account not in self.places:
            return
        if claim.step and claim.since < self._since_latest(claim):
            return
        if not any(
            one.account == claim.account and (claim.step or one.slot == claim.slot)
            for record in self.truth.records.values()
            for one in record.ask.claims
        ):
            return
        limit = self.truth.limit(claim)
        if limit is not None and was.posted + was.held + was.suspect > limit:
            raise Broken("I3", f"{was} is over {limit}")
        if was.worst_over:
            raise Broken("I3", f"{was} says it was over")

    @precondition(lambda self: len(self.world.log) > 3)
    @rule(by=st.integers(0, 200))
    def crash(self, by: int) -> None:
        """I6: the log, replayed, gives the same. I9: what was admitted is, under any raise."""
        if not self.subject.replays:
            return
        for raised in (0, by) if not self.world.nodes else (0,):
            again = self.subject.make(self.world.nodes)
            for name, given, answer in self.world.log:
                if raised and isinstance(answer, Denial):
                    continue
                if raised and name == "reserve":
                    given = (_raised(given[0], raised),)
                replayed = self._call(again, name, given)
                if raised and isinstance(replayed, Denial) and answer is None:
                    raise Broken("I9", f"{given} was admitted, and {replayed} under a raise")
                if not raised and replayed != answer:
                    raise Broken("I6", f"{name}{given}: {replayed}, not {answer}")
            if not raised:
                for account, claims in self.places.items():
                    window = tuple(self._windows(account, claims))
                    if self._call(again, "standings", (window,)) != self._standings(window):
                        raise Broken("I6", f"{account} differs after a replay")

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        for node in NODES if self.world.nodes else ():
            self.rebuild(node)
        for message in self.world.sent:
            if not message.delivered and message.name in ("reserve", "settle", "void"):
                self._deliver(message)
        self._deliver(Message("sweep", (self.latest_ms + 10**7,)))
        self.books_hold()
        spent: dict[str, int] = {}
        for (_, account, _), posted in self.truth.beside.items():
            spent[account] = spent.get(account, 0) + posted
        for one in self.world.attempts.values():
            if one.end == "settle":
                for claim, amount in zip(one.ask.claims, one.actuals, strict=True):
                    spent[claim.account] = spent.get(claim.account, 0) + amount
        for account, claims in self.places.items():
            for claim in claims:
                was = self._standing(claim)
                if was.total != spent.get(account, 0):
                    raise Broken("I4", f"{was}, but {spent.get(account, 0)} was spent")
                if was.held:
                    raise Broken("I5", f"{was} after all leases have ended")

    # How. -----------------------------------------------------------------------------------

    def _claim(self, kind: Kind, tenant: str, amount: int, at_ms: int) -> Claim:
        scope = tenant if kind.each else ""
        here: Place = place(kind.window, at_ms)
        claim = Claim(
            f"{scope}/{kind.name}",
            1 if kind.flight else amount,
            self.limits[scope, kind.name],
            here.slot,
            here.since,
            here.step,
            here.until,
            kind.most_age_ms,
            0 if kind.flight or amount % 3 else amount,
        )
        window = msgspec.structs.replace(claim, amount=0, limit=None, most_age_ms=None, spare=0)
        self.places.setdefault(claim.account, {})[window] = None
        return claim

    def _windows(self, account: str, claims: dict[Claim, None]) -> list[Claim]:
        """A few windows of an account: those of its last claims, and the one of now."""
        some = list(claims)
        if not some[0].step:
            return some[-4:]
        kind = next(one for one in KINDS if account.endswith(f"/{one.name}"))
        now = place(kind.window, self.latest_ms)
        last = msgspec.structs.replace(some[-1], slot=now.slot, since=now.since, until=now.until)
        return [some[0], some[-1], last]

    def _since_latest(self, claim: Claim) -> int:
        kind = next(one for one in KINDS if claim.account.endswith(f"/{one.name}"))
        return place(kind.window, self.latest_ms).since

    def _at(self, attempt: Attempt) -> int:
        return self.now_ms + SKEWS_MS[attempt.node]

    def _one(self, some: Sequence[Any], pick: int) -> Any:
        return some[pick % len(some)]

    def _under_way(self) -> list[Attempt]:
        return [one for one in self.world.attempts.values() if one.granted and not one.end]

    def _unsettled(self) -> list[Attempt]:
        return [one for one in self.world.attempts.values() if not one.end]

    def _told(self, node: str) -> Message:
        """What the ledger of a node knows: its attempts that are recorded."""
        mine = [one for one in self.world.attempts.values() if one.node == node]
        slots: dict[tuple[str, int], int] = {}
        born: dict[str, int] = {}
        for one in mine:
            if one.end == "settle":
                for claim, amount in zip(one.ask.claims, one.actuals, strict=True):
                    place_of = (claim.account, claim.slot)
                    slots[place_of] = slots.get(place_of, 0) + amount
                    first = born.get(claim.account, one.ask.at_ms)
                    born[claim.account] = min(first, one.ask.at_ms)
        carried = tuple(
            Carried(account, slot, posted, born[account])
            for (account, slot), posted in slots.items()
        )
        done = tuple(one.ask.key for one in mine if one.end == "settle")
        return Message("rebuild", (node, carried, done, self.now_ms))

    def _send(self, message: Message, fate: str) -> None:
        self.world.sent.append(message)
        for _ in range({"now": 1, "twice": 2}.get(fate, 0)):
            self._deliver(message)

    def _call(self, store: Store, name: str, given: tuple[Any, ...]) -> Any:
        try:
            return self.subject.drive(getattr(store, name)(*given))
        except StoreLost:
            return StoreLost

    def _standings(self, claims: tuple[Claim, ...]) -> list[Standing]:
        return self._call(self.store, "standings", (claims,))

    def _standing(self, claim: Claim) -> Standing:
        return self._standings((claim,))[0]

    def _picture(self, tenant: str) -> list[Standing]:
        """All numbers of one tenant."""
        return self._standings(
            tuple(
                claim
                for account, claims in self.places.items()
                if account.startswith(f"{tenant}/")
                for claim in self._windows(account, claims)
            )
        )

    def _deliver(self, message: Message) -> None:
        """Let the store take a step, and hold its answer against the truth."""
        message.delivered = True
        other = next((one for one in TENANTS if one != message.tenant), "")
        before = (self._picture(other), self._picture(message.tenant) + self._picture(""))
        answer = self._call(self.store, message.name, message.given)
        self.world.log.append((message.name, message.given, answer))
        if message.name in ("reserve", "extend") and self.truth.awaited:
            if answer is not StoreLost:
                raise Broken("whole", f"{answer} before the store was told everything")
            return
        true = getattr(self.truth, message.name)(*message.given)
        if message.tenant and self._picture(other) != before[0]:
            raise Broken("I10", f"{message} changed a number of {other}")
        denied = message.name == "reserve" and answer is not None
        if denied and self._picture(message.tenant) + self._picture("") != before[1]:
            raise Broken("I7", f"{message} was denied and changed a number")
        if self._plain(answer) != self._plain(true):
            if (law := _law(answer, true)) == "answers":
                self.books_hold()
            raise Broken(law, f"{message}: {answer}, not {true}")
        if message.name == "reserve" and answer is None:
            self.world.attempts[message.given[0].key].granted = True

    def _plain(self, answer: Any) -> Any:
        if not isinstance(answer, msgspec.Struct):
            return answer
        fields = msgspec.structs.asdict(answer)
        return {name: fields[name] for name in fields if name not in self.subject.leaves_out}


def _law(answer: Any, true: Any) -> str:
    """What an answer that is not the true one breaks."""
    if answer is None and isinstance(true, Denial):
        return {"limit": "I3", "rate": "rates", "age": "age"}[true.why]
    if isinstance(answer, Denial) and true is None:
        return "refuses"
    return "answers"


def _raised(ask: Ask, by: int) -> Ask:
    claims = tuple(
        one if one.limit is None else msgspec.structs.replace(one, limit=one.limit + by)
        for one in ask.claims
    )
    return msgspec.structs.replace(ask, claims=claims)


def machine_of(subject: Subject) -> type[StoreMachine]:
    """The machine for one kind of store."""
    return type("OfStore", (StoreMachine,), {"subject": subject})
