"""Nothing quantitative is passed over without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, refused

from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.bids.quantitative import COLLECTIONS, FIELDS, MAPS

NEEDED = {
    "IRT1": "InversionTime",
    "MP2RAGE": "InversionTime, FlipAngle, NumberShots, RepetitionTimeExcitation, RepetitionTimePreparation",
    "MESE": "EchoTime",
    "MEGRE": "EchoTime",
    "MPM": "MTState",
    "MTS": "MTState",
    "MTR": "MTState",
    "UNIT1": "InversionTime, FlipAngle, NumberShots, RepetitionTimeExcitation, RepetitionTimePreparation",
}
"""Keys without which nothing can be fitted, of images that have a model."""

UNREAD = [suffix for suffix in (*COLLECTIONS[1:], *MAPS) if suffix not in NEEDED]


@pytest.mark.parametrize(
    ("folder", "suffix"),
    [*(("anat", suffix) for suffix in UNREAD), *(("fmap", suffix) for suffix in ("TB1map", "RB1map"))],
)
def test_every_suffix_is_named_and_nobody_fails(tmp_path: Path, folder: str, suffix: str) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.write_image(root / "sub-01" / folder / f"sub-01_{suffix}.nii.gz", np.ones(synth.SHAPE))
    (found,) = find(root, "01")
    assert isinstance(found, Unusable)
    assert not found.fault
    assert f"1 {suffix} image(s)" in str(found.error)
    assert "fix:" in str(found.error)


@pytest.mark.parametrize("suffix", NEEDED)
def test_an_image_without_what_its_model_needs_is_named_with_the_key(tmp_path: Path, suffix: str) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    file = synth.write_image(root / "sub-01" / "anat" / f"sub-01_{suffix}.nii.gz", np.ones(synth.SHAPE))
    (found,) = find(root, "01")
    assert isinstance(found, Unusable)
    # Many take the combined image for anatomy and know no timing: nobody fails by that.
    assert found.fault == (suffix != "UNIT1")
    assert file.name.split(".")[0] in str(found.error)
    assert NEEDED[suffix] in str(found.error)
    assert "fix: " in str(found.error)


@pytest.mark.parametrize("suffix", [suffix for suffix in FIELDS if suffix not in ("TB1map", "RB1map")])
def test_images_of_a_field_that_cannot_be_computed_are_named_with_the_way_out(
    tmp_path: Path, suffix: str
) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    file = synth.write_image(root / "sub-01" / "fmap" / f"sub-01_{suffix}.nii.gz", np.ones(synth.SHAPE))
    (found,) = find(root, "01")
    assert isinstance(found, Unusable)
    assert file.name.split(".")[0] in str(found.error)
    assert "fix: " in str(found.error)


def test_a_combined_image_with_half_of_its_timing_is_a_fault(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    file = synth.write_image(root / "sub-01" / "anat" / "sub-01_UNIT1.nii.gz", np.ones(synth.SHAPE))
    synth.write_json(file.with_name("sub-01_UNIT1.json"), {"InversionTime": [0.8, 2.7]})
    (found,) = find(root, "01")
    assert isinstance(found, Unusable)
    assert found.fault
    assert "FlipAngle and NumberShots and" in str(found.error)


def test_nothing_is_said_of_a_field_whose_series_was_refused(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth_contrasts.add_mt_series(root)
    edit(root, "sub-01_echo-1_flip-2_mt-off_MPM", EchoTime=2.3)
    synth.write_image(synth.place(root, "fmap", "sub-01_TB1map.nii.gz"), np.ones(synth_contrasts.SHAPE))
    assert "EchoTime" in str(refused(root).error)


def test_maps_that_a_fit_uses_are_not_said_to_be_of_no_use(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root, b1=np.ones(synth.SHAPE))
    assert all(isinstance(one, Acquisition) for one in find(root, "01"))
