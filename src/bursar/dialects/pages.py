"""A transcript that was flattened into one text, cut into pages.

Completion-style agents send their whole history as one string. As one block it would be new in
every call; as pages it shows what it is: a prefix that was sent before, and a little more.
"""

from __future__ import annotations

from bursar.dialects.tokens import estimate_tokens
from bursar.model.block import KIND_OF_ROLE, Block, Role, digest_of

PAGE_BYTES = 256
FLAT_BYTES = 2_048
"""A single prompt text longer than this may be a flattened transcript."""


def pages(text: str, role: Role = Role.USER) -> tuple[Block, ...]:
    """One block for each page of the text; the tokens are those of the whole text, shared out."""
    raw = text.encode("utf-8", "surrogatepass")
    cuts = range(0, len(raw), PAGE_BYTES)
    per_byte = estimate_tokens(raw) / max(1, len(raw))
    blocks: list[Block] = []
    booked = 0
    for start in cuts:
        page = raw[start : start + PAGE_BYTES]
        until = round((start + len(page)) * per_byte)
        blocks.append(
            Block(
                role=role,
                kind=KIND_OF_ROLE[role],
                digest=digest_of(page),
                tokens=until - booked,
                size_bytes=len(page),
            )
        )
        booked = until
    return tuple(blocks)
