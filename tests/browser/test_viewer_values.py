"""The numbers that the viewer tells are those of the maps, inside the range of colours and beyond it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_qmri.bids.names import derivative_path
from bids_qmri.outputs.tables import MapRow, output_table

from .conftest import Visit, Visitor
from .viewing import control, plane, state, viewer

OPPOSITE = {"ArrowRight": "ArrowLeft", "ArrowDown": "ArrowUp", "PageDown": "PageUp"}
KINDS = {"vfa": "anat", "ivim": "dwi"}
HALF = 2
"""Voxels of the square on each side of its middle."""
UNTOLD = "delete globalThis.DecompressionStream"


CLIPPED = [("brain01", "vfa", "t1"), ("abdomen01", "ivim", "dstar")]
"""Participant, model and map with values beyond the range of colours."""


def read(study: Path, row: MapRow, participant: str = "abdomen01") -> np.ndarray:
    """Return a map in the unit that the page tells it in."""
    path = derivative_path({"sub": participant}, extension=".nii.gz", **row.name_parts("lsq"))
    return np.asarray(nib.load(study / path).dataobj) * (1e3 if row.unit == "mm^2/s" else 1.0)


def show(seen: Visit, participant: str, model: str, name: str) -> Any:
    """Return the viewer, showing a map."""
    shown = viewer(seen, KINDS[model], f"sub-{participant}")
    control(shown, "map").select_option(label=output_table(model).estimate(name).symbol)
    state(shown)
    return shown


def go(seen: Visit, shown: Any, voxel: tuple[int, ...]) -> None:
    """Move the crosshair to a voxel by the keys of the axial plane."""
    plane(shown).focus()
    for axis, key in enumerate(OPPOSITE):
        start = state(shown)[2][axis]
        seen.page.keyboard.press(key)
        step = state(shown)[2][axis] - start
        left = voxel[axis] - start - step
        for _ in range(abs(left)):
            seen.page.keyboard.press(key if left * (step or 1) > 0 else OPPOSITE[key])
    assert tuple(state(shown)[2]) == voxel


def told(shown: Any) -> str:
    state(shown)
    return str(shown.locator(".readout").inner_text())


def around(image: np.ndarray, voxel: tuple[int, ...]) -> np.ndarray:
    """Return the values of a square in the axial plane; the whole of it lies in the image."""
    i, j, k = voxel
    square = image[i - HALF : i + HALF + 1, j - HALF : j + HALF + 1, k]
    return square[(square != 0) & np.isfinite(square)]


def limits(shown: Any) -> tuple[float, float]:
    low, high = (float(control(shown, name).input_value()) for name in ("low", "high"))
    return low, high


def beyond(image: np.ndarray, high: float) -> list[tuple[int, ...]]:
    """Return some voxels above the range, far from the edges."""
    inner = np.zeros(image.shape, dtype=bool)
    inner[8:-8, 8:-8, 1:-1] = True
    found = np.argwhere((image > 1.005 * high) & inner)
    return [tuple(one) for one in found[:: max(1, len(found) // 5)].tolist()]


@pytest.mark.parametrize(("participant", "model", "name"), CLIPPED)
def test_values_beyond_the_range_are_those_of_the_map(
    study: Path, visit: Visitor, participant: str, model: str, name: str
) -> None:
    seen = visit(study / f"sub-{participant}.html")
    shown = show(seen, participant, model, name)
    image = read(study, output_table(model).estimate(name), participant)
    voxels = beyond(image, limits(shown)[1])
    assert len(voxels) >= 3
    for voxel in voxels:
        go(seen, shown, voxel)
        # Three digits are told.
        assert state(shown)[1] == pytest.approx(float(image[voxel]), rel=5.1e-3)
        assert "at least" not in told(shown)
    assert seen.clean, seen.complaints


@pytest.mark.parametrize(("participant", "model", "name"), [*CLIPPED, ("abdomen01", "vfa", "t1")])
def test_mean_and_spread_are_those_of_what_is_determined_in_the_square(
    study: Path, visit: Visitor, participant: str, model: str, name: str
) -> None:
    seen = visit(study / f"sub-{participant}.html")
    shown = show(seen, participant, model, name)
    table = output_table(model)
    image, (low, high) = read(study, table.estimate(name), participant), limits(shown)
    determined = read(study, table.determined(name), participant) > 0
    step = (high - low) / 253
    for voxel in beyond(image, high) or [tuple(state(shown)[2])]:
        go(seen, shown, voxel)
        square, said = around(np.where(determined, image, np.nan), voxel), told(shown)
        if square.size < 2:
            assert "spread" not in said
            continue
        found = re.search(r"square 5 . 5: mean ([\d.]+).*, spread (?:below )?([\d.]+).*\(over (\d+) ", said)
        assert found is not None, said
        assert int(found.group(3)) == square.size
        # Half a step of the colours, and the third digit.
        mean, spread = float(square.mean()), float(square.std(ddof=1))
        assert float(found.group(1)) == pytest.approx(mean, rel=5.1e-3, abs=0.5 * step)
        assert float(found.group(2)) == pytest.approx(spread, rel=5.1e-3, abs=step)


def test_without_the_values_there_is_no_mean(study: Path, visit: Visitor) -> None:
    seen = visit(study / "sub-brain01.html")
    seen.page.add_init_script(UNTOLD)
    seen.page.reload()
    shown = show(seen, "brain01", "vfa", "t1")
    table = output_table("vfa")
    image, high = read(study, table.estimate("t1"), "brain01"), limits(shown)[1]
    determined = read(study, table.determined("t1"), "brain01") > 0
    step, medians = high / 253, 0
    for voxel in beyond(image, high):
        go(seen, shown, voxel)
        square, said = around(np.where(determined, image, np.nan), voxel), told(shown)
        assert said.startswith(f"T1: at least {high:g} s\n")
        assert "mean" not in said
        many = int((square > high - step / 2).sum())
        assert f"{many} of {square.size} voxels beyond 0 to {high:g} s" in said
        found = re.search(r"median ([\d.]+)", said)
        assert (found is None) == (2 * many >= square.size)
        if found is not None:
            medians += 1
            assert float(found.group(1)) == pytest.approx(float(np.median(square)), rel=5.1e-3, abs=step)
    assert medians
    assert seen.clean, seen.complaints


def test_the_standard_deviation_stands_beside_the_value(study: Path, subject: Visit) -> None:
    table, shown = output_table("vfa"), viewer(subject)
    sd = read(study, table.sd("t1"))
    control(shown, "map").select_option(label="sd of T1")
    state(shown)
    low, high = limits(shown)
    control(shown, "map").select_option(label="T1")
    name, value, voxel, _ = state(shown)
    found = re.match(rf"T1: {value:.2f} ± ([\d.]+) s \(sd\)\n", told(shown))
    assert name == "T1"
    assert found is not None, told(shown)
    # Two digits are told, of a step of the colours.
    truth = float(sd[tuple(voxel)])
    assert float(found.group(1)) == pytest.approx(truth, rel=0.051, abs=(high - low) / 253)


def test_the_whole_range_reaches_the_ends_of_the_map(study: Path, subject: Visit) -> None:
    row, shown = output_table("ivim").estimate("dstar"), viewer(subject, "dwi")
    control(shown, "map").select_option(label=row.symbol)
    text, usual = state(shown), limits(shown)
    shown.get_by_role("button", name="Whole range").click()
    assert state(shown) == text
    image = read(study, row)
    inside = image[(image != 0) & np.isfinite(image)]
    assert limits(shown)[1] == pytest.approx(float(inside.max()), rel=5.1e-3)
    assert limits(shown)[1] > usual[1]
    shown.get_by_role("button", name="Usual range").click()
    assert limits(shown) == usual


@pytest.mark.parametrize(("model", "name"), [("vfa", "t1"), ("ivim", "d")])
def test_the_crosshair_starts_on_a_voxel_to_rely_on(
    study: Path, subject: Visit, model: str, name: str
) -> None:
    table, shown = output_table(model), viewer(subject, KINDS[model])
    voxel = tuple(state(shown)[2])
    low, high = limits(shown)
    assert low < read(study, table.estimate(name))[voxel] < high
    assert read(study, table.determined(name))[voxel] != 0
    assert read(study, table.status)[voxel] == 1
    assert "at " not in told(shown)
