"""One call, ready to be sent: all that was decided about it, and nothing that may still change."""

from __future__ import annotations

import msgspec

from bursar.dialects.quick import Asking
from bursar.dialects.translate.crossing import Back
from bursar.gateway.forward import Way
from bursar.gateway.settings import Holder, Plan
from bursar.model.call import Call
from bursar.model.entry import Decision


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One call, ready to be sent."""

    call: Call
    asking: Asking
    plan: Plan
    way: Way
    holder: Holder
    path: str
    """At the provider, behind its base URL."""
    body: bytes
    hide_usage: bool
    """The usage chunk of the stream was our wish, not the client's."""
    back: Back | None
    """How the answer is turned into the client's dialect; None: it is handed on as it comes."""
    trace: bytes | None
    call_id: int
    changes: tuple[str, ...] = ()
    """What the provider is asked otherwise than the client did, where the call crossed."""
    decisions: tuple[Decision, ...] = ()
    """What the levers of its route said."""
