"""A group page in a browser: quiet, whole, and its points lead to the pages of participants."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Visit, Visitor

WIDTHS = (1280, 400)

INVISIBLE = """() => [...document.querySelectorAll("figure canvas, figure svg")]
.filter((figure) => figure.checkVisibility())
.map((figure) => figure.getBoundingClientRect())
.filter((box) => box.width < 50 || box.height < 20).length"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("model", ["vfa", "ivim", "dti"])
def test_pages_are_quiet_whole_and_fit_the_screen(
    study: Path, visit: Visitor, model: str, width: int
) -> None:
    seen = visit(study / f"group_{model}.html", width=width)
    figures = seen.page.locator("figure canvas, figure svg")
    figures.first.wait_for()
    assert any(figure.is_visible() for figure in figures.all())
    assert seen.page.evaluate(INVISIBLE) == 0
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.clean, seen.complaints


def follow(seen: Visit) -> None:
    """Open what the focused point leads to, and see that it is the page of the participant it names."""
    named = seen.page.evaluate("document.activeElement.getAttribute('aria-label')")
    participant = re.search(r"sub-\w+", named)
    assert participant is not None, named
    with seen.page.expect_navigation():
        seen.page.keyboard.press("Enter")
    assert seen.page.url.endswith(f"/{participant.group()}.html")
    assert seen.page.locator("h1").inner_text() == participant.group()
    assert seen.clean, seen.complaints


def test_a_point_leads_to_the_page_of_its_participant(study: Path, visit: Visitor) -> None:
    seen = visit(study / "group_vfa.html")
    points = seen.page.locator("#panels a")
    points.first.focus()
    seen.page.keyboard.press("ArrowRight")
    follow(seen)


def test_points_lead_there_without_scripts_too(study: Path, visit: Visitor) -> None:
    seen = visit(study / "group_vfa.html", java_script_enabled=False)
    point = seen.page.locator("#figures svg a").first
    text = point.locator("title").text_content()
    with seen.page.expect_navigation():
        point.click()
    assert seen.page.locator("h1").inner_text() in str(text)


def test_a_row_of_the_table_leads_there(study: Path, visit: Visitor) -> None:
    seen = visit(study / "group_ivim.html")
    link = seen.page.locator("#rows tbody a").last
    name = link.inner_text()
    with seen.page.expect_navigation():
        link.click()
    assert seen.page.locator("h1").inner_text() == name
