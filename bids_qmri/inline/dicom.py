"""Maps as series of MR images, one file per plane, that any archive and viewer of DICOM takes.

Values are whole numbers of 12 bits with their slope, intercept, unit and meaning. Imported only where DICOM
is asked for: pydicom is an optional package.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from bids_qmri import __version__
from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.inline.dicom_geometry import Plane, distance_between
from bids_qmri.inline.dicom_identity import Identity, identifier
from bids_qmri.inline.dicom_source import SourceImage
from bids_qmri.inline.dicom_values import (
    LARGEST,
    MapVolume,
    StoredValues,
    quantity_code,
    stored_values,
    unit_code,
)

MAKER = "bids_qmri"
DECIMALS = 10
"""Significant digits of decimal strings; they must not be longer than 16 characters."""

IMAGE_TYPES = {"t1": "T1 MAP", "m0": "DENSITY MAP"}


@dataclass(frozen=True, eq=False)
class Stack:
    """What the maps of one acquisition have in common.

    Parameters
    ----------
    identity
        Patient and study, as of `dicom_identity.identity`.
    key
        What tells this acquisition from all others; its identifiers are made from it.
    model, estimator
        What the maps were made with.
    planes
        Where they lie.
    sources
        The source image of each plane, as far as known; empty if nothing is known.
    first_number
        Series number of the first map.
    frame
        What tells the coordinates of the planes from all others; empty takes `key`.
    """

    identity: Identity
    key: str
    model: str
    estimator: str
    planes: Sequence[Plane]
    sources: Sequence[SourceImage] = ()
    first_number: int = 1
    frame: str = ""


def write_maps(
    folder: Path, stack: Stack, volumes: Sequence[MapVolume], *, parametric_maps: bool = False
) -> None:
    """Write every map as a series, ``folder/NAME/0001.dcm`` and on.

    What was in the folder is replaced when all is written, not before.

    Parameters
    ----------
    folder
        Belongs to this acquisition, model and estimator alone.
    stack
        What the maps have in common.
    volumes
        The maps.
    parametric_maps
        Write ``folder/NAME/float.dcm``, too: the same map in floating point, all planes in one file.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as scratch:
            fresh = Path(scratch) / folder.name
            for place, volume in enumerate(volumes):
                images = series(stack, volume, stack.first_number + place)
                _write(fresh / volume.label, images)
                if parametric_maps:
                    _write_float(fresh / volume.label, stack, volume, images)
            if folder.exists():
                shutil.rmtree(folder)
            fresh.rename(folder)
    except OSError as error:
        raise InputError(
            f"DICOM files cannot be written ({error})", file=folder, needed="a folder with room"
        ) from error


def series(stack: Stack, volume: MapVolume, number: int) -> list[Dataset]:
    """Return the images of one map.

    Parameters
    ----------
    stack
        Where they lie and whose they are.
    volume
        The map.
    number
        Series number.
    """
    stored = stored_values(volume)
    common = _common(stack, volume, stored, number)
    images = []
    for k, plane in enumerate(stack.planes):
        image = deepcopy(common)
        _place(image, plane, k)
        if stack.sources and stack.sources[k].sop_instance:
            image.SourceImageSequence = Items([_reference(stack.sources[k])])
        image.SOPInstanceUID = identifier(stack.key, volume.label, k)
        image.PixelData = stored.numbers[k].astype("<u2").tobytes()
        image.SmallestImagePixelValue = int(stored.numbers[k].min())
        image.LargestImagePixelValue = int(stored.numbers[k].max())
        image.file_meta = _file_meta(image)
        images.append(image)
    return images


def _write(folder: Path, images: Sequence[Dataset]) -> None:
    folder.mkdir(parents=True)
    for k, image in enumerate(images):
        image.save_as(folder / f"{k + 1:04d}.dcm", enforce_file_format=True)


def _write_float(folder: Path, stack: Stack, volume: MapVolume, images: Sequence[Dataset]) -> None:
    # Here: highdicom is another optional package.
    from bids_qmri.inline.dicom_float import parametric_map

    name = f"{volume.label} float"
    found = parametric_map(volume, images, identifier(stack.key, name), identifier(stack.key, name, 0))
    found.save_as(folder / "float.dcm", enforce_file_format=True)


def _common(stack: Stack, volume: MapVolume, stored: StoredValues, number: int) -> Dataset:
    """Return what all images of one series share."""
    image, now = deepcopy(stack.identity), datetime.now()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID = MRImageStorage
    image.ImageType = ["DERIVED", "PRIMARY", _kind(stack, volume), _code_string(volume.label)]
    image.InstanceCreationDate = image.SeriesDate = image.ContentDate = f"{now:%Y%m%d}"
    image.InstanceCreationTime = image.SeriesTime = image.ContentTime = f"{now:%H%M%S}"
    image.Modality = "MR"
    image.Manufacturer = image.ManufacturerModelName = MAKER
    image.SoftwareVersions = __version__
    image.SeriesInstanceUID = identifier(stack.key, volume.label)
    image.SeriesNumber = number
    image.SeriesDescription = series_description(stack, volume)
    image.FrameOfReferenceUID = _frame_of_reference(stack)
    image.PositionReferenceIndicator = image.Laterality = ""
    # The scan is the source's; a derived image has none of its own, and says so where a value is a must.
    image.ScanningSequence, image.SequenceVariant = "RM", "NONE"
    image.ScanOptions = image.MRAcquisitionType = image.EchoTime = image.RepetitionTime = ""
    image.EchoTrainLength = image.PatientPosition = None
    if (distance := distance_between(stack.planes)) is not None:
        image.SpacingBetweenSlices = _decimal(distance)
    _describe(image, stack, volume, stored)
    _format_pixels(image, stored)
    _scale(image, volume, stored)
    return image


def _describe(image: Dataset, stack: Stack, volume: MapVolume, stored: StoredValues) -> None:
    made_by = f"{MAKER} {__version__}, model {stack.model}, estimator {stack.estimator}"
    image.DerivationDescription = f"{_what(volume)} in {unit_code(volume.unit)[0]}; {made_by}"
    image.ImageComments = (
        f"{_what(volume)}: {volume.description} Values = {stored.slope:.{DECIMALS}g} x stored numbers + "
        f"{stored.intercept:.{DECIMALS}g}, {unit_code(volume.unit)[1]}. {made_by}."
    )
    image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"


def _format_pixels(image: Dataset, stored: StoredValues) -> None:
    _, image.Rows, image.Columns = stored.numbers.shape
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0


def _scale(image: Dataset, volume: MapVolume, stored: StoredValues) -> None:
    """Say what the numbers mean, in the words of old readers and of new ones."""
    largest = float(np.max(stored.numbers)) * stored.slope + stored.intercept
    low, high = volume.window or (min(stored.intercept, 0.0), max(largest, stored.slope))
    image.WindowCenter, image.WindowWidth = _decimal((low + high) / 2), _decimal(high - low)
    # The usual function takes 1 off the width, which may be all there is of a fraction.
    image.VOILUTFunction = "LINEAR_EXACT"
    image.RescaleSlope, image.RescaleIntercept = _decimal(stored.slope), _decimal(stored.intercept)
    image.RescaleType = "US"
    mapping = Dataset()
    mapping.add_new("RealWorldValueFirstValueMapped", "US", 0)
    mapping.add_new("RealWorldValueLastValueMapped", "US", LARGEST)
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = stored.slope, stored.intercept
    mapping.LUTExplanation = _what(volume)[:64]
    mapping.LUTLabel = _code_string(volume.label)
    code, meaning = unit_code(volume.unit)
    mapping.MeasurementUnitsCodeSequence = Items([_code(code, "UCUM", meaning)])
    mapping.QuantityDefinitionSequence = Items(quantity_items(volume))
    image.RealWorldValueMappingSequence = Items([mapping])


def quantity_items(volume: MapVolume) -> list[Dataset]:
    """Return the content items that define the quantity of a map."""
    items = [_item(("246205007", "SCT", "Quantity"), quantity_code(volume))]
    if volume.deviation:
        items.append(_item(("121401", "DCM", "Derivation"), ("386136009", "SCT", "Standard Deviation")))
    return items


def series_description(stack: Stack, volume: MapVolume) -> str:
    """Return what viewers list a series as."""
    return f"{_what(volume)} ({stack.model} {stack.estimator})"[:64]


def _place(image: Dataset, plane: Plane, k: int) -> None:
    image.InstanceNumber = k + 1
    image.ImagePositionPatient = [_decimal(x) for x in plane.position]
    image.ImageOrientationPatient = [_decimal(x) for x in (*plane.along_row, *plane.along_column)]
    image.PixelSpacing = [_decimal(plane.row_spacing), _decimal(plane.column_spacing)]
    image.SliceThickness = _decimal(plane.thickness)
    image.SliceLocation = _decimal(float(plane.position @ plane.normal))


def _reference(source: SourceImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class or MRImageStorage
    item.ReferencedSOPInstanceUID = source.sop_instance
    purpose = _code("121322", "DCM", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = Items([purpose])
    return item


def _frame_of_reference(stack: Stack) -> UID:
    """Return the coordinates of the sources if all share them, else coordinates of this acquisition."""
    known = {source.frame_of_reference for source in stack.sources}
    return (
        UID(known.pop())
        if len(known) == 1 and "" not in known
        else identifier(stack.frame or stack.key, "frame")
    )


def _file_meta(image: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return meta


def _kind(stack: Stack, volume: MapVolume) -> str:
    return IMAGE_TYPES.get(volume.name, get_model(stack.model).protocol.dicom_type)


def _what(volume: MapVolume) -> str:
    return f"{volume.symbol} standard deviation" if volume.deviation else volume.symbol


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _item(concept: tuple[str, str, str], value: tuple[str, str, str]) -> Dataset:
    item = Dataset()
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence, item.ConceptCodeSequence = Items([_code(*concept)]), Items([_code(*value)])
    return item


def _code_string(label: str) -> str:
    """Return a label in the letters that code strings may have."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in label.upper())[:16]


def _decimal(number: float) -> str:
    # Tiny remainders of rounding would need an exponent, and make the text too long.
    return f"{0.0 if abs(number) < 1e-12 else number:.{DECIMALS}g}"
