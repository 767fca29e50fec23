"""The page: whole, exact, harmless, and honest about what is not known."""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import sha256
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.dashboard import doubts, spending
from bursar.dashboard.page import CONTENTS, report_page
from bursar.dashboard.text import NOT_KNOWN
from bursar.model.money import usd
from dashboard import analyses
from dashboard.reading import Element, read

Row = dict[str, Any]

SECTIONS = ("summary", "short", *(ident for ident, _ in CONTENTS))
TAGS = frozenset(
    "html head meta title style body header main footer nav section aside div h1 h2 h3 p ul ol li"
    " dl dt dd a span b em code bdi data time table caption thead tbody tr th td details summary"
    " svg g rect line text".split()
)
LARGEST = 400_000


def page_of(analysis: Row) -> str:
    return report_page(analysis, title="What your agents cost", version="0.1", sources=["logs/"])


@pytest.fixture(params=analyses.ALL.values(), ids=list(analyses.ALL))
def analysis(request: pytest.FixtureRequest) -> Row:
    return request.param()


# -- whole


def test_every_section_is_there_and_can_be_reached(analysis: Row) -> None:
    page = read(page_of(analysis))
    idents = [one.attributes["id"] for one in page.all() if "id" in one.attributes]
    assert len(idents) == len(set(idents))
    sections = {one.attributes["id"] for one in page.all("section")}
    assert sections == set(SECTIONS)
    links = {str(link.attributes["href"]).removeprefix("#") for link in page.all("a")}
    assert links <= set(idents)
    for section in page.all("section"):
        assert len(section.all("h2")) == 1
        assert section.one(id=str(section.attributes["aria-labelledby"])).text
    assert len(page.all("h1")) == len(page.all("main")) == 1


def test_headings_go_down_one_level_at_a_time(analysis: Row) -> None:
    levels = [
        int(one.tag[1]) for one in read(page_of(analysis)).all() if one.tag in ("h1", "h2", "h3")
    ]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_and_drawings_can_be_heard(analysis: Row) -> None:
    page = read(page_of(analysis))
    for table in page.all("table"):
        assert table.one("caption").text
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.all("th"))
        width = len(table.one("thead").all("th"))
        rows = table.one("tbody").all("tr")
        assert all(len(row.all("th")) + len(row.all("td")) == width for row in rows)
        assert rows
    for drawn in page.all("svg"):
        if drawn.attributes.get("aria-hidden") != "true":
            assert drawn.attributes["role"] == "img"
            assert drawn.all("title")


@pytest.mark.parametrize("optional", ["notes", "top_sessions"])
def test_what_is_optional_may_be_missing(optional: str) -> None:
    analysis = analyses.ordinary()
    del analysis[optional]
    assert len(read(page_of(analysis)).all("section")) == len(SECTIONS)


def test_notes_stand_before_any_advice() -> None:
    page = page_of(analyses.ordinary())
    assert page.index('id="notes"') < page.index('id="short"') < page.index('id="suspects"')
    assert "the total is a lower bound" in read(page).one(id="notes").text


def test_suspects_show_dollars_evidence_mend_and_basis() -> None:
    first, *_, last = (
        read(page_of(analyses.ordinary())).one(id="suspects").all("li", **{"class": "card suspect"})
    )
    for said in (
        "$129.400112",
        "31.0% of the total",
        "avoidable",
        "without a cache mark",
        "task-7-8c1f2a7e",
        "Put a cache mark",
        "modelled",
        "4,100 tokens",
    ):
        assert said in first.text
    assert "Idle endpoint" in last.text
    assert "assumed" in last.text


def test_top_sessions_are_drawn_step_by_step() -> None:
    section = read(page_of(analyses.ordinary())).one(id="sessions")
    drawn = section.all("svg", role="img")
    assert len(drawn) == 2
    assert len(drawn[0].all("g")) == 22
    assert {rect.attributes["class"] for rect in drawn[0].all("rect")} == {
        "k-system",
        "k-tools",
        "k-history",
        "k-tool-result",
        "k-output",
    }


def test_a_long_session_fits_the_drawing_and_keeps_every_dollar() -> None:
    analysis = analyses.ordinary()
    analysis["top_sessions"] = [analyses.session(1, 900)]
    drawn = read(page_of(analysis)).one(id="sessions").one("svg", role="img")
    titles = [group.all("title")[0].text for group in drawn.all("g")]
    assert len(titles) <= 48
    said = sum(Decimal(title.rpartition("$")[2].replace(",", "")) for title in titles)
    assert said == Decimal(analysis["top_sessions"][0]["cost_usd"])


# -- exact


def amounts(value: Any, key: str = "") -> Iterator[str]:
    """Every amount below a value."""
    if isinstance(value, dict):
        for name, held in value.items():
            yield from amounts(held, name)
    elif isinstance(value, list):
        for held in value:
            yield from amounts(held, key)
    elif key.endswith("_usd") and value is not None:
        yield value


def test_every_amount_is_on_the_page_digit_by_digit() -> None:
    analysis = analyses.ordinary()
    analysis["by"]["tenant"] = analysis["by"]["tenant"][:12]
    for session in analysis["top_sessions"]:
        del session["steps"][:]
    shown: dict[str, list[Element]] = {}
    for one in read(page_of(analysis)).all("data"):
        shown.setdefault(str(one.attributes["value"]), []).append(one)
    for exact in amounts(analysis):
        assert exact in shown
    for exact, elements in shown.items():
        for one in elements:
            assert Decimal(one.text.replace("$", "").replace(",", "")) == Decimal(exact)


def column(table: Element, place: int) -> list[Element]:
    return [row.all("td")[place] for row in table.one("tbody").all("tr")]


COSTS = st.lists(st.none() | st.integers(min_value=0, max_value=10**16), min_size=1, max_size=40)


@given(COSTS)
def test_a_table_of_the_dearest_still_adds_up(costs: list[int | None]) -> None:
    analysis = analyses.empty()
    analysis["by"]["tenant"] = analyses.rows({f"t{n}": cost for n, cost in enumerate(costs)})
    table = read(spending.by_dimension(analysis)).one("table")
    rows = table.one("tbody").all("tr")
    assert len(rows) <= spending.SHOWN + 1
    cells = [cell.all("data") for cell in column(table, 0)]
    said = sum(Decimal(str(cell[0].attributes["value"])) for cell in cells if cell)
    assert said == Decimal(str(usd(sum(cost or 0 for cost in costs))))
    calls = sum(int(cell.text.replace(",", "")) for cell in column(table, 2))
    assert calls == sum(row["calls"] for row in analysis["by"]["tenant"])
    if len(costs) > spending.SHOWN + 1:
        assert rows[-1].all("th")[0].text == f"{len(costs) - spending.SHOWN} others"


def test_skipped_lines_are_the_first_ones_and_a_count() -> None:
    section = read(page_of(analyses.many())).one(id="skipped")
    assert len(section.one("tbody").all("tr")) == doubts.MOST_SKIPPED
    assert "5,000 lines left out" in section.text
    assert "The first 200 of 5,000" in section.text


# -- not known


def test_nothing_known_is_said_and_never_nought() -> None:
    page = read(page_of(analyses.nothing_known()))
    for ident in ("short", "suspects", "anatomy", "days", "where", "sessions", "cache", "retries"):
        assert "$" not in page.one(id=ident).text
    assert "$" not in page.one(id="summary").text
    assert page.one(id="summary").text.count("not known") == 6
    assert page.one(id="cache").text.count("not known") == 8
    assert page.one(id="sessions").text.count("not known") == 8


def places() -> list[tuple[str, ...]]:
    made = analyses.ordinary()
    found: list[tuple[str, ...]] = [("totals", "cost_usd"), ("totals", "unpriced_attempts")]
    for part in ("tail", "iterations", "cache", "growth"):
        found += [(part, name) for name in made[part] if name != "max_over_median"]
    found += [("retries", "rate"), ("retries", "cost_usd")]
    found += [("outcomes", name) for name in made["outcomes"]]
    found += [("totals", "usage", name) for name in ("input", "cache_read", "output")]
    return found


@pytest.mark.parametrize("place", places(), ids=".".join)
def test_each_figure_that_is_lost_is_said_to_be_not_known(place: tuple[str, ...]) -> None:
    analysis = analyses.ordinary()
    before = page_of(analysis).count(NOT_KNOWN)
    held = analysis
    for name in place[:-1]:
        held = held[name]
    held[place[-1]] = None
    assert page_of(analysis).count(NOT_KNOWN) > before


def test_an_unpriced_attempt_makes_the_total_a_least_one() -> None:
    analysis = analyses.ordinary()
    assert "at least $418.237491283" in read(page_of(analysis)).one(id="summary").text
    analysis["totals"]["unpriced_attempts"] = 0
    assert "at least" not in read(page_of(analysis)).one(id="summary").text


# -- harmless


def test_the_page_has_only_the_elements_that_it_needs(analysis: Row) -> None:
    page = read(page_of(analysis))
    for one in page.all():
        assert one.tag in TAGS
        for name, value in one.attributes.items():
            assert not name.startswith("on")
            assert name not in ("style", "src", "srcset", "action", "formaction", "xlink:href")
            if name == "href":
                assert str(value).startswith("#")
            if name == "class":
                assert re.fullmatch(r"[a-z0-9 -]+", str(value))
            if name == "id":
                assert re.fullmatch(r"[a-z-]+", str(value))


def test_nothing_is_loaded_from_anywhere(analysis: Row) -> None:
    page = page_of(analysis)
    assert not re.search(r"(https?:)?//[a-z0-9]", page)
    assert not re.search(r"url\(|@import|src=", read(page).one("style").text)


def test_the_policy_allows_this_style_sheet_and_nothing_else(analysis: Row) -> None:
    page = read(page_of(analysis))
    head = page.one("head")
    policy = head.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    digest = b64encode(sha256(page.one("style").text.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert head.all("meta")[1].attributes.get("http-equiv"), "after what it should govern"


@pytest.mark.parametrize("name", analyses.HOSTILE)
def test_hostile_names_are_read_as_they_are_written(name: str) -> None:
    analysis = analyses.ordinary()
    for rows in analysis["by"].values():
        rows[0]["key"] = name
    for suspect in analysis["suspects"]:
        suspect |= {"where": name, "kind": name, "mend": name, "basis": name}
        suspect["evidence"] = {"text": name, name: [name, {name: name}]}
    analysis["notes"] = [name]
    analysis["flags"] = [{"kind": name, "where": name, "what": name}]
    analysis["skipped"] = [{"file": name, "line": 1, "reason": name}]
    analysis["top_sessions"][0] |= {"session": name, "route": name}
    page = read(report_page(analysis, title=name, version=name, sources=[name]))
    for ident in ("notes", "suspects", "where", "sessions", "flags", "skipped"):
        assert name in page.one(id=ident).text
    assert page.one("title").text == name if len(page.all("title")) == 1 else True
    assert name in page.one("h1").text
    assert name in page.one("footer").text


def test_no_broken_character_reaches_the_page() -> None:
    page = page_of(analyses.hostile())
    page.encode("utf-8")
    assert not [one for one in page if unicodedata.category(one) in ("Cs", "Cc") and one != "\n"]
    assert "\ufffd lone" in page


def test_a_name_from_right_to_left_keeps_to_itself() -> None:
    page = read(page_of(analyses.many()))
    assert analyses.WORDS_RTL in [one.text for one in page.all("bdi")]


def test_a_large_ledger_makes_a_small_page(analysis: Row) -> None:
    assert len(page_of(analysis).encode()) < LARGEST


# -- the style sheet


def luminance(colour: str) -> float:
    digits = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes() -> list[dict[str, str]]:
    style = files("bursar.dashboard").joinpath("page.css").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r":root \{(.*?)\}", style, re.S)[:2]
    light, dark = (dict(re.findall(r"--([a-z-]+): #([0-9a-f]{3,6})", block)) for block in blocks)
    return [light, light | dark]


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "muted", "accent", "warn", "good"])
def test_words_stand_out_from_what_they_are_written_on(theme: dict[str, str], ink: str) -> None:
    for ground in ("card", "paper"):
        assert contrast(theme[ink], theme[ground]) >= 4.5
    assert contrast(theme["warn"], theme["warn-soft"]) >= 4.5
    assert contrast(theme["muted"], theme["warn-soft"]) >= 4.5


@pytest.mark.parametrize("theme", themes(), ids=["light", "dark"])
def test_percentages_stand_out_from_their_part_of_a_bar(theme: dict[str, str]) -> None:
    dark_ink = "10151a"
    for kind in ("tools", "history", "unseen", "rag", "user", "tool-result"):
        assert contrast(theme[kind], dark_ink) >= 4.5
    for kind in ("system", "output", "other"):
        assert contrast(theme[kind], theme["on-dark"]) >= 4.5


def test_every_look_has_a_rule() -> None:
    style = files("bursar.dashboard").joinpath("page.css").read_text(encoding="utf-8")
    looked: set[str] = set()
    make: Callable[[], Row]
    for make in (analyses.ordinary, analyses.hostile, analyses.many):
        for one in read(page_of(make())).all("rect"):
            looked |= set(str(one.attributes["class"]).split())
    assert {look for look in looked if f".{look}" not in style} == set()
