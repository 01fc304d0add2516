"""Dynamic contrast-enhanced series: frame times and the arterial input that drives tissue. s and mmol/L."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Axis, Protocol, Range, StreamField, ends, frozen
from bids_qmri.physics.spoiled_gradient_echo import FLIP_ANGLE, REPETITION_TIME
from bids_qmri.units import FloatArray

ARRIVAL = 0.05
"""Part of its maximum at which the arterial input counts as arrived."""

EARLY = 10.0
"""Seconds after arrival within which bins of long series are even; later ones grow in proportion to time."""


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

    stream: ClassVar[tuple[StreamField, ...]] = (
        StreamField(
            "time",
            "time",
            ("FrameTime",),
            kind="time",
            otherwise="acquisition_time_stamp in the image header",
        ),
    )
    stream_once: ClassVar[tuple[StreamField, ...]] = (FLIP_ANGLE, REPETITION_TIME)
    stream_timed: ClassVar[bool] = True
    words: ClassVar[Mapping[str, tuple[str, str]]] = {
        "interval": ("frame spacing", " s"),
        "arrival": ("arrival of the bolus", " s"),
    }

    time: FloatArray
    aif_time: FloatArray
    aif: FloatArray

    def __post_init__(self) -> None:
        for name in ("time", "aif_time", "aif"):
            object.__setattr__(self, name, frozen(getattr(self, name), name))
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

    @property
    def arrival(self) -> float:
        """When the arterial input arrives, in s."""
        return float(self.aif_time[np.argmax(self.aif >= ARRIVAL * self.aif.max())])

    def positions(self) -> FloatArray:
        return np.asarray(np.arcsinh((self.time - self.arrival) / EARLY))

    def averaged(self, average: FloatArray) -> DceProtocol:
        return replace(self, time=average @ self.time)

    def extremes(self) -> dict[str, Range]:
        # One frame has no spacing.
        spacing = {"interval": ends(np.diff(self.time))} if self.time.size > 1 else {}
        return spacing | {"arrival": (max(float(self.arrival - self.time[0]), 0.0),) * 2}

    def values(self) -> dict[str, FloatArray]:
        """Return the arrays that define the protocol; the input at the frame times."""
        return {"time": self.time, "aif": np.interp(self.time, self.aif_time, self.aif, left=0.0)}

    def axis(self, fitted: FloatArray) -> Axis:
        return Axis("time (s)", self.time)
