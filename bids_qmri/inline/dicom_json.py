"""What the DICOM header says that some hosts put into the attribute ``DicomJson``, as base64 of JSON."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from bids_qmri.errors import InputError

TAGS = {
    # The standard's, then Siemens', GE's and Philips' own.
    "bvalue": ("00189087", "0019100C", "00431039", "20011003"),
    "direction": ("00189089", "0019100E"),
    "flip_angle": ("00181314",),
    "repetition_time": ("00180080",),
    "echo_time": ("00180081",),
    "inversion_time": ("00180082",),
    "time": ("00080032",),
}
"""Tags by quantity: s/mm^2, unit vector in patient axes, degrees, ms, ms, ms, time of day."""

GE_OFFSET = 1e9
"""Added by GE to b-values of some series."""


def read_dicom_json(text: str) -> dict[str, Any]:
    """Decode the header.

    Raises
    ------
    InputError
        If it is not base64 of a JSON object.
    """
    try:
        header = json.loads(base64.b64decode(text, validate=False))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"cannot be read ({error})", field="DicomJson", needed="base64 of the DICOM header as JSON"
        ) from error
    return header if isinstance(header, dict) else {}


def numbers_of(header: Mapping[str, Any], quantity: str) -> list[float]:
    """Return the values of a quantity of `TAGS`, wherever they are nested; empty if there are none."""
    for tag in TAGS.get(quantity, ()):
        for element in _find(header, tag, depth=4):
            values = _values(element)
            if quantity == "time" and values:
                return [_seconds(values[0])]
            if quantity == "bvalue" and values:
                return [values[0] % GE_OFFSET]
            if values:
                return values
    return []


def _find(header: Mapping[str, Any], tag: str, depth: int) -> Iterator[Mapping[str, Any]]:
    if isinstance(header.get(tag), dict):
        yield header[tag]
    for element in header.values() if depth else ():
        if isinstance(element, dict) and element.get("vr") == "SQ":
            for item in element.get("Value") or ():
                if isinstance(item, dict):
                    yield from _find(item, tag, depth - 1)


def _values(element: Mapping[str, Any]) -> list[float]:
    """Return the numbers of an element; private ones may come as bytes, text or doubles."""
    values = element.get("Value")
    if isinstance(element.get("InlineBinary"), str):
        content = _bytes(element["InlineBinary"])
        try:
            return [float(value) for value in content.decode("ascii").strip("\0 ").split("\\")]
        except ValueError:
            count = len(content) // 8
            return list(struct.unpack(f"<{count}d", content[: 8 * count]))
    try:
        return [float(value) for value in values] if isinstance(values, list) else []
    except (TypeError, ValueError, OverflowError):
        return []


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _seconds(time_of_day: float) -> float:
    """Return seconds after midnight of the number HHMMSS.ffffff."""
    hours, rest = divmod(time_of_day, 10000.0)
    minutes, seconds = divmod(rest, 100.0)
    return 3600.0 * hours + 60.0 * minutes + seconds
