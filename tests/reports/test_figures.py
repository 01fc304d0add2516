"""Mosaics show the right slices the right way round."""

from __future__ import annotations

import io

import numpy as np
import pytest

from bids_qmri.reports.figures import (
    MAX_SLICES,
    direction_mosaic,
    lay_out,
    mosaic,
    status_mosaic,
    unit_label,
)

RAS = np.eye(4)
EVERYWHERE = np.ones((6, 8, 3), dtype=bool)


def corner_volume(shape: tuple[int, int, int]) -> np.ndarray:
    """Return a volume in RAS axes with 1 in the right half, 10 more in the front half."""
    x, y, _ = np.indices(shape)
    return (x >= shape[0] / 2) * 1.0 + (y >= shape[1] / 2) * 10.0


def png_pixels(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(png), format="png"))


def draw(values: np.ndarray, mask: np.ndarray, **changes: object) -> np.ndarray:
    fields = {"affine": RAS, "units": "s", "limits": (0, 1), "cmap": "viridis", "title": "t"} | changes
    return png_pixels(mosaic(values, mask, **fields))  # type: ignore[arg-type]


def test_the_right_side_is_at_the_left_and_the_front_at_the_top() -> None:
    sheet = lay_out(np.ones((6, 8, 1), dtype=bool), RAS)
    tile = sheet.fill(corner_volume((6, 8, 1)), np.nan)
    assert (tile[0, 0], tile[0, 5], tile[7, 0], tile[7, 5]) == (11, 10, 1, 0)
    assert sheet.left == "R"


@pytest.mark.parametrize("flips", [(-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
def test_storage_order_does_not_change_the_picture(flips: tuple[int, int, int]) -> None:
    volume = corner_volume((6, 8, 3))
    stored = volume[:: flips[0], :: flips[1], :: flips[2]]
    turned = lay_out(EVERYWHERE, np.diag([*flips, 1])).fill(stored, -1)
    np.testing.assert_array_equal(turned, lay_out(EVERYWHERE, RAS).fill(volume, -1))


def test_axes_in_another_order_do_not_change_the_picture() -> None:
    volume = corner_volume((6, 8, 3))
    stored = np.transpose(volume, (1, 2, 0))
    affine = np.eye(4)[[2, 0, 1, 3]]  # x runs along the last axis, y along the first, z along the second
    same = lay_out(np.ones(stored.shape, dtype=bool), affine).fill(stored, -1)
    np.testing.assert_array_equal(same, lay_out(EVERYWHERE, RAS).fill(volume, -1))


def test_every_voxel_of_few_slices_is_shown_once() -> None:
    shown = lay_out(EVERYWHERE, RAS).order
    assert sorted(shown[shown >= 0]) == list(range(EVERYWHERE.size))


def test_many_slices_are_thinned_and_only_the_mask_is_shown() -> None:
    mask = np.zeros((40, 40, 60), dtype=bool)
    mask[10:20, 10:20, 15:55] = True
    sheet = lay_out(mask, RAS)
    slices = np.unique(np.unravel_index(sheet.order[sheet.order >= 0], mask.shape)[2])
    assert len(slices) == MAX_SLICES
    assert slices.min() >= 15
    assert slices.max() < 55


def test_slices_are_cut_across_thick_voxels() -> None:
    sheet = lay_out(np.ones((3, 20, 20), dtype=bool), np.diag([4.0, 1.0, 1.0, 1.0]))
    assert sheet.left == "A"
    assert np.unique(sheet.order // 400).size == 4  # three sagittal slices and the gap


def test_pixels_keep_the_shape_of_voxels() -> None:
    assert lay_out(EVERYWHERE, np.diag([2.0, 3.0, 2.5, 1.0])).pixel_aspect == pytest.approx(1.5)


def test_failed_voxels_are_grey_and_nothing_is_drawn_outside_the_mask() -> None:
    values = np.full((6, 8, 3), 0.5)
    values[2:4, 2:6] = np.nan
    mask = EVERYWHERE.copy()
    mask[:1] = False
    with_failed, without = draw(values, mask), draw(np.nan_to_num(values, nan=0.5), mask)

    def grey(image: np.ndarray) -> int:
        return int(np.all(np.isclose(image[..., :3], 0.6, atol=0.01), axis=-1).sum())

    assert grey(with_failed) > 1000 > grey(without)


def test_an_empty_map_is_still_drawn() -> None:
    nothing = np.zeros((6, 8, 3), dtype=bool)
    assert draw(np.zeros((6, 8, 3)), nothing, limits=None).shape[2] == 4
    assert draw(np.full((6, 8, 3), np.nan), EVERYWHERE, limits=None).shape[2] == 4


def test_the_same_map_gives_the_same_bytes() -> None:
    values = np.linspace(0, 1, 144).reshape(6, 8, 3)
    fields = {"affine": RAS, "units": "s", "limits": None, "cmap": "viridis", "title": "t"}
    assert mosaic(values, EVERYWHERE, **fields) == mosaic(values, EVERYWHERE, **fields)  # type: ignore[arg-type]


def test_a_status_map_is_drawn_with_every_code() -> None:
    status = (np.arange(144) % 6).astype(np.uint8).reshape(6, 8, 3)
    assert png_pixels(status_mosaic(status, affine=RAS, title="status")).shape[2] == 4


@pytest.mark.parametrize(
    ("units", "exponent", "label"),
    [
        ("mm^2/s", -3, "10⁻³ mm²/s"),
        ("1", 0, ""),
        ("1/min", 0, "1/min"),
        ("arbitrary", 3, "10³ arbitrary units"),
    ],
)
def test_units_are_written_as_people_read_them(units: str, exponent: int, label: str) -> None:
    assert unit_label(units, exponent) == label


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize(("axis", "colour"), [(0, (1, 0, 0)), (1, (0, 1, 0)), (2, (0, 0, 1))])
def test_a_direction_has_the_colour_of_its_axis_in_the_scanner(flip, axis, colour) -> None:
    # The first axis of the image runs along the third of the scanner, and so on.
    affine = np.roll(np.diag([2.0 * flip, 3.0, 4.0, 1.0])[:3], axis, axis=0)
    direction = np.zeros((*EVERYWHERE.shape, 3))
    direction[..., 0] = -1.0
    png = direction_mosaic(
        direction, np.ones(EVERYWHERE.shape), EVERYWHERE, affine=np.vstack([affine, [0, 0, 0, 1]]), title="t"
    )
    pixels = png_pixels(png)[..., :3]
    assert np.all(pixels == colour, axis=-1).mean() > 0.3
