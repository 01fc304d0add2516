"""Inversion recovery at several inversion times. Times in s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Axis, Protocol, Range, StreamField, ends, frozen, short
from bids_qmri.units import FloatArray

CURVE_POINTS = 96
LONGEST_INVERSION_TIME = 20.0
"""s; longer ones are milliseconds."""

INVERSION_TIME = StreamField(
    "inversion_time",
    "inversion time",
    ("InversionTime", "TI"),
    header="TI",
    otherwise="TI in the XML header",
    scale=1e-3,
)
"""In s, listed in ms."""


@dataclass(frozen=True, eq=False)
class InversionProtocol(Protocol):
    """Images at several times after an inversion pulse.

    Parameters
    ----------
    inversion_time
        In s, shape (N,).
    """

    stream: ClassVar[tuple[StreamField, ...]] = (INVERSION_TIME,)
    stream_joined: ClassVar[bool] = True
    words: ClassVar[Mapping[str, tuple[str, str]]] = {"inversion_time": ("inversion times", " s")}
    channels: ClassVar[tuple[str, ...]] = ("inversion", "log_inversion")

    inversion_time: FloatArray

    def __post_init__(self) -> None:
        times = frozen(self.inversion_time, "InversionTime")
        if np.any(times < 0) or np.any(times > LONGEST_INVERSION_TIME):
            raise InputError(
                f"inversion times are {short(times)}",
                field="InversionTime",
                needed=f"seconds, 0 or above and at most {LONGEST_INVERSION_TIME:g}",
                fix=f"if they are in milliseconds, write {short(times / 1000)}",
            )
        object.__setattr__(self, "inversion_time", times)

    @property
    def n_measurements(self) -> int:
        return int(self.inversion_time.size)

    @classmethod
    def from_stream(cls, table: FloatArray, *, b0_threshold: float) -> Self:
        return cls(table[:, 0])

    def repeat_keys(self) -> FloatArray:
        return self.inversion_time[None]

    def averaged(self, average: FloatArray) -> InversionProtocol:
        return InversionProtocol(average @ self.inversion_time)

    def extremes(self) -> dict[str, Range]:
        return {"inversion_time": ends(self.inversion_time)}

    def axis(self, fitted: FloatArray) -> Axis:
        fine = np.linspace(0.5 * self.inversion_time.min(), self.inversion_time.max(), CURVE_POINTS)
        return Axis("inversion time (s)", self.inversion_time, (InversionProtocol(fine), fine))

    def network_inputs(self) -> tuple[list[FloatArray], list[float | FloatArray]]:
        time = self.inversion_time[:, None]
        return [time, np.log(np.maximum(time, 0.005))], []

    def sidecar_fields(self) -> dict[str, Any]:
        # BIDS knows one number for its key.
        return {"InversionTimes": short(self.inversion_time)}
