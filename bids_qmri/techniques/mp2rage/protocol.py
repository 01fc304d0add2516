"""Two trains of spoiled gradient echoes after an inversion. Angles in rad, times in s."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import IntArray, Protocol, frozen, require_degrees, short
from bids_qmri.units import FloatArray, degrees


@dataclass(frozen=True, eq=False)
class Mp2rageProtocol(Protocol):
    """Timing of an MP2RAGE sequence.

    Parameters
    ----------
    inversion_time
        From the inversion to the centre of each train in s, shape (2,).
    flip_angle
        Nominal, of each train, in rad, shape (2,).
    repetition_time
        Between excitations of a train in s, a number.
    cycle_time
        Between inversions in s, a number.
    shots
        Excitations of a train before and from its centre on, shape (2,).
    combined
        0 if both images are measured; otherwise the combination of both is the first of so many images, the
        last of which shows where tissue is.
    b1
        Actual over nominal flip angle, 1 for all or (V,) after `with_b1`.
    """

    inversion_time: FloatArray
    flip_angle: FloatArray
    repetition_time: FloatArray
    cycle_time: FloatArray
    shots: FloatArray
    combined: FloatArray = 0.0  # type: ignore[assignment]
    b1: FloatArray = 1.0  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name in ("inversion_time", "flip_angle", "shots"):
            values = frozen(getattr(self, name), name)
            if values.size != 2 or np.any(values < 0):
                raise InputError(f"is {short(values)}", field=name, needed="two numbers, 0 or above")
            object.__setattr__(self, name, values)
        for name in ("repetition_time", "cycle_time", "combined", "b1"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        require_degrees(self.flip_angle)
        waits = self.waits()
        if min(waits) < -1e-9:
            places = ("before the first train", "between the trains", "after the second train")
            worst = int(np.argmin(waits))
            raise InputError(
                f"{short(self.inversion_time)} s leave {1000 * waits[worst]:.0f} ms {places[worst]} of"
                f" {int(self.shots.sum())} excitations every {1000 * float(self.repetition_time):g} ms",
                field="InversionTime",
                needed="trains that do not overlap, within RepetitionTimePreparation",
                fix="check NumberShots, RepetitionTimeExcitation and RepetitionTimePreparation",
            )

    def waits(self) -> tuple[float, float, float]:
        """Return the times in s before, between and after the trains."""
        before, after = self.shots * float(self.repetition_time)
        first, second = self.inversion_time
        return (
            float(first - before),
            float(second - first - before - after),
            float(self.cycle_time - second - after),
        )

    @property
    def n_measurements(self) -> int:
        return 1 if self.combined else 2

    def with_b1(self, b1: npt.ArrayLike) -> Mp2rageProtocol:
        """Scale the flip angles of every voxel by its relative transmit field, (V,).

        Parameters
        ----------
        b1
            Actual over nominal flip angle, shape (V,).
        """
        return replace(self, b1=np.asarray(b1, dtype=np.float64))

    @property
    def by_voxel(self) -> bool:
        return self.b1.ndim == 1

    def take(self, voxels: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Mp2rageProtocol:
        return replace(self, b1=self.b1[voxels]) if self.by_voxel else self

    def reference(self) -> IntArray:
        return np.array([int(self.combined) - 1 if self.combined else 1])

    def magnitudes(self) -> IntArray | None:
        if not self.combined:
            return np.arange(2)
        return self.reference()[self.reference() > 0]

    def sidecar_fields(self) -> dict[str, Any]:
        return {
            # BIDS knows one number for its key.
            "InversionTimes": short(self.inversion_time),
            "FlipAngle": short(degrees(self.flip_angle)),
            "RepetitionTimeExcitation": float(self.repetition_time),
            "RepetitionTimePreparation": float(self.cycle_time),
            "NumberShots": [int(count) for count in self.shots],
        }
