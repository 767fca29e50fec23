"""Prompt prefixes and the provider's cache: not used, broken, or paid for and never read.

Avoidable dollars are differences: what the tokens were billed as, less what a cached read would
have cost at the same moment. Where cache writes cost extra, the writes that caching would have
needed are taken off as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from bursar.advisor.suspects.finding import (
    Finding,
    Ratios,
    Row,
    View,
    by_place,
    many,
    models,
    percent,
    total,
)
from bursar.model.usage import Basis

MINIMUM_TOKENS = 1_024
"""The shortest prefix that providers cache; some models need up to 4,096."""
TTL_S = 300
"""The common lifetime of a cached prefix: a call that comes later could not have read it."""


def find_uncached_prefix(view: View) -> Iterator[Finding]:
    """Prefixes sent again and billed as new input."""
    rows = view.ask("uncached_prefix", minimum_tokens=MINIMUM_TOKENS, ttl_s=TTL_S)
    carried = by_place(view.ask("prefix_kinds")) if rows else {}
    for place, group in by_place(rows).items():
        parts = [(row, _prefix_saving(row, view.ratios(row))) for row in group]
        cacheable = [(row, nano) for row, nano in parts if nano > 0]
        if not cacheable:
            continue
        saved, kept = sum(nano for _, nano in cacheable), [row for row, _ in cacheable]
        steps, tokens = total(kept, "missed_steps"), total(kept, "missed_tokens")
        prefix = tokens // steps
        kinds = {row["kind"]: int(row["tokens"]) for row in carried.get(place, [])}
        estimated = total(kept, "estimated")
        unknown = (
            " No cache counts were recorded, so this holds if the provider did not cache."
            if estimated
            else ""
        )
        yield Finding(
            kind="uncached_prefix",
            where=place,
            cost_nano=saved,
            evidence={
                "text": f"{steps:,} of {total(kept, 'steps'):,} steps sent a prefix of about"
                f" {prefix:,} tokens again that the step before had sent ({_made_of(kinds)}),"
                f" billed as new input.{unknown}",
                "steps": steps,
                "of_steps": total(kept, "steps"),
                "sessions": total(kept, "sessions"),
                "prefix_tokens": prefix,
                "tokens": tokens,
                "read_tokens": total(kept, "read_tokens"),
                "resent_tokens_by_kind": kinds,
                "models": models(kept),
                "top_sessions": view.top(kept[0]),
            },
            mend=_cache_mend(prefix, view.ratios(kept[0])),
            basis=_cache_basis(kept, estimated, view),
        )


def _prefix_saving(row: Row, ratios: Ratios) -> int:
    """Reads in place of plain input, less the premium of writing what is new in each step."""
    gain = row["missed_nano"] * (ratios.input - ratios.read)
    premium = row["new_nano"] * max(0, ratios.write_5m - ratios.input)
    return (gain - premium) // ratios.input


def _made_of(kinds: dict[str, int]) -> str:
    whole = sum(kinds.values())
    largest = sorted(kinds.items(), key=lambda one: -one[1])[:3]
    return ", ".join(f"{kind} {percent(tokens, whole)}" for kind, tokens in largest)


def _cache_mend(prefix: int, ratios: Ratios) -> str:
    if ratios.writes_cost:
        return (
            f"Set a cache mark (cache_control or cachePoint, 5m) after the last stable block, at"
            f" about {prefix:,} tokens, and move it along with each step."
        )
    return (
        f"Keep the first {prefix:,} tokens byte for byte equal from step to step, hold a session"
        " to one cache (OpenAI: prompt_cache_key), and check the cached tokens of each response."
    )


def _cache_basis(rows: Iterable[Row], estimated: int, view: View) -> Basis:
    """Assumed, where nobody recorded what was cached or the price of a read is not known."""
    known = all(view.ratios(row).basis is not Basis.ASSUMED for row in rows)
    return Basis.MODELLED if known and not estimated else Basis.ASSUMED


class _Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a prefix broke, in words and as the block that shows it."""

    text: str
    mend: str
    kind: str | None = None
    name: str | None = None
    steps: int = 0


def find_cache_busted(view: View) -> Iterator[Finding]:
    """Prompts that change early, so that what follows is paid in full again."""
    rows = view.ask("cache_busted", minimum_tokens=MINIMUM_TOKENS, ttl_s=TTL_S)
    for place, group in by_place(rows).items():
        parts = [(row, _bust_saving(row, view.ratios(row))) for row in group]
        lossy = [(row, nano) for row, nano in parts if nano > 0]
        if not lossy:
            continue
        kept = [row for row, _ in lossy]
        cause = _cause(kept)
        steps, lost = total(kept, "steps"), total(kept, "lost_tokens")
        first = kept[0]
        yield Finding(
            kind="cache_busted",
            where=place,
            cost_nano=sum(nano for _, nano in lossy),
            evidence={
                "text": f"in {many(steps, 'step')} {cause.text}: {lost // steps:,} tokens a step"
                " that had been sent before were paid again in full.",
                "steps": steps,
                "sessions": total(kept, "sessions"),
                "tokens": lost,
                "stable_tokens": total(kept, "kept_tokens") // steps,
                "block": {"kind": cause.kind, "name": cause.name, "steps": cause.steps},
                "models": models(kept),
                "step": first["top_step"],
                "top_sessions": view.top(first),
            },
            mend=cause.mend,
            basis=_cache_basis(kept, total(kept, "estimated"), view),
        )


def _bust_saving(row: Row, ratios: Ratios) -> int:
    """What the lost tokens were billed as, less reads. Unmarked caches are not to blame."""
    if not row["cached"] and ratios.writes_cost:
        return 0
    plain = row["plain_nano"] * (ratios.input - ratios.read)
    short = row["short_nano"] * (ratios.write_5m - ratios.read)
    long = row["long_nano"] * (ratios.write_1h - ratios.read)
    return (plain + short + long) // ratios.input


def _cause(rows: list[Row]) -> _Cause:
    steps, kept = total(rows, "steps"), total(rows, "kept_tokens") // total(rows, "steps")
    if total(rows, "rewritten_tokens") * 2 > total(rows, "lost_tokens"):
        return _Cause(
            text=f"a stable prefix of {kept:,} tokens was written to the cache again",
            mend="Keep cache marks at the same blocks from step to step and the pause between"
            " steps under 5 minutes, or write with the 1h lifetime.",
        )
    seen: dict[tuple[str | None, str | None], int] = {}
    for row in rows:
        block = (row["kind"], row["name"])
        seen[block] = seen.get(block, 0) + row["steps"]
    (kind, name), times = max(seen.items(), key=lambda one: one[1])
    label = f"{kind} {name!r}" if name else f"{kind}"
    if kind in ("system", "tools"):
        return _Cause(
            text=f"the {label} block changed after {kept:,} stable tokens (in {times} of {steps})",
            mend=f"Keep the {label} block byte for byte equal: move what varies (time, ids,"
            " counters) behind the last stable block, into the newest message.",
            kind=kind,
            name=name,
            steps=times,
        )
    return _Cause(
        text=f"earlier blocks were dropped, rewritten or re-ordered after {kept:,} stable tokens"
        + (f" (first new block: {label})" if kind else ""),
        mend="Only append to the prompt: cut or rewrite history rarely and in large bites, and send"
        " tools and documents in a fixed order.",
        kind=kind,
        name=name,
        steps=times,
    )


def find_cache_never_read(view: View) -> Iterator[Finding]:
    """Cache writes whose premium the reads never earned back."""
    for place, group in by_place(view.ask("cache_never_read")).items():
        parts = [(row, _write_loss(row, view.ratios(row))) for row in group]
        losing = [(row, nano) for row, nano in parts if nano > 0]
        if not losing:
            continue
        loss, kept = sum(nano for _, nano in losing), [row for row, _ in losing]
        read = total(kept, "read_tokens")
        short, long = total(kept, "short_tokens"), total(kept, "long_tokens")
        ratios = view.ratios(kept[0])
        even = _break_even(ratios.write_1h if long > short else ratios.write_5m, ratios)
        reads = read / (short + long)
        yield Finding(
            kind="cache_never_read",
            where=place,
            cost_nano=loss,
            evidence={
                "text": f"{short + long:,} tokens were written to the cache and {read:,} read:"
                f" {reads:.2f} reads per write, where {even:.2f} pay for the writes.",
                "written_5m_tokens": short,
                "written_1h_tokens": long,
                "read_tokens": read,
                "reads_per_write": round(reads, 4),
                "break_even": round(even, 4),
                "attempts": total(kept, "attempts"),
                "models": models(kept),
                "top_sessions": view.top(kept[0]),
            },
            mend=f"Take the cache marks out of {place}"
            + (", or write for 5m instead of 1h" if long > short else "")
            + ", until its prompts are sent again while the cache still holds them.",
            basis=Basis.MEASURED if ratios.basis is Basis.MODELLED else Basis.ASSUMED,
        )


def _write_loss(row: Row, ratios: Ratios) -> int:
    """Premium of the writes less the gain of the reads."""
    premium = row["short_nano"] * (ratios.write_5m - ratios.input)
    premium += row["long_nano"] * (ratios.write_1h - ratios.input)
    gain = row["read_nano"] * (ratios.input - ratios.read)
    return (premium - gain) // ratios.input


def _break_even(write: int, ratios: Ratios) -> float:
    """Reads per written token at which a write has paid for itself."""
    return (write - ratios.input) / max(1, ratios.input - ratios.read)


__all__ = ["find_cache_busted", "find_cache_never_read", "find_uncached_prefix"]
