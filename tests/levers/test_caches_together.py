"""The rooms around one provider, as a gateway puts them: the same answers, and fewer calls sent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bursar.levers.response_cache import Ask, Kept, ResponseCache, Room
from bursar.levers.response_cache_keys import Request
from bursar.levers.semantic import Hit, Look, SemanticCache, SemanticRoom
from bursar.levers.single_flight import Flights
from bursar.model.call import Tags

JSON = (b"content-type", b"application/json")


class Gate:
    """Cache, then likeness, then flight, then the provider. Counts what it sends."""

    def __init__(self, wish: SemanticCache) -> None:
        self.room = Room(ResponseCache())
        self.semantic = SemanticRoom(wish)
        self.flights: Flights[Kept] = Flights(5.0)
        self.sent: list[str] = []
        self.now_ms = 0

    async def provider(self, text: str) -> bytes:
        self.sent.append(text)
        await asyncio.sleep(0)
        choice = {"message": {"content": f"answer to {text}"}, "finish_reason": "stop"}
        return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1}}).encode()

    async def call(self, text: str, tenant: str | None = "a", control: bytes = b"") -> bytes:
        body: dict[str, Any] = {"temperature": 0, "messages": [{"role": "user", "content": text}]}
        request = Request(
            dialect="openai_chat",
            path=b"/v1/chat/completions",
            body=json.dumps(body).encode(),
            tenant=tenant,
            headers=((b"cache-control", control),) if control else (),
        )
        ask = self.room.ask(request, Tags(tenant=tenant))
        if not isinstance(ask, Ask):
            return await self.provider(text)
        kept = self.room.get(ask, self.now_ms)
        if kept is not None:
            return kept.body
        look = self.semantic.look(ask)
        if isinstance(look, Look) and ask.wanted.read:
            hit = self.semantic.find(look)
            if isinstance(hit, Hit) and not hit.is_shadow:
                kept = self.room.at(hit.key, ask.wanted, self.now_ms)
                if kept is not None:
                    return kept.body
        if not ask.wanted.read:
            return await self._sent(ask, look, text)
        async with self.flights.seat(ask.key) as seat:
            if seat.given is not None:
                return seat.given.body
            answer = await self._sent(ask, look, text)
            kept = self.room.get(ask, self.now_ms)
            if kept is not None:
                seat.bring(kept)
            return answer

    async def _sent(self, ask: Ask, look: Look | str, text: str) -> bytes:
        answer = await self.provider(text)
        kept = self.room.put(ask, 200, [JSON], answer, self.now_ms)
        if isinstance(kept, Kept) and isinstance(look, Look):
            self.semantic.keep(look, ask.key)
        return answer


texts = st.sampled_from(("How do I pay?", "How can I pay?", "How do I pay Ann?", "Who paid?"))
tenants = st.none() | st.sampled_from(("a", "b"))
LIKE = {"How can I pay?": "How do I pay?"}


@given(
    calls=st.lists(st.tuples(texts, tenants), max_size=20), on=st.booleans(), at_once=st.booleans()
)
def test_each_question_of_each_tenant_is_sent_once(
    calls: list[tuple[str, str | None]], on: bool, at_once: bool
) -> None:
    async def play() -> None:
        gate = Gate(SemanticCache(on=on, proofs=0, shadow_share=0.001))
        if at_once:
            answers = await asyncio.gather(*(gate.call(*one) for one in calls))
        else:
            answers = [await gate.call(*one) for one in calls]
        for (text, _), answer in zip(calls, answers, strict=True):
            said = {f"answer to {text}"}
            if on:
                said |= {
                    f"answer to {one}" for pair in LIKE.items() if text in pair for one in pair
                }
            assert json.loads(answer)["choices"][0]["message"]["content"] in said
        exact = set(calls)
        like = {(LIKE.get(text, text), tenant) for text, tenant in calls}
        assert len(gate.sent) == len(like if on and not at_once else exact)
        assert len(gate.flights) == 0

    asyncio.run(play())


def test_no_store_and_no_cache_pass_by() -> None:
    async def play() -> None:
        gate = Gate(SemanticCache(on=True, proofs=0))
        await gate.call("How do I pay?")
        await gate.call("How do I pay?", control=b"no-store")
        await gate.call("How do I pay?", control=b"no-cache")
        await gate.call("How can I pay?", control=b"no-store")
        await gate.call("How can I pay?", control=b"no-cache")
        assert len(gate.sent) == 5
        await gate.call("How do I pay?")
        assert len(gate.sent) == 5

    asyncio.run(play())
