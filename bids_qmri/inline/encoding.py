"""How one image was encoded: its b-value and direction, its flip angle and TR, or its time.

MRD has no standard attribute for any of these. Looked at, in this order: attributes of the image under the
names of the configuration, then under the usual ones, Siemens' ``IceMiniHead``, ``DicomJson``, XML header.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.inline.dicom_json import numbers_of, read_dicom_json
from bids_qmri.inline.header import StreamHeader
from bids_qmri.inline.meta import Meta, plain
from bids_qmri.inline.wire import Header

Vector = tuple[float, ...]

Family = Literal["dwi", "vfa", "dce"]

Encoding = tuple[float, ...]
"""dwi: b in s/mm^2 and three components of the direction along the image axes (NaN if not known); vfa: flip
angle in degrees and TR in s; dce: time in s."""

SPELLINGS = {
    "bvalue": ("DiffusionBValue", "BValue", "b_value", "bval", "DiffusionBVal", "b"),
    "direction": (
        "DiffusionGradientDirection",
        "DiffusionGradientOrientation",
        "DiffusionDirection",
        "GradientDirection",
        "bvec",
    ),
    "flip_angle": ("FlipAngle", "FlipAngle_deg", "fa"),
    "repetition_time": ("RepetitionTime", "TR"),
    "time": ("FrameTime",),
}
"""Usual names by quantity; capitals, underscores, dots and a leading ``DICOM`` do not matter."""

EXCITATION_COUNTERS = ("set", "contrast", "repetition")
"""Counters by which hosts tell flip angles apart."""

TICK = 0.0025
"""s; unit of time stamps in image headers."""
LARGEST_B = 1e5
"""s/mm^2; larger numbers can only be s/m^2."""
UNIT_TOLERANCE = 0.05

_MINI_HEAD = re.compile(r'<Param(?:Long|Double|String)\."([^"]+)">\s*\{([^{}]*)\}')
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.])")


@dataclass(frozen=True)
class Reader:
    """Reads the encodings of one series.

    Parameters
    ----------
    family
        What kind of series.
    header
        The XML header.
    names
        Names of attributes, by the keys of `SPELLINGS`, that come before the usual ones.
    """

    family: Family
    header: StreamHeader
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, head: Header, meta: Meta) -> Encoding:
        """Return the encoding of an image.

        Raises
        ------
        InputError
            If it is nowhere, or what is there cannot be right.
        """
        known = _Known(meta, self.names)
        if self.family == "dwi":
            return self._diffusion(head, meta, known)
        if self.family == "vfa":
            return self.excitation(head, meta)
        return (self._time(head, known),)

    def _diffusion(self, head: Header, meta: Meta, known: _Known) -> Encoding:
        b, direction = known.numbers("bvalue"), known.numbers("direction")
        if not b and self.header.diffusion:
            listed = self._listed_diffusion(head)
            b, direction = [listed[0]], direction or list(listed[1] or ())
        if not b:
            raise _missing("b-value", "bvalue", "a diffusion list in the XML header")
        if not 0 <= b[0] < LARGEST_B:
            raise InputError(f"b-value of an image is {b[0]:g}", needed="s/mm^2, 0 or above, below 1e5")
        if len(direction) != 3 or not any(direction):
            return (b[0], np.nan, np.nan, np.nan)
        along = [sum(a * g for a, g in zip(axis, direction, strict=True)) for axis in _axes_of(head, meta)]
        length = math.hypot(*along)
        if not abs(length - 1) <= UNIT_TOLERANCE:
            raise InputError(
                f"gradient direction of an image is {direction}, of length {length:.3g}",
                needed="unit vectors in patient axes",
            )
        return (b[0], *(x / length for x in along))

    def _listed_diffusion(self, head: Header) -> tuple[float, tuple[float, float, float] | None]:
        """Look the encoding up in the XML header's list, by its counter."""
        counter, listed = self.header.diffusion_counter, self.header.diffusion
        user = re.fullmatch(r"user_([0-7])", counter)
        if user is not None:
            index = int(head["user_int"][int(user[1])])
        elif counter in (head.dtype.names or ()):
            index = int(head[counter])
        else:
            raise InputError(
                f"is {counter!r}", field="diffusionDimension", needed="a counter of image headers"
            )
        if not 0 <= index < len(listed):
            raise InputError(
                f"{counter} of an image is {index}, but the XML header lists {len(listed)} encodings",
                field="diffusion",
                needed="one entry per encoding",
            )
        return listed[index]

    def excitation(self, head: Header, meta: Meta) -> tuple[float, float]:
        """Return flip angle in degrees and repetition time in s of an image.

        Raises
        ------
        InputError
            If they are nowhere, or the XML header lists several and nothing says which.
        """
        known = _Known(meta, self.names)
        angle = known.numbers("flip_angle") or self._listed(head, self.header.flip_angles)
        tr = known.numbers("repetition_time") or self._listed(head, self.header.repetition_times)
        if not angle:
            raise _missing("flip angle", "flip_angle", "flipAngle_deg in the XML header")
        if not tr:
            raise _missing("repetition time", "repetition_time", "TR in the XML header")
        return (angle[0], tr[0] / 1000.0)

    def _listed(self, head: Header, values: tuple[float, ...]) -> list[float]:
        """Look a value up in a list of the XML header, by the one counter that takes as many values."""
        count = len(values)
        if len(set(values)) < 2:
            return list(values[:1])
        able = [c for c in EXCITATION_COUNTERS if self.header.counts.get(c, count) == count]
        used = [c for c in able if head[c]]
        if len(used) > 1:
            raise InputError(
                f"the XML header lists {count} values, and {' and '.join(used)} of an image are not 0",
                field="encodingLimits",
                needed=f"one counter of {count} values",
                way_out="send flip angle and repetition time as attributes of the images",
            )
        index = int(head[used[0]]) if used else 0
        return [values[index]] if index < count else []

    def _time(self, head: Header, known: _Known) -> float:
        seconds = known.attribute("time")
        if seconds:
            return seconds[0]
        if head["acquisition_time_stamp"]:
            return float(head["acquisition_time_stamp"]) * TICK
        seconds = known.dicom("time")
        if not seconds:
            raise _missing("time", "time", "acquisition_time_stamp in the image header")
        return seconds[0]


def without_encoding(meta: Meta) -> Meta:
    """Return attributes without those that say how one image was encoded, which a map is not."""
    spelled = {_plain(name) for names in SPELLINGS.values() for name in names}
    return {name: values for name, values in meta.items() if _plain(name) not in spelled}


@dataclass
class _Known:
    """Looks for numbers among the attributes of one image."""

    meta: Meta
    names: Mapping[str, tuple[str, ...]]

    def numbers(self, quantity: str) -> list[float]:
        return self.attribute(quantity) or self.mini_head(quantity) or self.dicom(quantity)

    def attribute(self, quantity: str) -> list[float]:
        return _first(self._wanted(quantity), {_plain(name): " ".join(v) for name, v in self.meta.items()})

    def mini_head(self, quantity: str) -> list[float]:
        return _first(self._wanted(quantity), self._mini_head)

    def dicom(self, quantity: str) -> list[float]:
        return numbers_of(self._dicom, quantity)

    @cached_property
    def _mini_head(self) -> dict[str, str]:
        """Values of Siemens' header of the image, which comes as base64 of text."""
        try:
            content = base64.b64decode("".join(self.meta.get("IceMiniHead", ())[:1]))
        except ValueError:
            return {}
        found = _MINI_HEAD.findall(content.decode("utf-8", errors="replace"))
        return {_plain(name): value for name, value in found}

    @cached_property
    def _dicom(self) -> dict[str, Any]:
        return read_dicom_json(self.meta["DicomJson"][0]) if self.meta.get("DicomJson") else {}

    def _wanted(self, quantity: str) -> list[str]:
        return [_plain(name) for name in (*self.names.get(quantity, ()), *SPELLINGS[quantity])]


def _plain(name: str) -> str:
    return plain(name).removeprefix("dicom")


def _first(wanted: list[str], there: Mapping[str, str]) -> list[float]:
    """Return the numbers under the first of the wanted names that holds any."""
    for name in wanted:
        if name in there:
            found = [float(text) for text in _NUMBER.findall(there[name])]
            if found:
                return found
    return []


def _axes_of(head: Header, meta: Meta) -> tuple[Vector, Vector, Vector]:
    """Return the axes of an image: as its attributes say, else its header."""
    row, column = (
        tuple(_first([name], {name: " ".join(meta.get(name, ()))})) or tuple(head[own].tolist())
        for name, own in (("ImageRowDir", "read_dir"), ("ImageColumnDir", "phase_dir"))
    )
    return image_axes(row, column)


@lru_cache(maxsize=64)
def image_axes(row: Vector, column: Vector) -> tuple[Vector, Vector, Vector]:
    """Return the directions that components of a vector along an image are measured along, in patient axes.

    The axes are those of the files that dcm2niix writes, so that directions equal those of a ``.bvec`` file:
    along the rows, against the columns, along the normal. Without orientation, vectors stay as they are.
    """
    normal = np.cross(row, column) if len(row) == len(column) == 3 else np.zeros(3)
    if not np.all(np.isfinite(normal)) or not np.any(normal):
        return (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    return row, tuple(-x for x in column), tuple(normal.tolist())


def _missing(what: str, quantity: str, otherwise: str) -> InputError:
    names = ", ".join(SPELLINGS[quantity])
    return InputError(
        f"an image has no {what}",
        needed=f"an image attribute {names}, DicomJson, or {otherwise}",
        way_out=f'name the attribute in the configuration: "attributes": {{"{quantity}": "NAME"}}',
    )
