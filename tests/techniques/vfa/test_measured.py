"""Which images of a VFA series are measured, and what is said of those that differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.bids.volumes import open_images
from bids_qmri.techniques.vfa.protocol import VfaProtocol

FLIPS = (3.0, 10.0, 20.0)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root, flips=FLIPS)
    return root


def _edit(dataset: Path, flip: int, **keys: Any) -> None:
    synth.edit_json(dataset / "sub-01" / "anat" / f"sub-01_flip-{flip}_VFA.json", **keys)


def _found(dataset: Path, options: ReadOptions | None = None) -> Acquisition:
    (found,) = find(dataset, "01", options)
    assert isinstance(found, Acquisition), found
    return found


def _angles(found: Acquisition) -> list[float]:
    assert isinstance(found.protocol, VfaProtocol)
    return np.rad2deg(found.protocol.flip_angle).round(3).tolist()


def _four_d(dataset: Path, **keys: Any) -> Path:
    """Write the series as one 4-D image and remove the others."""
    folder = dataset / "sub-01" / "anat"
    parts = sorted(folder.glob("*_flip-*_VFA.nii.gz"))
    data = np.stack([np.asarray(nibabel.load(part).dataobj) for part in parts], axis=-1)
    for part in parts:
        part.unlink()
        part.with_name(part.name.replace(".nii.gz", ".json")).unlink()
    path = synth.write_image(folder / "sub-01_VFA.nii.gz", data)
    own = {"FlipAngle": list(FLIPS), "RepetitionTimeExcitation": 0.015, "PulseSequenceType": "SPGR"}
    synth.write_json(folder / "sub-01_VFA.json", own | keys)
    return path


def test_one_image_with_an_angle_per_volume_is_a_series(dataset: Path) -> None:
    path = _four_d(dataset, RepetitionTimeExcitation=[0.015, 0.015, 0.03])
    found = _found(dataset)
    assert found.images == (path,)
    assert _angles(found) == list(FLIPS)
    assert isinstance(found.protocol, VfaProtocol)
    np.testing.assert_allclose(found.protocol.repetition_time, [0.015, 0.015, 0.03])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"FlipAngle": 20}, "3 volumes for one FlipAngle"),
        ({"FlipAngle": [3, 10]}, "3 volumes for 2 values"),
        ({"MTState": [True, False, False]}, "MTState"),
        ({"EchoTime": [0.002, 0.004, 0.006]}, "EchoTime is 0.002, 0.004"),
    ],
)
def test_volumes_that_differ_otherwise_are_refused(dataset: Path, keys: dict[str, Any], words: str) -> None:
    _four_d(dataset, **keys)
    (found,) = find(dataset, "01")
    assert isinstance(found, Unusable)
    assert words in str(found.error)
    assert "split it" in found.error.fix


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"MTState": True}, "MTState"),
        ({"SequenceVariant": ["SP", "MTC"]}, "MTState"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, "ImageType"),
        ({"InversionTime": 0.45}, "InversionTime"),
        ({"PulseSequenceType": "bSSFP"}, "PulseSequenceType"),
        ({"SpoilingState": False, "PulseSequenceType": None}, "SpoilingState"),
    ],
)
def test_an_image_that_is_no_measurement_costs_itself(
    dataset: Path, keys: dict[str, Any], field: str
) -> None:
    _edit(dataset, 1, **keys)
    found = _found(dataset)
    assert _angles(found) == [10, 20]
    assert any(field in note and "left out" in note and "fix" in note for note in found.notes)


def test_angles_that_differ_by_rounding_are_one(dataset: Path) -> None:
    for flip, angle in enumerate((15, 15.0001, 15.001), 1):
        _edit(dataset, flip, FlipAngle=angle)
    (found,) = find(dataset, "01")
    assert isinstance(found, Unusable)
    assert "15, 15.0001, 15.001" in str(found.error)


def test_close_angles_slices_and_pulses_of_all_images_are_warnings(dataset: Path) -> None:
    for flip, angle in enumerate((15, 15.5, 16), 1):
        _edit(dataset, flip, FlipAngle=angle, MRAcquisitionType="2D", MTState=True)
    notes = _found(dataset).notes
    for words in ("so close that noise decides", "slice profile", "all images have a pulse"):
        assert any(words in note for note in notes)


def test_minimum_echo_times_may_depend_on_the_angle(dataset: Path) -> None:
    folder = dataset / "sub-01" / "anat"
    for flip, time in enumerate((0.00224, 0.00224, 0.00228), 1):
        _edit(dataset, flip, EchoTime=time)
        for end in (".nii.gz", ".json"):
            old = folder / f"sub-01_flip-{flip}_VFA{end}"
            old.rename(folder / f"sub-01_echo-1_flip-{flip}_VFA{end}")
    found = _found(dataset)
    assert _angles(found) == list(FLIPS)
    assert not any("EchoTime" in note for note in found.notes)


def test_flips_told_apart_by_acq_are_one_series(dataset: Path) -> None:
    folder = dataset / "sub-01" / "anat"
    for flip in (1, 2, 3):
        for end in (".nii.gz", ".json"):
            old = folder / f"sub-01_flip-{flip}_VFA{end}"
            old.rename(folder / f"sub-01_acq-fa{flip}_VFA{end}")
    found = _found(dataset)
    assert _angles(found) == list(FLIPS)
    assert dict(found.entities) == {"sub": "01"}
    assert any("told apart by acq-" in note for note in found.notes)


def test_displayed_values_are_fitted_on_one_scale(dataset: Path) -> None:
    scales = (6.7e-4, 5.2e-4, 6.1e-4)
    for flip, scale in enumerate(scales, 1):
        keys = {"PhilipsScaleSlope": scale, "PhilipsRescaleSlope": 2.0}
        _edit(dataset, flip, **keys, UsePhilipsFloatNotDisplayScaling=0)
    found = _found(dataset)
    signal = np.array(scales) * found.scale
    np.testing.assert_allclose(signal, signal[0])
    with open_images(found, dataset) as scaled, open_series(found.images, dataset) as stored:
        np.testing.assert_allclose(scaled.read(0, 9), stored.read(0, 9) * found.scale)


def _registered(root: Path, flips: tuple[int, ...], desc: str = "preproc") -> ReadOptions:
    derived = synth.new_dataset(root / "reg", "derivative")
    for flip in flips:
        path = derived / "sub-01" / "anat" / f"sub-01_flip-{flip}_desc-{desc}_VFA.nii.gz"
        synth.write_image(path, np.ones(synth.SHAPE))
    return ReadOptions(derivatives={"reg": derived})


@pytest.mark.parametrize("desc", ["preproc", "moco"])
def test_preprocessed_flips_replace_raw_ones_and_borrow_their_sidecars(
    dataset: Path, tmp_path: Path, desc: str
) -> None:
    found = _found(dataset, _registered(tmp_path, (1, 2, 3), desc))
    assert all(f"desc-{desc}" in path.name for path in found.images)
    assert _angles(found) == list(FLIPS)
    assert dict(found.entities) == {"sub": "01"}
    assert any(f"(reg, desc-{desc}); used instead of" in note for note in found.notes)


def test_some_preprocessed_flips_replace_nothing(dataset: Path, tmp_path: Path) -> None:
    found = _found(dataset, _registered(tmp_path, (1, 2)))
    assert not any("desc" in path.name for path in found.images)
    assert any("no image of 20 degrees; raw images are fitted" in note for note in found.notes)


def test_of_several_processings_none_is_guessed(dataset: Path, tmp_path: Path) -> None:
    _registered(tmp_path, (1, 2, 3), "moco")
    found = _found(dataset, _registered(tmp_path, (1, 2, 3), "denoised"))
    assert not any("desc" in path.name for path in found.images)
    assert any("which is meant?" in note for note in found.notes)
    found = _found(dataset, _registered(tmp_path, (1, 2, 3), "preproc"))
    assert all("desc-preproc" in path.name for path in found.images)


def test_echoes_without_times_are_told_by_their_index(dataset: Path) -> None:
    folder = dataset / "sub-01" / "anat"
    for flip in (1, 2, 3):
        for end in (".nii.gz", ".json"):
            old = folder / f"sub-01_flip-{flip}_VFA{end}"
            for echo in (1, 2):
                (folder / f"sub-01_echo-{echo}_flip-{flip}_VFA{end}").write_bytes(old.read_bytes())
            old.unlink()
    found = _found(dataset)
    assert all("echo-1" in path.name for path in found.images)
    assert any("EchoTime: is missing" in note for note in found.notes)


def test_what_is_left_out_is_said_where_nothing_can_be_fitted(dataset: Path) -> None:
    _edit(dataset, 1, MTState=True)
    _edit(dataset, 2, FlipAngle=20, ImageType="ORIGINAL\\PRIMARY\\P")
    (found,) = find(dataset, "01")
    assert isinstance(found, Unusable)
    assert all(word in str(found.error) for word in ("one angle: 20", "MTState", "ImageType"))
