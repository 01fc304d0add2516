"""NODDI of a preprocessed series, as programs for diffusion preprocessing write it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import synth

from bids_qmri.cli.run import main

PREFIX = "sub-01_space-ACPC"


def add_preprocessed(root: Path) -> dict[str, np.ndarray]:
    """Write a derivative dataset with a series, its tables and its brain mask."""
    synth.new_dataset(root, "derivative")
    truth = synth.add_noddi(root, prefix=f"{PREFIX}_desc-preproc")
    mask = np.zeros(synth.SHAPE)
    mask[1:3] = 1
    synth.add_mask(root, f"{PREFIX}_desc-brain", mask, "dwi")
    return truth


def test_preprocessed_series_replace_raw_ones_and_bring_their_mask(tmp_path: Path) -> None:
    bids = synth.new_dataset(tmp_path / "bids")
    synth.add_tensor(bids)
    truth = add_preprocessed(tmp_path / "prep")
    folders = [str(bids), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work")]
    choices = ["--models", "noddi", "--methods", "lsq", "--nprocs", "1"]
    assert main([*folders, *choices, "-d", f"prep={tmp_path / 'prep'}"]) == 0
    stem = tmp_path / "out" / "sub-01" / "dwi" / f"{PREFIX}_model-noddi_param-icvf_desc-lsq_dwimap"
    found = np.asanyarray(nib.load(f"{stem}.nii.gz").dataobj)
    np.testing.assert_allclose(found[1:3], truth["ndi"][1:3], atol=1e-4)
    assert not found[[0, 3]].any()
    fields = json.loads(Path(f"{stem}.json").read_text())
    assert fields["SkullStripped"] is True
    assert f"bids:prep:sub-01/dwi/{PREFIX}_desc-preproc_dwi.nii.gz" in fields["Sources"]
