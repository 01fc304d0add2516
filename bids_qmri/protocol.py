"""Protocols: what the scanner played out, as frozen arrays with units, one class per sequence family.

Built by `bids/` from sidecars (or by hand), read by `models/` and `estimators/`. Validated at construction.
Most protocols are shared by all voxels of a scan; where one is not (a B1+ map scales the flip angle of every
voxel), the array has a second axis over voxels, and `take` selects voxels.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray

B0_THRESHOLD = 50.0
"""b-values up to this many s/mm^2 count as b = 0 (design decision; 7 T protocols may need 100)."""


def _frozen(values: npt.ArrayLike, name: str, ndim: tuple[int, ...] = (1,)) -> FloatArray:
    """Copy to a read-only float64 array, or say which field of the protocol is wrong."""
    array = np.array(values, dtype=np.float64)
    if array.ndim not in ndim or array.size == 0 or not np.all(np.isfinite(array)):
        raise InputError(
            f"has shape {array.shape} or values that are not finite numbers",
            field=name,
            needed=f"finite numbers on {' or '.join(map(str, ndim))} axis",
        )
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class Protocol(ABC):
    """What all protocols share: a length, weights, selection of voxels, a stable hash."""

    @property
    @abstractmethod
    def n_measurements(self) -> int:
        """Number of measurements N per voxel."""

    @property
    def weights(self) -> FloatArray:
        """Number of images averaged into each measurement, shape (N,)."""
        return np.ones(self.n_measurements)

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Self:
        """Return the protocol of some voxels; the same object where all voxels share it."""
        return self

    def digest(self) -> str:
        """Return a hash that is the same on every machine for the same protocol (8 significant digits)."""
        sha = hashlib.sha256(type(self).__name__.encode())
        for item in fields(self):
            value = getattr(self, item.name)
            text = "none" if value is None else " ".join(f"{x:.8g}" for x in np.ravel(value))
            sha.update(f"{item.name}:{np.shape(value)}:{text};".encode())
        return sha.hexdigest()


@dataclass(frozen=True, eq=False)
class VfaProtocol(Protocol):
    """Spoiled gradient echoes at several flip angles.

    Parameters
    ----------
    flip_angle
        Nominal flip angles in rad, shape (N,); effective ones, shape (N, V), after `with_b1`.
    repetition_time
        Excitation repetition times in s, shape (N,) or one number for all.
    """

    flip_angle: FloatArray
    repetition_time: FloatArray

    def __post_init__(self) -> None:
        flip = _frozen(self.flip_angle, "flip_angle", (1, 2))
        tr = np.broadcast_to(np.asarray(self.repetition_time, dtype=np.float64), flip.shape[:1])
        object.__setattr__(self, "flip_angle", flip)
        object.__setattr__(self, "repetition_time", _frozen(tr, "repetition_time"))
        if flip.ndim == 1 and (np.any(flip <= 0) or np.any(flip >= np.pi)):
            raise InputError(
                f"flip angles are {np.rad2deg(flip).round(3).tolist()} degrees",
                field="FlipAngle",
                needed="angles above 0 and below 180 degrees",
            )
        if np.any(self.repetition_time <= 0):
            raise InputError(
                "a repetition time is not positive",
                field="RepetitionTimeExcitation",
                needed="seconds above 0",
            )

    @property
    def n_measurements(self) -> int:
        return int(self.flip_angle.shape[0])

    def with_b1(self, b1: npt.ArrayLike) -> VfaProtocol:
        """Scale the flip angles of every voxel by its relative transmit field.

        Parameters
        ----------
        b1
            Actual divided by nominal flip angle, 1 = nominal, shape (V,).
        """
        return replace(self, flip_angle=self.flip_angle[:, None] * np.asarray(b1, dtype=np.float64)[None, :])

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> VfaProtocol:
        if self.flip_angle.ndim == 1:
            return self
        return replace(self, flip_angle=self.flip_angle[:, voxels])


@dataclass(frozen=True, eq=False)
class DiffusionProtocol(Protocol):
    """Diffusion weightings of one series.

    Parameters
    ----------
    bvals
        b-values in s/mm^2, shape (N,).
    bvecs
        Unit gradient directions along the image axes, zero at b = 0, shape (N, 3); None if not known.
    averages
        Number of images averaged into each measurement, shape (N,); None means one each.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    """

    bvals: FloatArray
    bvecs: FloatArray | None = None
    averages: FloatArray | None = None
    b0_threshold: float = B0_THRESHOLD

    def __post_init__(self) -> None:
        bvals = _frozen(self.bvals, "bvals")
        if np.any(bvals < 0):
            raise InputError(
                f"lowest b-value is {bvals.min():g}", field="bvals", needed="b-values in s/mm^2, 0 or above"
            )
        object.__setattr__(self, "bvals", bvals)
        for name, shape in (("bvecs", (bvals.size, 3)), ("averages", (bvals.size,))):
            value = getattr(self, name)
            if value is None:
                continue
            array = _frozen(value, name, (len(shape),))
            if array.shape != shape:
                raise InputError(
                    f"{name} has shape {array.shape} beside {bvals.size} b-values",
                    field=name,
                    needed=f"shape {shape}",
                )
            object.__setattr__(self, name, array)

    @property
    def n_measurements(self) -> int:
        return int(self.bvals.size)

    @property
    def weights(self) -> FloatArray:
        return np.ones(self.n_measurements) if self.averages is None else self.averages

    @property
    def b0_mask(self) -> npt.NDArray[np.bool_]:
        """True where a measurement counts as b = 0, shape (N,)."""
        return np.asarray(self.bvals <= self.b0_threshold)


@dataclass(frozen=True, eq=False)
class DceProtocol(Protocol):
    """Frame times of a dynamic contrast-enhanced series and the arterial input that drives it.

    Parameters
    ----------
    time
        Frame times in s, increasing, shape (N,).
    aif_time
        Times of the arterial input in s on the same clock, increasing, shape (M,).
    aif
        PLASMA concentration of the contrast agent in mmol/L, linear between its points, zero before the
        first one and held after the last one, shape (M,).
    """

    time: FloatArray
    aif_time: FloatArray
    aif: FloatArray

    def __post_init__(self) -> None:
        for name in ("time", "aif_time", "aif"):
            object.__setattr__(self, name, _frozen(getattr(self, name), name))
        for name in ("time", "aif_time"):
            if np.any(np.diff(getattr(self, name)) <= 0):
                raise InputError("times do not increase", field=name, needed="strictly increasing seconds")
        if self.aif.shape != self.aif_time.shape:
            raise InputError(
                f"{self.aif.size} concentrations beside {self.aif_time.size} times",
                field="aif",
                needed="one concentration per time",
            )

    @property
    def n_measurements(self) -> int:
        return int(self.time.size)
