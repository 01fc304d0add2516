"""Pairs with and without an MT pulse: which images are believed, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, one, refused, registered, said

ON, OFF = "sub-01_mt-on_MTR", "sub-01_mt-off_MTR"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth_contrasts.add_mtr(root)
    return root


def test_nothing_is_said_of_a_pair_that_is_alike(dataset: Path) -> None:
    assert one(dataset).notes == ()


@pytest.mark.parametrize("sequence", ["SPGR", "bSSFP", "SE", "EPI"])
def test_any_sequence_may_be_saturated(dataset: Path, sequence: str) -> None:
    synth.write_json(dataset / "MTR.json", {"PulseSequenceType": sequence})
    assert one(dataset).notes == ()


@pytest.mark.parametrize("image_type", [["ORIGINAL", "PRIMARY", "P"], ["DERIVED", "PRIMARY", "SUB"]])
def test_a_phase_or_difference_is_no_image_of_a_pair(dataset: Path, image_type: list[str]) -> None:
    edit(dataset, ON, ImageType=image_type)
    assert refused(dataset).error.field == "MTState"


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("FlipAngle", (12, 15)),
        ("RepetitionTimeExcitation", (0.03, 0.04)),
        ("EchoTime", (0.003, 0.006)),
        ("ReceiveCoilName", ("a", "b")),
    ],
)
def test_what_differs_beside_the_pulse_is_named(dataset: Path, key: str, values: tuple[Any, Any]) -> None:
    edit(dataset, ON, **{key: values[0]})
    edit(dataset, OFF, **{key: values[1]})
    assert said(one(dataset), f"{key}: differs", ON, OFF)


def test_displayed_values_are_brought_to_one_scale(dataset: Path) -> None:
    keys = {"PhilipsRescaleSlope": 1.0, "UsePhilipsFloatNotDisplayScaling": 0}
    edit(dataset, ON, PhilipsScaleSlope=1e-3, **keys)
    edit(dataset, OFF, PhilipsScaleSlope=3e-3, **keys)
    found = one(dataset)
    scale = dict(zip((path.name for path in found.images), found.scale, strict=True))
    assert scale[f"{ON}.nii.gz"] == pytest.approx(3 * scale[f"{OFF}.nii.gz"])


def test_preprocessed_images_replace_raw_ones(dataset: Path, tmp_path: Path) -> None:
    found = one(dataset, derivatives=registered(dataset, tmp_path))
    assert all("desc-preproc" in path.name for path in found.images)


def test_one_name_twice_is_refused(dataset: Path) -> None:
    synth.write_image(dataset / "sub-01" / "anat" / f"{ON}.nii", np.ones(synth_contrasts.SHAPE))
    assert "exists twice" in refused(dataset).error.seen
