"""Series that differ in one key: their sidecars are believed as those of flip angles are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth
import synth_contrasts

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find

SERIES: dict[str, tuple[Callable[..., Any], str, str]] = {
    "IRT1": (synth_contrasts.add_irt1, "inv", "InversionTime"),
    "MESE": (synth_contrasts.add_mese, "echo", "EchoTime"),
    "MEGRE": (synth_contrasts.add_megre, "echo", "EchoTime"),
}


@pytest.fixture(params=list(SERIES))
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dataset(tmp_path: Path, suffix: str) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    SERIES[suffix][0](root)
    return root


def _name(suffix: str, index: int, more: str = "") -> str:
    return f"sub-01_{SERIES[suffix][1]}-{index}{more}_{suffix}"


def _edit(root: Path, suffix: str, index: int, **keys: Any) -> None:
    synth.edit_json(root / "sub-01" / "anat" / f"{_name(suffix, index)}.json", **keys)


def _found(root: Path, **options: Any) -> list[Acquisition | Unusable]:
    """Return what is found beside fields of phases, which read MEGRE too."""
    return [one for one in find(root, "01", ReadOptions(**options)) if one.kind != "fieldmap"]


def _one(root: Path, **options: Any) -> Acquisition:
    (found,) = _found(root, **options)
    assert isinstance(found, Acquisition), found
    return found


def _said(found: Acquisition, *words: str) -> bool:
    return any(all(word in note for word in words) for note in found.notes)


def test_nothing_is_said_of_a_series_that_is_alike(dataset: Path, suffix: str) -> None:
    notes = _one(dataset).notes
    assert not [note for note in notes if "RefocusingFlipAngle" not in note]


@pytest.mark.parametrize(
    "image_type",
    [["ORIGINAL", "PRIMARY", "P", "ND"], ["ORIGINAL", "PRIMARY", "REAL"], ["DERIVED", "PRIMARY", "T2 MAP"]],
)
def test_what_is_no_magnitude_is_left_out_by_name(dataset: Path, suffix: str, image_type: list[str]) -> None:
    whole = len(_one(dataset).images)
    _edit(dataset, suffix, 2, ImageType=image_type)
    found = _one(dataset)
    assert len(found.images) == whole - 1
    assert _said(found, _name(suffix, 2), "ImageType", "left out", "fix")


def test_phases_alone_are_named_and_nobody_fails(dataset: Path, suffix: str) -> None:
    for index in range(1, 13):
        _edit_if_there(dataset, suffix, index, ImageType=["ORIGINAL", "PRIMARY", "P"])
    (found,) = _found(dataset)
    assert not any(getattr(one, "fault", False) for one in find(dataset, "01"))
    assert isinstance(found, Unusable)
    assert not found.fault
    assert found.error.field == "ImageType"


def _edit_if_there(root: Path, suffix: str, index: int, **keys: Any) -> None:
    if (root / "sub-01" / "anat" / f"{_name(suffix, index)}.json").exists():
        _edit(root, suffix, index, **keys)


def test_images_named_as_phases_alone_are_not_passed_over(dataset: Path, suffix: str) -> None:
    for path in list((dataset / "sub-01" / "anat").iterdir()):
        path.rename(path.with_name(path.name.replace(f"_{suffix}", f"_part-phase_{suffix}")))
    (found,) = _found(dataset)
    assert not any(getattr(one, "fault", False) for one in find(dataset, "01"))
    assert isinstance(found, Unusable)
    assert not found.fault
    assert "no magnitudes" in found.error.seen


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("ReceiveCoilName", ("HeadNeck_20", "Body_6")),
        ("FlipAngle", (90, 60)),
        ("RepetitionTime", (2.5, 1.8)),
        ("PixelBandwidth", (200, 400)),
        ("TxRefAmp", (210.0, 240.0)),
    ],
)
def test_what_differs_beside_the_varied_key_is_named(
    dataset: Path, suffix: str, key: str, values: tuple[Any, Any]
) -> None:
    _edit(dataset, suffix, 1, **{key: values[0]})
    _edit(dataset, suffix, 2, **{key: values[1]})
    assert _said(_one(dataset), f"{key}: differs", _name(suffix, 1), _name(suffix, 2), "fix")


def test_an_echo_time_that_moves_with_the_inversion_is_named(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path)
    synth_contrasts.add_irt1(root)
    _edit(root, "IRT1", 1, EchoTime=0.01)
    _edit(root, "IRT1", 2, EchoTime=0.02)
    assert _said(_one(root), "EchoTime: differs")


def test_displayed_values_are_brought_to_one_scale(dataset: Path, suffix: str) -> None:
    count = len(_one(dataset).images)
    slopes = np.linspace(5e-4, 7e-4, count)
    for index, slope in enumerate(slopes, 1):
        keys = {"PhilipsScaleSlope": slope, "PhilipsRescaleSlope": 2.0}
        _edit(dataset, suffix, index, **keys, UsePhilipsFloatNotDisplayScaling=0)
    scaled = slopes * _one(dataset).scale
    np.testing.assert_allclose(scaled, scaled[0])


@pytest.mark.parametrize(
    ("suffix", "sequence"),
    [("MEGRE", "SE"), ("MEGRE", "TrueFISP"), ("IRT1", "Look-Locker"), ("IRT1", "MOLLI"), ("IRT1", "SASHA")],
)
def test_another_sequence_is_refused_and_nobody_fails(dataset: Path, suffix: str, sequence: str) -> None:
    synth.write_json(dataset / f"{suffix}.json", {"PulseSequenceType": sequence})
    (found,) = find(dataset, "01")
    assert isinstance(found, Unusable)
    assert not found.fault
    assert found.error.field == "PulseSequenceType"


@pytest.mark.parametrize(
    ("suffix", "sequence"),
    [
        ("MEGRE", "GR"),
        ("MEGRE", "FISP"),
        ("MEGRE", "EPI"),
        ("IRT1", "IR"),
        ("IRT1", "IR-TSE"),
        ("MESE", "SE"),
    ],
)
def test_sequences_that_decay_or_recover_alike_are_fitted(dataset: Path, suffix: str, sequence: str) -> None:
    synth.write_json(dataset / f"{suffix}.json", {"PulseSequenceType": sequence})
    assert _one(dataset).images


def _registered(dataset: Path, tmp_path: Path, suffix: str, desc: str, skip: int = 0) -> dict[str, Path]:
    derived = synth.new_dataset(tmp_path / "reg")
    for path in (dataset / "sub-01" / "anat").glob("*.nii.gz"):
        if f"{SERIES[suffix][1]}-{skip}_" in path.name:
            continue
        name = path.name.replace(f"_{suffix}", f"_desc-{desc}_{suffix}")
        target = derived / "sub-01" / "anat" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return {"reg": derived}


@pytest.mark.parametrize("desc", ["preproc", "moco"])
def test_preprocessed_images_replace_raw_ones(dataset: Path, tmp_path: Path, suffix: str, desc: str) -> None:
    found = _one(dataset, derivatives=_registered(dataset, tmp_path, suffix, desc))
    assert all(f"desc-{desc}" in path.name for path in found.images)
    assert "desc" not in found.entities
    assert _said(found, f"(reg, desc-{desc}); used instead of")


def test_some_preprocessed_images_replace_nothing(dataset: Path, tmp_path: Path, suffix: str) -> None:
    found = _one(dataset, derivatives=_registered(dataset, tmp_path, suffix, "preproc", skip=2))
    assert not any("desc" in path.name for path in found.images)
    assert _said(found, "raw images are fitted", "reg, desc-preproc")


def test_one_name_twice_is_refused(dataset: Path, suffix: str) -> None:
    path = dataset / "sub-01" / "anat" / f"{_name(suffix, 1)}.nii"
    synth.write_image(path, np.ones(synth_contrasts.SHAPE))
    (found,) = find(dataset, "01")
    assert isinstance(found, Unusable)
    assert "exists twice" in found.error.seen


def test_filters_choose_among_series(dataset: Path, suffix: str) -> None:
    for path in list((dataset / "sub-01" / "anat").iterdir()):
        copy = path.with_name(path.name.replace("sub-01_", "sub-01_acq-again_"))
        copy.write_bytes(path.read_bytes())
    found = _one(dataset, filters={suffix.lower(): {"acquisition": "again"}})
    assert found.entities["acq"] == "again"
