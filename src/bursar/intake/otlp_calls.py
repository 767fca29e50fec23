"""A span of a model call -> its entry, as far as the span alone can tell.

Which spans are model calls, what each emitter's counts mean and how failures are named is data in
`otlp_scopes`. Sessions and labels that stand on spans around it are filled in by `otlp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from bursar.dialects.answers import stop_of
from bursar.dialects.lens import price_class_of, read_usage
from bursar.dialects.wire import as_list, as_map, parse_or_none
from bursar.intake import otlp_scopes as known
from bursar.intake.error_names import UNKNOWN_ERROR, status_of_error
from bursar.intake.labels import field_of
from bursar.intake.langfuse_usage import usage_of_details
from bursar.intake.otlp_content import Content, content_of, decoded
from bursar.intake.otlp_spans import Attributes, Span
from bursar.intake.times import parse_time
from bursar.intake.turns import latest_outcomes
from bursar.model.call import Call, Limits, Tags
from bursar.model.entry import STANDARD, Answer, Attempt, Entry, Flag, Origin, ToolOutcome
from bursar.model.errors import BadInput
from bursar.model.money import nano_from_usd
from bursar.model.usage import Basis, Usage

NAME = "otlp"
COUNTED_UP = re.compile(r"^\D*\d{1,6}$")
"""Response ids that are not unique: local servers count them up from one."""
WRAPPERS_OF_TIERS = "openai_chat"
LONGEST = 1e12
"""No wait is longer, in any unit."""


def is_model(span: Span) -> bool:
    """Whether a span is a call of a model, or wraps one."""
    for key in known.KIND_KEYS:
        word = span.attributes.get(key)
        if isinstance(word, str) and word:
            return word.lower() in known.MODEL_WORDS
    has_count = any(key in span.attributes for key in known.COUNTS["input"])
    return has_count and first_text(span.attributes, known.ASKED_MODEL) is not None


def is_tool(span: Span) -> bool:
    words = (span.attributes.get(key) for key in known.KIND_KEYS)
    return any(isinstance(word, str) and word.lower() in known.TOOL_WORDS for word in words)


def first_of(attributes: Attributes, keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = attributes.get(key)
        if value is not None and value != "":
            return value
    return None


def first_text(attributes: Attributes, keys: tuple[str, ...]) -> str | None:
    value = first_of(attributes, keys)
    return value if isinstance(value, str) else None


def labels_of(attributes: Attributes) -> Iterator[tuple[str, object]]:
    """Attributes that are labels of the application."""
    for field, keys in known.LABELS.items():
        value = first_of(attributes, keys)
        if isinstance(value, str) and not value.startswith("unknown_service"):
            yield field, value
    name = attributes.get("gen_ai.prompt.name")
    version = attributes.get("gen_ai.prompt.version")
    if isinstance(name, str):
        yield "prompt_version", name if version is None else f"{name}:{version}"
    for key, value in as_map(decoded(attributes.get("metadata"))).items():
        yield key, value
    for key, value in attributes.items():
        folder = next((one for one in known.LABEL_FOLDERS if key.startswith(one)), None)
        if folder is not None:
            yield key.removeprefix(folder), value
        elif key.partition(".")[0] not in known.TECHNICAL and field_of(key) not in (
            None,
            "session",
        ):
            yield key, value


def session_of(attributes: Attributes) -> str | None:
    value = first_of(attributes, known.SESSION)
    return str(value) if isinstance(value, (str, int)) else None


class Reader:
    """One model span on its way to an entry."""

    def __init__(self, span: Span, origin: Origin) -> None:
        self.span = span
        self.attributes = span.attributes
        self.origin = origin
        self.place = f"{origin.file}:{span.line}"
        self.flags: list[Flag] = []

    def entry(self) -> Entry:
        span = self.span
        content = content_of(span)
        if content.problem is not None:
            self._flag("usage_suspect", f"content that cannot be read: {content.problem}")
        attempt = self._attempt(content)
        failed = attempt.status is not None and attempt.status >= 400
        outcomes: tuple[ToolOutcome, ...] = ()
        if content.prompt is not None:
            outcomes = latest_outcomes(content.prompt)
        stop = first_of(self.attributes, known.STOP)
        stop = next(iter(as_list(decoded(stop))), stop) or content.stop
        return Entry(
            call=self._call(content),
            attempts=(attempt,),
            answer=Answer(
                blocks=content.answer,
                tool_uses=content.tool_uses,
                stop=stop_of({"finish_reason": stop}) if isinstance(stop, str) else None,
                status=self._outcome(failed),
            ),
            tool_outcomes=outcomes,
            origin=self.origin,
        )

    def _outcome(self, failed: bool) -> str:
        own = self.attributes.get(known.OWN_OUTCOME)
        if own in known.OUTCOMES:
            return str(own)
        return "failed" if failed else "ok"

    def _call(self, content: Content) -> Call:
        span, attributes = self.span, self.attributes
        response_id = self._response_id()
        unique = response_id is not None and not COUNTED_UP.match(response_id)
        stream = first_of(attributes, known.STREAM)
        retry = attributes.get("pydantic_ai.output.retry.attempt")
        parsed_again = isinstance(retry, int) and retry > 0
        limits = content.prompt.limits if content.prompt else Limits()
        if limits.max_tokens is None:
            limits = msgspec.structs.replace(limits, max_tokens=self._max_tokens())
        return Call(
            key=f"otel:{response_id}" if unique else f"otel:{span.trace}:{span.id}",
            at=parse_time(span.start_nano)[0] if span.start_nano else None,
            dialect=first_text(attributes, (known.OWN_DIALECT,)),
            provider=self._provider(),
            model=self._asked(content) or self._served(),
            blocks=content.prompt.blocks if content.prompt else None,
            tags=Tags(
                is_retry=parsed_again or attributes.get(known.OWN_RETRY) is True,
                retry_cause="parse" if parsed_again else None,
            ),
            limits=limits,
            stream=stream if isinstance(stream, bool) else None,
            schema_digest=content.prompt.schema_digest if content.prompt else None,
        )

    def _attempt(self, content: Content) -> Attempt:
        span = self.span
        total_ms = (span.end_nano - span.start_nano) // 1_000_000
        usage = self._usage()
        status = self._status(usage)
        return Attempt(
            provider=self._provider(),
            model=self._served() or self._asked(content),
            price_class=self._price_class(),
            usage=usage,
            basis=known.BASES.get(str(self.attributes.get(known.OWN_BASIS)), Basis.MEASURED),
            recorded_cost_nano=self._cost(),
            status=status,
            first_byte_ms=self._first_byte_ms(),
            total_ms=total_ms if span.end_nano > span.start_nano else None,
            provider_request_id=first_text(self.attributes, (known.OWN_REQUEST_ID,))
            or self._response_id(),
        )

    # -- numbers

    def _usage(self) -> Usage | None:
        try:
            details = as_map(decoded(self.attributes.get("langfuse.observation.usage_details")))
            if details:
                return usage_of_details(details)[0]
            own = as_map(decoded(self.attributes.get(known.OWN_USAGE)))
            if own:
                return read_usage(own, "bursar")[0]
            counts = {
                name: value
                for name, keys in known.COUNTS.items()
                if (value := first_of(self.attributes, keys)) is not None
            }
            if "input" not in counts and "output" not in counts:
                return None
            return usage_of_counts(counts, known.cache_inside(self.span.scope))
        except BadInput as bad:
            self._flag("usage_suspect", bad.message)
            return None

    def _cost(self) -> int | None:
        own = self.attributes.get(known.OWN_COST)
        if type(own) is int and own >= 0:
            return own
        details = as_map(decoded(self.attributes.get("langfuse.observation.cost_details")))
        cost = details.get("total", first_of(self.attributes, known.COST))
        if cost is None:
            return None
        try:
            return nano_from_usd(cost, "recorded cost")
        except BadInput as bad:
            self._flag("usage_suspect", bad.message)
            return None

    def _max_tokens(self) -> int | None:
        value = first_of(self.attributes, known.MAX_TOKENS)
        if value is None:
            parameters = as_map(decoded(self.attributes.get("llm.invocation_parameters")))
            value = parameters.get("max_completion_tokens", parameters.get("max_tokens"))
        return value if type(value) is int and value > 0 else None

    def _first_byte_ms(self) -> int | None:
        for key, micros in known.FIRST_BYTE:
            value = self.attributes.get(key)
            if (
                isinstance(value, (int, float))
                and 0 <= value < LONGEST
                and not isinstance(value, bool)
            ):
                return round(value * micros) // 1000
        return None

    # -- words

    def _provider(self) -> str | None:
        found = first_text(self.attributes, (*known.PROVIDER, "ai.model.provider"))
        return known.provider_named(found) if found else None

    def _asked(self, content: Content) -> str | None:
        found = first_text(self.attributes, known.ASKED_MODEL)
        if found is None:
            found = as_map(decoded(self.attributes.get("llm.invocation_parameters"))).get("model")
        if found is None and content.prompt is not None:
            found = content.prompt.model
        return found if isinstance(found, str) else None

    def _served(self) -> str | None:
        return first_text(self.attributes, known.SERVED_MODEL)

    def _response_id(self) -> str | None:
        found = first_text(self.attributes, known.RESPONSE_ID)
        if found is None:
            found = self._raw_answer().get("id")
        return found if isinstance(found, str) and found else None

    def _raw_answer(self) -> dict[str, Any]:
        """The provider's body, which OpenInference keeps whole."""
        raw = self.attributes.get("output.value")
        if not isinstance(raw, str) or not raw.startswith("{"):
            return {}
        body = as_map(parse_or_none(raw))
        return body if "model" in body or "usage" in body else {}

    def _price_class(self) -> str:
        own = self.attributes.get(known.OWN_PRICE_CLASS)
        if isinstance(own, str):
            return own
        tier = first_text(self.attributes, known.TIER)
        body = {"service_tier": tier} if tier else self._raw_answer()
        return price_class_of(body, WRAPPERS_OF_TIERS) if body else STANDARD

    def _status(self, usage: Usage | None) -> int | None:
        """The HTTP status, or the one that the named error has over HTTP."""
        reported = first_of(self.attributes, known.HTTP_STATUS)
        error = self.attributes.get("error.type")
        for said in (reported, error):
            if isinstance(said, (int, str)) and str(said).isdecimal() and 100 <= int(said) < 600:
                return int(said)
        if known.OWN_OUTCOME in self.attributes:
            return None
        if not self.span.failed and not error:
            return 200
        names = [str(error or ""), self.span.said[:200]]
        names += [str(event.get("exception.type")) for _, event in self.span.events]
        named = status_of_error(names)
        if named is None and usage is not None and usage.answer:
            return 200
        return named or UNKNOWN_ERROR

    def _flag(self, kind: str, what: str) -> None:
        self.flags.append(Flag(kind=kind, where=self.place, what=what))


def usage_of_counts(counts: dict[str, Any], inside: bool | None) -> Usage:
    """Disjoint counts. `inside`: whether `input` contains cached tokens; None where it is unknown.

    Raises BadUsage for counts that cannot be true.
    """
    body: dict[str, Any] = {
        "prompt_tokens": counts.get("input", 0),
        "completion_tokens": counts.get("output", 0),
        "prompt_tokens_details": {
            "cached_tokens": counts.get("cache_read"),
            "cache_write_tokens": counts.get("cache_write"),
            "audio_tokens": counts.get("input_audio"),
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.get("reasoning"),
            "audio_tokens": counts.get("output_audio"),
        },
    }
    apart = read_usage(
        {
            "input": counts.get("input", 0),
            "output": counts.get("output", 0),
            "cache_read": counts.get("cache_read", 0),
            "cache_write_5m": counts.get("cache_write", 0),
        },
        "bursar",
    )[0]
    cached = apart.cache_read + apart.cache_write_5m
    if inside is False or cached > apart.input:
        body["prompt_tokens"] = apart.input + cached
    elif inside is None:
        body["total_tokens"] = counts.get("total")
    thought = counts.get("reasoning")
    if type(thought) is int and thought > apart.output:
        body["completion_tokens"] = apart.output + thought
    return read_usage(body, "openai_chat")[0]
