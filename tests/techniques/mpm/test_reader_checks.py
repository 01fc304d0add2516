"""Multi-parameter and MT saturation series: which images are believed, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, one, refused, registered, said

FIRST = {"MPM": "sub-01_echo-1_flip-3_mt-off_MPM", "MTS": "sub-01_flip-3_mt-off_MTS"}


@pytest.fixture(params=["MPM", "MTS"])
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dataset(tmp_path: Path, suffix: str) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    echoes = (0.0023, 0.0046) if suffix == "MPM" else (0.0023,)
    synth_contrasts.add_mt_series(root, suffix, echoes)
    return root


def test_nothing_is_said_of_images_that_are_alike(dataset: Path) -> None:
    assert one(dataset).notes == ("no B1+ map for these images: nominal flip angles and MT pulses are used",)


def test_a_phase_by_its_sidecar_is_left_out(dataset: Path, suffix: str) -> None:
    whole = len(one(dataset).images)
    edit(dataset, FIRST[suffix], ImageType=["ORIGINAL", "PRIMARY", "P"])
    found = one(dataset)
    assert len(found.images) == whole - 1
    assert said(found, FIRST[suffix], "ImageType", "left out")


@pytest.mark.parametrize("sequence", ["bSSFP", "MPRAGE", "EPI", "SE"])
def test_another_sequence_is_refused(dataset: Path, suffix: str, sequence: str) -> None:
    synth.write_json(dataset / f"{suffix}.json", {"PulseSequenceType": sequence})
    found = refused(dataset)
    assert not found.fault
    assert found.error.field == "PulseSequenceType"


def test_a_receive_coil_that_differs_is_named(dataset: Path, suffix: str) -> None:
    synth.write_json(dataset / f"{suffix}.json", {"ReceiveCoilName": "Head_32"})
    edit(dataset, FIRST[suffix], ReceiveCoilName="Body")
    assert said(one(dataset), "ReceiveCoilName: differs", FIRST[suffix])


def test_echo_times_that_differ_are_named_where_there_is_one_echo(dataset: Path, suffix: str) -> None:
    edit(dataset, FIRST[suffix], EchoTime=0.004)
    assert said(one(dataset), "EchoTime: differs") == (suffix == "MTS")


def test_displayed_values_are_brought_to_one_scale(dataset: Path, suffix: str) -> None:
    keys = {"PhilipsRescaleSlope": 1.0, "UsePhilipsFloatNotDisplayScaling": 0}
    synth.write_json(dataset / f"{suffix}.json", {**keys, "PhilipsScaleSlope": 1e-3})
    edit(dataset, FIRST[suffix], PhilipsScaleSlope=2e-3)
    found = one(dataset)
    scale = dict(zip((path.name for path in found.images), found.scale, strict=True))
    assert scale.pop(f"{FIRST[suffix]}.nii.gz") == pytest.approx(min(scale.values()) / 2)


def test_preprocessed_images_replace_raw_ones_and_borrow_their_sidecars(
    dataset: Path, tmp_path: Path
) -> None:
    found = one(dataset, derivatives=registered(dataset, tmp_path))
    assert all("desc-preproc" in path.name for path in found.images)
    np.testing.assert_allclose(sorted(set(np.rad2deg(found.protocol.flip_angle).round(6))), [6, 21])


def test_some_preprocessed_images_replace_nothing(dataset: Path, tmp_path: Path) -> None:
    found = one(dataset, derivatives=registered(dataset, tmp_path, without="flip-2"))
    assert not any("desc" in path.name for path in found.images)
    assert said(found, "raw images are fitted")


def test_one_name_twice_is_refused(dataset: Path, suffix: str) -> None:
    path = dataset / "sub-01" / "anat" / f"{FIRST[suffix]}.nii"
    synth.write_image(path, np.ones(synth_contrasts.SHAPE))
    assert "exists twice" in refused(dataset).error.seen


def _with_acq(root: Path, labels: dict[str, str]) -> None:
    for path in list((root / "sub-01" / "anat").iterdir()):
        label = next(label for key, label in labels.items() if key in path.name)
        path.rename(path.with_name(path.name.replace("sub-01_", f"sub-01_acq-{label}_")))


def test_weightings_that_are_told_apart_by_acq_too_are_one_series(dataset: Path) -> None:
    whole = len(one(dataset).images)
    _with_acq(dataset, {"mt-on": "MTw", "flip-2": "PDw", "flip-3": "T1w"})
    found = one(dataset)
    assert len(found.images) == whole
    assert "acq" not in found.entities
    assert said(found, "told apart by acq-")


def test_whole_series_of_two_acq_stay_two(dataset: Path, tmp_path: Path, suffix: str) -> None:
    for path in list((dataset / "sub-01" / "anat").iterdir()):
        for label in ("low", "high"):
            copy = path.with_name(path.name.replace("sub-01_", f"sub-01_acq-{label}_"))
            copy.write_bytes(path.read_bytes())
        path.unlink()
    derived = registered(dataset, tmp_path)
    for chosen in ("low", "high"):
        found = one(dataset, filters={suffix.lower(): {"acquisition": chosen}}, derivatives=derived)
        assert found.entities["acq"] == chosen
        assert all(f"acq-{chosen}" in path.name and "desc" in path.name for path in found.images)
