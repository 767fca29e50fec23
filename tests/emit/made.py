"""Paid attempts to tell of, and options for telling."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bursar.emit.options import OtlpOptions
from bursar.emit.paid import Paid
from bursar.model.call import Call, Tags
from bursar.model.entry import Attempt
from bursar.model.usage import Usage

AT = datetime(2026, 11, 22, 9, 30, 0, 123456)


def paid(number: int = 1, *, tags: Tags | None = None, **more: Any) -> Paid:
    """An attempt of the call with this number; `more` are fields of the attempt."""
    attempt = {
        "provider": "openai",
        "model": "gpt-4o",
        "usage": Usage(input=1000, output=100),
        "cost_nano": 3_500_000,
        "status": 200,
        "total_ms": 400,
    }
    return Paid(
        call_id=number,
        call=Call(
            key=f"id:{number}", at=AT, provider="openai", model="gpt-4o", tags=tags or Tags()
        ),
        attempt=Attempt(**{**attempt, **more}),
        cost_basis="measured",
        step=0,
        stop="end",
        outcome="ok",
    )


def options(endpoint: str, **more: Any) -> OtlpOptions:
    """Quick ones. Everything on this machine may be connected to."""
    given: dict[str, Any] = {
        "headers": lambda: {"authorization": "Bearer one"},
        "may_connect": lambda _: True,
        "timeout_s": 5.0,
        "linger_s": 0.02,
        "interval_s": 3_600.0,
    }
    return OtlpOptions(endpoint=endpoint, **{**given, **more})
