"""Nodes from sheared logistic densities in the unit box, and these densities at nodes, compiled.

Called by `importance`, whose text says what the densities are for. A coordinate is logistic about a centre
that follows the coordinates before it, truncated to the box; every voxel has its own.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.compiled import kernel
from bids_qmri.physics.elementary import exp, log
from bids_qmri.units import FloatArray

FARTHEST = 700.0
"""Distance of a limit in logistic scales beyond which its exponential overflows."""

NEAREST = 1e-300
"""Odds that stand for none."""


@kernel
def draw(uniform: FloatArray, mean: FloatArray, root: FloatArray, widen: float, points: FloatArray) -> None:
    """Write nodes (D, V, G) around means (D, V) with roots of covariances (D, D, V).

    Parameters
    ----------
    uniform
        Points of the unit box, (D, G).
    mean, root
        Of an `importance.Estimate`.
    widen
        Logistic scale over standard deviation.
    points
        What is written.
    """
    dimensions, n_voxels, count = points.shape
    slopes, centre, low, inside = np.empty(dimensions), np.empty(count), np.empty(count), np.empty(count)
    for v in range(n_voxels):
        for d in range(dimensions):
            scale = widen * root[d, d, v]
            _conditional(d, v, points, mean, root, slopes, centre)
            _mass(centre, scale, d == 0, low, inside)
            _place(uniform[d], centre, scale, low, inside, points[d, v])


@kernel
def add_density(
    points: FloatArray, mean: FloatArray, root: FloatArray, widen: float, factor: float, mixture: FloatArray
) -> None:
    """Add `factor` times the density that `draw` has at points (D, V, G) to `mixture`, (V, G)."""
    dimensions, n_voxels, count = points.shape
    slopes, centre, low, inside = np.empty(dimensions), np.empty(count), np.empty(count), np.empty(count)
    density = np.empty(count)
    for v in range(n_voxels):
        density[:] = factor
        for d in range(dimensions):
            scale = widen * root[d, d, v]
            _conditional(d, v, points, mean, root, slopes, centre)
            _mass(centre, scale, d == 0, low, inside)
            _times_logistic(points[d, v], centre, scale, inside, density)
        row = mixture[v]
        for g in range(count):
            row[g] += density[g]


@kernel
def _conditional(
    d: int,
    v: int,
    points: FloatArray,
    mean: FloatArray,
    root: FloatArray,
    slopes: FloatArray,
    centre: FloatArray,
) -> None:
    """Write the mean of a coordinate given those before it, within the box."""
    centre[:] = mean[d, v]
    for e in range(d - 1, -1, -1):
        rest = root[d, e, v]
        for k in range(e + 1, d):
            rest -= slopes[k] * root[k, e, v]
        slopes[e] = rest / root[e, e, v]
    for e in range(d):
        _follow(points[e, v], mean[e, v], slopes[e], centre)
    if d > 0:
        _clip(centre)


@kernel
def _follow(before: FloatArray, middle: float, slope: float, centre: FloatArray) -> None:
    for g in range(centre.size):
        centre[g] += slope * (before[g] - middle)


@kernel
def _clip(values: FloatArray) -> None:
    for g in range(values.size):
        x = values[g] if values[g] > 0.0 else 0.0
        values[g] = x if x < 1.0 else 1.0


@kernel
def _mass(centre: FloatArray, scale: float, alike: bool, low: FloatArray, inside: FloatArray) -> None:
    """Write the masses of logistic densities below the box and inside it; `alike` if all have one centre."""
    count = 1 if alike else centre.size
    for g in range(count):
        x, y = centre[g] / scale, (1.0 - centre[g]) / scale
        below = 1.0 / (1.0 + exp(x if x < FARTHEST else FARTHEST))
        above = 1.0 / (1.0 + exp(y if y < FARTHEST else FARTHEST))
        low[g] = below
        inside[g] = 1.0 - above - below
    if alike:
        low[:] = low[0]
        inside[:] = inside[0]


@kernel
def _place(
    uniform: FloatArray, centre: FloatArray, scale: float, low: FloatArray, inside: FloatArray, out: FloatArray
) -> None:
    """Write the coordinates that have given shares of the mass below them."""
    for g in range(centre.size):
        share = low[g] + uniform[g] * inside[g]
        odds = share / (1.0 - share)
        x = centre[g] + scale * log(odds if odds > NEAREST else NEAREST)
        x = x if x > 0.0 else 0.0
        out[g] = x if x < 1.0 else 1.0


@kernel
def _times_logistic(
    x: FloatArray, centre: FloatArray, scale: float, inside: FloatArray, density: FloatArray
) -> None:
    """Multiply by the density of one coordinate."""
    for g in range(x.size):
        decay = exp(-abs(x[g] - centre[g]) / scale)
        density[g] *= decay / ((1.0 + decay) * (1.0 + decay) * (scale * inside[g]))
