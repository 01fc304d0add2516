"""The only place where milliseconds, percent, degrees and minutes meet the units used inside.

Inside, everywhere: seconds, radians, s/mm^2 with mm^2/s (the diffusion field's own pair), mmol/L,
fractions of 1. Rates of tracer kinetics are 1/min, as they are published; only a model converts them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SECONDS_PER_MINUTE = 60.0


def radians(degrees: npt.ArrayLike) -> FloatArray:
    """Convert angles from degrees (sidecars) to radians (inside)."""
    return np.deg2rad(np.asarray(degrees, dtype=np.float64))


def degrees(radians: npt.ArrayLike) -> FloatArray:
    """Convert angles from radians (inside) to degrees (sidecars, reports)."""
    return np.rad2deg(np.asarray(radians, dtype=np.float64))
