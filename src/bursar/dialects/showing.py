"""What the blocks of a body say, and in which form: read once, and only when somebody asks.

Blocks carry sizes and digests, not texts. A lever that shortens a tool result needs its text, and
one that drops old images or old reasoning must know which blocks those are; the wire alone tells.
A message is decoded when the first of its blocks is asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from bursar.dialects.parts import read_part
from bursar.dialects.requests import turn_blocks
from bursar.dialects.sheet import Sheet
from bursar.dialects.wire import as_list, as_map, at
from bursar.model.block import Block, Role

TEXT, IMAGE, REASONING = "text", "image", "reasoning"
FORMS = {
    **dict.fromkeys(("image", "image_url", "input_image"), IMAGE),
    **dict.fromkeys(("thinking", "redacted_thinking", "reasoning", "reasoningContent"), REASONING),
}
"""By the type of a part, or by its only key. Every other part is a text."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Shown(NamedTuple):
    """What one block says."""

    text: str
    form: str = TEXT


class Showing:
    """The texts of one body. `salt` is that of the blocks' digests."""

    __slots__ = ("_found", "_opened", "_salt", "_whole")

    def __init__(self, body: bytes, salt: bytes = b"") -> None:
        self._salt = salt
        self._whole = msgspec.Raw(body)
        self._opened: dict[str, dict[str, msgspec.Raw]] = {}
        """Path -> what lies there, by name or place, not yet decoded."""
        self._found: dict[str, dict[int, Shown]] = {}

    def shown(self, block: Block) -> Shown | None:
        """The text and form of a block; None where it is not in a message of this body."""
        path = block.path
        if path is None:
            return None
        found = self._found.get(path)
        if found is None:
            found = self._found[path] = self._read(path)
        return found.get(block.digest)

    def _read(self, path: str) -> dict[int, Shown]:
        place = msgspec.json.decode(self._at(path))
        blocks, _ = turn_blocks(place, {}, capture=True, salt=self._salt)
        forms = self._forms(place)
        return {one.digest: Shown(one.body or "", forms.get(one.digest, TEXT)) for one in blocks}

    def _at(self, path: str) -> msgspec.Raw:
        if not path:
            return self._whole
        above, _, name = path.rpartition("/")
        opened = self._opened.get(above)
        if opened is None:
            raw = self._at(above)
            if bytes(raw).lstrip()[:1] == b"[":
                opened = {str(place): one for place, one in enumerate(_items(raw))}
            else:
                opened = _fields(raw)
            self._opened[above] = opened
        return opened[name]

    def _forms(self, message: object) -> dict[int, str]:
        """Digest -> form, of the parts that are no text."""
        found: dict[int, str] = {}
        for part in as_list(at(message, ("content",))):
            fields = as_map(part)
            kind = fields.get("type") if "type" in fields else next(iter(fields), None)
            form = FORMS.get(kind) if isinstance(kind, str) else None
            if form is not None:
                sheet = Sheet({}, salt=self._salt)
                read_part(sheet, Role.USER, part)
                found.update((one.digest, form) for one in sheet.blocks)
        return found
