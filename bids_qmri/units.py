"""The only place where milliseconds, percent, degrees and minutes meet the units used inside.

Inside, everywhere: seconds, radians, s/mm^2 with mm^2/s (the diffusion field's own pair), mmol/L,
fractions of 1. Rates of tracer kinetics are 1/min, as they are published; only a model converts them.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SECONDS_PER_MINUTE = 60.0

_PREFIXES = "da|[YZEPTGMkhdcmunpfazy]"
_UNITS = "mol|rad|Hz|min|[msgAKNJTVLhd]"
_FACTOR = rf"(?:{_PREFIXES})?(?:{_UNITS})(?:\^-?[1-9])?"
_CMIXF = re.compile(rf"(?:1|{_FACTOR})(?:[*/]{_FACTOR})*")


def is_cmixf(text: str) -> bool:
    """Tell whether a unit is written as CMIXF-12 asks: ``s``, ``mm^2/s``, ``1/min``, ``1``."""
    return _CMIXF.fullmatch(text) is not None


def radians(degrees: npt.ArrayLike) -> FloatArray:
    """Convert angles from degrees (sidecars) to radians (inside)."""
    return np.deg2rad(np.asarray(degrees, dtype=np.float64))


def degrees(radians: npt.ArrayLike) -> FloatArray:
    """Convert angles from radians (inside) to degrees (sidecars, reports)."""
    return np.rad2deg(np.asarray(radians, dtype=np.float64))
