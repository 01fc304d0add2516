"""A participant's page in a browser: complete, quiet, and whole on every screen and on paper."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bids_qmri.reports.subject import write_subject_page

from .conftest import Visit, Visitor
from .viewing import CUT, HEADS_CUT, INVISIBLE, OPEN, PARTICIPANT, SPILLED, drawn, unfold

WIDTHS = (1440, 400)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_quiet_whole_and_fit_the_screen(
    study: Path, visit: Visitor, width: int, scheme: str
) -> None:
    seen = visit(study / f"{PARTICIPANT}.html", width=width, color_scheme=scheme)
    drawn(seen)
    assert seen.page.evaluate(CUT) == []
    seen.page.evaluate(OPEN)
    assert seen.page.evaluate(CUT) == []
    assert seen.page.evaluate(HEADS_CUT) == []
    assert seen.page.evaluate(INVISIBLE) == []
    assert seen.page.evaluate(SPILLED) == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.page.locator("figure").count() > 40
    assert seen.clean, seen.complaints


@pytest.mark.parametrize("unfolded", [False, True])
def test_nothing_is_cut_on_paper(study: Path, visit: Visitor, unfolded: bool) -> None:
    # A4 between margins of 10 mm, at 96 pixels an inch.
    seen = visit(study / f"{PARTICIPANT}.html", width=718)
    seen.page.emulate_media(media="print")
    if unfolded:
        unfold(seen)
    assert seen.page.evaluate(CUT) == []
    assert seen.page.evaluate(SPILLED) == []
    assert not seen.page.locator(".viewer").first.is_visible()
    assert not seen.page.get_by_role("button").first.is_visible()
    assert seen.page.locator("details.fit .glance img").first.is_visible()
    assert len(seen.page.pdf(format="A4")) > 10_000


def test_a_link_to_a_fit_opens_it_and_a_button_opens_all(subject: Visit) -> None:
    fit = subject.page.locator(f"details[id='anat-{PARTICIPANT}-spgr-ncde']")
    assert fit.get_attribute("open") is None
    subject.page.get_by_role("link", name="ncde", exact=True).first.click()
    subject.page.wait_for_function("(one) => one.open", arg=fit.element_handle())
    subject.page.get_by_role("button", name="Open all fits").click()
    assert subject.page.locator("details.fit:not([open])").count() == 0
    subject.page.get_by_role("button", name="Fold all fits").click()
    assert subject.page.locator("details.fit[open]").count() == 0


def test_a_page_of_seven_fits_is_short_small_and_quickly_there(
    study: Path, tmp_path: Path, visit: Visitor
) -> None:
    for file in (study / PARTICIPANT).glob("[ad]*/*"):
        for name in (file.name, file.name.replace(PARTICIPANT, f"{PARTICIPANT}_run-2")):
            if name != f"{PARTICIPANT}_run-2_model-spgr_desc-ncde_qc.json":
                copy = tmp_path / PARTICIPANT / file.parent.name / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
    path = write_subject_page(tmp_path, PARTICIPANT.removeprefix("sub-"))
    seen = visit(path, width=1440)
    drawn(seen)
    assert seen.page.locator("details.fit .glances").count() == 7
    assert seen.page.evaluate("document.documentElement.scrollHeight") <= 8000
    assert path.stat().st_size <= 6e6
    opened = "() => performance.timing.loadEventEnd - performance.timing.navigationStart"
    assert 0 < seen.page.evaluate(opened) <= 1000


def test_the_copy_button_copies_the_methods(study: Path, visit: Visitor) -> None:
    seen = visit(study / f"{PARTICIPANT}.html", permissions=["clipboard-read", "clipboard-write"])
    button = seen.page.get_by_role("button", name="Copy the text")
    button.click()
    seen.page.get_by_role("button", name="Copied").wait_for()
    text = seen.page.evaluate("navigator.clipboard.readText()")
    assert "spoiled gradient echoes" in text
    assert "https" not in text.split("References")[0]
    assert seen.clean, seen.complaints


def test_the_page_is_useful_without_scripts(study: Path, visit: Visitor) -> None:
    seen = visit(study / f"{PARTICIPANT}.html", java_script_enabled=False)
    assert not seen.page.locator("figure img").first.is_visible()
    seen.page.locator("details.fit > summary").first.click()
    assert seen.page.locator("figure img").first.is_visible()
    assert not seen.page.locator(".viewer").first.is_visible()
    assert not seen.page.get_by_role("button").first.is_visible()


def test_everything_can_be_reached_with_the_keyboard(subject: Visit) -> None:
    subject.page.keyboard.press("Tab")
    assert subject.page.evaluate("document.activeElement.textContent") == "Skip to content"
    passed_over = subject.page.evaluate(
        """() => [...document.querySelectorAll("select, input, button, canvas, a")]
        .filter((one) => one.tabIndex < 0).length"""
    )
    assert passed_over == 0
    unnamed = subject.page.evaluate(
        """() => [...document.querySelectorAll("select, input")].filter((one) => !one.labels.length).length"""
    )
    assert unnamed == 0
    assert subject.page.get_by_role("main").count() == 1
    assert subject.page.get_by_role("navigation").count() == 1
