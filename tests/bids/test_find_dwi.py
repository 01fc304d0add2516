"""Diffusion series: tables by inheritance, and what is not a diffusion series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.physics.diffusion import DiffusionProtocol

BVALS = (0, *([1000] * 12))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_tensor(root, bvals=BVALS)
    return root


def _one(dataset: Path, options: ReadOptions | None = None) -> Acquisition:
    (found,) = find(dataset, "01", options)
    assert isinstance(found, Acquisition), found
    return found


def _protocol(found: Acquisition) -> DiffusionProtocol:
    assert isinstance(found.protocol, DiffusionProtocol)
    return found.protocol


def test_the_protocol_is_that_of_the_tables(dataset: Path) -> None:
    found = _one(dataset)
    protocol = _protocol(found)
    np.testing.assert_array_equal(protocol.bvals, BVALS)
    assert protocol.bvecs is not None
    np.testing.assert_allclose(protocol.bvecs, synth.gradient_table(BVALS), atol=1e-5)
    assert (found.kind, found.datatype) == ("dwi", "dwi")
    assert [path.name.partition(".")[2] for path in found.sources] == ["nii.gz", "bval", "bvec", "json"]


def test_tables_at_the_root_are_inherited_and_the_nearest_wins(dataset: Path) -> None:
    folder = dataset / "sub-01" / "dwi"
    (folder / "sub-01_dwi.bval").rename(dataset / "dwi.bval")
    (folder / "sub-01_dwi.bvec").rename(dataset / "dwi.bvec")
    np.testing.assert_array_equal(_protocol(_one(dataset)).bvals, BVALS)
    np.savetxt(dataset / "sub-01" / "sub-01_dwi.bval", np.atleast_2d([5, *([900] * 12)]))
    assert _protocol(_one(dataset)).bvals[1] == 900


def test_diffusion_times_reach_the_metadata(dataset: Path) -> None:
    synth.edit_json(dataset / "sub-01/dwi/sub-01_dwi.json", SmallDelta=0.02, BigDelta=0.04, EchoTime=0.08)
    assert _one(dataset).metadata == {"SmallDelta": 0.02, "BigDelta": 0.04, "EchoTime": 0.08}


def test_scanner_maps_references_and_phase_are_left_out(dataset: Path) -> None:
    for name in ("ADC", "FA", "S0map", "trace", "sbref", "part-phase_dwi", "part-imag_dwi"):
        synth.write_image(dataset / "sub-01" / "dwi" / f"sub-01_{name}.nii.gz", np.ones(synth.SHAPE))
    assert _one(dataset).images[0].name == "sub-01_dwi.nii.gz"


def test_the_threshold_of_the_command_line_decides_what_is_b0(dataset: Path) -> None:
    np.savetxt(dataset / "sub-01/dwi/sub-01_dwi.bval", np.atleast_2d([60, *BVALS[1:]]))
    found = _one(dataset, ReadOptions(b0_threshold=100))
    assert _protocol(found).b0_mask[0]
    assert found.notes == ()
    vectors = synth.gradient_table((1, *BVALS[1:]))
    np.savetxt(dataset / "sub-01/dwi/sub-01_dwi.bvec", vectors.T)
    assert any("no b = 0 image: the lowest b-value is 60" in note for note in _one(dataset).notes)


def test_without_directions_the_b_values_still_serve(dataset: Path) -> None:
    (dataset / "sub-01/dwi/sub-01_dwi.bvec").unlink()
    found = _one(dataset)
    assert _protocol(found).bvecs is None
    assert any("no gradient directions" in note for note in found.notes)


def test_runs_and_directions_are_separate_acquisitions(dataset: Path) -> None:
    synth.add_tensor(dataset, "sub-01_dir-AP_run-2")
    assert [one.label for one in find(dataset, "01")] == ["sub-01_dir-AP_run-2", "sub-01"]


def _preprocessed(tmp_path: Path, prefix: str = "sub-01") -> ReadOptions:
    root = synth.new_dataset(tmp_path / "prep", "derivative")
    synth.add_tensor(root, f"{prefix}_space-T1w_desc-preproc", bvals=(0, *([990] * 12)))
    return ReadOptions(derivatives={"prep": root})


def test_preprocessed_images_replace_raw_ones_with_their_own_table(dataset: Path, tmp_path: Path) -> None:
    found = _one(dataset, _preprocessed(tmp_path))
    assert _protocol(found).bvals[1] == 990
    assert found.label == "sub-01_space-T1w"
    assert "used instead of sub-01_dwi.nii.gz" in found.notes[0]


def test_merged_preprocessing_replaces_all_raw_runs_of_its_session_only(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    for prefix in ("sub-01_ses-1_dir-AP", "sub-01_ses-1_dir-PA", "sub-01_ses-2"):
        synth.add_tensor(root, prefix)
    found = find(root, "01", _preprocessed(tmp_path, "sub-01_ses-1"))
    assert [one.label for one in found] == ["sub-01_ses-1_space-T1w", "sub-01_ses-2"]


def test_a_broken_table_costs_only_its_own_series(dataset: Path) -> None:
    synth.add_tensor(dataset, "sub-01_run-2")
    (dataset / "sub-01/dwi/sub-01_run-2_dwi.bval").write_text("0 1000")
    good, bad = sorted(find(dataset, "01"), key=lambda one: isinstance(one, Unusable))
    assert isinstance(good, Acquisition)
    assert isinstance(bad, Unusable)
    assert "sub-01_run-2_dwi.bval: holds 2 b-values but the image has 13 volumes" in str(bad.error)
