"""Random arterial inputs to train with: plausible boluses, none of them a published population curve.

Plasma concentrations in mmol/L as functions of the time in s since arrival. Estimates must hold for inputs
that training never saw, so inputs of benchmarks (Parker, measured curves) are left out on purpose.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bids_qmri.models.aif import rata
from bids_qmri.units import SECONDS_PER_MINUTE, FloatArray

Input = Callable[[FloatArray], FloatArray]

FINE_STEP = 1.0
"""Distance in s of the samples of a smooth input; straight lines between them are accurate."""

MEASURED_SHARE = 0.3
"""Share of the inputs known only at coarse times and with noise, as one measured in an artery is."""


def jittered_cosine(rng: np.random.Generator) -> Input:
    """Return the raised-cosine input of Rata et al. with other height, pace and washout.

    Form of doi:10.1007/s00330-015-4012-9.
    """
    height, pace, washout = rng.uniform(0.5, 2.0), np.exp(rng.uniform(-0.4, 0.4)), rng.uniform(-0.05, 0.15)
    return lambda t: height * rata(t * pace) * np.exp(-washout * t / SECONDS_PER_MINUTE)


def gamma_variate(rng: np.random.Generator) -> Input:
    """Return a gamma-variate bolus (doi:10.1161/01.RES.14.6.502) that runs into a two-exponential washout."""
    height, peak = rng.uniform(2.0, 14.0), np.exp(rng.uniform(np.log(5.0), np.log(40.0)))
    shape, rest = rng.uniform(1.5, 6.0), rng.uniform(0.05, 0.4)
    fast, slow = rng.uniform(1.0, 4.0), rng.uniform(8.0, 60.0)
    share = rng.uniform(0.0, 0.7)

    def plasma(t: FloatArray) -> FloatArray:
        x = np.maximum(t, 0.0) / peak
        minutes = np.maximum(t, 0.0) / SECONDS_PER_MINUTE
        bolus = x**shape * np.exp(shape * (1.0 - x))
        washout = share * np.exp(-minutes / fast) + (1.0 - share) * np.exp(-minutes / slow)
        return np.asarray(height * (bolus + rest * (1.0 - np.exp(-x)) ** 2 * washout))

    return plasma


def random_input(
    arrival: float, last: float, interval: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw an input and sample it, smoothly or as a measurement would.

    Parameters
    ----------
    arrival
        Time in s at which the bolus arrives.
    last
        Time in s of the last frame.
    interval
        Time in s between frames, the sampling of inputs that are measured.

    Returns
    -------
    time, plasma
        Times in s on the scan's clock and plasma concentrations in mmol/L, each (M,); the first is zero.
    """
    curve = jittered_cosine(rng) if rng.random() < 0.6 else gamma_variate(rng)
    measured = rng.random() < MEASURED_SHARE
    step = interval if measured else FINE_STEP
    since = step * np.arange(int(np.ceil((last - arrival) / step)) + 1, dtype=np.float64)
    plasma = curve(since)
    if measured:
        plasma = plasma + rng.uniform(0.0, 0.05) * plasma.max() * rng.standard_normal(plasma.size)
        plasma[0] = 0.0
    return arrival + since, plasma
