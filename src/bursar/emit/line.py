"""The HTTP behind OpenTelemetry's exporters: at most once, to one place, with our headers alone.

The exporters try again after any broken connection, take a redirect for a success, and add headers
of the environment. Here a request is only let through for another try where the collector has
surely not taken it: it was not reached, or answered 429 or 503. Where nobody can know, it is over.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from bursar.emit.options import OtlpOptions
from bursar.model.errors import BursarError

SENT = "sent"
UNREACHABLE = "unreachable"
"""No connection, or an address that may not be connected to."""
REFUSED = "refused"
"""The collector said no."""
UNCERTAIN = "uncertain"
"""It broke off before the answer: taken or not, nobody knows."""
OK, REDIRECT, BAD = 200, 300, 400
IN_BETWEEN = frozenset((502, 504))
"""Said by what stands before the collector, which may have got it."""
OWN_HEADERS = frozenset(("content-type", "content-encoding", "user-agent"))
"""What of the exporter's headers is kept."""


class Over(BursarError):
    """A request that must not be tried again."""


class Body(io.BytesIO):
    """The bytes of a request, which know whether anybody began to send them."""

    begun = False

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.size = len(raw)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        self.begun = True
        return super().__iter__()

    def read(self, size: int | None = -1, /) -> bytes:
        self.begun = True
        return super().read(size)


def line_to(tools: Any, options: OtlpOptions, ended: Callable[[str, bytes], None]) -> Any:
    """A session of requests that does as the head of this module says.

    `ended` is told how each try ended, with the body of the answer.
    """
    session = tools.Session()
    session.trust_env = False
    send: Callable[..., Any] = session.request

    raised: list[Exception] = []

    def failed(error: Exception) -> Exception:
        raised.append(error)
        return error

    def request(*, headers: Mapping[str, str], data: bytes, url: str, **more: Any) -> Any:
        while raised:
            _forget(raised.pop())
        kept = {name: one for name, one in headers.items() if name.lower() in OWN_HEADERS}
        body = Body(data)
        try:
            _look_at(url, options)
            answer = send(url=url, headers={**kept, **options.headers()}, data=body, **more)
        except tools.RequestException as bad:
            _forget(bad)
            ended(UNCERTAIN if body.begun else UNREACHABLE, b"")
            kind = Over if body.begun else tools.NoConnection
            raise failed(kind(type(bad).__name__)) from None
        except Over as bad:
            ended(UNREACHABLE, b"")
            raise failed(bad) from None
        status: int = answer.status_code
        fate = fate_of(status)
        ended(fate, answer.content if fate == SENT else b"")
        if fate == UNCERTAIN or REDIRECT <= status < BAD:
            raise failed(Over(f"answered {status}"))
        return answer

    session.request = request
    return session


def _forget(bad: BaseException) -> None:
    """Part an error from its frames, which hold it in turn: nobody may be looking for cycles."""
    chain: list[object] = [bad]
    while chain:
        one = chain.pop()
        if isinstance(one, BaseException) and one.__traceback__ is not None:
            one.__traceback__ = None
            chain += [one.__context__, one.__cause__, *one.args, getattr(one, "reason", None)]


def fate_of(status: int) -> str:
    """What became of a request that was answered."""
    if OK <= status < REDIRECT:
        return SENT
    return UNCERTAIN if status in IN_BETWEEN else REFUSED


def _look_at(url: str, options: OtlpOptions) -> None:
    """Every address of the host must be one that may be connected to."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except OSError as bad:
        raise Over(f"no address: {bad.strerror or bad}") from None
    if not all(options.may_connect(str(one[4][0])) for one in found):
        raise Over("its address may not be connected to")
