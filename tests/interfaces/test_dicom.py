"""DICOM files beside the results: the same maps, whose they are, and only where they were asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri.interfaces.fit import run_fit
from bids_qmri.workflows.config import RunConfig
from bids_qmri.workflows.plan import make_plan

from .conftest import PlanJobs

pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra dicom")

needs_dcm2niix = pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("sub-01/anat/*/t1/*.dcm"))


def volume(folder: Path) -> np.ndarray:
    """Values of a series, (x, y, z), by the mapping that it carries."""
    planes = [pydicom.dcmread(file) for file in sorted(folder.glob("0*.dcm"))]
    mapping = planes[0].RealWorldValueMappingSequence[0]
    stored = np.stack([plane.pixel_array for plane in planes]).T.astype(float)
    return stored * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept


def test_every_scalar_map_is_a_series_equal_to_the_nifti_map_within_a_step(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    [job] = jobs(dicom=tmp_path / "dicom")
    assert not run_fit(job).error
    [folder] = (tmp_path / "dicom/sub-01/anat").iterdir()
    assert folder.name == "sub-01_model-spgr_desc-lsq_vfamap"
    assert {each.name for each in folder.iterdir()} == {"t1", "m0", "t1Std", "m0Std", "rmse", "status"}
    for name in ("t1", "m0"):
        image = nib.load(next((tmp_path / "out").rglob(f"*_desc-lsq_{name.upper()}map.nii.gz")))
        step = float(pydicom.dcmread(folder / name / "0001.dcm").RescaleSlope)
        np.testing.assert_allclose(volume(folder / name), image.get_fdata(), atol=0.5 * step + 1e-6)
