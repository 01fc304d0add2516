"""Spoiled gradient echoes of several weightings, with and without an MT pulse. Angles in rad, times in s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Axis, Protocol, frozen, require_degrees, short
from bids_qmri.units import FloatArray, degrees


@dataclass(frozen=True, eq=False)
class MultiParameterProtocol(Protocol):
    """Images of a multi-parameter protocol, one entry of each array for every image.

    Parameters
    ----------
    flip_angle
        Nominal flip angles in rad, shape (N,).
    repetition_time, echo_time
        In s, shape (N,).
    mt
        1 where an MT pulse was played out, 0 where not, shape (N,).
    b1
        Actual over nominal flip angle, 1 for all or (V,) after `with_b1`.
    """

    words: ClassVar[Mapping[str, tuple[str, str]]] = {
        "flip_angle": ("flip angles", " degrees"),
        "repetition_time": ("repetition times", " s"),
        "echo_time": ("echo times", " s"),
    }

    flip_angle: FloatArray
    repetition_time: FloatArray
    echo_time: FloatArray
    mt: FloatArray
    b1: FloatArray = 1.0  # type: ignore[assignment]

    def __post_init__(self) -> None:
        flip = frozen(self.flip_angle, "FlipAngle")
        for name in ("repetition_time", "echo_time", "mt"):
            values = np.broadcast_to(np.asarray(getattr(self, name), dtype=np.float64), flip.shape)
            object.__setattr__(self, name, frozen(values, name))
        if np.any(flip <= 0) or np.any(flip >= np.pi):
            raise InputError(
                f"flip angles are {short(degrees(flip))} degrees",
                field="FlipAngle",
                needed="angles above 0 and below 180 degrees",
            )
        require_degrees(flip)
        if np.any(self.repetition_time <= 0):
            raise InputError(
                "a repetition time is not positive",
                field="RepetitionTimeExcitation",
                needed="seconds above 0",
            )
        if not np.all((self.mt == 0) | (self.mt == 1)):
            raise InputError(
                f"is {self.mt.tolist()}", field="MTState", needed="true or false for every image"
            )
        object.__setattr__(self, "flip_angle", flip)
        object.__setattr__(self, "b1", np.asarray(self.b1, dtype=np.float64))

    @property
    def n_measurements(self) -> int:
        return int(self.flip_angle.size)

    def with_b1(self, b1: npt.ArrayLike) -> MultiParameterProtocol:
        """Scale flip angles and MT pulse of every voxel by its relative transmit field, (V,).

        Parameters
        ----------
        b1
            Actual over nominal flip angle, shape (V,).
        """
        return replace(self, b1=np.asarray(b1, dtype=np.float64))

    @property
    def by_voxel(self) -> bool:
        return self.b1.ndim == 1

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> MultiParameterProtocol:
        return replace(self, b1=self.b1[voxels]) if self.by_voxel else self

    def weightings(self) -> tuple[tuple[int, ...], ...]:
        """Return the images of each weighting: those that differ in their echo time alone."""
        keys = list(zip(self.mt, self.flip_angle, self.repetition_time, strict=True))
        return tuple(tuple(i for i, other in enumerate(keys) if other == key) for key in dict.fromkeys(keys))

    def axis(self, fitted: FloatArray) -> Axis:
        order = np.lexsort((self.echo_time, self.repetition_time, self.flip_angle, self.mt))
        return Axis("image, by weighting and echo", self.echo_time, order=(order,) * len(fitted))

    def sidecar_fields(self) -> dict[str, Any]:
        # BIDS knows one value for the keys that end with an s here.
        fields = {
            "FlipAngle": short(degrees(self.flip_angle)),
            "RepetitionTimesExcitation": short(self.repetition_time),
            "MTStates": [bool(on) for on in self.mt],
        }
        # 0: not known.
        return fields if np.any(self.echo_time == 0) else fields | {"EchoTime": short(self.echo_time)}
