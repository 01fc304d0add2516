"""A participant's page in a browser: complete, quiet, and every control does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_qmri.bids.names import derivative_path
from bids_qmri.outputs.tables import output_table

from .conftest import Visit, Visitor

PARTICIPANT = "sub-abdomen01"
WIDTHS = (1280, 400)

INVISIBLE = """() => [...document.querySelectorAll("figure img, figure svg")].filter((figure) => {
  const box = figure.getBoundingClientRect();
  return box.width < 50 || box.height < 10 || (figure.naturalWidth ?? 1) < 1;
}).map((figure) => figure.alt || figure.getAttribute("aria-label"))"""

SPILLED = """() => [...document.querySelectorAll(".chart text")].filter((text) => {
  const [inner, outer] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
  return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.bottom > outer.bottom + 1;
}).map((text) => text.textContent)"""

SHADES = """(canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


@pytest.fixture
def subject(study: Path, visit: Visitor) -> Visit:
    return visit(study / f"{PARTICIPANT}.html")


def viewer(subject: Visit, kind: str = "anat") -> Any:
    return subject.page.locator(f"section[id='{kind}-{PARTICIPANT}'] .viewer")


def state(shown: Any) -> tuple[str, float, list[int], int]:
    """Return name and value of the readout, the voxel, and the slice from 1, once all is drawn."""
    shown.and_(shown.page.locator("[aria-busy=false]")).wait_for()
    text = shown.locator(".readout").inner_text()
    name, value = text.split("\n")[0].split(": ")
    voxel = [int(part) for part in re.search(r"voxel (\d+), (\d+), (\d+)", text).groups()]  # type: ignore[union-attr]
    number = re.search(r"-?\d[-+\d.e]*", value)
    index = re.search(r"slice (\d+)", text)
    assert index is not None
    return name, float(number.group()) if number else np.nan, voxel, int(index.group(1))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_quiet_whole_and_fit_the_screen(
    study: Path, visit: Visitor, width: int, scheme: str
) -> None:
    seen = visit(study / f"{PARTICIPANT}.html", width=width, color_scheme=scheme)
    assert seen.page.evaluate(INVISIBLE) == []
    assert seen.page.evaluate(SPILLED) == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.page.locator("figure").count() > 40
    assert seen.clean, seen.complaints


def test_the_viewer_shows_a_slice_and_the_slider_changes_it(subject: Visit) -> None:
    shown = viewer(subject)
    canvas = shown.locator("canvas")
    assert canvas.evaluate(SHADES) > 20
    before = canvas.screenshot()
    shown.locator("input[type=range]").focus()
    subject.page.keyboard.press("ArrowRight")
    assert state(shown)[3] == 6
    assert canvas.screenshot() != before
    assert subject.clean, subject.complaints


def test_arrow_keys_move_over_voxels(subject: Visit) -> None:
    shown = viewer(subject)
    shown.locator("canvas").focus()
    voxels = [state(shown)[2]]
    for key in ("ArrowLeft", "ArrowUp", "PageUp"):
        subject.page.keyboard.press(key)
        voxels.append(state(shown)[2])
    steps = np.abs(np.diff(voxels, axis=0))
    np.testing.assert_array_equal(steps, np.eye(3, dtype=int))


@pytest.mark.parametrize(("kind", "model", "name"), [("anat", "vfa", "t1"), ("dwi", "ivim", "f")])
def test_the_value_shown_is_that_of_the_map(
    study: Path, subject: Visit, kind: str, model: str, name: str
) -> None:
    row = output_table(model).estimate(name)
    shown = viewer(subject, kind)
    shown.locator("select").select_option(label=row.symbol)
    path = derivative_path({"sub": "abdomen01"}, extension=".nii.gz", **row.name_parts("lsq"))
    image = np.asarray(nib.load(study / path).dataobj)
    assert row.range is not None
    shown.locator("canvas").scroll_into_view_if_needed()
    box = shown.locator("canvas").bounding_box()
    compared = 0
    for x, y in np.random.default_rng(0).uniform(0.2, 0.8, (40, 2)):
        subject.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        _, value, voxel, _ = state(shown)
        truth = image[tuple(voxel)]
        if truth != 0 and row.range[0] < truth < row.range[1]:
            assert value == pytest.approx(truth, abs=0.01 * (row.range[1] - row.range[0]))
            compared += 1
    assert compared >= 3


def test_the_viewer_says_where_the_data_do_not_determine_a_map(study: Path, subject: Visit) -> None:
    table = output_table("ivim")
    shown = viewer(subject, "dwi")
    shown.locator("select").select_option(label="D*")
    known, values = (
        np.asarray(
            nib.load(
                study / derivative_path({"sub": "abdomen01"}, extension=".nii.gz", **row.name_parts("lsq"))
            ).dataobj
        )
        for row in (table.determined("dstar"), table.estimate("dstar"))
    )
    shown.locator("canvas").scroll_into_view_if_needed()
    box = shown.locator("canvas").bounding_box()
    told = []
    for x, y in np.random.default_rng(1).uniform(0.1, 0.9, (80, 2)):
        subject.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        voxel = tuple(state(shown)[2])
        if values[voxel] != 0 and np.isfinite(values[voxel]):
            said = "not determined by the data" in shown.locator(".readout").inner_text()
            assert said == (known[voxel] == 0)
            told.append(said)
    assert 0 < sum(told) < len(told)
    assert subject.clean, subject.complaints


def test_a_click_on_a_picture_opens_its_slice(subject: Visit) -> None:
    picture = subject.page.locator("figure[data-name='sd of T1'] img").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    subject.page.mouse.click(box["x"] + 0.1 * box["width"], box["y"] + 0.8 * box["height"])
    name, _, _, index = state(viewer(subject))
    assert name == "sd of T1"
    assert index == 5  # first of the second row of four


def test_what_is_not_simply_estimated_can_be_marked(study: Path, subject: Visit) -> None:
    path = next((study / PARTICIPANT / "dwi").glob("*ivim_desc-lsqStatus_dwimap.nii.gz"))
    marked = np.flatnonzero((np.asarray(nib.load(path).dataobj) > 1).any(axis=(0, 1)))
    shown = viewer(subject, "dwi")
    canvas = shown.locator("canvas")
    canvas.focus()
    while state(shown)[3] - 1 != marked[0]:
        subject.page.keyboard.press("PageDown" if state(shown)[3] - 1 > marked[0] else "PageUp")
    before = canvas.screenshot()
    shown.get_by_label("Mark what is not simply estimated").check()
    assert canvas.screenshot() != before


def test_uncertain_voxels_can_be_darkened(subject: Visit) -> None:
    shown = viewer(subject, "dwi")
    shown.locator("select").select_option(label="D*")
    state(shown)
    value, before = shown.locator(".readout").inner_text(), shown.locator("canvas").screenshot()
    shown.get_by_label("Darken by standard deviation").check()
    state(shown)
    assert shown.locator("canvas").screenshot() != before
    assert shown.locator(".readout").inner_text() == value


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
