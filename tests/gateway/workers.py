"""Connections of which it is known which worker they lead to.

A worker that is stopped (SIGSTOP) takes nobody in, so a connection made meanwhile is the other
one's. What is sent to a stopped worker waits for it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.gateway.purse.storm import Gang
from tests.gateway.rig import BEARER, HOST, JSON_TYPE, PATIENCE_S, Answered, Rig, chat_body


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Line:
    """A connection to one of two workers."""

    def __init__(self, rig: Rig, gang: Gang, worker: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, rig.port, timeout=PATIENCE_S)
        with stopped(gang.pids[f"worker {1 - worker}"]):
            self._connection.request("GET", "/health")
            assert self.answer().status == 200

    def send(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        head = {**BEARER, **JSON_TYPE, **headers}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), head)

    def answer(self) -> Answered:
        got = self._connection.getresponse()
        named = [(name.lower(), value) for name, value in got.getheaders()]
        return Answered(got.status, named, got.read())

    def chat(self, text: str, headers: Mapping[str, str], **more: Any) -> Answered:
        self.send(chat_body(text, **more), headers)
        return self.answer()

    def close(self) -> None:
        self._connection.close()
