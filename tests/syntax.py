"""Python modules as syntax trees, and the small readings of them that the rules share."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Source:
    """One module: its dotted name and its text."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def top(self) -> str:
        """The package below `bursar`: "ledger" of `bursar.ledger.schema`, "" of `bursar`."""
        return self.name.split(".")[1] if "." in self.name else ""

    def within(self, *rooms: str) -> bool:
        return any(self.name == room or self.name.startswith(room + ".") for room in rooms)


DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def nodes(source: Source) -> Iterator[tuple[ast.AST, str, bool]]:
    """Every node with the name of where it stands and whether that is inside a function."""

    def below(node: ast.AST, place: str, inside: bool) -> Iterator[tuple[ast.AST, str, bool]]:
        for child in ast.iter_child_nodes(node):
            here = f"{place}.{child.name}" if isinstance(child, DEFINITIONS) else place
            yield child, here, inside
            yield from below(child, here, inside or isinstance(child, FUNCTIONS))

    return below(source.tree, source.name, False)


def words(name: str) -> set[str]:
    """`parse_HTTPError` as {parse, http, error}."""
    return {word.lower() for word in re.findall(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*", name)}


def dotted(node: ast.AST | None) -> str:
    """`a.b.c` of an attribute chain; "" where it is anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def last_name(node: ast.AST | None) -> str:
    """The word by which a reader calls the value: `provider` of `call.provider`."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return dotted(node).rpartition(".")[2]


def imported(node: ast.AST) -> list[str]:
    """The dotted names that an import statement names; `.` first where it is relative."""
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom):
        start = "." * node.level + (node.module or "")
        return [f"{start}.{name.name}" for name in node.names]
    return []


def imports(source: Source) -> Iterator[tuple[str, str, int]]:
    """Each imported name, with the place and the line of the statement."""
    for node, place, _ in nodes(source):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported(node):
                yield name, place, node.lineno
