"""The one error tree. A person who meets one of these can mend the cause from its text.

BursarError                 anything that Bursar itself refuses or cannot do
|- BadInput                 what was given cannot be read: names the place and the mend
|  |- UnknownFormat         a file whose content no reader recognises
|  |- BadUsage              token counts that cannot be true (negative, not a number, absurd)
|  `- BadPrices             a price overlay that does not hold together
|- Unpriced                 no price is known; carries the reason; never becomes $0
|- LedgerError              the ledger cannot be opened, is held by another process, or is newer
|- Refused                  the gateway does not pass a call on: HTTP status and a stable word
`- NotFound                 a session, report or model that does not exist here
"""

from __future__ import annotations


class BursarError(Exception):
    """Base of every error that Bursar raises on purpose.

    `mend` is one sentence that says what the reader can do about it, or "" when nothing can be.
    """

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}\n  mend: {self.mend}" if self.mend else self.message


class BadInput(BursarError):
    """Something given by a person or a file cannot be read."""


class UnknownFormat(BadInput):
    """No reader recognises the content of a file."""


class BadUsage(BadInput):
    """A provider's usage object whose numbers cannot be true."""


class BadPrices(BadInput):
    """A price file that is refused as a whole; the prices in force stay in force."""


class Unpriced(BursarError):
    """No price is known for a model, unit or date. The cost stays None."""


class LedgerError(BursarError):
    """The ledger file cannot be used."""


class Refused(BursarError):
    """A call that the gateway answers itself, with an error.

    `kind` is a stable word that clients may rely on (`unknown_key`, `tag_missing`); `headers` go
    along with the answer (`www-authenticate`, `retry-after`).
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        mend: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message, mend=mend)
        self.status = status
        self.kind = kind
        self.headers = headers


class NotFound(BursarError):
    """A name that does not exist in this ledger or installation."""
