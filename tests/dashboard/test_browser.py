"""The page in a real browser: it fits a phone and a sheet of paper, and nothing is refused.

Chromium loads each page inside a frame of the width in question; the page around it, which is the
test's own, measures it. Skips where there is no Chromium, and fails there under CI=true.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bursar.dashboard.page import report_page
from dashboard import analyses

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars"
    " --disable-background-networking --disable-component-update --disable-sync"
    " --disable-dev-shm-usage --enable-logging=stderr"
).split()
PHONES = (390, 360)
PAPER = 695
"""Pixels between the margins of A4."""
MEASURE = """
addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const inside = frame.contentDocument;
    const boxes = [...inside.querySelectorAll(".scroll")].filter(box => box.clientWidth);
    found[frame.name] = {
      width: inside.documentElement.scrollWidth,
      hidden: boxes.filter(box => box.scrollWidth > box.clientWidth + 1)
        .map(box => box.getAttribute("aria-label")),
      styled: getComputedStyle(inside.body).marginTop,
    };
  }
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""


@pytest.fixture(scope="session")
def browser() -> str:
    named = os.environ.get("BURSAR_CHROMIUM")
    found = named or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        reason = f"no browser: install chromium, or set BURSAR_CHROMIUM ({', '.join(BROWSERS)})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def run(browser: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def measured(
    browser: str, folder: Path, pages: dict[str, str], width: int
) -> tuple[dict[str, dict[str, object]], list[str]]:
    """What each page measures at a width, and what the browser complained of."""
    frames = "".join(
        f'<iframe name="{name}" width="{width}" height="844" srcdoc="{html.escape(page)}"></iframe>'
        for name, page in pages.items()
    )
    around = folder / "around.html"
    around.write_text(
        f'<!doctype html><meta charset="utf-8"><body>{frames}<pre id="found"></pre>'
        f"<script>{MEASURE}</script></body>",
        encoding="utf-8",
    )
    done = run(browser, folder, "--dump-dom", around.as_uri())
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr
    complaints = re.findall(r"CONSOLE.*", done.stderr)
    return json.loads(html.unescape(found[1])), complaints


def pages() -> dict[str, str]:
    return {
        name: report_page(make(), title="What your agents cost", version="0.1", sources=["logs/"])
        for name, make in analyses.ALL.items()
    }


def as_printed(page: str) -> str:
    """The page with its rules for paper on the screen. They change its hash, so no policy."""
    without = re.sub(r"<meta http-equiv=[^>]*>", "", page)
    assert without != page
    assert without.count("@media print {") == 1
    return without.replace("@media print {", "@media all {")


@pytest.mark.parametrize("width", PHONES)
def test_no_page_is_wider_than_a_phone(browser: str, tmp_path: Path, width: int) -> None:
    found, complaints = measured(browser, tmp_path, pages(), width)
    assert set(found) == set(analyses.ALL)
    assert {name: one["width"] for name, one in found.items() if one["width"] != width} == {}
    assert {one["styled"] for one in found.values()} == {"0px"}, "the style sheet was refused"
    assert found["ordinary"]["hidden"] == []
    assert complaints == []


def test_no_table_is_cut_off_on_paper(browser: str, tmp_path: Path) -> None:
    papers = {name: as_printed(page) for name, page in pages().items()}
    found, _ = measured(browser, tmp_path, papers, PAPER)
    assert {name: one["hidden"] for name, one in found.items() if one["hidden"]} == {}
    assert {name: one["width"] for name, one in found.items() if one["width"] != PAPER} == {}


def test_the_page_prints(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(pages()["ordinary"], encoding="utf-8")
    paper = tmp_path / "page.pdf"
    run(browser, tmp_path, f"--print-to-pdf={paper}", "--no-pdf-header-footer", page.as_uri())
    assert paper.read_bytes().startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 10


def test_the_browser_would_tell(browser: str, tmp_path: Path) -> None:
    wide = '<!doctype html><body style="margin:0"><pre>' + "x" * 500
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    refused = f"<!doctype html>{policy}<style>body {{ margin: 0 }}</style><script>alert(1)</script>"
    bad = {"wide": wide, "refused": refused}
    found, complaints = measured(browser, tmp_path, bad, 390)
    assert int(str(found["wide"]["width"])) > 390
    assert found["refused"]["styled"] != "0px"
    assert len([one for one in complaints if "Content Security Policy" in one]) == 2
