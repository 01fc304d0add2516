"""One set of axes: the same voxels in any order are one grid, other voxels are not."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
from scipy.spatial.transform import Rotation
from turning import EVERY, Order, turned

from bids_qmri.bids.axes import TOLERANCE, StoredGrid, canonical, farthest, turn_between
from bids_qmri.bids.images import load_map, open_series
from bids_qmri.errors import InputError

SHAPE = (4, 3, 2)
DATA = np.arange(24.0, dtype=np.float32).reshape(SHAPE)
TILTED = np.eye(4)
TILTED[:3, :3] = Rotation.from_euler("xyz", (44, -30, 20), degrees=True).as_matrix() @ np.diag(
    [2.0, 1.0, 3.0]
)
TILTED[:3, 3] = [5, -70, 12]


@pytest.mark.parametrize("order", EVERY)
@pytest.mark.parametrize("affine", [synth.AFFINE, TILTED], ids=["straight", "tilted"])
def test_every_order_of_the_same_voxels_is_one_grid(order: Order, affine: np.ndarray) -> None:
    image = nib.Nifti1Image(DATA, affine)
    other = turned(image, order)
    turn = turn_between(other.affine, other.shape, image.affine, image.shape)
    assert turn is not None
    np.testing.assert_array_equal(turn.forward(np.asanyarray(other.dataobj)), DATA)
    np.testing.assert_array_equal(turn.back(DATA), np.asanyarray(other.dataobj))
    np.testing.assert_allclose(turn.affine(other.affine, other.shape), affine, atol=1e-4)
    stored = StoredGrid(other.shape, other.affine, (1.0, 1.0, 1.0), turn)
    flat = stored.values(DATA.ravel(order="F")).reshape(other.shape, order="F")
    np.testing.assert_array_equal(flat, np.asanyarray(other.dataobj))
    assert np.asanyarray(other.dataobj)[stored.voxel((1, 2, 0))] == DATA[1, 2, 0]


def test_axes_run_to_the_left_the_front_and_the_head() -> None:
    turn = canonical(TILTED)
    assert nib.aff2axcodes(turn.affine(TILTED, SHAPE)) == ("L", "A", "S")


@pytest.mark.parametrize("order", EVERY)
def test_a_map_in_any_order_gives_every_voxel_its_value(tmp_path: Path, order: Order) -> None:
    """dcm2niix 1.0.20260724 writes one volume as RAS and several volumes of the same planes as LAS."""
    series = synth.write_image(tmp_path / "series.nii.gz", np.stack([DATA, DATA + 100], axis=-1))
    nib.save(turned(nib.load(series).slicer[..., 0], order), tmp_path / "map.nii")
    with open_series([series], tmp_path) as opened:
        np.testing.assert_array_equal(load_map(tmp_path / "map.nii", opened), opened.read(0, 24)[:, 0])


def test_measurements_in_several_orders_are_one_series(tmp_path: Path) -> None:
    first = synth.write_image(tmp_path / "first.nii.gz", DATA)
    nib.save(turned(nib.load(first), EVERY[1]), tmp_path / "second.nii.gz")
    with open_series([first, tmp_path / "second.nii.gz"], tmp_path) as series:
        signal = series.read(0, 24)
    np.testing.assert_array_equal(signal[:, 0], signal[:, 1])


def test_a_mirrored_image_in_another_place_is_refused_with_the_difference(tmp_path: Path) -> None:
    first = synth.write_image(tmp_path / "first.nii.gz", DATA)
    moved = synth.AFFINE.copy()
    moved[:3, 0] *= -1
    second = synth.write_image(tmp_path / "second.nii.gz", DATA, moved)
    with pytest.raises(InputError, match=r"3 voxels from first\.nii\.gz.*differ by 6, 0, 0 mm"):
        open_series([first, second], tmp_path)


@pytest.mark.parametrize(("shift", "same"), [(0.9 * TOLERANCE, True), (1.1 * TOLERANCE, False)])
def test_a_tenth_of_a_voxel_is_no_other_place(shift: float, same: bool) -> None:
    moved = TILTED.copy()
    moved[:3, 3] += shift * TILTED[:3, 1]
    assert (turn_between(moved, SHAPE, TILTED, SHAPE) is not None) == same
    assert farthest(moved, TILTED, SHAPE) == pytest.approx(shift)
