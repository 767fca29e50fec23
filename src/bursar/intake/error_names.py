"""The HTTP status that a named failure has.

Traces name the error of a client library ("openai.RateLimitError"), not the status behind it. A
call that failed without any counted work is booked by its status, so each name gets the status
that the same failure has over HTTP; a name that is not known is a server error.
"""

from __future__ import annotations

from collections.abc import Iterable

STATUS_OF_ERROR: tuple[tuple[str, int], ...] = (
    ("ratelimit", 429),
    ("throttl", 429),
    ("toomanyrequests", 429),
    ("overloaded", 529),
    ("timeout", 408),
    ("authentication", 401),
    ("permission", 403),
    ("accessdenied", 403),
    ("notfound", 404),
    ("badrequest", 400),
    ("validation", 400),
    ("unprocessable", 422),
    ("connection", 503),
    ("unavailable", 503),
)
"""Part of an error's name -> the status that such a failure has over HTTP."""
UNKNOWN_ERROR = 500
"""Status of a failure whose name says nothing."""


def status_of_error(names: Iterable[str]) -> int | None:
    """The status of the first name that is known, or None."""
    for name in names:
        word = "".join(letter for letter in name.lower() if letter.isalnum())
        for part, status in STATUS_OF_ERROR:
            if part in word:
                return status
    return None
