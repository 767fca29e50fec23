"""What the project says of itself is true: dependencies, pins, verbs, links, the caption tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import bursar
from syntax import Source, imports

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "bursar"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = tuple(PROJECT["optional-dependencies"])
VERBS = ["help", "setup", "demo", "test", "lint", "mutants", "bench", "docs"]
DISTRIBUTION_OF = {
    "arro3": "arro3-core",
    "google": "opentelemetry-proto",
    "opentelemetry": "opentelemetry-proto",
    "yaml": "pyyaml",
}
"""Import names that differ from their distribution's. google.protobuf comes with the protocol."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def declared(*extras: str) -> list[Requirement]:
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(one.name) for one in requirements}


def pins() -> dict[str, Version]:
    lines = [line for line in read("constraints.txt").splitlines() if line and line[0] != "#"]
    parts = [line.split("==") for line in lines]
    assert all(len(part) == 2 for part in parts), "constraints.txt holds exact pins only"
    found = {str(canonicalize_name(name)): Version(version) for name, version in parts}
    assert len(found) == len(lines), "a pin stands twice"
    return found


def brought_by(wanted: list[Requirement]) -> set[str]:
    """Every distribution that `wanted` brings, as read from what is installed here."""
    found: set[tuple[str, str]] = set()
    queue = list(wanted)
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for known, extra in found if known == name}:
            found.add((name, extra))
            more = [Requirement(line) for line in metadata.requires(name) or []]
            queue += [
                one for one in more if not one.marker or one.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in found}


def test_the_version_is_one() -> None:
    assert PROJECT["dynamic"] == ["version"]
    try:
        installed = metadata.version("bursar")
    except metadata.PackageNotFoundError:
        pytest.skip("bursar is on the path and not installed")
    assert installed == bursar.__version__


def test_every_dependency_is_bounded_above() -> None:
    assert not [str(one) for one in declared(*EXTRAS) if "<" not in str(one.specifier)]


def test_every_dependency_stands_with_its_reason() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", read("docs/dependencies.md"), re.MULTILINE)
    assert sorted(canonicalize_name(name) for name, _ in rows) == sorted(names(declared(*EXTRAS)))
    assert not [name for name, reason in rows if len(reason.split()) < 4]


def test_every_pin_is_within_its_range() -> None:
    pinned = pins()
    for one in declared(*EXTRAS):
        assert pinned[canonicalize_name(one.name)] in one.specifier, str(one)


@pytest.mark.skipif(sys.platform == "win32", reason="the pins are those of Linux and macOS")
def test_what_is_pinned_is_what_is_needed() -> None:
    try:
        needed = brought_by(declared("gateway", "otel", "redis", "demo", "dev")) | names(
            declared("node")
        )
    except metadata.PackageNotFoundError as absent:
        pytest.skip(f"{absent.name} is not installed here; make test installs it")
    if sys.version_info[:2] == (3, 11):
        assert sorted(needed) == sorted(pins())
    else:  # a newer Python needs fewer of the backports
        assert not needed - pins().keys()


def test_every_import_is_a_declared_dependency() -> None:
    core, optional = names(declared()), names(declared(*EXTRAS))
    foreign: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        allowed = optional if path == PACKAGE / "extras.py" else core
        for name, _, _ in imports(Source(path.stem, path.read_text(encoding="utf-8"))):
            root = name.split(".")[0]
            distribution = canonicalize_name(DISTRIBUTION_OF.get(root, root))
            if root not in {"bursar", *sys.stdlib_module_names} and distribution not in allowed:
                foreign.append(f"{path.name}: {name}")
    assert not foreign


def test_every_verb_has_its_line_of_help() -> None:
    makefile = read("Makefile")
    helped = re.findall(r"^([a-z]+):.*## \S.+$", makefile, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert helped == VERBS
    assert phony
    assert phony[1].split() == [*VERBS, "moved"]


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_alone_lists_the_verbs() -> None:
    command = ["make", "--no-print-directory"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line.split()[1] for line in said.splitlines()] == VERBS


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize(
    ("body", "seen"),
    [("echo 'Python 3.9.1'; exit 1", "Python 3.9.1"), ("exit 127", "not to be found")],
)
def test_an_old_python_is_named(tmp_path: Path, body: str, seen: str) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "old"
    old.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    old.chmod(0o755)
    command = ["make", ".venv/python", f"PYTHON={old}"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode
    assert "needs Python 3.11 or newer" in run.stderr
    assert seen in run.stderr
    assert "mend:" in run.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_check_runs_what_the_readme_says() -> None:
    check = read(".ci/run")
    assert "set -euo pipefail" in check
    assert "make lint" in check
    assert "make test" in check
    assert not re.search(r"^\s*(?!make )\S*pytest", check, re.MULTILINE)


def pages() -> list[Path]:
    folders = [
        path for name in ("docs", "notes", "CHANGES") for path in (ROOT / name).rglob("*.md")
    ]
    return sorted([*ROOT.glob("*.md"), *folders])


def without_code(text: str) -> str:
    text = re.sub(r"^( *)(```|~~~).*?^\1\2", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def broken_links(text: str, folder: Path) -> list[str]:
    """Links of a page to files that are not there; addresses of the web are not followed."""
    found = re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]: (\S+)", without_code(text), re.M)
    targets = [one or other for one, other in found]
    files = [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:", target)]
    return [name for name in files if name and not (folder / name).exists()]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken_links(page.read_text(encoding="utf-8"), page.parent)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    text = "[a](here.md#part) [b](https://example.com/x) [c](gone.md) `[d](code.md)`\n[e]: gone.txt"
    assert broken_links(text, tmp_path) == ["gone.md", "gone.txt"]


def captions(text: str) -> dict[str, str]:
    """Folder -> caption of the tree in CONTRIBUTING.md: two columns of indent for each level."""
    tree = re.search(r"^```\nsrc/bursar/\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert tree, "CONTRIBUTING.md has no tree of src/bursar/"
    found: dict[str, str] = {}
    above: list[str] = []
    for line in tree[1].splitlines():
        row = re.fullmatch(r"((?:  )+)([\w.]+)(/?)\s+(\S.*)", line)
        assert row, f"not a line of the tree: {line!r}"
        above[len(row[1]) // 2 - 1 :] = [row[2]]
        if row[3]:
            found["/".join(above)] = row[4]
    return found


def package_folders() -> set[str]:
    files = (path for path in PACKAGE.rglob("*") if path.is_file())
    folders = {
        path.parent.relative_to(PACKAGE) for path in files if "__pycache__" not in path.parts
    }
    return {folder.as_posix() for folder in folders if folder.parts}


def test_every_folder_of_the_code_has_its_caption() -> None:
    assert sorted(captions(read("CONTRIBUTING.md"))) == sorted(package_folders())


def test_the_caption_tree_is_read_by_its_indent() -> None:
    text = "```\nsrc/bursar/\n  a/  one\n    b/  two\n    c.py  no folder\n  d/  three\n```"
    assert captions(text) == {"a": "one", "a/b": "two", "d": "three"}


def test_every_note_answers_the_four_questions() -> None:
    for path in (ROOT / "notes").glob("*.md"):
        heads = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name)
        assert heads == ["Question", "Choice", "Reasons", "What would change our mind"], path.name


def test_every_change_has_a_kind() -> None:
    fragments = {path.name for path in (ROOT / "CHANGES").iterdir()} - {"README.md"}
    kinds = r"[a-z0-9-]+\.(added|changed|fixed|removed)\.md"
    assert fragments
    assert not [name for name in fragments if not re.fullmatch(kinds, name)]
