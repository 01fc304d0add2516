"""What a stream leaves as DICOM files is what it sends back, and a fault there costs nothing else."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import mrd
import numpy as np
import pytest
import scans
from dicom_tools import converted, errors, needs_dciodvfy, needs_dcm2niix

pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra dicom")

from bids_qmri.inline.dicom_series import dicom_sink  # noqa: E402 (needs pydicom)

T1, VOLUMES = scans.vfa_volumes()
D, IVIM = scans.ivim_volumes()
ALL = '{"parameters": {"maps": ["t1", "t1Std", "status"]}}'


def dicom_json(k: int, patient: str = "4711") -> str:
    """A DICOM header of slice k as hosts attach it."""
    values = {"00080016": "1.2.840.10008.5.1.4.1.1.4", "00080018": f"1.2.3.{k}", "00200052": "1.2.9"}
    header = {tag: {"vr": "UI", "Value": [value]} for tag, value in values.items()}
    header["00100020"] = {"vr": "LO", "Value": [patient]}
    header["00200032"] = {"vr": "DS", "Value": [5.0, 6.0, 2.0 * k]}
    return base64.b64encode(json.dumps(header).encode()).decode()


def messages(**attributes) -> list[bytes]:
    """A series of flip angles whose images carry more attributes, by slice."""
    return [
        mrd.image(
            image,
            mrd.meta(
                FlipAngle=scans.FLIPS[i],
                RepetitionTime=scans.TR,
                **{name: value(k) for name, value in attributes.items()},
            ),
            contrast=i,
            slice=k,
        )
        for i, volume in enumerate(VOLUMES)
        for k, image in enumerate(volume)
    ]


def patient(path: Path, number: str) -> Path:
    given = pydicom.Dataset()
    given.PatientID, given.PatientName, given.StudyInstanceUID = number, "Doe^Jane", "1.2.3"
    given.file_meta = pydicom.dataset.FileMetaDataset()
    given.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    given.SOPClassUID, given.SOPInstanceUID = pydicom.uid.MRImageStorage, "1.2.3.4"
    given.save_as(path, enforce_file_format=True)
    return path


def read(folder: Path) -> list:
    return [pydicom.dcmread(file) for file in sorted(folder.glob("0*.dcm"))]


def test_files_hold_the_maps_that_were_sent(start, tmp_path: Path) -> None:
    port = start(sinks=(dicom_sink(tmp_path / "out"),))
    answer = scans.talk(port, "vfa-lsq", scans.flips(VOLUMES), text=ALL)
    [folder] = (tmp_path / "out").iterdir()
    assert {each.name for each in folder.iterdir()} == {"t1", "t1Std", "status"}
    images = read(folder / "t1")
    values = np.stack([image.pixel_array * float(image.RescaleSlope) for image in images])
    np.testing.assert_allclose(values, answer.map("t1")[:, 0], atol=1.01e-3)
    assert [image.SeriesNumber for image in images] == [101] * len(T1)


@needs_dciodvfy
@needs_dcm2niix
def test_files_are_valid_and_lie_where_the_stream_said(start, tmp_path: Path) -> None:
    scans.talk(start(sinks=(dicom_sink(tmp_path / "out"),)), "vfa-lsq", scans.flips(VOLUMES), text=ALL)
    [folder] = (tmp_path / "out").iterdir()
    assert [errors(folder / name / "0001.dcm") for name in ("t1", "t1Std", "status")] == [[], [], []]
    image = converted(folder / "t1", tmp_path / "back")
    _, rows, columns = scans.SHAPE
    centre = image.affine @ ((columns - 1) / 2, (rows - 1) / 2, 1, 1)
    np.testing.assert_allclose(centre[:3], (10, 20, 2), atol=1e-4)
    # LPS to RAS turns rows and columns round.
    found, wanted = image.get_fdata()[::-1, ::-1], T1.T
    np.testing.assert_allclose(found, wanted, rtol=0.02)


def test_source_images_are_named_and_place_the_planes(start, tmp_path: Path) -> None:
    port = start(sinks=(dicom_sink(tmp_path / "out", patient(tmp_path / "who.dcm", "4711")),))
    answer = scans.talk(port, "vfa-lsq", messages(DicomJson=dicom_json))
    assert answer.texts == []
    [folder] = (tmp_path / "out").iterdir()
    image = read(folder / "t1")[2]
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.2"
    assert (image.FrameOfReferenceUID, image.StudyInstanceUID) == ("1.2.9", "1.2.3")
    assert image.ImagePositionPatient == [5, 6, 4]
    assert str(image.PatientName) == "Doe^Jane"


def test_identity_in_the_stream_is_never_written(start, tmp_path: Path) -> None:
    scans.talk(start(sinks=(dicom_sink(tmp_path),)), "vfa-lsq", messages(DicomJson=dicom_json))
    [folder] = tmp_path.iterdir()
    assert not any(b"4711" in file.read_bytes() for file in folder.rglob("*.dcm"))


def test_template_of_another_patient_is_refused_and_the_maps_still_come(start, tmp_path: Path) -> None:
    template = patient(tmp_path / "who.dcm", "1234")
    port = start(sinks=(dicom_sink(tmp_path / "out", template),))
    answer = scans.talk(port, "vfa-lsq", messages(DicomJson=dicom_json))
    assert answer.map("t1").any()
    assert ["not of the patient" in text for text in answer.texts] == [True]
    assert not (tmp_path / "out").exists()
    patient(template, "4711")
    assert scans.talk(port, "vfa-lsq", messages(DicomJson=dicom_json)).texts == []


def test_a_folder_that_cannot_be_written_is_one_line_and_the_server_lives(start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    port = start(sinks=(dicom_sink(tmp_path / "file"),))
    images = [*scans.weightings(IVIM, series=1), *scans.weightings(IVIM, series=2)]
    for _ in range(2):
        answer = scans.talk(port, "ivim-lsq", images)
        assert ["DICOM files cannot be written" in text for text in answer.texts] == [True, True]
        assert sorted(answer.images) == [3, 4, 5, 6, 7, 8]


def test_two_series_are_two_folders_with_identifiers_of_their_own(start, tmp_path: Path) -> None:
    images = [*scans.weightings(IVIM, series=2), *scans.weightings(IVIM, series=5)]
    scans.talk(start(sinks=(dicom_sink(tmp_path),)), "ivim-lsq", images)
    first, second = (read(folder / "d") for folder in sorted(tmp_path.iterdir()))
    assert {first[0].SeriesNumber, second[0].SeriesNumber} == {201, 501}
    uids = {image.SOPInstanceUID for image in (*first, *second)}
    assert len(uids) == 2 * len(D)
