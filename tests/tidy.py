"""The rules of the house as functions: parsed source in, findings out.

Each rule takes one `Source` and yields a `Finding` for each place that breaks it. What a rule
allows, and where, is a table beside it: layers, rooms, edges. `test_tidy.py` runs the rules over
`src/`, keeps the list of exceptions, and proves on small bad sources that each rule can fail.
What each rule is for stands in `docs/develop/rules.md`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from syntax import DEFINITIONS, Source, dotted, imported, imports, last_name, nodes, words

FILE_LINES = 400
FUNCTION_LINES = 60
PARAMETERS = 7
LINE_WIDTH = 100

LAYERS = (
    ("model",),
    ("extras",),
    ("price", "dialects"),
    ("levers", "ledger"),
    ("intake", "emit", "engine", "state", "simulator"),
    ("replay", "alerts", "batch", "aws"),
    ("quality",),
    ("advisor", "gateway", "sdk"),
    ("dashboard",),
    ("cli",),
    ("reference", "__main__"),
)
"""Packages from the ground up. One may import what stands below it, never its neighbours."""

EXTRAS = "bursar.extras"
"""The one place for imports that may be missing or dear, and so happen inside a function."""

BROAD_EDGES = {
    "bursar.gateway.routes": "a meter that fails must not fail the call",
    "bursar.levers.ports": "a lever that fails must not fail the call",
    "bursar.ledger.recorder": "the loop that records must outlive any one entry",
    "bursar.cli.app": "a person gets a line and a place to report it, never a traceback",
    "bursar.extras": "another project's import may fail in any way",
}
"""Where one `except Exception` may stand: the edges of the house, one each."""

VENDOR_ROOMS = ("bursar.price", "bursar.dialects", "bursar.ledger.engines")
"""Where a provider, a dialect or an engine may be called by its name."""

PORT_ROOMS = {
    "bursar.cli": "reads the settings, the terminal and today's date, and hands them down",
    "bursar.ledger.engines": "speaks to the database, which may be another machine",
    "bursar.ledger.journal": "stands between processes: the clock, files that grow, a local socket",
    "bursar.emit": "tells collectors: the network, and how long to wait for them",
    "bursar.gateway": "serves and calls over the network; implements the live ports",
    "bursar.sdk": "the live ports inside somebody's program",
    "bursar.state.redis": "counters on another machine",
    "bursar.alerts": "sends messages",
    "bursar.aws": "calls the cloud's own interfaces",
    "bursar.simulator": "the world under a seed: another implementation of the ports",
    "bursar.batch": "hands jobs to providers and waits for them",
}
"""Where the world comes in: clock, randomness, environment, network."""

VAGUE = frozenset(
    "manager managers helper helpers util utils handler handlers service services"
    " data info infos process processes".split()
)


@dataclass(frozen=True)
class Finding:
    """One breach. `place` has no line number, so that an exception to it outlives an edit."""

    place: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.place} (line {self.line}): {self.what}"


Rule = Callable[[Source], Iterator[Finding]]
RANK = {package: rank for rank, packages in enumerate(LAYERS) for package in packages}


def layers(source: Source) -> Iterator[Finding]:
    """Imports point down, from a package to one that stands below it."""
    if source.top and source.top not in RANK:
        yield Finding(source.name, 1, f"{source.top} stands in no layer; see LAYERS")
        return
    for name, place, line in imports(source):
        if name.startswith("."):
            yield Finding(place, line, f"relative import of {name}")
            continue
        parts = name.split(".")
        if parts[0] != "bursar" or len(parts) < 2 or parts[1] == source.top:
            continue
        if parts[1] not in RANK:
            allowed = name == "bursar.__version__"
        else:
            allowed = bool(source.top) and RANK[parts[1]] < RANK[source.top]
        if not allowed:
            yield Finding(place, line, f"{source.top or 'bursar'} imports {name}")


def pure_model(source: Source) -> Iterator[Finding]:
    """The nouns stand on the standard library and msgspec alone."""
    if source.top != "model":
        return
    for name, place, line in imports(source):
        if name.split(".")[0] not in {"bursar", "msgspec", *sys.stdlib_module_names}:
            yield Finding(place, line, f"the nouns import {name}")


def late_imports(source: Source) -> Iterator[Finding]:
    """Imports stand at the top of a module; only `extras` imports while running."""
    if source.within(EXTRAS):
        return
    for node, place, inside in nodes(source):
        if inside and isinstance(node, ast.Import | ast.ImportFrom):
            yield Finding(place, node.lineno, f"imports {', '.join(imported(node))} when called")
        elif isinstance(node, ast.Call) and last_name(node.func) in ("import_module", "__import__"):
            yield Finding(place, node.lineno, f"imports by {last_name(node.func)}")


def long_files(source: Source) -> Iterator[Finding]:
    lines = len(source.text.splitlines())
    if lines > FILE_LINES:
        yield Finding(source.name, lines, f"{lines} lines, over {FILE_LINES}")


def long_lines(source: Source) -> Iterator[Finding]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if len(line) > LINE_WIDTH:
            yield Finding(source.name, number, f"{len(line)} columns, over {LINE_WIDTH}")


def long_functions(source: Source) -> Iterator[Finding]:
    for node, place, _ in nodes(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield Finding(place, node.lineno, f"{lines} lines, over {FUNCTION_LINES}")


def many_parameters(source: Source) -> Iterator[Finding]:
    for node, place, _ in nodes(source):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = sum(one.arg not in ("self", "cls") for one in given)
        if count > PARAMETERS:
            yield Finding(place, node.lineno, f"{count} parameters, over {PARAMETERS}")


def broad_excepts(source: Source) -> Iterator[Finding]:
    """Errors are caught by name, but once at each of the edges."""
    allowed = int(source.within(*BROAD_EDGES))
    for node, place, _ in nodes(source):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        elif isinstance(node, ast.Call) and last_name(node.func) == "suppress":
            caught = node.args
        else:
            continue
        if any(one is None or dotted(one) in ("Exception", "BaseException") for one in caught):
            allowed -= 1
            if allowed < 0:
                yield Finding(place, node.lineno, "catches everything")


def vague_names(source: Source) -> Iterator[Finding]:
    """Names say what a thing is: the nouns are in `model`, the rest are verbs and their objects."""
    for part in source.name.split("."):
        for word in sorted(words(part) & VAGUE):
            yield Finding(source.name, 1, f"module name holds {word!r}")
    for node, place, _ in nodes(source):
        if isinstance(node, DEFINITIONS):
            for word in sorted(words(node.name) & VAGUE):
                yield Finding(place, node.lineno, f"name holds {word!r}")


def _names_one(node: ast.expr) -> bool:
    """A value that is one vendor: "openai", ("openai", "azure"), Provider.OPENAI."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(_names_one(one) for one in node.elts)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and bool(node.value)
    return isinstance(node, ast.Attribute) and node.attr.isupper()


def _is_vendor(node: ast.expr) -> bool:
    return not {"provider", "dialect", "engine"}.isdisjoint(words(last_name(node)))


def vendor_branches(source: Source) -> Iterator[Finding]:
    """What varies by vendor is a row of a table, outside the rooms that hold those tables."""
    if source.within(*VENDOR_ROOMS):
        return
    for node, place, _ in nodes(source):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            found = any(map(_is_vendor, sides)) and any(map(_names_one, sides))
        elif isinstance(node, ast.Match):
            found = _is_vendor(node.subject)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            tests = node.func.attr in ("startswith", "endswith")
            found = tests and _is_vendor(node.func.value) and any(map(_names_one, node.args))
        else:
            continue
        if found:
            yield Finding(place, node.lineno, "branches on the name of a vendor")


def frozen_values(source: Source) -> Iterator[Finding]:
    """Each class of `model` is an error, an enumeration or a frozen, keyword-only value."""
    if source.top != "model":
        return
    for node, place, _ in nodes(source):
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {last_name(base) for base in node.bases}
        if "Struct" in bases:
            set_true = {
                word.arg
                for word in node.keywords
                if isinstance(word.value, ast.Constant) and word.value.value is True
            }
            if missing := {"frozen", "kw_only"} - set_true:
                yield Finding(place, node.lineno, f"Struct without {', '.join(sorted(missing))}")
        elif not bases or node.decorator_list:
            yield Finding(place, node.lineno, "neither an error, an enumeration nor a Struct")


WORLD_MODULES = frozenset(
    "time random secrets uuid socket ssl asyncio.subprocess http.client http.server"
    " urllib.request smtplib ftplib getpass subprocess requests httpx httpx2 boto3 redis".split()
)
WORLD_NAMES = frozenset(
    "os.environ os.environb os.getenv os.urandom os.getcwd datetime.now datetime.utcnow"
    " datetime.today date.today Path.home Path.cwd os.path.expanduser os.path.expandvars".split()
)


def _reads_world(node: ast.AST) -> str:
    """What of the outer world a node reads; "" for nothing."""
    for name in imported(node):
        if {name, name.rpartition(".")[0]} & WORLD_MODULES or name in WORLD_NAMES:
            return name
    if isinstance(node, ast.Attribute):
        name = dotted(node)
        if name in WORLD_NAMES or ".".join(name.split(".")[-2:]) in WORLD_NAMES:
            return name
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        verb, given = node.func.attr, len(node.args) + len(node.keywords)
        if verb == "expanduser" and not given:
            return "the home folder"
        if (verb, given) in (("fromtimestamp", 1), ("astimezone", 0)):
            return "the local time zone"
    return ""


def world(source: Source) -> Iterator[Finding]:
    """Clock, randomness, environment and network come through ports."""
    if source.within(*PORT_ROOMS):
        return
    for node, place, _ in nodes(source):
        if name := _reads_world(node):
            yield Finding(place, getattr(node, "lineno", 1), f"reads {name}")


def _is_money(name: str) -> bool:
    return name.rpartition("_")[2].lower() in ("nano", "pico", "usd")


def _makes_float(node: ast.AST | None) -> bool:
    """A true division, or float(...), anywhere on the way to the value."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div) or _makes_float(node.left) or _makes_float(node.right)
    if isinstance(node, ast.IfExp):
        return _makes_float(node.body) or _makes_float(node.orelse)
    if isinstance(node, ast.Call):
        return dotted(node.func) == "float"
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _says_float(annotation: ast.AST | None) -> bool:
    return annotation is not None and any(
        isinstance(node, ast.Name) and node.id == "float" for node in ast.walk(annotation)
    )


def money_floats(source: Source) -> Iterator[Finding]:
    """Money is an integer with its scale in its name, or a decimal string; never a float."""
    for node, place, _ in nodes(source):
        if isinstance(node, ast.arg):
            name, bad = node.arg, _says_float(node.annotation)
        elif isinstance(node, ast.AnnAssign):
            name = last_name(node.target)
            bad = _says_float(node.annotation) or _makes_float(node.value)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name, bad = node.name, _says_float(node.returns)
        elif isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            name = next((last_name(one) for one in targets if _is_money(last_name(one))), "")
            bad = _makes_float(node.value)
            bad = bad or (isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Div))
        elif isinstance(node, ast.keyword):
            name, bad = node.arg or "", _makes_float(node.value)
        else:
            continue
        if bad and _is_money(name):
            yield Finding(place, node.lineno, f"{name} is a float")


def unfinished(source: Source) -> Iterator[Finding]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := re.search(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b", line):
            yield Finding(source.name, number, f"{found[0]}: finish it or write a note")


def ideas(source: Source) -> Iterator[Finding]:
    """A module begins with its idea."""
    if not ast.get_docstring(source.tree):
        yield Finding(source.name, 1, "no docstring")


_FOLDERS = "|".join(f"/{folder}/" for folder in ("work", "farm", "root", "tmp/w"))
_HOSTS = r"\bpypi[.]org|\bfiles[.]python" r"hosted|\bregistry[.]npmjs|\bdeb[.]debian|\bcrates[.]io"


def leaks(text: str) -> list[str]:
    """Paths of the machine that a file was written on, and hosts of package registries."""
    return sorted(set(re.findall(rf"(?<![\w.]){_FOLDERS}|{_HOSTS}", text)))


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        layers,
        pure_model,
        late_imports,
        long_files,
        long_lines,
        long_functions,
        many_parameters,
        broad_excepts,
        vague_names,
        vendor_branches,
        frozen_values,
        world,
        money_floats,
        unfinished,
        ideas,
    )
}
