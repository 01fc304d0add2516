"""VFA series: order by metadata, units, echoes, and what refuses to be fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.techniques.vfa.protocol import VfaProtocol


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path)


def _found(dataset: Path) -> Acquisition:
    (found,) = find(dataset, "01")
    assert isinstance(found, Acquisition), found
    return found


def _refused(dataset: Path) -> Unusable:
    (found,) = find(dataset, "01")
    assert isinstance(found, Unusable), found
    return found


def _sidecar(dataset: Path, flip: int = 1) -> Path:
    return dataset / "sub-01" / "anat" / f"sub-01_flip-{flip}_VFA.json"


def test_the_protocol_is_that_of_the_sidecars(dataset: Path) -> None:
    synth.add_vfa(dataset, flips=(2, 9, 19), tr=0.0075)
    found = _found(dataset)
    assert isinstance(found.protocol, VfaProtocol)
    np.testing.assert_allclose(found.protocol.flip_angle, np.deg2rad([2, 9, 19]))
    np.testing.assert_allclose(found.protocol.repetition_time, 0.0075)
    assert (found.kind, found.datatype, found.label) == ("vfa", "anat", "sub-01")
    assert found.metadata == {"RepetitionTimeExcitation": 0.0075, "PulseSequenceType": "SPGR"}


def test_images_are_sorted_by_angle_and_never_by_the_flip_label(dataset: Path) -> None:
    synth.add_vfa(dataset, flips=(20, 3, 10))
    assert [path.name[:13] for path in _found(dataset).images] == [
        "sub-01_flip-2",
        "sub-01_flip-3",
        "sub-01_flip-1",
    ]


def test_metadata_is_inherited_from_the_root_and_overridden_below(dataset: Path) -> None:
    synth.add_vfa(dataset, flips=(3, 20))
    for flip in (1, 2):
        synth.edit_json(_sidecar(dataset, flip), RepetitionTimeExcitation=None)
    synth.write_json(dataset / "VFA.json", {"RepetitionTimeExcitation": 0.006, "FlipAngle": 90})
    found = _found(dataset)
    np.testing.assert_allclose(np.rad2deg(found.protocol.flip_angle), [3, 20])
    np.testing.assert_allclose(found.protocol.repetition_time, 0.006)
    assert dataset / "VFA.json" in found.sources


def test_numbers_as_text_are_read_and_noted(dataset: Path) -> None:
    synth.add_vfa(dataset)
    synth.edit_json(_sidecar(dataset), FlipAngle="3")
    found = _found(dataset)
    assert any("FlipAngle is the text '3'" in note for note in found.notes)


def test_repetition_time_stands_in_and_is_noted(dataset: Path) -> None:
    synth.add_vfa(dataset)
    for flip in (1, 2, 3):
        synth.edit_json(_sidecar(dataset, flip), RepetitionTimeExcitation=None, RepetitionTime=0.015)
    assert any("RepetitionTime taken" in note for note in _found(dataset).notes)


def test_repetition_times_may_differ_and_stay_with_their_angle(dataset: Path) -> None:
    synth.add_vfa(dataset, flips=(20, 3))
    synth.edit_json(_sidecar(dataset, 1), RepetitionTimeExcitation=0.03)
    found = _found(dataset)
    np.testing.assert_allclose(found.protocol.repetition_time, [0.015, 0.03])
    assert any("repetition time differs" in note for note in found.notes)


@pytest.mark.parametrize("sequence", ["SPGR", "3D FLASH", "T1-FFE", "GRE", "gr", "fspgr", "Gradient Echo"])
def test_spoiled_sequences_are_recognised(dataset: Path, sequence: str) -> None:
    synth.add_vfa(dataset, metadata={"PulseSequenceType": sequence})
    assert _found(dataset).notes == ("no B1+ map for these images: nominal flip angles are used",)


def test_a_missing_sequence_is_taken_as_spoiled_and_noted(dataset: Path) -> None:
    synth.add_vfa(dataset, metadata={"PulseSequenceType": None})
    assert any("taken as spoiled" in note for note in _found(dataset).notes)


@pytest.mark.parametrize(("sequence", "fault"), [("bSSFP", False), ("TrueFISP", False), ("MPRAGE", False)])
def test_other_sequences_are_not_fitted(dataset: Path, sequence: str, fault: bool) -> None:
    synth.add_vfa(dataset, metadata={"PulseSequenceType": sequence})
    refused = _refused(dataset)
    assert refused.fault is fault
    assert refused.error.field == "PulseSequenceType"


def test_of_several_echoes_the_shortest_is_fitted(dataset: Path) -> None:
    for echo, time in ((1, 0.002), (2, 0.004)):
        for flip, angle in ((1, 3), (2, 20)):
            name = f"sub-01_echo-{echo}_flip-{flip}_VFA"
            synth.write_image(dataset / "sub-01" / "anat" / f"{name}.nii.gz", np.ones(synth.SHAPE))
            keys = {"FlipAngle": angle, "RepetitionTimeExcitation": 0.01, "EchoTime": time}
            synth.write_json(dataset / "sub-01" / "anat" / f"{name}.json", keys)
    found = _found(dataset)
    assert ["echo-1" in path.name for path in found.images] == [True, True]
    assert any("only the first one (2 ms)" in note for note in found.notes)
    assert "echo" not in found.entities


def test_phase_images_are_left_out(dataset: Path) -> None:
    for part in ("mag", "phase"):
        synth.add_vfa(dataset, f"sub-01_part-{part}")
    found = _found(dataset)
    assert len(found.images) == 3
    assert dict(found.entities) == {"sub": "01"}


@pytest.mark.parametrize(
    ("field", "words"),
    [(1.5, "no B1+ map for these images: nominal"), (3.0, "at 3 T"), (None, "nominal"), (7, "at 7 T")],
)
def test_a_missing_transmit_field_is_noted_louder_at_high_field(
    dataset: Path, field: float | None, words: str
) -> None:
    metadata: dict[str, Any] = {} if field is None else {"MagneticFieldStrength": field}
    synth.add_vfa(dataset, metadata=metadata)
    assert any(words in note for note in _found(dataset).notes)
