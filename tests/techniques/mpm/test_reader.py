"""Weightings with and without an MT pulse: states that agree, units, what is missing, the transmit field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, one, refused, said

from bids_qmri.bids.acquisition import ReadOptions
from bids_qmri.bids.dataset import find
from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol

ON = "sub-01_flip-1_mt-on_MTS"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth_contrasts.add_mt_series(root, "MTS", (0.0023,))
    return root


def test_the_protocol_is_that_of_the_sidecars(dataset: Path) -> None:
    protocol = one(dataset).protocol
    assert isinstance(protocol, MultiParameterProtocol)
    np.testing.assert_allclose(np.rad2deg(protocol.flip_angle), [6, 21, 6])
    assert protocol.mt.tolist() == [0, 0, 1]
    np.testing.assert_allclose(protocol.repetition_time, 0.025)
    assert said(one(dataset), "no B1+ map")


def test_several_echoes_are_of_all_weightings(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth_contrasts.add_mt_series(root)
    found = one(root)
    assert isinstance(found.protocol, MultiParameterProtocol)
    assert found.kind == "mpm"
    assert [len(group) for group in found.protocol.weightings()] == [4, 4, 4]


def test_a_state_that_the_name_contradicts_is_refused(dataset: Path) -> None:
    edit(dataset, ON, MTState=False)
    error = refused(dataset).error
    assert error.field == "MTState"
    assert "is false but the name" in str(error)
    assert "mt-on" in str(error)
    assert "correct the key or the name" in str(error)


def test_a_state_may_be_told_by_the_name_alone(dataset: Path) -> None:
    edit(dataset, ON, MTState=None)
    assert one(dataset).protocol.mt.tolist() == [0, 0, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize("value", ["on", 1, [True]])
def test_a_state_that_is_neither_true_nor_false_is_refused(dataset: Path, value: object) -> None:
    edit(dataset, ON, MTState=value)
    assert "write true or false" in str(refused(dataset).error)


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("FlipAngle", None, "is missing"),
        ("RepetitionTimeExcitation", None, "is missing"),
        ("RepetitionTimeExcitation", 25, "if it is in milliseconds, write 0.025"),
        ("EchoTime", 2.3, "if it is in milliseconds, write 0.0023"),
    ],
)
def test_what_is_missing_or_in_ms_is_named(dataset: Path, key: str, value: object, seen: str) -> None:
    edit(dataset, ON, **{key: value})
    error = refused(dataset).error
    assert error.field == key
    assert ON in str(error)
    assert seen in str(error)


def test_a_transmit_field_is_found(dataset: Path) -> None:
    synth.write_image(synth.place(dataset, "fmap", "sub-01_TB1map.nii.gz"), np.ones(synth_contrasts.SHAPE))
    found = one(dataset)
    assert found.b1 is not None
    assert not said(found, "no B1+ map")


def test_4d_images_are_refused(dataset: Path) -> None:
    path = dataset / "sub-01" / "anat" / f"{ON}.nii.gz"
    synth.write_image(path, np.ones((*synth_contrasts.SHAPE, 2)))
    assert "one 3-D image for each weighting" in str(refused(dataset).error)


@pytest.mark.parametrize("suffix", ["MTS", "MPM"])
def test_a_filter_of_its_kind_chooses_images(tmp_path: Path, suffix: str) -> None:
    root = synth.new_dataset(tmp_path / "chosen")
    synth_contrasts.add_mt_series(root, suffix)
    assert len(find(root, "01", ReadOptions(filters={suffix.lower(): {"datatype": "anat"}}))) == 1
    assert find(root, "01", ReadOptions(filters={suffix.lower(): {"acq": "other"}})) == []
