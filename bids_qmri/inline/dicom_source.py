"""What is known of the DICOM image that an MRD image was made from: its identifiers and its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_qmri.inline.dicom_json import read_dicom_json
from bids_qmri.inline.meta import Meta
from bids_qmri.units import FloatArray

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
LONGEST_UID = 64


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A DICOM image of the source series; what is not known is empty or None.

    Parameters
    ----------
    sop_class, sop_instance
        Identifiers of its kind and of itself.
    frame_of_reference
        Identifier of the coordinates of its series.
    patient_id
        Whose image it is, to compare with a template; never written.
    position
        Centre of its first pixel, mm, LPS.
    """

    sop_class: str = ""
    sop_instance: str = ""
    frame_of_reference: str = ""
    patient_id: str = ""
    position: FloatArray | None = None


def read_source(meta: Meta) -> SourceImage:
    """Read what the attributes of an MRD image say of the DICOM image behind it.

    Raises
    ------
    InputError
        If there is a ``DicomJson`` that cannot be read.
    """
    text = meta.get("DicomJson")
    if not text:
        return SourceImage()
    header = read_dicom_json(text[0])
    place = _values(header, "00200032")
    position = np.array(place, dtype=np.float64) if _are_numbers(place, 3) else None
    return SourceImage(
        sop_class=_uid(header, "00080016"),
        sop_instance=_uid(header, "00080018"),
        frame_of_reference=_uid(header, "00200052"),
        patient_id=next((str(value) for value in _values(header, "00100020")), ""),
        position=position,
    )


def _values(header: Mapping[str, Any], tag: str) -> list[Any]:
    element = header.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _uid(header: Mapping[str, Any], tag: str) -> str:
    text = next((str(value) for value in _values(header, tag)), "")
    return text if len(text) <= LONGEST_UID and _UID.fullmatch(text) else ""


def _are_numbers(values: list[Any], count: int) -> bool:
    return len(values) == count and all(isinstance(v, int | float) and np.isfinite(v) for v in values)
