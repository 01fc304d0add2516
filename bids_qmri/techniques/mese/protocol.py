"""Trains of spin echoes. Times in s, angles in rad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.echoes import EchoProtocol
from bids_qmri.physics.protocol import Range, ends
from bids_qmri.units import FloatArray, degrees

EVEN = 0.02
"""Largest difference from an even train that starts with its spacing, as a share of the spacing."""


@dataclass(frozen=True, eq=False)
class SpinEchoProtocol(EchoProtocol):
    """Spin echoes at several echo times.

    Parameters
    ----------
    echo_time
        In s, shape (N,).
    refocusing_angle
        Nominal angle of the refocusing pulses in rad, a number; actual ones, (V,), after `with_b1`.
    """

    words: ClassVar[Mapping[str, tuple[str, str]]] = {
        **EchoProtocol.words,
        "refocusing_angle": ("refocusing angles", " degrees"),
    }
    context: ClassVar[tuple[str, ...]] = ("refocusing",)

    refocusing_angle: FloatArray = np.pi  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        angle = np.array(self.refocusing_angle, dtype=np.float64)
        if angle.ndim > 1 or np.any(angle <= 0) or not np.all(np.isfinite(angle)):
            raise InputError(
                f"is {degrees(angle).tolist()} degrees",
                field="RefocusingFlipAngle",
                needed="an angle above 0 degrees",
            )
        if angle.ndim == 0 and angle > np.pi + 1e-6:
            raise InputError(
                f"is {float(degrees(angle)):g} degrees",
                field="RefocusingFlipAngle",
                needed="at most 180 degrees",
            )
        angle.setflags(write=False)
        object.__setattr__(self, "refocusing_angle", angle)

    @property
    def spacing(self) -> float:
        """Time between echoes in s; 0 if they are not even, or do not start with it."""
        steps = self.echo_time / np.arange(1, self.echo_time.size + 1)
        even = np.ptp(steps) <= EVEN * steps[0] and steps.size > 1
        return float(np.mean(steps)) if even else 0.0

    def with_b1(self, b1: npt.ArrayLike) -> SpinEchoProtocol:
        """Scale the refocusing angle of every voxel by its relative transmit field, (V,).

        Parameters
        ----------
        b1
            Actual over nominal refocusing angle, shape (V,).
        """
        return replace(self, refocusing_angle=self.refocusing_angle * np.asarray(b1, dtype=np.float64))

    @property
    def by_voxel(self) -> bool:
        return self.refocusing_angle.ndim == 1

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> SpinEchoProtocol:
        return replace(self, refocusing_angle=self.refocusing_angle[voxels]) if self.by_voxel else self

    def extremes(self) -> dict[str, Range]:
        found = super().extremes()
        return found if self.by_voxel else found | {"refocusing_angle": ends(degrees(self.refocusing_angle))}

    def extremes_by_voxel(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        angle = degrees(self.refocusing_angle)
        return {"refocusing_angle": (angle, angle)} if self.by_voxel else {}

    def network_inputs(self) -> tuple[list[FloatArray], list[float | FloatArray]]:
        channels, _ = super().network_inputs()
        return channels, [self.refocusing_angle / np.pi]

    def values(self) -> dict[str, FloatArray]:
        return {"echo_time": self.echo_time, "refocusing_angle": degrees(self.refocusing_angle)}

    def sidecar_fields(self) -> dict[str, Any]:
        fields = super().sidecar_fields()
        return (
            fields
            if self.by_voxel
            else fields | {"RefocusingFlipAngle": float(degrees(self.refocusing_angle))}
        )
