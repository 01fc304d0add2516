"""The examples that go on from fMRIPrep and QSIPrep, on datasets with the names that these write."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FINE = synth.AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
"""Voxels of half the size, that begin where those of the images begin."""
FINE[:3, 3] = synth.AFFINE[:3, 3] - synth.AFFINE[:3, :3] @ [0.25, 0.25, 0.25]


def segmentation() -> np.ndarray:
    """Return grey matter (1) where the first axis is below its middle, white matter (2) above."""
    labels = np.ones([2 * side for side in synth.SHAPE])
    labels[synth.SHAPE[0] :] = 2
    return labels


def run(script: str, *folders: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["bash", EXAMPLES / script, *folders, "--estimators", "lsq", "--nprocs", "1"]
    where = folders[-1].parent
    done = subprocess.run(
        command, cwd=where, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def medians(table: Path, column: str) -> dict[str, float]:
    with table.open() as lines:
        return {row["region"]: float(row[column]) for row in csv.DictReader(lines, delimiter="\t")}


def test_tissues_of_fmriprep_become_regions_of_t1(tmp_path: Path) -> None:
    raw = synth.new_dataset(tmp_path / "raw")
    truth = synth.add_vfa(raw)
    prepared = synth.new_dataset(tmp_path / "fmriprep", "derivative")
    anat = prepared / "sub-01" / "anat"
    synth.write_image(anat / "sub-01_dseg.nii.gz", segmentation(), FINE)
    synth.write_image(anat / "sub-01_space-MNI152NLin2009cAsym_dseg.nii.gz", segmentation(), FINE)
    synth.write_image(anat / "sub-01_desc-brain_mask.nii.gz", segmentation() > 0, FINE)
    (prepared / "dseg.tsv").write_text("index\tname\n1\tGM\n2\tWM\n")
    run("after_fmriprep.sh", raw, prepared, tmp_path / "out")
    found = medians(tmp_path / "out/maps/group_vfa.tsv", "t1_median")
    half = synth.SHAPE[0] // 2
    assert found["GM"] == pytest.approx(np.median(truth["t1"][:half]), rel=1e-3)
    assert found["WM"] == pytest.approx(np.median(truth["t1"][half:]), rel=1e-3)


def test_regions_lie_where_their_headers_say(tmp_path: Path) -> None:
    raw = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(raw)
    prepared = synth.new_dataset(tmp_path / "fmriprep", "derivative")
    synth.write_image(prepared / "sub-01/anat/sub-01_dseg.nii.gz", segmentation(), FINE)
    command = [sys.executable, EXAMPLES / "regions_to_grid.py", raw, prepared, tmp_path / "regions"]
    subprocess.run(command, check=True)
    moved = nib.load(tmp_path / "regions/sub-01/anat/sub-01_res-VFA_dseg.nii.gz")
    expected = np.ones(synth.SHAPE)
    expected[synth.SHAPE[0] // 2 :] = 2
    assert np.array_equal(moved.get_fdata(), expected)
    assert np.allclose(moved.affine, synth.AFFINE)


def test_series_of_qsiprep_are_fitted_within_its_mask_and_tissues(tmp_path: Path) -> None:
    raw, prepared = synth.new_dataset(tmp_path / "raw"), synth.new_dataset(tmp_path / "qsiprep", "derivative")
    synth.add_noddi(raw)
    synth.add_noddi(prepared, prefix="sub-01_space-ACPC_desc-preproc")
    dwi, anat = prepared / "sub-01" / "dwi", prepared / "sub-01" / "anat"
    synth.write_image(dwi / "sub-01_space-ACPC_desc-brain_mask.nii.gz", np.ones(synth.SHAPE))
    synth.write_image(anat / "sub-01_space-ACPC_dseg.nii.gz", segmentation(), FINE)
    run("after_qsiprep.sh", raw, prepared, tmp_path / "out")
    maps = tmp_path / "out" / "maps" / "sub-01" / "dwi"
    assert [path.name for path in maps.glob("*param-icvf_desc-lsq_dwimap.nii.gz")] == [
        "sub-01_space-ACPC_model-noddi_param-icvf_desc-lsq_dwimap.nii.gz"
    ]
    assert {"mask", "label 1", "label 2"} <= set(medians(tmp_path / "out/maps/group_noddi.tsv", "ndi_median"))
