"""What may go wrong at a provider, on purpose: by a script, by chance under the seed, by a header.

A fault is a row: what happens, where in the answer, to which requests, and whether the provider
bills it. Chance is drawn from the request's digest, so the same request meets the same fate.
The header reads `x-simulate: KIND[=VALUE]; name=value; ...`, and wins over everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

import msgspec

from bursar.dialects.wire import as_list, is_map
from bursar.model.block import digest_of
from bursar.model.errors import BadInput
from bursar.simulator.asking import Asked

HEADER = "x-simulate"
KINDS: dict[str, tuple[str, str | None]] = {
    "none": ("No fault, whatever chance says.", None),
    "rate_limit": ("429 before any work; VALUE: seconds of retry-after.", "retry_after_s"),
    "error": ("An error before any work; VALUE: its status (500).", "status"),
    "error_after": ("An error after the work is done; VALUE: its status (500).", "status"),
    "error_event": ("A stream ends in an error; VALUE: after how many events.", "at"),
    "error_body": ("Status 200 with an error as its body.", None),
    "garbage": ("Status 200 with a body that is no JSON.", None),
    "cut": ("The connection is cut; VALUE: after how many events.", "at"),
    "close": ("The connection is closed before any header.", None),
    "hang": ("Nothing comes any more; VALUE: seconds until the connection is closed.", "wait_s"),
    "slow": ("The answer trickles; VALUE: bytes per second.", "bytes_per_s"),
    "no_usage": ("The answer has no usage.", None),
    "absurd": ("Usage that cannot be true; VALUE: negative, text, huge, zero or null.", "how"),
    "huge_line": ("One event of VALUE bytes in a stream.", "size_bytes"),
}
"""Kind -> what happens, and which field its value is."""
UNWORKED = frozenset(("rate_limit", "error", "close", "error_body", "garbage"))
"""The provider did no work: nothing is cached or billed."""
FREE = UNWORKED | {"error_after"}
"""Not billed, unless the fault says that it is."""
MESSAGE = "simulated fault"


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[fault]]`, or what a header asks for."""

    kind: str = "none"
    probability: float = 1.0
    """Share of the requests that it fits."""
    first: int | None = None
    """Only the first so many times that the very same request comes: then a retry succeeds."""
    model: str = "*"
    """Glob over the model's id."""
    contains: str = ""
    """Text in the request's body."""
    status: int = 500
    at: int = 1
    """Events that come before it."""
    retry_after_s: int | None = None
    wait_s: float = 60.0
    bytes_per_s: int = 1_000
    how: str = "negative"
    size_bytes: int = 2 * 1024 * 1024
    bill: bool | None = None
    """True: the invoice charges it; False: it does not. None: as providers do."""
    latency_ms: float | None = None
    """Until the first byte, instead of the simulator's own."""
    event_ms: float | None = None
    """Between two events."""
    output_tokens: int | None = None
    """How long the answer is said to be."""

    @property
    def billed(self) -> bool:
        return self.kind not in FREE if self.bill is None else self.bill

    @property
    def worked(self) -> bool:
        """Whether the provider did the work, and so keeps the prompt in its cache."""
        return self.kind not in UNWORKED or bool(self.bill)


NONE = Fault()


def checked(fault: Fault, place: str) -> Fault:
    """The fault, or BadInput for a kind that does not exist."""
    if fault.kind not in KINDS:
        raise BadInput(f"{place}: no fault is called {fault.kind!r}", mend=_mend())
    if not 100 <= fault.status <= 599 or not 0 <= fault.probability <= 1:
        raise BadInput(
            f"{place}: its status or probability is out of range",
            mend="a status is 400 to 599, a probability 0 to 1",
        )
    return fault


def read_header(text: str) -> Fault:
    """What an `x-simulate` header asks for. Raises BadInput."""
    kind, _, rest = text.partition(";")
    word, equals, value = (part.strip() for part in kind.partition("="))
    fields: dict[str, Any] = {}
    if word in Fault.__struct_fields__:
        rest = text
    elif word not in KINDS:
        raise BadInput(f"{HEADER}: no fault is called {word!r}", mend=_mend())
    else:
        fields["kind"] = word
        if equals and KINDS[word][1] is not None:
            fields[str(KINDS[word][1])] = value
    for part in rest.split(";"):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name:
            fields[name] = value if equals else "true"
    try:
        return checked(msgspec.convert(fields, Fault, strict=False), HEADER)
    except msgspec.ValidationError as bad:
        names = ", ".join(Fault.__struct_fields__)
        raise BadInput(f"{HEADER}: {bad}", mend=f"the names are {names}") from bad


def _mend() -> str:
    return f"one of: {', '.join(KINDS)}"


class Fate:
    """Chooses the fault of each request."""

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self.faults = tuple(checked(one, f"fault[{n}]") for n, one in enumerate(faults))
        self._salt = b"%d" % seed

    def of(self, asked: Asked) -> Fault:
        """The fault that this request meets; one of kind `none` for most."""
        header = asked.headers.get(HEADER)
        if header is not None:
            fault = read_header(header)
            return fault if self._fits(fault, asked, 0) else NONE
        for place, fault in enumerate(self.faults, start=1):
            if self._fits(fault, asked, place):
                return fault
        return NONE

    def _fits(self, fault: Fault, asked: Asked, place: int) -> bool:
        if fault.first is not None and asked.n >= fault.first:
            return False
        if not fnmatchcase(asked.model, fault.model) or fault.contains.encode() not in asked.raw:
            return False
        if fault.probability >= 1:
            return True
        drawn = digest_of(b"%d %d %d" % (place, asked.digest, asked.n), self._salt)
        return drawn < fault.probability * 2**63


def _negative(value: int) -> object:
    return -value - 1


def _huge(value: int) -> object:
    return 10**15 + value


def _zero(value: int) -> object:
    return 0


def _null(value: int) -> object:
    return None


ABSURDITIES = {
    "negative": _negative,
    "text": str,
    "huge": _huge,
    "zero": _zero,
    "null": _null,
}


def made_absurd(usage: Any, how: str) -> Any:
    """A usage object with every count made untrue."""
    change = ABSURDITIES.get(how, _negative)
    if is_map(usage):
        return {key: made_absurd(value, how) for key, value in usage.items()}
    if isinstance(usage, list):
        return [made_absurd(one, how) for one in as_list(cast("object", usage))]
    return change(usage) if type(usage) is int else usage
