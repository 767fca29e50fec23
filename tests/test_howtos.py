"""The how-tos of gateway and simulator name what there is: faults, terms, metrics, paths, tags."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from bursar.gateway.endpoints import BEDROCK, POSTS
from bursar.gateway.pages import COUNTERS, HISTOGRAMS, STATES
from bursar.gateway.settings.structs import Listen
from bursar.simulator.desk import Terms
from bursar.simulator.faults import KINDS, Fault
from bursar.simulator.saying import Answer

HOWTO = Path(__file__).resolve().parents[1] / "docs" / "howto"


def named(page: str) -> set[str]:
    """Words between backticks, and what a table names first."""
    text = (HOWTO / page).read_text(encoding="utf-8")
    return {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.split(r"[\s,]+", span)}


def fields(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_fields__)


@pytest.mark.parametrize(
    "wanted", [set(KINDS), fields(Fault) - {"kind"}, fields(Terms), fields(Answer)]
)
def test_the_simulators_page_names_everything(wanted: set[str]) -> None:
    assert not wanted - named("simulator.md")


def test_the_simulators_page_names_no_other_fault() -> None:
    text = (HOWTO / "simulator.md").read_text(encoding="utf-8")
    table = re.search(r"\| kind \|.*?\n\n", text, re.DOTALL)
    assert table
    assert re.findall(r"^\| `(\w+)` \|", table[0], re.MULTILINE) == list(KINDS)


def test_the_gateways_page_names_every_metric() -> None:
    wanted = {f"{shown}_total" for _, shown, _, _ in COUNTERS}
    wanted |= {shown for _, shown, _, _ in HISTOGRAMS}
    wanted |= {f"bursar_{name}" for name in STATES}
    assert not wanted - named("gateway.md")


def test_the_gateways_page_names_the_labels_of_each_counter() -> None:
    text = (HOWTO / "gateway.md").read_text(encoding="utf-8")
    for _, shown, _, labels in COUNTERS:
        row = next(line for line in text.splitlines() if f"`{shown}_total`" in line)
        assert row.split("|")[3].strip() == ", ".join(labels), shown


def test_the_gateways_page_names_every_path() -> None:
    paths = {path.decode() for path in POSTS} | {
        one.path.replace("{model}", "ID") for one in BEDROCK.values()
    }
    seen = named("gateway.md")
    assert not {path for path in paths if path not in seen and path.rpartition("/")[2] not in seen}


def test_a_systemd_unit_waits_for_a_stop() -> None:
    text = (HOWTO / "gateway.md").read_text(encoding="utf-8")
    found = re.search(r"TimeoutStopSec=(\d+)", text)
    assert found
    assert int(found[1]) > 2 * (Listen().grace_s + 1)
    assert f"at most {Listen().grace_s:g} s" in text
