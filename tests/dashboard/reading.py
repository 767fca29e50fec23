"""A page as its elements: what a strict reader finds in it."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = frozenset(("meta", "rect", "line", "br", "wbr", "hr"))


class Element:
    """One element, its attributes, and the text and elements inside it."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.inside: list[Element | str] = []

    def all(self, tag: str | None = None, **wanted: str) -> list[Element]:
        """Every element below this one of that tag whose attributes hold those values."""
        found: list[Element] = []
        for one in self.inside:
            if isinstance(one, Element):
                if (tag is None or one.tag == tag) and all(
                    one.attributes.get(name) == value for name, value in wanted.items()
                ):
                    found.append(one)
                found += one.all(tag, **wanted)
        return found

    def one(self, tag: str | None = None, **wanted: str) -> Element:
        found = self.all(tag, **wanted)
        assert len(found) == 1, f"{len(found)} of {tag} {wanted}"
        return found[0]

    @property
    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> names an attribute twice"
        one = Element(tag, dict(attrs))
        self.open[-1].inside.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read(page: str) -> Element:
    """The page as a tree. Fails where an element is not closed in its place."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert [one.tag for one in reader.open] == [""]
    return reader.root
