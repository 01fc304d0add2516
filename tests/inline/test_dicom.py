"""Files that a validator finds no error in, and that other programs read back as the same image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_tools import (
    TILTS,
    affine,
    assert_same_image,
    converted,
    errors,
    needs_dciodvfy,
    needs_dcm2niix,
)

from bids_qmri.errors import InputError
from bids_qmri.inline.dicom_geometry import planes_of_affine
from bids_qmri.inline.dicom_source import SourceImage, read_source
from bids_qmri.inline.dicom_values import MapVolume

pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra dicom")

from bids_qmri.inline.dicom import Stack, write_maps  # noqa: E402 (needs pydicom)
from bids_qmri.inline.dicom_identity import identifier, identity  # noqa: E402

SHAPE = (7, 6, 5)
VALUES = np.random.default_rng(3).uniform(0, 1, SHAPE).astype(np.float32)


def ndi(values: np.ndarray = VALUES, **more) -> MapVolume:
    return MapVolume("ndi", "NDI", "1", "Share of neurites.", (0.0, 1.0), values.T, **more)


def maps() -> list[MapVolume]:
    """Maps that differ in what is hard about them: tiny, large, negative, long name, codes."""
    holes = np.where(VALUES < 0.1, np.nan, VALUES)
    return [
        ndi(holes),
        ndi(VALUES / 10, deviation=True),
        MapVolume("d", "D", "mm^2/s", "Diffusion.", (0, 3e-3), VALUES.T * np.float32(3e-3)),
        MapVolume("s0", "ĝ · S₀", "arbitrary", "Signal.", None, VALUES.T * 3e4 - 9),
        MapVolume("rmse", "RMSE", "mmol/L", "Misfit.", None, VALUES.T),
        MapVolume("status", "status", "1", "Codes.", (0, 5), (VALUES.T * 5).astype(np.uint8)),
    ]


def stack(grid: np.ndarray | None = None, key: str = "key", template: Path | None = None, **more) -> Stack:
    planes = planes_of_affine(affine() if grid is None else grid, SHAPE[2])
    whose = identity(template, "sub-01", identifier("study"))
    return Stack(whose, key, "noddi", "lsq", planes, **more)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A file of a patient whose name is not ASCII, in another character set than ours."""
    given = pydicom.Dataset()
    given.SpecificCharacterSet = "ISO_IR 100"
    given.PatientName, given.PatientID, given.PatientBirthDate = "Müller^Jörg", "4711", "19700101"
    given.PatientSex, given.PatientWeight, given.PatientComments = "M", 81.5, "not for others"
    given.StudyInstanceUID, given.StudyDate, given.StudyTime = "1.2.3.4", "20240229", "1200"
    given.StudyID, given.AccessionNumber, given.InstitutionName = "7", "A1", "Hospital"
    given.file_meta = pydicom.dataset.FileMetaDataset()
    given.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    given.file_meta.MediaStorageSOPClassUID = given.SOPClassUID = pydicom.uid.MRImageStorage
    given.file_meta.MediaStorageSOPInstanceUID = given.SOPInstanceUID = "1.2.3.4.5"
    given.save_as(tmp_path / "template.dcm", enforce_file_format=True)
    return tmp_path / "template.dcm"


@needs_dciodvfy
@pytest.mark.parametrize("named", [False, True])
def test_validator_finds_no_error(tmp_path: Path, template: Path, named: bool) -> None:
    source = SourceImage(pydicom.uid.MRImageStorage, "1.2.3", "1.2.4")
    whose = stack(template=template if named else None, sources=[source] * SHAPE[2])
    write_maps(tmp_path / "out", whose, maps())
    for name in ("ndi", "ndiStd", "d", "s0", "rmse", "status"):
        assert errors(tmp_path / f"out/{name}/0002.dcm") == []


@needs_dcm2niix
@pytest.mark.parametrize("handedness", [1, -1])
@pytest.mark.parametrize("tilt", TILTS)
def test_dcm2niix_gives_the_map_back_in_its_place(tmp_path: Path, tilt: str, handedness: int) -> None:
    grid = affine(tilt, handedness)
    write_maps(tmp_path / "out", stack(grid), [ndi()])
    assert_same_image(converted(tmp_path / "out/ndi", tmp_path / "back"), VALUES, grid, step=1e-3)


@needs_dcm2niix
def test_dcm2niix_gives_every_kind_of_map_back(tmp_path: Path) -> None:
    write_maps(tmp_path / "out", stack(), maps())
    for volume in maps():
        image = converted(tmp_path / "out" / volume.label, tmp_path / f"back-{volume.label}")
        step = float(pydicom.dcmread(tmp_path / "out" / volume.label / "0001.dcm").RescaleSlope)
        assert_same_image(image, np.nan_to_num(volume.values.T), affine(), step)


def test_both_mappings_of_a_file_agree_and_name_unit_and_quantity(tmp_path: Path) -> None:
    write_maps(tmp_path / "out", stack(), maps())
    for volume in maps():
        image = pydicom.dcmread(tmp_path / "out" / volume.label / "0001.dcm")
        [mapping] = image.RealWorldValueMappingSequence
        assert mapping.RealWorldValueSlope == pytest.approx(float(image.RescaleSlope), rel=1e-9)
        assert mapping.RealWorldValueIntercept == pytest.approx(float(image.RescaleIntercept))
        assert (image.BitsStored, image.pixel_array.max() <= 4095) == (12, True)
        assert image.ImageType[:2] == ["DERIVED", "PRIMARY"]
        assert image.ImageType[3] == volume.label.upper()
    d = pydicom.dcmread(tmp_path / "out/d/0001.dcm").RealWorldValueMappingSequence[0]
    assert d.MeasurementUnitsCodeSequence[0].CodeValue == "mm2/s"
    assert d.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "113291"


def test_identifiers_are_unique_and_those_of_the_key(tmp_path: Path) -> None:
    def read(name: str, key: str) -> list:
        write_maps(tmp_path / name, stack(key=key), maps())
        return [pydicom.dcmread(file) for file in sorted((tmp_path / name).rglob("*.dcm"))]

    first, again, other = read("a", "one run"), read("b", "one run"), read("c", "another")
    uids = [[image.SOPInstanceUID for image in images] for images in (first, again, other)]
    assert uids[0] == uids[1]
    assert len({*uids[0], *uids[2]}) == 2 * len(maps()) * SHAPE[2]
    assert len({image.SeriesInstanceUID for image in first}) == len(maps())
    assert len({image.FrameOfReferenceUID for image in first}) == 1
    assert all(image.SOPInstanceUID.is_valid for image in first)


def test_template_gives_patient_and_study_and_nothing_else(tmp_path: Path, template: Path) -> None:
    write_maps(tmp_path / "out", stack(template=template), [ndi()])
    image = pydicom.dcmread(tmp_path / "out/ndi/0001.dcm")
    assert (str(image.PatientName), image.PatientID, image.PatientWeight) == ("Müller^Jörg", "4711", 81.5)
    assert (image.StudyInstanceUID, image.StudyDate, image.AccessionNumber) == ("1.2.3.4", "20240229", "A1")
    assert "PatientComments" not in image
    assert "InstitutionName" not in image
    assert image.SOPInstanceUID != "1.2.3.4.5"


def test_without_a_template_nobody_is_named(tmp_path: Path) -> None:
    write_maps(tmp_path / "out", stack(), [ndi()])
    image = pydicom.dcmread(tmp_path / "out/ndi/0001.dcm")
    assert (image.PatientID, str(image.PatientName), image.PatientBirthDate) == ("sub-01", "sub-01^", "")
    assert (image.StudyDate, image.AccessionNumber) == ("", "")


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"\0" * 128 + b"DICM"])
def test_what_is_no_template_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.dcm").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.dcm"):
        identity(tmp_path / "bad.dcm", "", identifier("x"))


def test_source_images_are_referred_to_plane_by_plane_in_their_own_coordinates(tmp_path: Path) -> None:
    sources = [SourceImage("1.2.840.10008.5.1.4.1.1.4", f"1.2.3.{k}", "1.9") for k in range(SHAPE[2])]
    write_maps(tmp_path / "out", stack(sources=sources), [ndi()])
    image = pydicom.dcmread(tmp_path / "out/ndi/0003.dcm")
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.2"
    assert image.FrameOfReferenceUID == "1.9"


def test_identifiers_of_a_stream_that_are_none_are_not_used() -> None:
    assert read_source({}).sop_instance == ""
    with pytest.raises(InputError, match="DicomJson"):
        read_source({"DicomJson": ["no base64"]})


def test_a_second_run_replaces_all_of_the_first(tmp_path: Path) -> None:
    write_maps(tmp_path / "out", stack(), maps())
    write_maps(tmp_path / "out", stack(key="second"), [ndi()])
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["ndi"]
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        write_maps(tmp_path / "file/out", stack(), [ndi()])


@needs_dciodvfy
def test_parametric_map_holds_the_floating_point_values(tmp_path: Path, template: Path) -> None:
    pytest.importorskip("highdicom", reason="Parametric Maps need the extra parametric-map")
    write_maps(tmp_path / "out", stack(template=template), maps(), parametric_maps=True)
    for volume in maps():
        file = tmp_path / "out" / volume.label / "float.dcm"
        assert errors(file) == []
        found = pydicom.dcmread(file)
        images = [pydicom.dcmread(each) for each in sorted(file.parent.glob("0*.dcm"))]
        places = [image.ImagePositionPatient for image in images]
        groups = found.PerFrameFunctionalGroupsSequence
        frames = [places.index(each.PlanePositionSequence[0].ImagePositionPatient) for each in groups]
        assert sorted(frames) == list(range(SHAPE[2]))
        np.testing.assert_array_equal(found.pixel_array, volume.values[frames].astype(np.float32))
        assert (found.PatientID, found.StudyInstanceUID) == ("4711", "1.2.3.4")
