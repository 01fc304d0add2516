"""One series of a stream: its images by slice and encoding, in whatever order they come.

A slice is what the slice counter of the image header says, whether its images have one plane or several. The
encodings of a slice are told apart, and put in order, by the other counters, the image index and the time
stamp, so that the order of arrival does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.inline.encoding import Encoding, Reader
from bids_qmri.inline.header import COUNTERS
from bids_qmri.inline.meta import Meta, parse_meta
from bids_qmri.inline.wire import Image, Pixels
from bids_qmri.physics.protocol import StreamField
from bids_qmri.units import FloatArray

Key = tuple[int, ...]

SAME_B = 0.01
"""Share (and s/mm^2 times 100) by which b-values of one encoding may differ between slices."""
SAME_DIRECTION = 0.99
"""Least cosine between directions of one encoding in two slices."""


@dataclass
class Slot:
    """The images of one slice.

    Parameters
    ----------
    keys, encodings, pixels
        Of each image, in the order of arrival.
    reference
        The first image by order of keys, whose geometry and names the maps take.
    lowest
        Its key.
    """

    reference: Image
    lowest: Key | None = None
    keys: list[Key] = field(default_factory=list)
    encodings: list[Encoding] = field(default_factory=list)
    pixels: list[Pixels] = field(default_factory=list)

    def order(self) -> list[int]:
        """Return the images by order of their keys; among equal ones, encodings and arrival decide."""
        return sorted(range(len(self.keys)), key=lambda i: (self.keys[i], self.encodings[i], i))

    def signal(self, voxels: npt.NDArray[Any]) -> FloatArray:
        """Return the signals of some voxels (mask or indices), (v, N), the encodings in order."""
        return np.stack([self.pixels[i][voxels] for i in self.order()], axis=1).astype(np.float64)

    def table(self) -> FloatArray:
        """Return the encodings in order, (N, K)."""
        return np.array([self.encodings[i] for i in self.order()])


@dataclass
class Series:
    """All images of one series.

    Parameters
    ----------
    reader
        Knows how encodings are spelled.
    joined
        True if images of several series indices belong together, such as flip angles.
    """

    reader: Reader
    joined: bool = False
    slots: dict[int, Slot] = field(default_factory=dict)
    n_images: int = 0
    n_bytes: int = 0

    def add(self, image: Image) -> Slot:
        """Take an image; return its slice.

        Raises
        ------
        InputError
            If its encoding is not known, or it does not fit the images before it.
        """
        head = image.header
        if int(head["channels"]) != 1 or image.pixels.dtype.kind == "c" or image.pixels.size == 0:
            raise InputError(
                f"an image of {int(head['channels'])} channels, type {image.pixels.dtype.name}, "
                f"{image.pixels.size} pixels",
                needed="magnitudes of one channel",
            )
        encoding = self.reader.read(head, parse_meta(image.attributes))
        key = self._key(image)
        number = int(head["slice"])
        first = next(iter(self.slots.values()), None)
        if first is not None:
            _require_same_grid(first.reference, image)
        slot = self.slots.setdefault(number, Slot(image))
        _require_same_place(slot.reference, image)
        if slot.lowest is None or key < slot.lowest:
            slot.reference, slot.lowest = image, key
        slot.keys.append(key)
        slot.encodings.append(encoding)
        # Eight bytes per pixel say no more than four, and there are many.
        slot.pixels.append(image.pixels.astype(np.float32) if image.pixels.itemsize > 4 else image.pixels)
        self.n_images += 1
        self.n_bytes += slot.pixels[-1].nbytes
        return slot

    def _key(self, image: Image) -> Key:
        head = image.header
        counters = [int(head[name]) for name in COUNTERS]
        series = [int(head["image_series_index"])] if self.joined else []
        return (*series, *counters, int(head["image_index"]), int(head["acquisition_time_stamp"]))

    @property
    def ordered(self) -> list[Slot]:
        """The slices by number."""
        return [self.slots[number] for number in sorted(self.slots)]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (z, y, x) of one slice."""
        size = next(iter(self.slots.values())).reference.header["matrix_size"]
        return int(size[2]), int(size[1]), int(size[0])

    @property
    def n_measurements(self) -> int:
        """Images of the first slice."""
        return len(self.ordered[0].keys)

    @property
    def meta(self) -> Meta:
        """Attributes of the first image of the first slice."""
        return parse_meta(self.ordered[0].reference.attributes)

    def require_complete(self) -> None:
        """Compare the slices with each other and with the counts of the XML header.

        Raises
        ------
        InputError
            If images are missing, or slices differ in their encodings.
        """
        slots = self.slots
        wanted = max(len(slot.keys) for slot in slots.values())
        short = {number: len(slot.keys) for number, slot in sorted(slots.items()) if len(slot.keys) < wanted}
        if short:
            number, count = next(iter(short.items()))
            raise InputError(
                f"incomplete series: {len(short)} of {len(slots)} slices lack images, slice {number} has "
                f"{count} of {wanted}",
                needed="all images of all slices",
                fix="send the whole series again",
            )
        announced = self.reader.header.counts.get("slice", 0)
        if announced > 1 and len(slots) < announced:
            raise InputError(
                f"incomplete series: {len(slots)} of {announced} slices came",
                field="encodingLimits",
                needed="all slices",
                fix="send the whole series again",
            )
        if not self.reader.protocol.stream_timed:
            first = self.ordered[0].table()
            for number, slot in slots.items():
                if not same_encodings(self.reader.protocol.stream, first, slot.table()):
                    raise InputError(
                        f"slice {number} has other encodings than slice {min(slots)}, or another order",
                        needed="the same encodings, told apart by the same counters, in all slices",
                    )

    def frame_times(self) -> FloatArray:
        """Return when the frames of a dynamic series began, in s after the first, (N,)."""
        times = np.min([slot.table()[:, 0] for slot in self.slots.values()], axis=0)
        return np.asarray(times - times[0])


def same_encodings(fields: tuple[StreamField, ...], a: FloatArray, b: FloatArray) -> bool:
    """Tell whether two tables of encodings, each (N, K), mean the same, row by row."""
    if a.shape != b.shape:
        return False
    column = 0
    for item in fields:
        one, other = a[:, column : column + item.size], b[:, column : column + item.size]
        column += item.size
        if item.kind == "direction":
            cosine = np.abs(np.einsum("nk,nk->n", one, other))
            if not np.all(np.isnan(cosine) | (cosine > SAME_DIRECTION)):
                return False
        elif not np.allclose(one, other, rtol=SAME_B, atol=100 * SAME_B if item.kind == "bvalue" else 0.0):
            return False
    return True


def _require_same_grid(first: Image, image: Image) -> None:
    for name in ("matrix_size", "field_of_view"):
        a, b = first.header[name].tolist(), image.header[name].tolist()
        if a != b and not np.allclose(a, b, rtol=1e-4):
            raise InputError(
                f"{name} changes from {a} to {b} inside the series", needed="one grid per series"
            )


def _require_same_place(first: Image, image: Image) -> None:
    """Refuse a slice counter that several positions share: hosts that do not count slices."""
    a, b = first.header, image.header
    if a["position"].tolist() == b["position"].tolist():
        return
    with np.errstate(all="ignore"):
        apart = float(np.abs((a["position"] - b["position"]).astype(float) @ a["slice_dir"].astype(float)))
    if apart > max(0.5 * float(a["field_of_view"][2]) / max(int(a["matrix_size"][2]), 1), 0.01):
        raise InputError(
            f"slice counter {int(a['slice'])} is used at two positions, {apart:.3g} mm apart",
            field="slice",
            needed="one number per slice position",
        )
