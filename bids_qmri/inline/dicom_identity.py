"""Whose maps these are: patient and study from a template, or names that stand for nobody; identifiers."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TypeAlias

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from bids_qmri.errors import InputError

Identity: TypeAlias = Dataset
"""Elements that say whose images these are."""

_NAMESPACE = uuid.UUID("8f6b8f0e-5a0f-5d0b-9d0e-7b1b1f4d0c6a")

OF_THE_PATIENT = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
)
OF_THE_STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""All that is ever taken from a template."""

REQUIRED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
REQUIRED_OF_STUDY = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")
"""Must be there, may be empty."""


def identifier(*parts: object) -> UID:
    """Return the identifier of what the parts name: the same for the same parts, else another one.

    It is a name-based UUID below the root 2.25, as PS3.5 section B.2 describes.
    """
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(str(part) for part in parts)).int}")


def identity(template: Path | None, patient: str, study: UID) -> Identity:
    """Return the elements that say whose images these are.

    Parameters
    ----------
    template
        A DICOM file of the patient and study; None names nobody.
    patient
        Name and ID of the patient without a template.
    study
        Identifier of the study without a template.

    Raises
    ------
    InputError
        If the template cannot be read, or names no study.
    """
    found = Dataset()
    for name in (*REQUIRED, *REQUIRED_OF_STUDY):
        setattr(found, name, "")
    if template is None:
        # The caret marks a name of one part.
        found.PatientName, found.PatientID, found.StudyInstanceUID = f"{patient}^", patient, study
        return found
    given = _read(template)
    for name in (*OF_THE_PATIENT, *OF_THE_STUDY):
        value = given.get(name)
        if value is not None:
            # Text, decoded: the character set of the template is not that of what is written.
            setattr(found, name, value if isinstance(value, float | int) else str(value))
    return found


def _read(template: Path) -> Dataset:
    try:
        given = dcmread(template, specific_tags=["SpecificCharacterSet", *OF_THE_PATIENT, *OF_THE_STUDY])
    except (OSError, InvalidDicomError, ValueError, EOFError) as error:
        raise InputError(
            f"cannot be read ({error})", file=template, needed="a DICOM file of the patient and study"
        ) from error
    if not given.get("StudyInstanceUID"):
        raise InputError(
            "has no StudyInstanceUID", file=template, needed="a DICOM file of the patient and study"
        )
    return given
