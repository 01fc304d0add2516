"""The automatic mask on measured images: overlap with masks of others, and how much air it holds.

``pytest tests/estimation/test_tissue_measured.py -rP`` prints what was found.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from scipy import ndimage

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.estimation.tissue import Mask, reference_images, tissue_mask

BODIES = {
    "ivim1": (
        [
            *[(13, 22), (18, 18.5), (45, 16.5), (75, 17.5), (84, 22), (87, 32), (88, 45), (87, 60), (82, 70)],
            *[(74, 77), (71, 86), (60, 88), (45, 88), (33, 86), (24, 81), (19, 74), (14, 65), (10, 55)],
            *[(9, 45), (9, 33)],
        ],
        [(-1, 17), (8, 18), (11, 28), (11, 40), (-1, 40)],
        [(87, 22), (92, 18), (100, 19), (100, 46), (92, 44), (86, 38)],
    ),
    "ivim2": (
        [
            *[(4, 20), (12, 12.5), (30, 9), (60, 10), (85, 11.5), (94, 17), (98, 26), (97, 40), (94, 52)],
            *[(87, 61), (77, 68), (60, 70), (45, 70), (30, 67), (18, 62), (11, 54), (7, 45), (5, 35)],
        ],
        [(-1, 20), (3, 20), (3, 28), (-1, 28)],
    ),
    "ivim3": (
        [
            *[(17, 25), (24, 17), (33, 11), (50, 11.5), (65, 10), (76, 15), (84, 24), (88, 36), (86, 46)],
            *[(80, 55), (70, 61), (66, 66.5), (50, 66.5), (30, 62), (20, 54), (14, 42), (14, 34)],
        ],
        [(1, 14), (9, 13), (10, 28), (1, 28)],
        [(92, 18), (96, 13), (100, 14), (100, 32), (92, 32)],
    ),
}
"""Outlines of trunk and arms in voxels, drawn by eye on the logarithm of the mean image."""


@pytest.fixture(scope="session")
def real(shared_data: Path) -> Path:
    return shared_data / "bids-real"


def _found(real: Path, participant: str, kind: str, scratch: Path) -> Mask:
    (one,) = (
        a for a in find(real, participant) if isinstance(a, Acquisition) and a.kind == kind and _first(a)
    )
    with open_series(one.images, scratch) as series:
        stated = getattr(one.settings, "reference_volumes", None)
        chosen = reference_images(one.protocol, series.n_measurements, baseline_volumes=stated)
        mean, usable = (part.reshape(series.shape, order="F") for part in series.summary(chosen))
    mask = tissue_mask(mean, usable, len(chosen))
    return series.stored.values(mask.ravel(order="F")).reshape(series.stored.shape, order="F")


def _first(acquisition: Acquisition) -> bool:
    return acquisition.entities.get("dir", "AP") == "AP"


def _region(real: Path, participant: str, name: str) -> Mask:
    (path,) = (real / f"derivatives/rois/sub-{participant}").rglob(f"*_desc-{name}_*.nii.gz")
    image = np.asarray(nib.load(path).dataobj) > 0
    return image[..., np.newaxis] if image.ndim == 2 else image


def _dice(one: Mask, other: Mask) -> float:
    return float(2 * np.sum(one & other) / (one.sum() + other.sum()))


@pytest.mark.parametrize("participant", list(BODIES))
def test_an_abdomen_keeps_its_organs_and_holds_no_air(real: Path, tmp_path: Path, participant: str) -> None:
    mask = _found(real, participant, "dwi", tmp_path)
    organs, inside = _region(real, participant, "organs"), _region(real, participant, "body")
    places = np.argwhere(np.ones(mask.shape[:2]))
    body = np.any([Outline(part).contains_points(places) for part in BODIES[participant]], axis=0)
    air = np.mean(~body[np.ravel_multi_index(np.nonzero(mask)[:2], mask.shape[:2])])
    print(f"{participant}: air {air:.4f}, inside of the abdomen kept {np.mean(mask[inside]):.4f}")
    assert mask[organs].all()
    assert np.mean(mask[inside]) > 0.99
    assert air < 0.02


def test_a_slice_of_a_head_is_the_head(real: Path, tmp_path: Path) -> None:
    """The brain mask of this slice was made by eroding the head by 6 voxels."""
    mask = _found(real, "vfab1", "vfa", tmp_path)[..., 0]
    brain = _region(real, "vfab1", "brain")[..., 0]
    head, rim = (ndimage.binary_dilation(brain, iterations=n) for n in (6, 7))
    print(f"vfab1: Dice {_dice(mask, head):.3f}, air {np.mean(~rim[mask]):.4f}")
    assert mask[brain].all()
    assert _dice(mask, head) > 0.95
    assert np.mean(~rim[mask]) < 0.02


@pytest.mark.parametrize(("kind", "least"), [("vfa", 0.95), ("dce", 0.9)])
def test_a_slice_of_a_breast_is_its_tissue(real: Path, tmp_path: Path, kind: str, least: float) -> None:
    mask = _found(real, "vfadce", kind, tmp_path)
    tissue = _region(real, "vfadce", "tissue")
    print(f"vfadce {kind}: Dice {_dice(mask, tissue):.3f}, kept {np.mean(mask[tissue]):.4f}")
    assert _dice(mask, tissue) > least
    assert mask[_region(real, "vfadce", "enhancing")].all()


def test_a_cord_is_told_from_noise_of_a_third_of_its_signal(real: Path, tmp_path: Path) -> None:
    mask = _found(real, "dtispine", "dwi", tmp_path)
    assert mask[16:24, 17:25, 2].all()
    assert np.mean(mask[:, :10]) < 0.1


def test_two_slices_of_a_brain_are_kept(real: Path) -> None:
    files = sorted((real / "sub-irt1/anat").glob("*_IRT1.nii.gz"))
    images = np.stack([nib.load(file).get_fdata() for file in files])
    mask = tissue_mask(images.mean(axis=0), np.all(images > 0, axis=0), len(files))
    brain = _region(real, "irt1", "brain")
    print(f"irt1: Dice with the brain alone {_dice(mask, brain):.3f}, kept {np.mean(mask[brain]):.4f}")
    assert np.mean(mask[brain]) > 0.999


@pytest.mark.parametrize("participant", ["dti", "dtigrid"])
def test_crops_of_brain_are_kept_whole(real: Path, tmp_path: Path, participant: str) -> None:
    assert _found(real, participant, "dwi", tmp_path).all()


def test_no_voxel_of_the_vials_is_lost(real: Path, tmp_path: Path) -> None:
    mask = _found(real, "vfair", "vfa", tmp_path)
    files = sorted((real / "sub-vfair/anat").glob("*vials*_VFA.nii.gz"))
    vials = np.min([np.asarray(nib.load(file).dataobj) for file in files], axis=0) > 20
    assert vials.sum() == 542_998
    assert mask[vials].all()
