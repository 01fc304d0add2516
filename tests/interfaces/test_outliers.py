"""Damaged images of acquisitions: slices that are lost altogether, and motion, which is no damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth
from scipy.ndimage import gaussian_filter, shift

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.dataset import find
from bids_qmri.interfaces.opening import open_acquisition

SHAPE = (32, 30, 20)
BVALS = (0, 0, *([1000] * 24))


def images() -> np.ndarray:
    """Return a diffusion series of an ellipsoid with texture, without noise, (x, y, z, N)."""
    place = np.indices(SHAPE).transpose(1, 2, 3, 0)
    inside = np.linalg.norm((place - (np.array(SHAPE) - 1) / 2) / (0.4 * np.array(SHAPE)), axis=-1) < 1
    texture = gaussian_filter(np.random.default_rng(5).standard_normal(SHAPE), 1.0)
    bvecs = np.vstack([np.zeros((2, 3)), synth.directions(24)])
    adc = 1e-3 * (1 + 0.4 * (bvecs @ [1.0, 0, 0]) ** 2)
    level = 500 * inside * np.exp(0.5 * texture / texture.std())
    return level[..., None] * np.exp(-np.array(BVALS) * adc)


def found(folder: Path, clean: np.ndarray, lost: tuple[slice | int, ...] | None = None) -> list[list[int]]:
    """Return slice and image of all that is found once noise is added, and a part set to 0."""
    rng = np.random.default_rng(7)
    noisy = np.hypot(*(clean * (1, 0)[part] + 10 * rng.standard_normal(clean.shape) for part in range(2)))
    if lost is not None:
        noisy[lost] = 0.0
    root = synth.new_dataset(folder / "raw")
    synth.add_dwi(root, noisy, BVALS, np.vstack([np.zeros((2, 3)), synth.directions(24)]))
    (acquisition,) = find(root, "01", ReadOptions())
    assert isinstance(acquisition, Acquisition)
    with open_acquisition(acquisition, ReadOptions(), folder / "work") as opened:
        assert opened.damaged is not None
        return np.argwhere(opened.damaged).tolist()


def test_a_slice_that_is_lost_altogether_is_found(tmp_path: Path) -> None:
    whole = slice(None)
    assert found(tmp_path, images(), (whole, whole, 10, 12)) == [[10, 12]]


def test_an_image_of_which_half_the_slices_are_lost_is_found(tmp_path: Path) -> None:
    whole = slice(None)
    places = found(tmp_path, images(), (whole, whole, slice(10, None), 12))
    assert {image for _, image in places} == {12}
    assert {number for number, _ in places} >= set(range(10, 16))


@pytest.mark.parametrize("voxels", [(0, 0, 0.7), (0, 1, 0), (0, 1.5, 1)])
def test_an_image_that_moved_is_not_damaged(tmp_path: Path, voxels: tuple[float, ...]) -> None:
    clean = images()
    clean[..., 12] = np.maximum(shift(clean[..., 12], voxels, order=3), 0)
    assert found(tmp_path, clean) == []
