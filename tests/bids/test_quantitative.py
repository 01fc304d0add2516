"""Nothing quantitative is passed over without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.bids.quantitative import COLLECTIONS, FIELDS, MAPS
from bids_qmri.catalogue import load, readers

KNOWN = {suffix for place in readers().values() for suffix in load(f"{place}:SUFFIXES")}


@pytest.mark.parametrize(
    ("folder", "suffix"),
    [*(("anat", suffix) for suffix in (*COLLECTIONS, *MAPS)), *(("fmap", suffix) for suffix in FIELDS)],
)
def test_every_suffix_is_named_and_nobody_fails_for_what_is_not_fitted(
    tmp_path: Path, folder: str, suffix: str
) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.write_image(root / "sub-01" / folder / f"sub-01_{suffix}.nii.gz", np.ones(synth.SHAPE))
    (found,) = find(root, "01")
    assert isinstance(found, Unusable)
    if suffix in KNOWN:
        # Its reader names what is missing.
        assert found.error.file
        assert found.error.fix
        return
    assert not found.fault
    assert f"1 {suffix} image(s)" in str(found.error)
    assert "fix:" in str(found.error)


def test_maps_that_a_fit_uses_are_not_said_to_be_of_no_use(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root, b1=np.ones(synth.SHAPE))
    assert all(isinstance(one, Acquisition) for one in find(root, "01"))
