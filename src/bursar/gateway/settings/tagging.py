"""Who and what a call is for: from its headers, its body and its key, by one order of precedence.

1. the key's own tenant: a call that names another is refused
2. headers `x-bursar-<tag>`, then the headers of `tags.headers`
3. W3C `baggage` members `bursar.<tag>`
4. the body's `metadata` or `requestMetadata`
5. the key's tags, 6. `tags.defaults`

What a client says to us (2, 3) must be well-formed, or the call is refused; what it says to the
provider (4) is foreign, and is cut to what a tag may be. The result of the same headers is cached.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote

import msgspec

from bursar.gateway.settings.holders import Holder
from bursar.gateway.settings.keys import Headers
from bursar.gateway.settings.structs import TagRules
from bursar.gateway.settings.tag_names import (
    FIELDS,
    FLAGS,
    KEY,
    LONGEST_BYTES,
    MOST_TAGS,
    NAME,
    OTHER,
    QUARANTINE,
    TRUTH,
    WHOLE,
    mended,
    name_problem,
    problem_of,
    tag_name,
)
from bursar.gateway.settings.values import Bounded, Matcher, any_of
from bursar.model.call import Tags
from bursar.model.errors import Refused

OURS = b"x-bursar-"
BAGGAGE = b"baggage"
BEDROCK_METADATA = b"x-amzn-bedrock-request-metadata"
SDK_RETRIES = b"x-stainless-retry-count"
AWS_RETRIES = b"amz-sdk-request"
ALWAYS_READ = frozenset((BAGGAGE, BEDROCK_METADATA, SDK_RETRIES, AWS_RETRIES))
METADATA_NAMES = {"user_id": "user"}
"""Members of a provider's metadata whose meaning is known by another name."""
CLAUDE_CODE_USER = re.compile(r"(.+)_session_([0-9a-f-]{36})")
_ATTEMPT = re.compile(rb"attempt=(\d{1,4})")
_OUR_MEMBER = re.compile(rb"(?:^|,)\s*bursar\.([a-z0-9._-]{1,64})\s*=\s*([^,;\s]*)")
MOST_REMEMBERED = 200_000
"""Values that a worker remembers for all tenants together."""
CACHED, LONGEST_CACHED = 2_048, 2_048
DAY_S = 86_400
Given = list[tuple[str, str, bool]]
"""Tag, value, and whether it was said to us."""


class Tagged(msgspec.Struct, frozen=True):
    """The tags of a call."""

    tags: Tags
    quarantined: bool = False
    """The call passes, and its tag `quarantine` says what is wrong."""


class Seen:
    """Values of tags that were seen today: keeps their number per tenant and tag below a cap."""

    def __init__(self) -> None:
        self.day = -1
        self._values: dict[tuple[str | None, str], set[int]] = {}
        self._count = 0

    def turn(self, day: int) -> bool:
        """Begin another day; whether it is one."""
        if day == self.day:
            return False
        self.day, self._values, self._count = day, {}, 0
        return True

    def admit(self, tenant: str | None, tag: str, value: str, most: int) -> bool:
        """Whether a value is one of those that are kept."""
        known = self._values.get((tenant, tag))
        digest = hash(value)
        if known is not None and digest in known:
            return True
        if self._count >= MOST_REMEMBERED or (known is not None and len(known) >= most):
            return False
        self._values.setdefault((tenant, tag), set()).add(digest)
        self._count += 1
        return True


class Tagger:
    """The tag rules, ready for calls."""

    def __init__(
        self,
        rules: TagRules,
        *,
        seen: Seen | None = None,
        clock: Callable[[], float] = time.time,
        counted: frozenset[str] = frozenset(),
    ) -> None:
        """`counted`: tags that caps look at. Their values are never folded into one: a customer
        would count as another in one worker, and as itself in the next."""
        self._rules = rules
        self._headers = {name.encode(): tag for name, tag in rules.headers.items()}
        self._read = ALWAYS_READ | self._headers.keys()
        self._allowed: dict[str, Matcher | None] = {
            name: any_of(patterns) for name, patterns in rules.allowed.items()
        }
        self._many = frozenset((*rules.many_values, *WHOLE, *FLAGS)) | counted
        self._cache: Bounded[Tagged] = Bounded(CACHED)
        self._clock = clock
        self.seen = seen or Seen()

    def tags(self, holder: Holder, headers: Headers, metadata: Mapping[str, str]) -> Tagged:
        """The tags of a call. Raises Refused 400."""
        read = self._read
        given = [pair for pair in headers if pair[0] in read or pair[0][:9] == OURS]
        if self.seen.turn(int(self._clock()) // DAY_S):
            self._cache.clear()
        key = (holder.key_id, *given, *metadata.items()) if metadata else (holder.key_id, *given)
        found = self._cache.get(key)
        if found is None:
            found = self._tagged(holder, given, metadata)
            if sum(len(one[0]) + len(one[1]) for one in key[1:]) <= LONGEST_CACHED:
                self._cache.keep(key, found)
        return found

    def _tagged(self, holder: Holder, headers: Headers, metadata: Mapping[str, str]) -> Tagged:
        found: dict[str, str] = {}
        retried = False
        foreign: Mapping[str, str] = metadata
        for name, value in headers:
            if name == SDK_RETRIES:
                retried = retried or value.strip() not in (b"", b"0")
            elif name == AWS_RETRIES:
                attempt = _ATTEMPT.search(value)
                retried = retried or (attempt is not None and int(attempt[1]) > 1)
            elif name == BEDROCK_METADATA:
                foreign = {**_object_of(value), **metadata}
        for source in (self._from_headers(headers), _from_baggage(headers)):
            _merge(found, source, holder)
        _merge(found, _from_metadata(foreign), holder)
        for tag, value in holder.given:
            found.setdefault(tag, value)
        if holder.tenant is not None:
            found["tenant"] = holder.tenant
        wrong = self._ruled(found)
        if len(found) > MOST_TAGS:
            raise _bad("too_many_tags", f"the call has more than {MOST_TAGS} tags", "send fewer")
        if wrong:
            found[QUARANTINE] = mended(", ".join(wrong))
        found.pop(KEY, None)
        if holder.key_id:
            found[KEY] = holder.key_id
        return Tagged(self._built(found, retried), bool(wrong))

    def _from_headers(self, headers: Headers) -> Given:
        ours: Given = []
        theirs: Given = []
        for name, value in headers:
            if name[:9] == OURS:
                tag = tag_name(name[9:].decode("latin-1"))
                ours.append((tag, _text(tag, value), True))
            elif name in self._headers:
                theirs.append(
                    (self._headers[name], mended(value.decode("utf-8", "replace")), False)
                )
        return ours + theirs

    def _ruled(self, found: dict[str, str]) -> list[str]:
        """What the tag policy has against the tags, which it mends where it may."""
        rules = self._rules
        for tag, value in rules.defaults.items():
            found.setdefault(tag, value)
        wrong: list[str] = []
        for tag, fits in self._allowed.items():
            value = found.get(tag)
            if value is None or (fits is not None and fits(value)):
                continue
            if rules.policy == "refuse":
                mend = f"send a value of {tag} that bursar.yaml allows"
                raise _bad("tag_not_allowed", f"the value of the tag {tag} is not allowed", mend)
            if rules.policy == "default":
                del found[tag]
                if tag in rules.defaults:
                    found[tag] = rules.defaults[tag]
            else:
                wrong.append(f"{tag} not allowed")
        missing = [tag for tag in rules.required if tag not in found]
        if missing and rules.policy != "quarantine":
            names = ", ".join(missing)
            mend = f"send the header x-bursar-{missing[0].replace('_', '-')}"
            raise _bad("tag_missing", f"the call lacks the tag {names}", mend)
        return wrong + [f"{tag} missing" for tag in missing]

    def _built(self, found: dict[str, str], retried: bool) -> Tags:
        tenant = found.get("tenant")
        if tenant is not None:
            tenant = found["tenant"] = self._capped(None, "tenant", tenant)
        fields: dict[str, object] = {}
        other: dict[str, str] = {}
        for tag, value in found.items():
            if tag in WHOLE:
                fields[tag] = int(value)
            elif tag in FLAGS:
                fields[tag] = TRUTH[value]
            else:
                kept = value if tag == "tenant" else self._capped(tenant, tag, value)
                (fields if tag in FIELDS else other)[tag] = kept
        if retried:
            fields["is_retry"] = True
            fields.setdefault("retry_cause", "sdk")
        if other:
            fields["other"] = other
        return Tags(**fields)  # type: ignore[arg-type]

    def _capped(self, tenant: str | None, tag: str, value: str) -> str:
        if tag in self._many or self.seen.admit(tenant, tag, value, self._rules.most_values):
            return value
        return OTHER


def _bad(kind: str, message: str, mend: str) -> Refused:
    return Refused(400, kind, message, mend=mend)


def _merge(found: dict[str, str], source: Given, holder: Holder) -> None:
    """Add what a source says of tags that no earlier one named."""
    here: dict[str, str] = {}
    for tag, value, said_to_us in source:
        if not value:
            continue
        if tag == "tenant" and holder.tenant is not None and value != holder.tenant:
            raise _bad(
                "tenant_mismatch",
                "the call names another tenant than its key has",
                "leave the tenant out, or use that tenant's key",
            )
        if said_to_us and here.setdefault(tag, value) != value:
            raise _bad("bad_tag", f"the tag {tag} has two values", "send one")
        found.setdefault(tag, value)


def _text(tag: str, raw: bytes) -> str:
    """The value of a tag that was said to us. Raises Refused where it can be none."""
    try:
        value = raw.decode("utf-8")
    except UnicodeDecodeError:
        value = "\ufffd\x00"
    problem = name_problem(tag) or (problem_of(tag, value) if value else None)
    if problem:
        known = tag if NAME.fullmatch(tag) else "with a bad name"
        mend = f"printable, normal form NFC, at most {LONGEST_BYTES} bytes"
        raise _bad("bad_tag", f"the tag {known} {problem}", mend)
    return value


def _from_baggage(headers: Headers) -> Given:
    found: Given = []
    for name, value in headers:
        if name == BAGGAGE and b"bursar." in value:
            for member, raw in _OUR_MEMBER.findall(value)[:MOST_TAGS]:
                tag = tag_name(member.decode("ascii"))
                found.append((tag, _text(tag, unquote(raw.decode("latin-1")).encode()), True))
    return found


def _from_metadata(metadata: Mapping[str, str]) -> Given:
    """Tags of a body. Members named `bursar.<tag>` and those named as a tag count as tags."""
    ours: Given = []
    theirs: Given = []
    for name, value in list(metadata.items())[:MOST_TAGS]:
        if name.startswith(("bursar.", "bursar_")):
            tag = tag_name(name[7:].lower())
            ours.append((tag, _text(tag, value.encode("utf-8", "replace")), True))
            continue
        tag = METADATA_NAMES.get(name, tag_name(name.lower()))
        if tag in WHOLE or tag in FLAGS or name_problem(tag):
            continue
        if tag == "user":
            theirs += _user_of(value)
        else:
            theirs.append((tag, mended(value), False))
    return ours + theirs


def _user_of(value: str) -> Given:
    """A user, and the session that Claude Code writes into the same text."""
    named = CLAUDE_CODE_USER.fullmatch(value[:512])
    if named:
        return [("user", mended(named[1]), False), ("session", named[2], False)]
    if value.startswith("{"):
        inner = _object_of(value.encode("utf-8", "replace"))
        user = inner.get("account_uuid") or inner.get("device_id") or value
        return [
            ("user", mended(user), False),
            ("session", mended(inner.get("session_id", "")), False),
        ]
    return [("user", mended(value), False)]


def _object_of(raw: bytes) -> dict[str, str]:
    """The texts of a JSON object; nothing where it is none."""
    try:
        found = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {name: one for name, one in _first(found.items()) if isinstance(one, str)}


def _first(items: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return list(items)[:MOST_TAGS]
