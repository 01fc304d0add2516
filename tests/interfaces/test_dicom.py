"""DICOM files beside the results: the same maps, of the right person, and only where they were asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
from runs import run_fit

from .conftest import PlanJobs

pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra dicom")

needs_dcm2niix = pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")
LABELS = ("lsq", "ncde")
FOLDER = "sub-01/anat/sub-01_model-spgr_desc-lsq_vfamap"


def volume(folder: Path) -> np.ndarray:
    """Values of a series, (x, y, z), by the mapping that it carries."""
    planes = [pydicom.dcmread(file) for file in sorted(folder.glob("0*.dcm"))]
    mapping = planes[0].RealWorldValueMappingSequence[0]
    stored = np.stack([plane.pixel_array for plane in planes]).T.astype(float)
    return stored * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept


def nifti(folder: Path, ending: str) -> nib.Nifti1Image:
    return nib.load(next(folder.rglob(f"*{ending}.nii.gz")))


def template(folder: Path, name: str, number: str) -> Path:
    given = pydicom.Dataset()
    given.PatientID, given.PatientName, given.StudyInstanceUID = number, "Doe^Jane", f"1.2.{number}"
    given.file_meta = pydicom.dataset.FileMetaDataset()
    given.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    given.SOPClassUID, given.SOPInstanceUID = pydicom.uid.MRImageStorage, "1.2.3.4"
    folder.mkdir(exist_ok=True)
    given.save_as(folder / name, enforce_file_format=True)
    return folder


def test_every_scalar_map_is_a_series_equal_to_the_nifti_map_within_half_a_step(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    [job] = jobs(dicom=tmp_path / "dicom")
    assert not run_fit(job).error
    folder = tmp_path / "dicom" / FOLDER
    names = {"t1", "m0", "t1Std", "m0Std", "rmse", "status", "t1Determined"}
    assert {each.name for each in folder.iterdir()} == names
    known = nifti(tmp_path / "out", "_desc-lsqDetermined_T1map")
    np.testing.assert_array_equal(volume(folder / "t1Determined"), known.get_fdata())
    for name in ("t1", "m0"):
        image = nifti(tmp_path / "out", f"_desc-lsq_{name.upper()}map")
        step = float(pydicom.dcmread(folder / name / "0001.dcm").RescaleSlope)
        np.testing.assert_allclose(volume(folder / name), np.nan_to_num(image.get_fdata()), atol=0.501 * step)


@needs_dcm2niix
def test_dcm2niix_makes_the_nifti_map_again(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids)
    [job] = jobs(dicom=tmp_path / "dicom")
    assert not run_fit(job).error
    source, out = tmp_path / "dicom" / FOLDER / "t1", tmp_path / "back"
    out.mkdir()
    subprocess.run(["dcm2niix", "-o", out, "-f", "t1", "-z", "n", source], check=True, capture_output=True)
    back = nib.as_closest_canonical(nib.load(out / "t1.nii"))
    image = nib.as_closest_canonical(nifti(tmp_path / "out", "_desc-lsq_T1map"))
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-4)
    step = float(pydicom.dcmread(source / "0001.dcm").RescaleSlope)
    np.testing.assert_allclose(back.get_fdata(), image.get_fdata(), atol=0.501 * step)


def test_directions_have_no_series(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_tensor(bids)
    [job] = jobs(dicom=tmp_path / "dicom", models=("dti",))
    assert not run_fit(job).error
    [folder] = (tmp_path / "dicom/sub-01/dwi").iterdir()
    assert {"fa", "md", "status"} <= {each.name for each in folder.iterdir()}
    assert not (folder / "direction").exists()


def test_nothing_is_written_unless_asked_for(bids: Path, jobs: PlanJobs, tmp_path: Path) -> None:
    synth.add_vfa(bids)
    [job] = jobs()
    assert not run_fit(job).error
    assert not list(tmp_path.rglob("*.dcm"))


def test_all_maps_of_a_run_are_of_one_study_and_the_next_run_of_another(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    synth.add_ivim(bids)
    studies = {}
    for run in ("one", "two"):
        every = jobs(
            run, dicom=tmp_path / run / "dicom", run_id=run, models=("vfa", "ivim"), estimators=LABELS
        )
        assert [run_fit(job).error for job in every] == [""] * 4
        files = (tmp_path / run / "dicom").rglob("0001.dcm")
        images = [pydicom.dcmread(file) for file in files]
        studies[run] = {image.StudyInstanceUID for image in images}
        assert len({image.SeriesNumber for image in images}) == len(images)
        assert len({image.FrameOfReferenceUID for image in images}) == 2
    assert [len(uids) for uids in studies.values()] == [1, 1]
    assert studies["one"] != studies["two"]


def test_patient_and_study_come_from_the_template_of_the_participant(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    folder = template(tmp_path / "who", "sub-02.dcm", "2")
    template(folder, "sub-01.dcm", "1")
    [job] = jobs(dicom=tmp_path / "dicom", dicom_templates=folder)
    assert not run_fit(job).error
    image = pydicom.dcmread(tmp_path / "dicom" / FOLDER / "t1/0001.dcm")
    assert (image.PatientID, image.StudyInstanceUID) == ("1", "1.2.1")


def test_a_missing_template_is_named_before_anything_is_fitted(
    bids: Path, jobs: PlanJobs, tmp_path: Path
) -> None:
    synth.add_vfa(bids)
    [job] = jobs(dicom=tmp_path / "dicom", dicom_templates=template(tmp_path / "who", "sub-02.dcm", "2"))
    assert "sub-01.dcm" in run_fit(job).error
    assert not list(tmp_path.rglob("*T1map.nii.gz"))
    assert not (tmp_path / "dicom").exists()
