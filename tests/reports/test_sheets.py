"""Sheets show the right slices the right way round, and know which voxel a pixel is."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.reports.sheets import FEW_SLICES, lay_out, pick

RAS = np.eye(4)
EVERYWHERE = np.ones((6, 8, 3), dtype=bool)


def corner_volume(shape: tuple[int, int, int]) -> np.ndarray:
    """Return a volume in RAS axes with 1 in the right half, 10 more in the front half."""
    x, y, _ = np.indices(shape)
    return (x >= shape[0] / 2) * 1.0 + (y >= shape[1] / 2) * 10.0


def test_the_right_side_is_at_the_left_and_the_front_at_the_top() -> None:
    sheet = lay_out(np.ones((6, 8, 1), dtype=bool), RAS)
    tile = sheet.fill(corner_volume((6, 8, 1)), np.nan)
    assert (tile[0, 0], tile[0, 5], tile[7, 0], tile[7, 5]) == (11, 10, 1, 0)
    assert sheet.sides == ("R", "L", "A", "P")


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


def test_every_voxel_is_shown_once() -> None:
    shown = lay_out(EVERYWHERE, RAS).order
    assert sorted(shown[shown >= 0]) == list(range(EVERYWHERE.size))


def test_only_the_mask_is_shown() -> None:
    mask = np.zeros((40, 40, 60), dtype=bool)
    mask[10:20, 10:20, 15:55] = True
    sheet = lay_out(mask, RAS)
    slices = np.unique(np.unravel_index(sheet.order[sheet.order >= 0], mask.shape)[2])
    np.testing.assert_array_equal(slices, np.arange(15, 55))


@pytest.mark.parametrize("max_pixels", [200_000, 20_000, 2_000])
def test_large_images_lose_slices_first_and_then_pixels(max_pixels: int) -> None:
    sheet = lay_out(np.ones((64, 64, 60), dtype=bool), RAS, max_pixels)
    slices, pixels = sheet.every
    assert np.count_nonzero(sheet.order >= 0) <= 1.2 * max_pixels
    assert sheet.count >= FEW_SLICES
    assert pixels == 1 or sheet.count < 2 * FEW_SLICES
    assert slices >= 1


def test_slices_are_cut_across_thick_voxels() -> None:
    sheet = lay_out(np.ones((3, 20, 20), dtype=bool), np.diag([4.0, 1.0, 1.0, 1.0]))
    assert sheet.sides == ("A", "P", "S", "I")
    assert sheet.count == 3


def test_pixels_keep_the_shape_of_voxels() -> None:
    assert lay_out(EVERYWHERE, np.diag([2.0, 3.0, 2.5, 1.0])).pixel_aspect == pytest.approx(1.5)


@pytest.mark.parametrize("max_pixels", [10_000_000, 300])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
def test_the_steps_lead_from_a_pixel_to_its_voxel(flips: tuple[int, int, int], max_pixels: int) -> None:
    shape = (12, 14, 16)
    sheet = lay_out(np.ones(shape, dtype=bool), np.diag([*flips, 1]), max_pixels)
    first, across, down, after = (np.array(step) for step in sheet.geometry(shape))
    high, wide = sheet.tile
    for index, x, y in ((0, 0, 0), (1, 2, 3), (sheet.count - 1, wide - 2, high - 2)):
        row = (index // sheet.columns) * high + y
        column = (index % sheet.columns) * wide + x
        voxel = first + x * across + y * down + index * after
        assert np.ravel_multi_index(tuple(voxel), shape) == sheet.order[row, column]


def test_a_single_voxel_has_a_sheet() -> None:
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = True
    sheet = lay_out(mask, RAS)
    assert len(sheet.geometry(mask.shape)) == 4


@pytest.mark.parametrize("many", [1, 2, 4])
def test_a_few_slices_are_those_of_the_whole_sheet(many: int) -> None:
    mask = np.zeros((9, 8, 7), dtype=bool)
    mask[1:8, 1:7, 2:6] = True
    mask[4, 4] = True  # slices at the ends hold hardly anything
    volume = np.broadcast_to(np.arange(7), mask.shape)
    whole = lay_out(mask, np.eye(4))
    few = pick(whole, mask, many, 10_000)
    shown = few.fill(volume, -1)
    assert few.count == many
    assert set(np.unique(shown)) - {-1} <= {2, 3, 4, 5}
    assert len(set(np.unique(shown)) - {-1}) == many
    assert pick(whole, mask, many, 40).order.size < few.order.size


def test_the_fullest_slice_is_where_the_mask_has_most_voxels() -> None:
    mask = np.zeros((9, 8, 7), dtype=bool)
    mask[4, 4] = True
    mask[2:7, 2:7, 5] = True
    sheet = lay_out(mask, np.eye(4))
    volume = np.broadcast_to(np.arange(7), mask.shape)
    assert set(np.unique(sheet.fill(volume, -1)[sheet.fullest(mask)])) == {5}


def test_the_slices_of_a_sheet_hold_every_voxel_once() -> None:
    mask = np.zeros((9, 8, 7), dtype=bool)
    mask[2:8, 1:6, :5] = True
    sheet = lay_out(mask, RAS)
    slices = sheet.cut(sheet.order)
    assert slices.shape == (sheet.count, sheet.tile[0] - 1, sheet.tile[1] - 1)
    assert sorted(slices.ravel().tolist()) == sorted(sheet.order[sheet.order >= 0].tolist())
    for index, (x, y) in enumerate([(0, 0), (3, 2)]):
        first, across, down, after = (np.array(step) for step in sheet.geometry(mask.shape))
        voxel = first + x * across + y * down + index * after
        assert np.ravel_multi_index(tuple(voxel), mask.shape) == slices[index, y, x]
