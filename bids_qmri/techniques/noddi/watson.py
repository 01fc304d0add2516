"""Legendre moments of the Watson distribution of directions, and of the signal of a stick.

A zonal function about the axis n, seen from a direction g, is a sum over even degrees l of
(2l + 1) m_l P_l(n.g), with m_l its mean of P_l. That of sticks which follow a Watson distribution has
m_l = p_l k_l: one factor for the distribution, one for the stick (Zhang et al. 2011,
doi:10.1016/j.neuroimage.2011.01.084).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bids_qmri.units import FloatArray

DEGREES = np.arange(0, 15, 2)
"""Degrees that are kept: the signal of sticks is then exact to 1.1e-6 for ODI >= 0.02 at b <= 2000 s/mm^2
and to 1.3e-5 at 3000. The NODDI toolbox stops at 12, which leaves 1.6e-5 and 1.3e-4."""

NODES = 400
"""Of the Gauss-Legendre quadrature on [0, 1]: exact to rounding for kappa up to 5000."""

INTERVALS = 1024
"""Of the table of moments over ODI: cubic interpolation is then within 1e-8."""


def stick_moments(attenuation: FloatArray) -> FloatArray:
    """Return k_l = integral over [0, 1] of exp(-x t^2) P_l(t).

    Parameters
    ----------
    attenuation
        x, the b-value times the diffusivity along the stick, shape (S,).

    Returns
    -------
    Moments of `DEGREES`, shape (8, S).
    """
    nodes, weights, legendre = _quadrature()
    return np.asarray((legendre * weights) @ np.exp(-np.square(nodes)[:, None] * attenuation))


def watson_moments(odi: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return p_l = <P_l(t)> under the density exp(kappa t^2), and its derivative by ODI.

    Parameters
    ----------
    odi
        Orientation dispersion index (2 / pi) arctan(1 / kappa), 0 to 1, shape (V,).

    Returns
    -------
    Moments of `DEGREES` and derivatives, each of shape (8, V).
    """
    position = np.asarray(odi) * INTERVALS
    interval = np.clip(position.astype(np.intp), 0, INTERVALS - 1)
    t = position - interval
    c0, c1, c2, c3 = np.take(moment_table(), interval, axis=2)
    value = ((c3 * t + c2) * t + c1) * t + c0
    return value, ((3.0 * c3 * t + 2.0 * c2) * t + c1) * INTERVALS


def concentration(odi: FloatArray) -> FloatArray:
    """Return kappa of an ODI above 0."""
    return np.asarray(1.0 / np.tan(0.5 * np.pi * np.asarray(odi)))


@lru_cache(maxsize=1)
def _quadrature() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return nodes and weights on [0, 1], and P_l at the nodes, (8, NODES)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    legendre = np.polynomial.legendre.legvander(nodes, DEGREES[-1])[:, DEGREES].T
    return nodes, weights, np.asarray(legendre, dtype=np.float64)


@lru_cache(maxsize=1)
def moment_table() -> FloatArray:
    """Return the coefficients of p_l in powers of the position within each interval, (4, 8, INTERVALS)."""
    nodes, weights, legendre = _quadrature()
    kappa = concentration(np.arange(1, INTERVALS + 1) / INTERVALS)
    square = np.square(nodes)
    # The largest exponent is 0, so that nothing overflows.
    density = weights[:, None] * np.exp((square[:, None] - 1.0) * kappa)
    density /= density.sum(axis=0)
    moments, slopes = np.empty((2, DEGREES.size, INTERVALS + 1))
    moments[:, 1:] = legendre @ density
    by_kappa = (legendre * square) @ density - (square @ density) * moments[:, 1:]
    slopes[:, 1:] = by_kappa * (-0.5 * np.pi * (1.0 + kappa**2)) / INTERVALS
    # Without dispersion every moment is 1; 1 - p_l is l (l + 1) / 4 kappa to first order.
    moments[:, 0], slopes[:, 0] = 1.0, -np.pi / 8.0 * DEGREES * (DEGREES + 1) / INTERVALS
    rise = moments[:, 1:] - moments[:, :-1]
    before, after = slopes[:, :-1], slopes[:, 1:]
    return np.stack([moments[:, :-1], before, 3.0 * rise - 2.0 * before - after, before + after - 2.0 * rise])
