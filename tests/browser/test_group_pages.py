"""A group page in a browser: quiet, whole, and its points lead to the pages of participants."""

from __future__ import annotations

import csv
import io
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


def read_table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def test_the_shown_table_is_downloaded_as_it_is_filtered_and_sorted(study: Path, visit: Visitor) -> None:
    seen = visit(study / "group_ivim.html")
    seen.page.locator("#filter").fill("lsq")
    seen.page.locator("#shown", has_text="2 of 4 fits").wait_for()
    heading = seen.page.locator("#rows thead button", has_text="D (").first
    heading.click()
    heading.click()
    with seen.page.expect_download() as waiting:
        seen.page.locator("#download").click()
    assert waiting.value.suggested_filename == "shown_group_ivim.tsv"
    rows = read_table(waiting.value.path().read_text(encoding="utf-8"))
    whole = {
        (row["participant_id"], row["estimator"]): row
        for row in read_table((study / "group_ivim.tsv").read_text(encoding="utf-8"))
        if row["region"] == "mask"
    }
    values = [float(row["d_common_median"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert {row["estimator"] for row in rows} == {"lsq"}
    for row in rows:
        expected = whole[row["participant_id"], row["estimator"]]
        assert row["outlier_in"] == expected["outlier_in"]
        assert float(row["d_common_median"]) == pytest.approx(float(expected["d_common_median"]), rel=1e-6)
    assert seen.clean, seen.complaints


def test_without_scripts_the_link_to_the_whole_table_stays(study: Path, visit: Visitor) -> None:
    seen = visit(study / "group_ivim.html", java_script_enabled=False)
    assert not seen.page.locator("#download").is_visible()
    assert seen.page.locator("#list a[href='group_ivim.tsv']").is_visible()


def test_the_first_screen_says_of_how_many_voxels_the_medians_are(study: Path, visit: Visitor) -> None:
    seen = visit(study / "group_ivim.html", java_script_enabled=False)
    [row, *_] = read_table((study / "group_ivim.tsv").read_text(encoding="utf-8"))
    assert float(row["d_common_voxels"]) > 0
    for selector, words in (
        ("svg .beside", r"[\d.]+ % determined"),
        ("figcaption .unit", r"[\d,]+ voxels in common"),
    ):
        told = seen.page.locator(f"#figures {selector}").first
        assert re.fullmatch(words, str(told.text_content()))
        assert told.bounding_box()["y"] < 900
