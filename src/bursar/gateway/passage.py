"""One stream on its way to its client: copied for the reading, and handed on piece by piece.

Nearly every piece can go on the moment it comes, in the very callback that brought it: `take` does
that. A piece before which something has to be waited for (the record, a client that reads slowly,
more of a budget) is left to the task of the call, which is not woken for any other.
"""

from __future__ import annotations

from bursar.dialects.quick import Fold, UsageTap
from bursar.dialects.streams import closes
from bursar.dialects.translate.crossing import StreamBack
from bursar.gateway.http.incoming import UpstreamError
from bursar.gateway.repeating import Client
from bursar.model.errors import BadInput

WORD_BYTES = 64
"""The last word of a stream is shorter, and may come in two pieces."""


class Passage:
    """What is done to each piece of one stream."""

    __slots__ = ("_asked", "_back", "_before", "_dialect", "_fold", "_tap", "is_watched")

    def __init__(
        self,
        asked: Client,
        fold: Fold,
        dialect: str,
        tap: UsageTap | None,
        back: StreamBack | None,
    ) -> None:
        """`dialect`: the provider's. `tap`, `back`: what the client's bytes go through."""
        self._asked = asked
        self._fold = fold
        self._dialect = dialect
        self._tap = tap
        self._back = back
        self._before = b""
        self.is_watched = False
        """Each piece has to be paid for before it goes on."""

    def take(self, chunk: bytes) -> bool:
        """Hand a piece on at once; False where that cannot be, and nothing was done."""
        asked = self._asked
        if self.is_watched or not asked.keeps_up or asked.is_over or self.ends_with(chunk):
            return False
        self.keep(chunk)
        passed = self.shown(chunk)
        if passed:
            asked.send(passed)
        return True

    def ends_with(self, chunk: bytes) -> bool:
        """Whether the stream says its last word in this piece."""
        return closes(self._dialect, self._before + chunk)

    def keep(self, chunk: bytes) -> None:
        """Copy a piece for the reading at the end."""
        self._fold.add(chunk)
        self._before = chunk[-WORD_BYTES:]

    def shown(self, chunk: bytes) -> bytes:
        """What the client gets of a piece. Raises UpstreamError."""
        if self._tap is not None:
            try:
                chunk = self._tap.feed(chunk)
            except BadInput as bad:
                raise UpstreamError("protocol", sent=True, what=bad.message) from bad
        return chunk if self._back is None else self._back.feed(chunk)

    def rest(self) -> bytes:
        """What was held back, once the stream has ended."""
        rest = b"" if self._tap is None else self._tap.finish()
        return rest if self._back is None else self._back.feed(rest) + self._back.finish()
