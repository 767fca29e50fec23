"""Bursar's own exchange format: one JSON object a line, so that any log is ten lines away.

A line is a session (its `messages` are the whole transcript; each assistant message ends a call
whose prompt is `tools` and every message before it) or a call (`"kind": "call"`). Numbers that a
line does not carry are unknown. A session that carries only totals has them split over its calls
by length of text, so that the calls add up to exactly what was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from bursar.dialects.lens import (
    MessageReading,
    message_blocks,
    read_request,
    read_response,
    tool_blocks,
)
from bursar.dialects.pages import FLAT_BYTES, pages
from bursar.intake.exchange_line import (
    CALL_LINE,
    NAME,
    SIDES,
    TITLE,
    Fields,
    Line,
    split_totals,
    stop_word,
    text_of,
)
from bursar.intake.ordering import by_time
from bursar.intake.source import Head, Source, decode_line, why_not_json
from bursar.intake.turns import latest_outcomes
from bursar.model.block import Block, digest_of
from bursar.model.call import Call, Limits
from bursar.model.entry import (
    Answer,
    Entry,
    Flag,
    SessionFact,
    Skip,
    ToolOutcome,
)
from bursar.model.errors import BadInput
from bursar.model.money import usd
from bursar.model.usage import Usage

__all__ = ["NAME", "TITLE", "read", "recognises"]

Item = Entry | SessionFact | Skip | Flag


def recognises(head: Head) -> bool:
    """One of the fields that a line must have, in a shape that no other format uses."""
    for record in head.records[:5]:
        if record.get("kind") == "call" or isinstance(record.get("outcome"), dict):
            return True
        messages = record.get("messages")
        if isinstance(messages, list) and all(
            isinstance(m, dict) for m in cast("list[object]", messages)
        ):
            return not {"choices", "object", "request_id", "custom_llm_provider"} & record.keys()
        if {"usage", "cost_usd", "response"} & record.keys() and not {
            "message",
            "type",
            "payload",
            "choices",
            "object",
        } & record.keys():
            return True
    return False


def read(source: Source) -> Iterator[Item]:
    """Entries of every line that is understood; the others are listed. Calls go by their time."""
    return by_time(_lines(source), movable=_is_call_line)


def _is_call_line(entry: Entry) -> bool:
    return entry.origin is not None and entry.origin.format == CALL_LINE


def _lines(source: Source) -> Iterator[Item]:
    decode = msgspec.json.Decoder(Line).decode
    for number, raw in source.lines():
        try:
            line = decode_line(decode, raw)
            found = list(_Reader(source, number, raw, line).items())
        except msgspec.ValidationError as bad:
            source.skip(number, f"is not as the exchange format says: {bad}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
            source.skip(number, why_not_json(raw, bad))
        except BadInput as bad:
            source.skip(number, bad.message)
        else:
            yield from found


class _Reader(Fields):
    """One line on its way to entries."""

    def items(self) -> Iterator[Item]:
        line = self.line
        if line.kind == "call":
            yield self._call()
        elif line.messages is not None:
            yield from self._session()
        elif line.response is not None:
            yield self._call()
        elif line.usage is not None or line.cost_usd is not None:
            yield self._totals_only()
        else:
            raise BadInput("has none of messages, usage, cost_usd, response")
        if line.outcome is not None and self.tags.session is not None:
            yield SessionFact(
                session=self.tags.session,
                success=line.outcome.success,
                score=line.outcome.score,
                origin=self.origin,
            )
        yield from self.flags

    # -- a session

    def _session(self) -> Iterator[Item]:
        line = self.line
        messages = line.messages or []
        names: dict[str, str] = {}
        fresh: list[Block] = list(tool_blocks(line.tools or []))
        outcomes: list[ToolOutcome] = []
        entries: list[Entry] = []
        length = 0
        for message in messages:
            reading = message_blocks(message, names)
            if message.get("role") != "assistant":
                fresh.extend(reading.blocks)
                outcomes.extend(reading.tool_outcomes)
                continue
            entries.append(
                self._turn(message, reading, tuple(fresh), length, tuple(outcomes), len(entries))
            )
            length += len(fresh)
            fresh, outcomes = list(reading.blocks), []
        if not entries:
            if line.usage is None and line.cost_usd is None:
                raise BadInput("has messages but none of an assistant, so no call was answered")
            yield self._totals_only()
            return
        yield from self._with_totals(entries)

    def _turn(
        self,
        message: dict[str, Any],
        reading: MessageReading,
        fresh: tuple[Block, ...],
        kept: int,
        outcomes: tuple[ToolOutcome, ...],
        ordinal: int,
    ) -> Entry:
        line = self.line
        at = self.time(message.get("at") if message.get("at") is not None else line.at)
        model = text_of(message.get("model")) or line.model
        identity = message.get("id") or f"{ordinal}:{digest_of(msgspec.json.encode(message))}"
        attempt = self.attempt(
            message.get("usage"),
            message.get("cost_usd"),
            model,
            message.get("latency_ms"),
        )
        tags = replace(
            self.tags,
            step_index=ordinal,
            is_retry=bool(message.get("is_retry")),
            retry_cause=text_of(message.get("retry_cause")),
        )
        return Entry(
            call=Call(
                key=f"exchange:{self.tags.session}:{identity}",
                at=at,
                dialect=line.dialect,
                provider=line.provider,
                model=model,
                blocks=fresh,
                kept=kept if ordinal else None,
                tags=tags,
            ),
            attempts=(attempt,),
            answer=Answer(
                blocks=reading.blocks,
                tool_uses=reading.tool_uses,
                stop=stop_word(message.get("stop") or message.get("finish_reason")),
            ),
            tool_outcomes=outcomes,
            origin=self.origin,
        )

    def _with_totals(self, entries: list[Entry]) -> Iterator[Item]:
        """The calls, with the session's totals split over them where they carry none."""
        line = self.line
        if line.usage is not None:
            entries = self._share_usage(self.usage(line.usage), entries)
        recorded = self.cost(line.cost_usd)
        own = [one.attempts[0].recorded_cost_nano for one in entries]
        if recorded is not None and None not in own:
            whole = sum(cost for cost in own if cost is not None)
            if abs(whole - recorded) > max(1_000, recorded // 100):
                self.flag(
                    "contradiction",
                    f"the session records ${usd(recorded)}, its calls ${usd(whole)} together",
                )
            recorded = None
        if recorded is not None and len(entries) == 1:
            first = replace(entries[0].attempts[0], recorded_cost_nano=recorded)
            entries, recorded = [replace(entries[0], attempts=(first,))], None
        last = entries[-1]
        if line.stop is not None and last.answer is not None and last.answer.stop is None:
            entries[-1] = replace(last, answer=replace(last.answer, stop=stop_word(line.stop)))
        yield from entries
        if recorded is not None and self.tags.session is not None:
            yield SessionFact(
                session=self.tags.session, recorded_cost_nano=recorded, origin=self.origin
            )

    def _share_usage(self, total: Usage | None, entries: list[Entry]) -> list[Entry]:
        """Totals over calls that carry no usage of their own; checked against those that do."""
        own = [one.attempts[0].usage for one in entries]
        if total is None:
            return entries
        if all(usage is None for usage in own):
            return [
                replace(one, attempts=(replace(one.attempts[0], usage=share),))
                for one, share in zip(entries, split_totals(total, entries), strict=True)
            ]
        if None not in own:
            for name in SIDES:
                told = getattr(total, name)
                summed = sum(getattr(usage, name) for usage in own)
                if abs(told - summed) > max(10, told // 100):
                    self.flag(
                        "contradiction",
                        f"the session records {told} {name} tokens, its calls {summed} together",
                    )
        return entries

    # -- a call

    def _call(self) -> Entry:
        line = self.line
        response = read_response(line.response, line.dialect) if line.response is not None else None
        names: dict[str, str] = {}
        blocks: tuple[Block, ...] | None = None
        limits, outcomes = Limits(), ()
        answer = Answer(stop=stop_word(line.stop))
        if line.request is not None:
            prompt = read_request(line.request, line.dialect)
            blocks, limits = prompt.blocks, prompt.limits
            outcomes = latest_outcomes(prompt)
        elif line.messages is not None:
            blocks, outcomes, answer = self._messages(names)
        attempt = self.attempt(line.usage, line.cost_usd, line.model, line.latency_ms)
        if response is not None:
            answer = Answer(
                blocks=response.answer_blocks,
                tool_uses=response.tool_uses,
                stop=stop_word(response.stop or line.stop),
            )
            attempt = replace(
                attempt,
                usage=response.usage if attempt.usage is None else attempt.usage,
                model=response.model or attempt.model,
                price_class=response.price_class,
                provider_request_id=response.response_id,
                parts=response.iterations,
            )
        provider = line.provider or (response.provider if response else None)
        return Entry(
            call=Call(
                key=self.key(),
                at=self.time(line.at),
                dialect=line.dialect or (response.dialect if response else None),
                provider=provider,
                model=line.model or attempt.model,
                blocks=blocks,
                tags=self.tags,
                limits=limits,
            ),
            attempts=(attempt,),
            answer=answer,
            tool_outcomes=outcomes,
            origin=self.origin,
        )

    def _messages(
        self, names: dict[str, str]
    ) -> tuple[tuple[Block, ...], tuple[ToolOutcome, ...], Answer]:
        """The prompt and, if the last message is the assistant's, the answer of a call line."""
        messages = list(self.line.messages or [])
        last = messages.pop() if messages and messages[-1].get("role") == "assistant" else None
        blocks: list[Block] = list(tool_blocks(self.line.tools or []))
        outcomes: list[ToolOutcome] = []
        flat = messages[0].get("content") if len(messages) == 1 else None
        if isinstance(flat, str) and len(flat) > FLAT_BYTES:
            blocks.extend(pages(flat))
            messages = []
        for message in messages:
            reading = message_blocks(message, names)
            blocks.extend(reading.blocks)
            if message.get("role") == "assistant":
                outcomes = []  # what came before it, an earlier call has sent
            outcomes.extend(reading.tool_outcomes)
        answer = Answer(stop=stop_word(self.line.stop))
        if last is not None:
            reading = message_blocks(last, names)
            answer = Answer(
                blocks=reading.blocks, tool_uses=reading.tool_uses, stop=stop_word(self.line.stop)
            )
        return tuple(blocks), tuple(outcomes), answer

    def _totals_only(self) -> Entry:
        line = self.line
        return Entry(
            call=Call(
                key=self.key(),
                at=self.time(line.at),
                dialect=line.dialect,
                provider=line.provider,
                model=line.model,
                tags=self.tags,
            ),
            attempts=(self.attempt(line.usage, line.cost_usd, line.model, line.latency_ms),),
            answer=Answer(stop=stop_word(line.stop)),
            origin=self.origin,
        )
