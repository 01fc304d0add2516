"""Inner products of signals and tabulated curves at nodes over rate and delay, compiled.

Called by `posterior`. A node's curves are interpolated and multiplied frame by frame: nothing is stored.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.compiled import kernel, summing
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]


@kernel
def products_at(
    tables: tuple[Float32Array, Float32Array],
    ends: tuple[float, float, float, float, float],
    steps: tuple[int, int],
    kep: FloatArray,
    delay: FloatArray,
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
    ends
        What is added to rates before the logarithm, first and last logarithm, first and last delay.
    steps
        Number of rates K and of delays T.
    kep, delay
        Rates, what tissue responses are multiplied by, and delays, (V, G).
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
    offset, slowest, fastest, earliest, latest = ends
    for v in range(len(signal)):
        for g in range(kep.shape[1]):
            x = _steps(np.log(kep[v, g] + offset), slowest, fastest, rates)
            y = _steps(delay[v, g], earliest, latest, delays)
            k, t = min(int(x), max(rates - 2, 0)), min(int(y), max(delays - 2, 0))
            share = x - k, y - t
            ye, yp, ee, ep, pp = _sums(tissue, plasma, k * delays + t, t, up, on, share, signal, v, weights)
            by_tissue = kep[v, g] * sharp[v]
            out[0, v, g] = by_tissue * ye
            out[1, v, g] = sharp[v] * yp
            out[2, v, g] = kep[v, g] * by_tissue * ee
            out[3, v, g] = by_tissue * ep
            out[4, v, g] = sharp[v] * pp


@kernel
def _steps(value: float, first: float, last: float, count: int) -> float:
    """Return a value in steps of an even axis."""
    if count == 1:
        return 0.0
    steps: float = min(max((value - first) * ((count - 1) / (last - first)), 0.0), count - 1.0)
    return steps


@summing
def _sums(
    tissue: Float32Array,
    plasma: Float32Array,
    row: int,
    delay: int,
    up: int,
    on: int,
    share: tuple[float, float],
    signal: FloatArray,
    v: int,
    weights: FloatArray,
) -> tuple[float, float, float, float, float]:
    """Return the sums over frames of one node; rows are told by number because views of them cost more."""
    right, later = share
    a, b = (1.0 - right) * (1.0 - later), right * (1.0 - later)
    c, d = (1.0 - right) * later, right * later
    ye = yp = ee = ep = pp = 0.0
    for n in range(weights.size):
        e = a * tissue[row, n] + b * tissue[row + up, n]
        e += c * tissue[row + on, n] + d * tissue[row + up + on, n]
        p = plasma[delay, n] + later * (plasma[delay + on, n] - plasma[delay, n])
        we = weights[n] * e
        ye += signal[v, n] * e
        yp += signal[v, n] * p
        ee += we * e
        ep += we * p
        pp += weights[n] * p * p
    return ye, yp, ee, ep, pp
