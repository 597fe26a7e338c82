# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report in a browser, as people open it: wide, on a phone, dark, on paper, and with axe looking at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium

OUTCOMES = ("migrated", "findings", "rolled_back", "failed")
WIDTHS = (1280, 390)
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(one => {
  const box = one.getBoundingClientRect();
  return box.width > 0 && !one.closest('.skip') && !one.closest('thead') && (box.right > innerWidth + 1 || box.left < -1);
}).map(one => one.outerHTML.slice(0, 120))
"""
# Numbers as the page has them: what the element says and what it shows.
NUMBERS = "[...document.querySelectorAll('data')].map(one => [one.dataset.key, one.value, one.textContent, one.getClientRects().length])"


def value_at(found: Any, path: str) -> Any:
    for key in path.split("."):
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_page_fits_logs_nothing_and_makes_no_request(
    browser: chromium.Page, reports: dict[str, Path], outcome: str, width: int, tmp_path: Path
) -> None:
    browser.open(reports[outcome], width)
    browser.screenshot(tmp_path / f"{outcome}-{width}.png")
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate(OVERFLOWING) == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.complaints == []
    assert browser.requests == [reports[outcome].as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_screen_says_what_happened_and_what_is_true(
    browser: chromium.Page, reports: dict[str, Path], width: int
) -> None:
    """On 844 points of height, which a phone has."""
    browser.open(reports["rolled_back"], width, height=844)
    bottom = "document.querySelector('{}').getBoundingClientRect().bottom"
    assert browser.evaluate(bottom.format("h1")) < 300
    assert browser.evaluate(bottom.format(".now li")) < 844
    assert "under systemd serve all clients" in browser.evaluate("document.querySelector('.now').innerText")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_number_shown_is_that_of_the_json(
    browser: chromium.Page, reports: dict[str, Path], outcome: str, width: int
) -> None:
    browser.open(reports[outcome], width)
    found = json.loads(reports[outcome].with_suffix(".json").read_text())
    numbers = browser.evaluate(NUMBERS)
    assert len(numbers) > 40
    for key, value, text, visible in numbers:
        wanted = value_at(found, key)
        assert value == ("" if wanted is None else str(wanted)), key
        assert text, key
        assert visible, key
    if found["witness"]:
        shown = {key: text.replace("\u00a0", " ") for key, _value, text, _visible in numbers}
        assert shown["figures.failed_reads"] == str(found["witness"]["failed_reads"]) == "2"
        assert shown["witness.write_pause_seconds"] == "806 ms"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_axe_finds_nothing(
    browser: chromium.Page, reports: dict[str, Path], outcome: str, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_core_python")
    browser.open(reports[outcome], width, scheme=scheme)
    browser.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text() + "; true")
    result = browser.evaluate("axe.run(document, {resultTypes: ['violations']})")
    reported = [
        (violation["id"], violation["help"], [node["html"][:160] for node in violation["nodes"][:3]])
        for violation in result["violations"]
    ]
    assert reported == []
    assert len(result["passes"]) > 15, "axe has looked at next to nothing"


def test_axe_would_find_something(browser: chromium.Page, reports: dict[str, Path]) -> None:
    axe = pytest.importorskip("axe_core_python")
    browser.open(reports["migrated"], 1280)
    browser.evaluate(
        "document.documentElement.removeAttribute('lang'); document.querySelector('h1').style.color = '#eee'; true"
    )
    browser.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text() + "; true")
    found = {violation["id"] for violation in browser.evaluate("axe.run()")["violations"]}
    assert {"html-has-lang", "color-contrast"} <= found


def test_dark_is_dark_and_paper_is_white(browser: chromium.Page, reports: dict[str, Path]) -> None:
    lightness = (
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((sum, one) => sum + +one, 0)"
    )
    browser.open(reports["migrated"], 1280)
    assert browser.evaluate(lightness) > 700
    browser.open(reports["migrated"], 1280, scheme="dark")
    assert browser.evaluate(lightness) < 100
    browser.open(reports["migrated"], 1280, scheme="dark", media="print")
    assert browser.evaluate(lightness) == 765


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_it_fits_on_paper(browser: chromium.Page, reports: dict[str, Path], outcome: str) -> None:
    """A4 upright between margins of 16 mm is 673 points wide, and shows tables as tables."""
    browser.open(reports[outcome], 673, media="print")
    assert browser.evaluate(OVERFLOWING) == []
    assert browser.evaluate("getComputedStyle(document.querySelector('td')).display") == "table-cell"


def test_it_prints(browser: chromium.Page, reports: dict[str, Path], tmp_path: Path) -> None:
    browser.open(reports["migrated"], 1280)
    document = browser.printed()
    (tmp_path / "migrated.pdf").write_bytes(document)
    assert document.startswith(b"%PDF-")
    assert 2 <= document.count(b"/Type /Page\n") + document.count(b"/Type /Page ") <= 12
