"""How far images of a series moved where some of them are empty or unlike, and how that is said."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
import synth_contrasts
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter, shift

from bids_qmri.alignment.motion import Motion
from bids_qmri.bids.acquisition import Acquisition, ReadOptions, files_acquisition
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.interfaces.aligned import cautions, measure_motion
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.physics.echoes import EchoProtocol
from bids_qmri.techniques.irt1.protocol import InversionProtocol

SHAPE, ZOOMS = (32, 30, 20), (2.0, 2.0, 3.0)


def head() -> np.ndarray:
    """Return an ellipsoid with texture."""
    place = np.indices(SHAPE).transpose(1, 2, 3, 0)
    inside = np.linalg.norm((place - (np.array(SHAPE) - 1) / 2) / (0.38 * np.array(SHAPE)), axis=-1) < 1
    texture = gaussian_filter(np.random.default_rng(5).standard_normal(SHAPE), 2.0)
    return 1000 * inside * (1 + 0.3 * texture / texture.std())


def inversion(folder: Path, images: list[np.ndarray]) -> Acquisition:
    """Write images of inversion times as one 4-D file."""
    path = folder / "sub-01_IRT1.nii"
    image = np.stack(images, axis=-1).astype(np.float32)
    nib.save(nib.Nifti1Image(image, np.diag([-ZOOMS[0], *ZOOMS[1:], 1.0])), path)
    return files_acquisition("irt1", "anat", [path], InversionProtocol(np.arange(1, len(images) + 1.0)))


def motion_of(folder: Path, images: list[np.ndarray]) -> Motion:
    acquisition = inversion(folder, images)
    with open_series(acquisition.images, folder) as series:
        return measure_motion(acquisition, series)


def test_an_empty_or_unlike_image_hides_no_motion_of_those_after_it(tmp_path: Path) -> None:
    still, noise = head(), np.random.default_rng(1).random(SHAPE)
    moved = shift(still, (3, 0, 0), order=1)
    found = motion_of(tmp_path, [still, 0.9 * still, 0 * still, 0.8 * moved, noise, 0.7 * moved])
    assert np.flatnonzero(np.isnan(found.displacement)).tolist() == [2, 4]
    assert_allclose(found.displacement[[0, 1, 3, 5]], [0, 0, 6, 6], atol=0.6)
    (said,) = cautions(found, ZOOMS, inversion(tmp_path, [still]).names_of(6))
    assert "2 of 6 images moved by more than a voxel" in said
    assert "voxel, volume 3 (counted from 0) by 6" in said or "volume 5 (counted from 0) by 6" in said
    assert "of 2 it cannot be told" in said


def test_of_images_that_cannot_be_told_nothing_is_said_if_no_other_moved(tmp_path: Path) -> None:
    still = head()
    assert cautions(motion_of(tmp_path, [still, 0 * still, 0.9 * still]), ZOOMS, "abc") == []


def test_echoes_are_read_together_and_neither_aligned_nor_said_to_move(tmp_path: Path) -> None:
    synth_contrasts.add_mese(synth.new_dataset(tmp_path / "raw"))
    options = ReadOptions(align="rigid")
    (found,) = find(tmp_path / "raw", "01", options)
    assert isinstance(found, Acquisition)
    with open_acquisition(found, options, tmp_path / "work") as opened:
        assert opened.aligned is None
        assert opened.motion is None
        assert "not aligned: echoes are read together" in opened.notes


@pytest.mark.parametrize("protocol", [EchoProtocol, InversionProtocol])
def test_only_echoes_of_one_train_are_read_together(protocol) -> None:
    assert protocol(np.array([0.01, 0.02, 0.03])).together() == (protocol is EchoProtocol)


def test_two_images_that_moved_are_not_to_be_aligned_as_that_cannot_be_done(tmp_path: Path) -> None:
    still = head()
    (said,) = cautions(motion_of(tmp_path, [still, shift(still, (3, 0, 0), order=1)]), ZOOMS, "ab")
    assert "--align" not in said
    assert said.endswith("fix: register them first")
