"""Inner products of signals and tabulated curves at nodes over rate and delay, compiled.

Called by `posterior`. A node's curves are interpolated and multiplied frame by frame: nothing is stored.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.compiled import kernel
from bids_qmri.units import FloatArray

LANES = 8
"""Frames at a time; tables and signals end in zeros up to a multiple of it."""


@kernel
def products_at(
    tables: tuple[FloatArray, FloatArray],
    place: FloatArray,
    steps: tuple[int, int],
    kep: FloatArray,
    signal: FloatArray,
    weights: FloatArray,
    sharp: FloatArray,
    out: FloatArray,
) -> None:
    """Write ye, yp, ee, ep and pp, each (V, G), over the squared noise.

    Parameters
    ----------
    tables
        Tissue responses, (K T, N), and plasma inputs, (T, N), of evenly spaced rates and delays.
    place
        Rate and delay in steps of the table, (2, V, G).
    steps
        Number of rates K and of delays T.
    kep
        Rates, (V, G): what tissue responses are multiplied by.
    signal
        Concentrations times `weights`, (V, N).
    weights
        Images averaged into each frame, (N,).
    sharp
        One over the squared noise of one image, (V,).
    out
        (5, V, G).
    """
    tissue, plasma = tables
    rates, delays = steps
    up, on = (delays if rates > 1 else 0), (1 if delays > 1 else 0)
    sums = np.empty((5, LANES))
    for v in range(len(signal)):
        for g in range(kep.shape[1]):
            k, t = min(int(place[0, v, g]), max(rates - 2, 0)), min(int(place[1, v, g]), max(delays - 2, 0))
            right, later = place[0, v, g] - k, place[1, v, g] - t
            row = k * delays + t
            sums[:] = 0.0
            _add_frames(
                (tissue[row], tissue[row + up], tissue[row + on], tissue[row + up + on]),
                (plasma[t], plasma[t + on]),
                (right, later),
                signal[v],
                weights,
                (sums[0], sums[1], sums[2], sums[3], sums[4]),
            )
            by_tissue = kep[v, g] * sharp[v]
            out[0, v, g] = by_tissue * _sum(sums[0])
            out[1, v, g] = sharp[v] * _sum(sums[1])
            out[2, v, g] = kep[v, g] * by_tissue * _sum(sums[2])
            out[3, v, g] = by_tissue * _sum(sums[3])
            out[4, v, g] = sharp[v] * _sum(sums[4])


@kernel
def _add_frames(
    tissue: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    plasma: tuple[FloatArray, FloatArray],
    share: tuple[float, float],
    signal: FloatArray,
    weights: FloatArray,
    sums: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray],
) -> None:
    """Add products of all frames, every lane for itself."""
    t00, t10, t01, t11 = tissue
    p0, p1 = plasma
    right, later = share
    a, b = (1.0 - right) * (1.0 - later), right * (1.0 - later)
    c, d = (1.0 - right) * later, right * later
    ye, yp, ee, ep, pp = sums
    for first in range(0, signal.size, LANES):
        for j in range(LANES):
            n = first + j
            e = a * t00[n] + b * t10[n] + c * t01[n] + d * t11[n]
            p = p0[n] + later * (p1[n] - p0[n])
            ye[j] += signal[n] * e
            yp[j] += signal[n] * p
            we = weights[n] * e
            ee[j] += we * e
            ep[j] += we * p
            pp[j] += weights[n] * p * p


@kernel
def _sum(lanes: FloatArray) -> float:
    """Return the sum of the lanes, two by two."""
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
