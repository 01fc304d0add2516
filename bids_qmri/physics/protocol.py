"""What the scanner played out, as frozen arrays with units: the base of all protocols.

Built by readers from sidecars (or by hand), read by models and estimators. Validated at construction. Most
protocols are shared by all voxels of a scan; where one is not (a B1+ map scales the flip angle of every
voxel), the array has a second axis over voxels, and `take` selects voxels. A protocol owns what others need
of it: what is repeated, how measurements are averaged, its extremes, its axis in figures, its sidecar fields.
"""

from __future__ import annotations

import hashlib
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray, degrees

Range = tuple[float, float]
IntArray = npt.NDArray[np.intp]


def frozen(values: npt.ArrayLike, name: str, ndim: tuple[int, ...] = (1,)) -> FloatArray:
    """Copy to a read-only float64 array, or say which field of the protocol is wrong."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot be read as numbers ({error})", field=name, needed="numbers") from error
    if array.ndim not in ndim or array.size == 0 or not np.all(np.isfinite(array)):
        raise InputError(
            f"has shape {array.shape} or values that are not finite numbers",
            field=name,
            needed=f"finite numbers on {' or '.join(map(str, ndim))} axis",
        )
    array.setflags(write=False)
    return array


def require_degrees(flip_angle: FloatArray, least: float = 1.0) -> None:
    """Refuse flip angles that were given in radians where degrees are asked for.

    Parameters
    ----------
    flip_angle
        In rad.
    least
        In degrees; no protocol has its largest angle below.

    Raises
    ------
    InputError
        With the angles to write.
    """
    told = degrees(flip_angle)
    if 0 < told.max() < least:
        raise InputError(
            f"flip angles are {short(told)} degrees, none of {least:g} or more",
            field="FlipAngle",
            needed="degrees",
            fix=f"if they are in radians, write {short(degrees(told))}",
        )


def ends(array: FloatArray) -> Range:
    """Return the smallest and the largest value."""
    return float(array.min()), float(array.max())


def short(values: FloatArray) -> list[float]:
    """Return numbers with six digits, for sidecars."""
    return [float(f"{value:.6g}") for value in values]


@dataclass(frozen=True, eq=False)
class Axis:
    """What the measurements of a protocol are drawn over.

    Parameters
    ----------
    label
        Quantity and unit.
    values
        Shape (N,), or (N, V) where voxels differ.
    fine
        A protocol of close steps along the axis and its values, (M,), for smooth curves; None: none is drawn.
    order
        Measurements of every voxel in the order in which they are drawn side by side, where values say
        nothing.
    """

    label: str
    values: FloatArray
    fine: tuple[Protocol, FloatArray] | None = None
    order: tuple[IntArray, ...] | None = None


@dataclass(frozen=True)
class StreamField:
    """What an image of a stream says of how it was measured, and where.

    Parameters
    ----------
    quantity
        Name in configurations: ``flip_angle``.
    what
        In words: ``flip angle``.
    spellings
        Usual names of image attributes; capitals, underscores, dots and a leading ``DICOM`` do not matter.
    header
        Element of the XML header that lists its values; empty if none does.
    otherwise
        Where else it is looked for, for messages.
    kind
        ``number``; ``bvalue`` (s/mm^2, or the header's list of diffusion encodings); ``direction`` (three
        components, turned to the axes of the image, not known where there are none); ``time`` (s).
    scale
        What numbers are multiplied by.
    """

    quantity: str
    what: str
    spellings: tuple[str, ...]
    header: str = ""
    otherwise: str = ""
    kind: Literal["number", "bvalue", "direction", "time"] = "number"
    scale: float = 1.0

    @property
    def size(self) -> int:
        """How many numbers it is."""
        return 3 if self.kind == "direction" else 1


class Measurements(typing.Protocol):
    """As much of a protocol as the minimiser and the rules for too few measurements need."""

    @property
    def n_measurements(self) -> int:
        """Number of measurements N per voxel."""

    @property
    def weights(self) -> FloatArray:
        """Number of images averaged into each measurement, shape (N,)."""

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Self:
        """Return the measurements of some voxels."""


@dataclass(frozen=True, eq=False)
class Protocol(ABC):
    """What all protocols share, and what each may say of itself.

    Attributes
    ----------
    stream, stream_once
        What every image of a stream says, in the order of the columns of `from_stream`; what holds for all.
    stream_joined
        Whether images of several series belong together.
    stream_timed
        Whether images are told apart by their time alone, which differs between slices.
    dicom_type
        What DICOM calls maps that come from such a series.
    words
        How messages name the properties of `extremes` and `values`, and their units.
    channels, context
        Names of what networks are told of each measurement, and of all of them (`network_inputs`).
    """

    stream: ClassVar[tuple[StreamField, ...]] = ()
    stream_once: ClassVar[tuple[StreamField, ...]] = ()
    stream_joined: ClassVar[bool] = False
    stream_timed: ClassVar[bool] = False
    dicom_type: ClassVar[str] = "OTHER"
    words: ClassVar[Mapping[str, tuple[str, str]]] = {}
    channels: ClassVar[tuple[str, ...]] = ()
    context: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def n_measurements(self) -> int:
        """Number of measurements N per voxel."""

    @property
    def weights(self) -> FloatArray:
        """Number of images averaged into each measurement, shape (N,)."""
        return np.ones(self.n_measurements)

    @property
    def by_voxel(self) -> bool:
        """Whether voxels were measured differently, as where a transmit field was."""
        return False

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Self:
        """Return the protocol of some voxels; the same object where all voxels share it.

        Parameters
        ----------
        voxels
            Numbers of the voxels, or True for those that are taken, (V,).
        """
        return self

    def digest(self) -> str:
        """Return a hash that is the same on every machine for the same protocol (8 significant digits)."""
        sha = hashlib.sha256(type(self).__name__.encode())
        for item in fields(self):
            value = getattr(self, item.name)
            text = "none" if value is None else " ".join(f"{x:.8g}" for x in np.ravel(value))
            sha.update(f"{item.name}:{np.shape(value)}:{text};".encode())
        return sha.hexdigest()

    @classmethod
    def from_stream(cls, table: FloatArray, *, b0_threshold: float) -> Self:
        """Return the protocol of what images said, a row each, in the columns of `stream`.

        Raises
        ------
        InputError
            If such a protocol cannot be told from a stream.
        """
        raise InputError(f"{cls.__name__} is not known from streams", needed="files")

    def repeat_keys(self) -> FloatArray | None:
        """Return what repeats of a measurement have in common, (D, N), first row first; None: no repeats."""
        return None

    def positions(self) -> FloatArray | None:
        """Return where measurements lie on an axis that bins of long series divide evenly, (N,), or None."""
        return None

    def averaged(self, average: FloatArray) -> Self:
        """Return the protocol of averages of measurements, matrix (M, N).

        Parameters
        ----------
        average
            Weight of each measurement in each average, shape (M, N).

        Raises
        ------
        InputError
            If measurements of this protocol cannot be averaged.
        """
        raise InputError(
            f"measurements of {type(self).__name__} cannot be averaged", needed="a shorter series"
        )

    def chosen(self, kept: Sequence[int] | IntArray) -> Self:
        """Return the protocol of some measurements, by their numbers.

        Parameters
        ----------
        kept
            Numbers of the measurements, from 0.

        Raises
        ------
        InputError
            If measurements of this protocol mean nothing without the others.
        """
        return self.averaged(np.eye(self.n_measurements)[np.asarray(kept, dtype=np.intp)])

    def extremes(self) -> dict[str, Range]:
        """Return smallest and largest value of every property that a network is trained for a range of."""
        return {}

    def extremes_by_voxel(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Return the same of properties that differ between voxels, each (V,), in the unit of cards."""
        return {}

    def values(self) -> dict[str, FloatArray]:
        """Return the arrays that define the protocol, in the units of cards and sidecars."""
        return {item.name: np.asarray(getattr(self, item.name)) for item in fields(self)}

    def reference(self) -> IntArray:
        """Return the measurements that every estimate leans on: what shows where tissue is."""
        return np.arange(self.n_measurements)

    def magnitudes(self) -> IntArray | None:
        """Return which images of a series are magnitudes, where others (phases) are among them; None: all.

        Empty where there are phases alone, which do not tell air from tissue.
        """
        return None

    def together(self) -> bool:
        """Tell whether all images were read at once, so that nothing can move between them."""
        return False

    def repeated(self) -> bool:
        """Tell whether the reference measurements differ by noise alone."""
        return False

    def shells(self) -> tuple[FloatArray, IntArray] | None:
        """Return the values of groups of like measurements, (S,), and the group of each, (N,); None: none."""
        return None

    def directions(self) -> FloatArray | None:
        """Return the direction that each measurement is sensitive along, as in its table, (N, 3), or None."""
        return None

    def turned(self, rotations: FloatArray) -> Self:
        """Return the protocol with directions that are turned, by matrices (N, 3, 3) along its axes.

        Parameters
        ----------
        rotations
            One matrix per measurement along the axes of the protocol, shape (N, 3, 3).
        """
        return self

    def n_averaged(self) -> int:
        """Return the number of measurements that are left once directions are averaged."""
        return self.n_measurements

    def axis(self, fitted: FloatArray) -> Axis | None:
        """Return what signals, (V, N), are drawn over; None: the number of the measurement.

        Parameters
        ----------
        fitted
            Signals of the model, shape (V, N).
        """
        return None

    def network_inputs(self) -> tuple[list[FloatArray], list[float | FloatArray]]:
        """Return the values of `channels`, each (N, 1) or (N, V), and of `context`."""
        return [], []

    def sidecar_fields(self) -> dict[str, Any]:
        """Return what was varied, by BIDS key in BIDS units."""
        return {}
