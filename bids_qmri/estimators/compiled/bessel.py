"""Bessel functions and the information of the Rician likelihood over lanes. Source of kernels.

Chebyshev series for arguments up to 8, of e^-x I0(x) and e^-x I1(x) / x, and in 1 / x above, of e^-x I0(x)
and e^-x I1(x) times sqrt(x); their coefficients come from scipy when kernels are built. Accurate to 4e-14.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import i0e, i1e

from bids_qmri.estimators.compiled.functions import inline, log
from bids_qmri.estimators.compiled.lanes import any_lane, floor, gather, larger, smaller, spread, sqrt, where
from bids_qmri.physics.noise import TABLE_END, TABLE_POINTS
from bids_qmri.units import FloatArray

MIDDLE = 8.0
"""Argument at which one series takes over from the other."""

TERMS, POINTS = 34, 128


def _series(function: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Return the coefficients of a function of -1 to 1, highest first."""
    angle = (np.arange(POINTS) + 0.5) * (np.pi / POINTS)
    found = 2.0 / POINTS * np.cos(np.arange(TERMS)[:, None] * angle) @ function(np.cos(angle))
    found[0] *= 0.5
    return np.ascontiguousarray(found[::-1])


def _far(t: FloatArray) -> FloatArray:
    return np.asarray(2.0 * MIDDLE / np.maximum(t + 1.0, 1e-12))


SMALL0 = _series(lambda t: i0e(0.5 * MIDDLE * (t + 1.0)))
SMALL1 = _series(lambda t: i1e(0.5 * MIDDLE * (t + 1.0)) / (0.5 * MIDDLE * (t + 1.0)))
LARGE0 = _series(lambda t: np.sqrt(_far(t)) * i0e(_far(t)))
LARGE1 = _series(lambda t: np.sqrt(_far(t)) * i1e(_far(t)))


@inline
def _sum(t: Any, coefficients: Any) -> Any:
    """Return a Chebyshev series by Clenshaw's recurrence."""
    before, last, twice = spread(0.0), spread(0.0), t + t
    for k in range(TERMS - 1):
        before, last = last, twice * last - before + coefficients[k]
    return t * last - before + coefficients[TERMS - 1]


@inline
def bessel_ratio_and_log(x: Any) -> Any:
    """Return I1(x) / I0(x) and ln I0(x) for x >= 0."""
    ratio, scaled = x, x
    small = x <= MIDDLE
    if any_lane(small):
        t = x * (2.0 / MIDDLE) - 1.0
        scaled = _sum(t, SMALL0)
        ratio = x * _sum(t, SMALL1) / scaled
    if any_lane(x > MIDDLE):
        t = (2.0 * MIDDLE) / larger(x, spread(MIDDLE)) - 1.0
        series = _sum(t, LARGE0)
        ratio = where(small, ratio, _sum(t, LARGE1) / series)
        scaled = where(small, scaled, series / sqrt(x))
    return ratio, log(scaled) + x


@inline
def information(snr: Any, table: Any) -> Any:
    """Return `physics.noise.rician_information`, whose table is given."""
    position = smaller(snr * ((TABLE_POINTS - 1) / TABLE_END), spread(TABLE_POINTS - 1.0))
    # What is no number reads the first entry, and carries on as the fraction.
    valid = where(position > 0.0, position, spread(0.0))
    index = smaller(floor(valid), spread(TABLE_POINTS - 2.0))
    below, above = gather(table, index), gather(table, index + 1.0)
    beyond = larger(snr, spread(TABLE_END))
    inside = below + (position - index) * (above - below)
    return where(snr < TABLE_END, inside, 1.0 - 0.5 / (beyond * beyond))
