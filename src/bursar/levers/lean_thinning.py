"""What is left of old results, images and reasoning, as far as anybody can show what they say.

What a text becomes depends on the text alone, and is remembered for some while. Where the text of
a result is not at hand, there are two cases: a block without a place in a body stands in a replay,
and its size is modelled; a block of a body that this world cannot show stays as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import msgspec

from bursar.dialects.showing import REASONING
from bursar.dialects.tokens import estimate_tokens
from bursar.levers.compacting import compacted
from bursar.levers.keeping import GONE
from bursar.levers.ports import Ports, shown
from bursar.model.block import Block, Role, digest_of

MOST_TEXTS = 2_000
"""Short texts that are remembered."""
MOST_FORMS = 50_000
"""Blocks of which it is remembered whether they are texts, images or reasoning."""


class Thinning:
    """The wishes, and the memory that is shared by all calls."""

    def __init__(
        self,
        *,
        result_tokens: int | None,
        result_fields: Mapping[str, tuple[str, ...]],
        gone: Sequence[str],
    ) -> None:
        self.result_tokens = result_tokens
        self.result_fields = result_fields
        self.gone = gone
        """Forms of blocks that go."""
        self.texts: OrderedDict[int, Block | None] = OrderedDict()
        self.forms: OrderedDict[int, str] = OrderedDict()

    def seen_in(self, ports: Ports) -> Seen:
        """The thinning of the call whose world that is."""
        return Seen(self, ports)


class Seen:
    """The thinning of one call."""

    __slots__ = ("_of", "_ports")

    def __init__(self, thinning: Thinning, ports: Ports) -> None:
        self._of = thinning
        self._ports = ports

    @property
    def is_idle(self) -> bool:
        """Whether nothing is ever thinned."""
        return self._of.result_tokens is None and not self._of.gone

    def tokens(self, block: Block) -> int | None:
        """Of the block once it is thinned; None: it stays as it is; GONE: it goes."""
        if block.role is Role.TOOL:
            return self._of.result_tokens
        return GONE if self._of.gone and self._form(block) in self._of.gone else None

    def is_thought(self, block: Block) -> bool:
        """Whether a text of the model is reasoning; False also where nobody knows."""
        return self._form(block) == REASONING

    def short(self, block: Block) -> Block:
        """A tool result cut short."""
        texts = self._of.texts
        if block.digest in texts:
            texts.move_to_end(block.digest)
            found = texts[block.digest]
        else:
            found = texts[block.digest] = self._cut(block)
            if len(texts) > MOST_TEXTS:
                texts.popitem(last=False)
        if found is None:
            return block
        return msgspec.structs.replace(found, mark=block.mark, path=block.path)

    def _form(self, block: Block) -> str | None:
        forms = self._of.forms
        form = forms.get(block.digest)
        if form is None:
            said = shown(self._ports, block)
            if said is None:
                return None
            form = forms[block.digest] = said.form
            if len(forms) > MOST_FORMS:
                forms.popitem(last=False)
        return form

    def _cut(self, block: Block) -> Block | None:
        most = max(1, self._of.result_tokens or 0)
        own = block.digest.to_bytes(8, "big")
        said = shown(self._ports, block)
        if said is None:
            if block.path is not None:
                return None
            digest = digest_of(str(most), own)
            return msgspec.structs.replace(block, tokens=most, digest=digest)
        fields = self._of.result_fields.get(block.name or "", ())
        text = compacted(said.text, most, fields)
        if text is None:
            return None
        return msgspec.structs.replace(
            block,
            tokens=estimate_tokens(text),
            digest=digest_of(text, own),
            size_bytes=len(text.encode("utf-8", "surrogatepass")),
            body=text,
        )
