"""Spoiled gradient echoes at several flip angles. Angles in rad, times in s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import (
    Axis,
    IntArray,
    Protocol,
    Range,
    StreamField,
    ends,
    frozen,
    require_degrees,
    short,
)
from bids_qmri.physics.spoiled_gradient_echo import FLIP_ANGLE, REPETITION_TIME
from bids_qmri.units import FloatArray, degrees, radians

CURVE_POINTS = 64


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

    words: ClassVar[Mapping[str, tuple[str, str]]] = {
        "flip_angle": ("flip angles", " degrees"),
        "repetition_time": ("repetition times", " s"),
    }

    stream: ClassVar[tuple[StreamField, ...]] = (FLIP_ANGLE, REPETITION_TIME)
    stream_joined: ClassVar[bool] = True
    channels: ClassVar[tuple[str, ...]] = ("angle", "log_angle")
    context: ClassVar[tuple[str, ...]] = ("log_tr",)

    flip_angle: FloatArray
    repetition_time: FloatArray

    def __post_init__(self) -> None:
        flip = frozen(self.flip_angle, "flip_angle", (1, 2))
        times = np.asarray(self.repetition_time, dtype=np.float64)
        if times.shape not in ((), (1,), flip.shape[:1]):
            raise InputError(
                f"{times.size} repetition times beside {len(flip)} flip angles",
                field="repetition_time",
                needed="one number, or one per flip angle",
            )
        tr = np.broadcast_to(times, flip.shape[:1])
        object.__setattr__(self, "flip_angle", flip)
        object.__setattr__(self, "repetition_time", frozen(tr, "repetition_time"))
        if flip.ndim == 1 and (np.any(flip <= 0) or np.any(flip >= np.pi)):
            raise InputError(
                f"flip angles are {np.rad2deg(flip).round(3).tolist()} degrees",
                field="FlipAngle",
                needed="angles above 0 and below 180 degrees",
            )
        if flip.ndim == 1:
            require_degrees(flip)
        if np.any(self.repetition_time <= 0):
            raise InputError(
                "a repetition time is not positive",
                field="RepetitionTimeExcitation",
                needed="seconds above 0",
            )

    @property
    def n_measurements(self) -> int:
        return int(self.flip_angle.shape[0])

    @classmethod
    def from_stream(cls, table: FloatArray, *, b0_threshold: float) -> VfaProtocol:
        return cls(radians(table[:, 0]), table[:, 1])

    def with_b1(self, b1: npt.ArrayLike) -> VfaProtocol:
        """Scale the flip angles of every voxel by its relative transmit field.

        Parameters
        ----------
        b1
            Actual divided by nominal flip angle, 1 = nominal, shape (V,).
        """
        return replace(self, flip_angle=self.flip_angle[:, None] * np.asarray(b1, dtype=np.float64)[None, :])

    @property
    def by_voxel(self) -> bool:
        return self.flip_angle.ndim == 2

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> VfaProtocol:
        if self.flip_angle.ndim == 1:
            return self
        taken = replace(self, flip_angle=self.flip_angle[:, voxels])
        if taken.flip_angle.size > self.flip_angle.size:
            # Voxels more than once, whose sines are the same.
            vars(taken).update(sine=self.sine[:, voxels], cosine=self.cosine[:, voxels])
        return taken

    @cached_property
    def sine(self) -> FloatArray:
        """Of the flip angles, of their shape."""
        return np.asarray(np.sin(self.flip_angle))

    @cached_property
    def cosine(self) -> FloatArray:
        """Of the flip angles, of their shape."""
        return np.asarray(np.cos(self.flip_angle))

    def repeat_keys(self) -> FloatArray:
        flip = self.flip_angle if self.flip_angle.ndim == 1 else self.flip_angle[:, 0]
        return np.stack([flip, self.repetition_time])

    def averaged(self, average: FloatArray) -> VfaProtocol:
        return VfaProtocol(average @ self.flip_angle, average @ self.repetition_time)

    def chosen(self, kept: Sequence[int] | IntArray) -> VfaProtocol:
        index = np.asarray(kept, dtype=np.intp)
        return VfaProtocol(self.flip_angle[index], self.repetition_time[index])

    def extremes(self) -> dict[str, Range]:
        found = {"repetition_time": ends(self.repetition_time)}
        if self.flip_angle.ndim == 1:
            found["flip_angle"] = ends(degrees(self.flip_angle))
        return found

    def extremes_by_voxel(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        if self.flip_angle.ndim == 1:
            return {}
        flip = degrees(self.flip_angle)
        return {"flip_angle": (flip.min(axis=0), flip.max(axis=0))}

    def values(self) -> dict[str, FloatArray]:
        return {"flip_angle": degrees(self.flip_angle), "repetition_time": self.repetition_time}

    def axis(self, fitted: FloatArray) -> Axis | None:
        if np.ptp(self.repetition_time) > 0:
            return None
        angles = degrees(self.flip_angle)
        fine = np.linspace(0.5, 1.1 * float(angles.max()), CURVE_POINTS)
        return Axis(
            "flip angle (degrees)", angles, (VfaProtocol(radians(fine), self.repetition_time[:1]), fine)
        )

    def network_inputs(self) -> tuple[list[FloatArray], list[float | FloatArray]]:
        flip = self.flip_angle.reshape(self.n_measurements, -1)
        return [flip / 0.25, np.log(flip / 0.1)], [np.log(self.repetition_time.mean() / 0.01)]

    def sidecar_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"FlipAngle": short(degrees(self.flip_angle))}
        times = sorted(set(short(self.repetition_time)))
        # BIDS knows one number for this key; several go to a key of our own.
        if len(times) == 1:
            return fields | {"RepetitionTimeExcitation": times[0]}
        return fields | {"RepetitionTimesExcitation": short(self.repetition_time)}
