"""How one image was encoded: its b-value and direction, its flip angle and TR, or its time.

MRD has no standard attribute for any of these. Looked at, in this order: attributes of the image under the
names of the configuration, then under the usual ones, Siemens' ``IceMiniHead``, ``DicomJson``, XML header.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np

from bids_qmri import catalogue
from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.inline.dicom_json import numbers_of, read_dicom_json
from bids_qmri.inline.header import StreamHeader
from bids_qmri.inline.meta import Meta, plain
from bids_qmri.inline.wire import Header
from bids_qmri.physics.protocol import Protocol, StreamField

Vector = tuple[float, ...]

Encoding = tuple[float, ...]
"""What an image says, as `Protocol.stream` orders it; directions along the image axes, NaN if not known."""

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
    protocol
        Class of the protocol that the encodings make.
    header
        The XML header.
    names
        Names of attributes by quantity, that come before the usual ones.
    """

    protocol: type[Protocol]
    header: StreamHeader
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, head: Header, meta: Meta) -> Encoding:
        """Return the encoding of an image.

        Raises
        ------
        InputError
            If it is nowhere, or what is there cannot be right.
        """
        return self._read(self.protocol.stream, head, meta)

    def read_once(self, head: Header, meta: Meta) -> Encoding:
        """Return what holds for all images of a series, from one of them; raises as `read` does."""
        return self._read(self.protocol.stream_once, head, meta)

    def _read(self, fields: tuple[StreamField, ...], head: Header, meta: Meta) -> Encoding:
        known = _Known(meta, self.names)
        found: list[float] = []
        for item in fields:
            found += self._readers[item.kind](self, item, head, meta, known)
        return tuple(found)

    def _number(self, item: StreamField, head: Header, meta: Meta, known: _Known) -> list[float]:
        numbers = known.numbers(item) or self._listed(head, self.header.lists.get(item.header, ()))
        if not numbers:
            raise _missing(item)
        return [numbers[0] * item.scale]

    def _bvalue(self, item: StreamField, head: Header, meta: Meta, known: _Known) -> list[float]:
        b = known.numbers(item)
        if not b and self.header.diffusion:
            b = [self._listed_diffusion(head)[0]]
        if not b:
            raise _missing(item)
        if not 0 <= b[0] < LARGEST_B:
            raise InputError(f"b-value of an image is {b[0]:g}", needed="s/mm^2, 0 or above, below 1e5")
        return b[:1]

    def _direction(self, item: StreamField, head: Header, meta: Meta, known: _Known) -> list[float]:
        direction = known.numbers(item)
        if not direction and self.header.diffusion and self._is_listed(known):
            direction = list(self._listed_diffusion(head)[1] or ())
        if len(direction) != 3 or not any(direction):
            return [np.nan] * 3
        along = [sum(a * g for a, g in zip(axis, direction, strict=True)) for axis in _axes_of(head, meta)]
        length = math.hypot(*along)
        if not abs(length - 1) <= UNIT_TOLERANCE:
            raise InputError(
                f"gradient direction of an image is {direction}, of length {length:.3g}",
                needed="unit vectors in patient axes",
            )
        return [x / length for x in along]

    def _is_listed(self, known: _Known) -> bool:
        """Tell whether the header's list, not the image, says what the b-value is."""
        return not any(known.numbers(item) for item in self.protocol.stream if item.kind == "bvalue")

    def _time(self, item: StreamField, head: Header, meta: Meta, known: _Known) -> list[float]:
        seconds = known.attribute(item)
        if not seconds and head["acquisition_time_stamp"]:
            seconds = [float(head["acquisition_time_stamp"]) * TICK]
        seconds = seconds or known.dicom(item)
        if not seconds:
            raise _missing(item)
        return seconds[:1]

    _readers: ClassVar[Mapping[str, Callable[..., list[float]]]] = {
        "number": _number,
        "bvalue": _bvalue,
        "direction": _direction,
        "time": _time,
    }

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
                fix="send flip angle and repetition time as attributes of the images",
            )
        index = int(head[used[0]]) if used else 0
        return [values[index]] if index < count else []


def without_encoding(meta: Meta) -> Meta:
    """Return attributes without those that say how one image was encoded, which a map is not."""
    spelled = {_plain(name) for item in stream_fields() for name in item.spellings}
    return {name: values for name, values in meta.items() if _plain(name) not in spelled}


def stream_fields() -> tuple[StreamField, ...]:
    """Return what images of any technique may say."""
    protocols = dict.fromkeys(get_model(name).protocol for name in catalogue.model_names())
    return tuple(dict.fromkeys(item for p in protocols for item in (*p.stream, *p.stream_once)))


@dataclass
class _Known:
    """Looks for numbers among the attributes of one image."""

    meta: Meta
    names: Mapping[str, tuple[str, ...]]

    def numbers(self, item: StreamField) -> list[float]:
        return self.attribute(item) or self.mini_head(item) or self.dicom(item)

    def attribute(self, item: StreamField) -> list[float]:
        return _first(self._wanted(item), {_plain(name): " ".join(v) for name, v in self.meta.items()})

    def mini_head(self, item: StreamField) -> list[float]:
        return _first(self._wanted(item), self._mini_head)

    def dicom(self, item: StreamField) -> list[float]:
        return numbers_of(self._dicom, item.quantity)

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

    def _wanted(self, item: StreamField) -> list[str]:
        return [_plain(name) for name in (*self.names.get(item.quantity, ()), *item.spellings)]


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


def _missing(item: StreamField) -> InputError:
    names = ", ".join(item.spellings)
    otherwise = f", or {item.otherwise}" if item.otherwise else ""
    return InputError(
        f"an image has no {item.what}",
        needed=f"an image attribute {names}, DicomJson{otherwise}",
        fix=f'name the attribute in the configuration: "attributes": {{"{item.quantity}": "NAME"}}',
    )
