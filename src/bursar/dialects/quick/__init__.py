"""The lens on the hot path of the gateway: the same blocks and counts, at a tenth of the time.

`QuickReader` reads requests and answers, `UsageTap` and `ask_for_usage` get the usage of OpenAI
streams without the client seeing it, `Fold` keeps the bounded copy of an answer that is read at its
end, and `settled` reads it without believing it. The law: quick says what the slow lens says.
"""

from bursar.dialects.quick.bounds import Bounds
from bursar.dialects.quick.kept import Fold
from bursar.dialects.quick.patch import ask_for_usage
from bursar.dialects.quick.reader import Asking, QuickReader
from bursar.dialects.quick.sse import UsageTap, hide_usage
from bursar.dialects.quick.trust import Settled, believed, settled

__all__ = [
    "Asking",
    "Bounds",
    "Fold",
    "QuickReader",
    "Settled",
    "UsageTap",
    "ask_for_usage",
    "believed",
    "hide_usage",
    "settled",
]
