"""The viewer of a participant's page shows what the maps hold, the right way up, and obeys its controls."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_qmri.bids.names import derivative_path
from bids_qmri.estimators.base import STATUS_MEANING, Status
from bids_qmri.outputs.tables import output_table
from bids_qmri.reports.colours import palette

from .conftest import Visit
from .viewing import PARTICIPANT, control, drawn, plane, state, unfold, viewer

SHADES = """(canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


AROUND = """(canvas, [across, down]) => [...canvas.getContext("2d").getImageData(
  Math.floor(across * canvas.width) - 1, Math.floor(down * canvas.height) - 1, 3, 3).data]"""


def test_the_viewer_shows_a_slice_and_the_slider_changes_it(subject: Visit) -> None:
    shown = viewer(subject)
    canvas = plane(shown)
    assert canvas.evaluate(SHADES) > 20
    before = canvas.screenshot()
    control(shown, "slice").focus()
    subject.page.keyboard.press("ArrowRight")
    assert state(shown)[3] == 6
    assert canvas.screenshot() != before
    assert subject.clean, subject.complaints


def test_arrow_keys_move_over_voxels(subject: Visit) -> None:
    shown = viewer(subject)
    plane(shown).focus()
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
    control(shown, "map").select_option(label=row.symbol)
    path = derivative_path({"sub": "abdomen01"}, extension=".nii.gz", **row.name_parts("lsq"))
    image = np.asarray(nib.load(study / path).dataobj)
    assert row.range is not None
    plane(shown).scroll_into_view_if_needed()
    box = plane(shown).bounding_box()
    compared = 0
    for x, y in np.random.default_rng(0).uniform(0.2, 0.8, (40, 2)):
        subject.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        _, value, voxel, _ = state(shown)
        truth = image[tuple(voxel)]
        if truth != 0 and row.range[0] < truth < row.range[1]:
            assert value == pytest.approx(truth, abs=0.01 * (row.range[1] - row.range[0]))
            compared += 1
    assert compared >= 3


def test_the_viewer_says_where_the_data_do_not_determine_a_map(study: Path, subject: Visit) -> None:
    table = output_table("ivim")
    shown = viewer(subject, "dwi")
    control(shown, "map").select_option(label="D*")
    known, values = (
        np.asarray(
            nib.load(
                study / derivative_path({"sub": "abdomen01"}, extension=".nii.gz", **row.name_parts("lsq"))
            ).dataobj
        )
        for row in (table.determined("dstar"), table.estimate("dstar"))
    )
    plane(shown).scroll_into_view_if_needed()
    box = plane(shown).bounding_box()
    told = []
    for x, y in np.random.default_rng(1).uniform(0.1, 0.9, (80, 2)):
        subject.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
        voxel = tuple(state(shown)[2])
        if values[voxel] != 0 and np.isfinite(values[voxel]):
            said = "not determined by the data" in shown.locator(".readout").inner_text()
            assert said == (known[voxel] == 0)
            told.append(said)
    assert 0 < sum(told) < len(told)
    assert subject.clean, subject.complaints


def test_three_planes_meet_in_one_voxel(subject: Visit) -> None:
    shown = viewer(subject)
    before = state(shown)[2]
    steps = (("coronal", {0, 2}, 0.3), ("sagittal", {1, 2}, 0.7), ("axial", {0, 1}, 0.4))
    for name, moved, share in steps:
        plane(shown, name).scroll_into_view_if_needed()
        box = plane(shown, name).bounding_box()
        subject.page.mouse.click(box["x"] + share * box["width"], box["y"] + share * box["height"])
        after = state(shown)[2]
        changed = {axis for axis in range(3) if after[axis] != before[axis]}
        assert changed <= moved
        assert changed
        before = after


def test_a_plane_shows_what_the_map_holds_the_right_way_up(study: Path, subject: Visit) -> None:
    row = output_table("vfa").estimate("t1")
    path = derivative_path({"sub": "abdomen01"}, extension=".nii.gz", **row.name_parts("lsq"))
    image = nib.load(study / path)
    shown = viewer(subject)
    assert nib.aff2axcodes(image.affine) == ("L", "A", "S")
    drawn(subject)
    plane(shown, "coronal").scroll_into_view_if_needed()
    box = plane(shown, "coronal").bounding_box()
    found = []
    for across, down in ((0.1, 0.1), (0.9, 0.9)):
        subject.page.mouse.click(box["x"] + across * box["width"], box["y"] + down * box["height"])
        found.append(state(shown)[2])
    # The head is at the top, and the right side, where the first axis comes from, at the left.
    assert found[0][2] > found[1][2]
    assert found[0][0] < found[1][0]


@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
def test_the_colour_at_a_place_is_that_of_the_voxel_there(study: Path, subject: Visit, name: str) -> None:
    row = output_table("vfa").estimate("t1")
    path = derivative_path({"sub": "abdomen01"}, extension=".nii.gz", **row.name_parts("lsq"))
    image, shown = np.asarray(nib.load(study / path).dataobj), viewer(subject)
    state(shown)
    plane(shown, name).scroll_into_view_if_needed()
    box, colours, compared = plane(shown, name).bounding_box(), palette(row.cmap).astype(int), 0
    for place in np.random.default_rng(2).uniform(0.15, 0.85, (120, 2)).tolist():
        around = np.array(plane(shown, name).evaluate(AROUND, place)).reshape(9, 4)[:, :3]
        pixel = around[4]
        # Within one voxel of the mask, and not on the crosshair.
        if np.all(around == pixel) and pixel.min() < pixel.max() - 8:
            level = int(((colours - pixel) ** 2).sum(axis=1).argmin())
            subject.page.mouse.click(box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"])
            truth = float(image[tuple(state(shown)[2])])
            if truth > 0:
                assert 3 * (level - 1) / 253 == pytest.approx(truth, abs=0.03)
                compared += 1
    assert compared >= 3


def test_the_window_changes_colours_and_no_values(subject: Visit) -> None:
    shown = viewer(subject)
    text, before = state(shown), plane(shown).screenshot()
    control(shown, "low").fill("0.5")
    control(shown, "high").fill("1.5")
    control(shown, "high").press("Enter")
    assert state(shown) == text
    assert plane(shown).screenshot() != before
    assert shown.locator(".planes .tick").all_inner_texts()[:3] == ["0.5", "1", "1.5"]
    shown.get_by_role("button", name="Usual range").click()
    assert state(shown) == text
    assert plane(shown).screenshot() == before


def test_zoom_keeps_the_voxel_and_two_maps_share_it(subject: Visit) -> None:
    shown = viewer(subject)
    text = state(shown)
    control(shown, "zoom").focus()
    for _ in range(4):
        subject.page.keyboard.press("ArrowRight")
    assert state(shown) == text
    control(shown, "beside").select_option(label="T1")
    state(shown)
    assert shown.locator(".planes").nth(1).is_visible()
    plane(shown, of=1).scroll_into_view_if_needed()
    box = plane(shown, of=1).bounding_box()
    subject.page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
    assert state(shown)[2] != text[2]
    lines = shown.locator(".readout").inner_text().split("\n")
    assert lines[2].startswith("vfa lsq T1: ")
    assert [lines[2].removeprefix("vfa lsq "), lines[3]] == lines[:2]
    assert subject.clean, subject.complaints


def test_a_click_on_a_picture_opens_its_slice(subject: Visit) -> None:
    unfold(subject)
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
    canvas = plane(shown)
    canvas.focus()
    while state(shown)[3] - 1 != marked[0]:
        subject.page.keyboard.press("PageDown" if state(shown)[3] - 1 > marked[0] else "PageUp")
    before = canvas.screenshot()
    legend = control(shown, "statuses")
    assert not legend.is_visible()
    shown.get_by_label("Mark what is not simply estimated").check()
    assert canvas.screenshot() != before
    codes = set(np.unique(np.asarray(nib.load(path).dataobj)).tolist()) - {0, 1}
    meanings = {STATUS_MEANING[Status(one)] for one in codes}
    said = legend.locator("li").all_inner_texts()
    assert said[0] == "ivim lsq:"
    assert {text.split(": ")[0].strip() for text in said[1:]} == meanings


def test_uncertain_voxels_can_be_darkened(subject: Visit) -> None:
    shown = viewer(subject, "dwi")
    control(shown, "map").select_option(label="D*")
    state(shown)
    value, before = shown.locator(".readout").inner_text(), plane(shown).screenshot()
    shown.get_by_label("Darken by standard deviation").check()
    state(shown)
    assert plane(shown).screenshot() != before
    assert shown.locator(".readout").inner_text() == value


def test_regions_of_the_shown_map_stand_beside_the_value(study: Path, subject: Visit) -> None:
    shown = viewer(subject)
    [file] = (study / f"sub-{PARTICIPANT.removeprefix('sub-')}" / "anat").glob("*desc-lsq_qc.json")
    fields = json.loads(file.read_text(encoding="utf-8"))
    for symbol, name in (("T1", "t1"), ("M0", "m0")):
        control(shown, "map").select_option(label=symbol)
        state(shown)
        rows = [
            line.locator("th, td").all_inner_texts()
            for line in control(shown, "regions").locator("tbody tr").all()
        ]
        expected = fields["Regions"] or {"whole mask": fields["Metrics"]}
        assert {row[0] for row in rows} == set(expected)
        for region, median, _, voxels in rows:
            assert float(median) == pytest.approx(expected[region][f"{name}_median"], rel=1e-3)
            assert int(voxels.split(" of ")[-1]) == expected[region]["n_voxels"]
        known = fields["Metrics"].get(f"{name}_determined") is not None
        caption = control(shown, "regions").locator("caption").inner_text()
        assert caption.endswith(f"over {'determined' if known else 'estimated'} voxels")
    control(shown, "map").select_option(label="status")
    state(shown)
    assert not control(shown, "regions").is_visible()
    assert subject.clean, subject.complaints
