"""What a dynamic series needs beside its images; plain frozen data between reader and preparation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import require_degrees, short
from bids_qmri.physics.spoiled_gradient_echo import PLAUSIBLE_RELAXIVITY, PLAUSIBLE_T1
from bids_qmri.techniques.dce.options import POPULATION_INPUTS
from bids_qmri.units import FloatArray, degrees

PLAUSIBLE = {
    "t10": (*PLAUSIBLE_T1, "s"),
    "relaxivity": (*PLAUSIBLE_RELAXIVITY, "L/mmol/s"),
    "hematocrit": (0.0, 0.9, "as a fraction"),
}
"""Limits and unit of numbers which in another unit give maps that look right."""


@dataclass(frozen=True, eq=False)
class Aif:
    """Arterial input of a dynamic series.

    Parameters
    ----------
    name
        ``"measured"`` or the name of a population function.
    time, plasma
        Times in s and PLASMA concentrations in mmol/L of a measured input; None for a population function.
    file
        The table it was read from.
    """

    name: str
    time: FloatArray | None = None
    plasma: FloatArray | None = None
    file: Path | None = None


@dataclass(frozen=True, eq=False)
class DceSettings:
    """What a dynamic series needs beside its images, SI units.

    Parameters
    ----------
    time
        Frame times in s, (N,).
    flip_angle, repetition_time
        Nominal flip angle in rad and excitation repetition time in s.
    relaxivity
        r1 in L/mmol/s.
    hematocrit
        Fraction 0-1, applied to whole-blood inputs only.
    baseline_volumes
        Number of frames before the bolus, the first ones; None: found from the mean curve.
    aif
        Arterial input.
    t10
        One native T1 in s for all voxels; None: a map of it belongs to the acquisition.
    origin
        Where each value came from, by field name: ``{"relaxivity": "sidecar"}``; goes to logs and sidecars.
    t10_unit
        Seconds of one unit of the map of native T1, or of one over it; None: not stated.
    t10_is_rate
        Whether that map holds R1.
    image
        The series, to be named in messages; None if unknown.
    """

    time: FloatArray
    flip_angle: float
    repetition_time: float
    relaxivity: float
    hematocrit: float
    baseline_volumes: int | None
    aif: Aif
    t10: float | None
    origin: Mapping[str, str] = field(default_factory=dict)
    t10_unit: float | None = 1.0
    t10_is_rate: bool = False
    image: Path | None = None

    def __post_init__(self) -> None:
        require_degrees(np.array([self.flip_angle]))

    @property
    def where(self) -> Path:
        """What a message names: the series."""
        return Path("series") if self.image is None else self.image

    @property
    def reference_volumes(self) -> int | None:
        """Frames before the bolus, if stated."""
        return self.baseline_volumes

    def sidecar_fields(self) -> dict[str, Any]:
        """Return what was played out, by BIDS key in BIDS units."""
        return {
            "FlipAngle": float(f"{float(degrees(self.flip_angle)):.6g}"),
            "RepetitionTimeExcitation": self.repetition_time,
            "FrameTimes": short(self.time),
            "ContrastAgentRelaxivity": self.relaxivity,
            "Hematocrit": self.hematocrit,
            "ArterialInput": self.aif.name,
            "ValueOrigins": dict(self.origin),
        }


def check(values: Mapping[str, Any]) -> None:
    """Refuse what is missing, or in another unit.

    Raises
    ------
    InputError
        Naming it.
    """
    for name, (low, high, unit) in PLAUSIBLE.items():
        value = values.get(name)
        if value is None:
            raise InputError("is missing", field=name, needed="a number, for dynamic series")
        if not low <= value <= high:
            raise InputError(f"is {value:g}", field=name, needed=f"{low:g} to {high:g}, {unit}")
    if values.get("aif", POPULATION_INPUTS[0]) not in POPULATION_INPUTS:
        raise InputError(
            f"is {str(values['aif'])[:64]!r}", field="aif", needed=f"one of {', '.join(POPULATION_INPUTS)}"
        )
