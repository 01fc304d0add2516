"""Pairs with and without an MT pulse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, one, refused


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth_contrasts.add_mtr(root)
    return root


def test_the_state_is_that_of_the_sidecar(dataset: Path) -> None:
    found = one(dataset)
    states = dict(zip((path.name for path in found.images), found.protocol.mt.tolist(), strict=True))  # type: ignore[union-attr]
    assert states == {"sub-01_mt-on_MTR.nii.gz": 1.0, "sub-01_mt-off_MTR.nii.gz": 0.0}


def test_a_state_that_the_name_contradicts_is_refused(dataset: Path) -> None:
    edit(dataset, "sub-01_mt-on_MTR", MTState=False)
    error = refused(dataset).error
    assert (error.field, "correct the key or the name" in str(error)) == ("MTState", True)


def test_one_image_is_no_pair(dataset: Path) -> None:
    for path in (dataset / "sub-01" / "anat").glob("*mt-off*"):
        path.unlink()
    error = refused(dataset).error
    assert error.field == "MTState"
    assert "is true for all 1 image(s)" in str(error)
    assert "add the missing image" in str(error)


def test_names_and_keys_without_a_state_are_refused(dataset: Path) -> None:
    folder = dataset / "sub-01" / "anat"
    for path in folder.iterdir():
        path.unlink()
    synth.write_image(folder / "sub-01_MTR.nii.gz", np.ones(synth_contrasts.SHAPE))
    assert "is missing, and the name has no mt-on or mt-off" in str(refused(dataset).error)
