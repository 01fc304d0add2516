"""Dynamic series in parts are one message; preprocessed ones replace raw ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find

OPTIONS = ReadOptions(values={"t10": 1.0})


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_dce(root, aif=False)
    return root


def _apart(dataset: Path, parts: dict[str, slice | int], **keys: Any) -> None:
    """Write frames of the series under other names, and remove it."""
    whole = dataset / "sub-01" / "perf" / "sub-01_dce.nii.gz"
    data = np.asarray(nibabel.load(whole).dataobj)
    time = 6.0 * np.arange(data.shape[3])
    for name, frames in parts.items():
        path = whole.with_name(f"sub-01_{name}_dce.nii.gz")
        synth.write_image(path, data[..., frames])
        timed = {} if isinstance(frames, int) else {"VolumeTiming": time[frames].tolist()}
        own = {"FlipAngle": 15, "RepetitionTimeExcitation": 0.005, **timed, **keys}
        synth.write_json(path.with_name(f"sub-01_{name}_dce.json"), own)
    whole.unlink()
    whole.with_name("sub-01_dce.json").unlink()


@pytest.mark.parametrize(
    "parts",
    [
        {f"run-{i:02d}": i for i in range(12)},
        {"run-1": 0, "run-2": slice(1, 30)},
        {"acq-pre": slice(0, 5), "acq-post": slice(5, 30)},
        {"acq-pre": 0, "acq-post": slice(5, 30)},
        {"run-1": slice(0, 10), "run-2": slice(10, 30)},
        {"acq-ph1": 0, "acq-ph2": 1, "acq-ph3": 2},
    ],
)
def test_parts_of_one_series_are_one_message(dataset: Path, parts: dict[str, slice | int]) -> None:
    _apart(dataset, parts)
    (found,) = find(dataset, "01", OPTIONS)
    assert isinstance(found, Unusable)
    assert f"{len(parts)} files hold parts of one series" in str(found.error)
    assert "merge" in found.error.fix


def test_a_stray_volume_costs_itself(dataset: Path) -> None:
    synth.write_image(dataset / "sub-01" / "perf" / "sub-01_acq-test_dce.nii.gz", np.ones(synth.SHAPE))
    found = find(dataset, "01", OPTIONS)
    assert [type(one) for one in found] == [Acquisition, Unusable]
    assert isinstance(found[1], Unusable)
    assert not found[1].fault


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "ImageType"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SUB"]}, "ImageType"),
        ({"PulseSequenceType": "TrueFISP"}, "PulseSequenceType"),
        ({"ScanningSequence": ["EP", "GR"]}, "ScanningSequence"),
        ({"FlipAngle": [2, 5, 10, *[15] * 27]}, "FlipAngle"),
        ({"EchoTime": [0.001, 0.003] * 15}, "EchoTime"),
    ],
)
def test_another_kind_of_series_is_refused_by_its_key(
    dataset: Path, keys: dict[str, Any], field: str
) -> None:
    synth.edit_json(dataset / "sub-01" / "perf" / "sub-01_dce.json", **keys)
    (found,) = find(dataset, "01", OPTIONS)
    assert isinstance(found, Unusable)
    assert found.error.field == field


def test_arrays_of_equal_values_are_one_value(dataset: Path) -> None:
    synth.edit_json(dataset / "sub-01" / "perf" / "sub-01_dce.json", FlipAngle=[15] * 30)
    (found,) = find(dataset, "01", OPTIONS)
    assert isinstance(found, Acquisition)


@pytest.mark.parametrize("desc", ["preproc", "moco"])
def test_a_preprocessed_series_replaces_its_raw_one(dataset: Path, tmp_path: Path, desc: str) -> None:
    derived = synth.new_dataset(tmp_path / "reg", "derivative")
    path = derived / "sub-01" / "perf" / f"sub-01_desc-{desc}_dce.nii.gz"
    synth.write_image(path, np.ones((*synth.SHAPE, 30)))
    options = ReadOptions(values={"t10": 1.0}, derivatives={"reg": derived})
    (found,) = find(dataset, "01", options)
    assert isinstance(found, Acquisition), found
    assert found.images == (path,)
    assert dict(found.entities) == {"sub": "01"}
    assert any(f"(reg, desc-{desc}); used instead of sub-01_dce.nii.gz" in note for note in found.notes)


def test_a_preprocessed_series_of_other_frames_does_not(dataset: Path, tmp_path: Path) -> None:
    derived = synth.new_dataset(tmp_path / "reg", "derivative")
    path = derived / "sub-01" / "perf" / "sub-01_desc-preproc_dce.nii.gz"
    synth.write_image(path, np.ones((*synth.SHAPE, 20)))
    (found,) = find(dataset, "01", ReadOptions(values={"t10": 1.0}, derivatives={"reg": derived}))
    assert isinstance(found, Acquisition)
    assert found.images[0].name == "sub-01_dce.nii.gz"
    assert any("the raw series is fitted" in note for note in found.notes)
