"""Dynamic series that come as a stream: what a host must say beside the images, and the scan that follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bids_qmri.estimation.preparation import Scan
from bids_qmri.techniques.dce.options import POPULATION_INPUTS
from bids_qmri.techniques.dce.settings import Aif, DceSettings, check
from bids_qmri.units import FloatArray, radians

__all__ = ["READ", "check", "scan_of"]


def _frames(value: Any) -> int:
    count = float(value)
    if count != int(count):
        raise ValueError("not a whole number")
    return int(count)


READ: dict[str, Callable[[Any], Any]] = {
    "t10": float,
    "relaxivity": float,
    "hematocrit": float,
    "aif": str,
    "baseline_volumes": _frames,
}
"""Keys of a configuration: native T1 in s, r1 in L/mmol/s, fraction, name of a population input, frames."""


def scan_of(time: FloatArray, once: tuple[float, ...], curve: FloatArray, values: Mapping[str, Any]) -> Scan:
    """Return the scan of a dynamic series.

    Parameters
    ----------
    time
        Frame times in s, (N,).
    once
        Flip angle in degrees and repetition time in s.
    curve
        Mean signal of the object, (N,).
    values
        What the host said, as of `READ`.
    """
    settings = DceSettings(
        time=time,
        flip_angle=float(radians(once[0])),
        repetition_time=once[1],
        relaxivity=values["relaxivity"],
        hematocrit=values["hematocrit"],
        baseline_volumes=values.get("baseline_volumes"),
        aif=Aif(values.get("aif", POPULATION_INPUTS[0])),
        t10=values["t10"],
    )
    return Scan(None, settings, mask=np.ones(1, dtype=np.bool_), mean_curve=lambda: curve)
