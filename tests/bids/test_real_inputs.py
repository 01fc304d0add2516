"""Measured data: everything is found, and no tissue is lost by the automatic mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_qmri.bids.acquisition import Acquisition, FittedMap, ReadOptions, Unusable
from bids_qmri.bids.b1 import load_b1
from bids_qmri.bids.dataset import find, participants
from bids_qmri.bids.images import load_map, open_series
from bids_qmri.bids.masks import find_mask
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol


@pytest.fixture(scope="session")
def real(shared_data: Path) -> Path:
    return shared_data / "bids-real"


def _acquisitions(root: Path, participant: str, kind: str = "") -> list[Acquisition]:
    found = find(root, participant)
    return [one for one in found if isinstance(one, Acquisition) and kind in one.kind]


def test_every_participant_is_listed(real: Path) -> None:
    assert participants(real) == [
        *("dti", "dtigrid", "dtispine", "dtiuih", "irt1"),
        *("ivim1", "ivim2", "ivim3", "vfab1", "vfadce", "vfair"),
    ]


def test_every_series_is_found(real: Path) -> None:
    found = [one for participant in participants(real) for one in find(real, participant)]
    usable = [(one.kind, one.label) for one in found if isinstance(one, Acquisition)]
    assert len(usable) == 14
    assert sum(kind == "dwi" for kind, _ in usable) == 8
    assert {label for kind, label in usable if kind == "irt1"} == {"sub-irt1", "sub-vfair_acq-irse"}
    assert not [one for one in found if isinstance(one, Unusable)]


def test_flip_angles_ascend_whatever_their_labels(real: Path) -> None:
    (found,) = _acquisitions(real, "vfadce", "vfa")
    assert isinstance(found.protocol, VfaProtocol)
    np.testing.assert_allclose(np.rad2deg(found.protocol.flip_angle), np.arange(2, 21, 2))
    np.testing.assert_allclose(found.protocol.repetition_time, 0.007939)


def test_a_factor_map_is_recognised_and_close_to_one(real: Path, tmp_path: Path) -> None:
    (found,) = _acquisitions(real, "vfab1")
    assert found.b1 is not None
    with open_series(found.images, tmp_path) as series:
        field = load_b1(found.b1, series, np.ones(series.n_voxels, dtype=bool), [])
    assert (field.min(), field.max()) == pytest.approx((0.80, 1.21), abs=0.01)


def test_dce_settings_are_those_of_the_data(real: Path) -> None:
    (found,) = _acquisitions(real, "vfadce", "dce")
    settings = found.settings
    assert settings is not None
    assert settings.aif.plasma is not None
    assert settings.time[-1] == pytest.approx(394.32)
    assert settings.aif.plasma.max() == pytest.approx(4.084, abs=0.001)
    assert (settings.relaxivity, settings.baseline_volumes) == (4.5, 3)
    assert isinstance(found.maps["t10"], FittedMap)
    assert len(found.maps["t10"].acquisition.images) == 10


@pytest.mark.parametrize(("participant", "voxels"), [("dti", 1000), ("dtigrid", 600)])
def test_crops_of_brain_are_kept_whole(real: Path, tmp_path: Path, participant: str, voxels: int) -> None:
    (found,) = _acquisitions(real, participant)
    with open_series(found.images, tmp_path) as series:
        assert find_mask(found, series, ReadOptions()).mask.sum() == voxels


@pytest.mark.parametrize(
    ("participant", "kind", "region"),
    [
        ("vfadce", "vfa", "anat/sub-vfadce_desc-tissue_mask"),
        ("vfadce", "dce", "anat/sub-vfadce_desc-enhancing_mask"),
        ("vfab1", "vfa", "anat/sub-vfab1_desc-brain_mask"),
        ("ivim1", "dwi", "dwi/sub-ivim1_desc-organs_dseg"),
        ("ivim2", "dwi", "dwi/sub-ivim2_desc-organs_dseg"),
        ("ivim3", "dwi", "dwi/sub-ivim3_desc-organs_dseg"),
    ],
)
def test_the_automatic_mask_keeps_regions_drawn_by_others(
    real: Path, tmp_path: Path, participant: str, kind: str, region: str
) -> None:
    (found,) = _acquisitions(real, participant, kind)
    path = real / "derivatives" / "rois" / f"sub-{participant}" / f"{region}.nii.gz"
    with open_series(found.images, tmp_path) as series:
        inside = load_map(path, series) > 0
        assert not np.any(inside & ~find_mask(found, series, ReadOptions()).mask)


def test_the_automatic_mask_keeps_all_vials(real: Path, tmp_path: Path) -> None:
    (found,) = _acquisitions(real, "vfair", "vfa")
    with open_series(found.images, tmp_path) as series:
        lowest = series.read(0, series.n_voxels).min(axis=1)
        mask = find_mask(found, series, ReadOptions()).mask
    assert np.sum(lowest > 20) == pytest.approx(543_000, abs=500)
    assert not np.any((lowest > 20) & ~mask)


def test_b0_images_stored_as_low_b_are_recognised(real: Path) -> None:
    for found in _acquisitions(real, "dtiuih"):
        assert isinstance(found.protocol, DiffusionProtocol)
        assert np.flatnonzero(found.protocol.b0_mask).size == 1
