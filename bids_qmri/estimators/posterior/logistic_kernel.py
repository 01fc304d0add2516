"""Nodes from sheared logistic densities in the unit box, and these densities at nodes, compiled.

Called by `importance`, whose text says what the densities are for. A coordinate is logistic about a centre
that follows the coordinates before it, truncated to the box; every voxel has its own. Exponentials are of
single precision: where a node lies hardly matters, and its density is that of where it lies to 1e-6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_qmri.compiled import kernel
from bids_qmri.physics.elementary import exp_single, log_single
from bids_qmri.units import FloatArray

BLOCK = 512
"""Nodes at a time, of as many voxels as that takes: long loops leave few steps to do one by one."""

F: Any = np.float32
ONE, NEAREST, FARTHEST = F(1.0), F(1e-37), F(43.0)
"""One, odds that stand for none, and logistic scales beyond which a limit is as good as none."""


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
    voxels = max(BLOCK // count, 1)
    size = voxels * count
    slopes, centre, inverse, x = np.empty(dimensions), np.empty(size), np.empty(size), np.empty(size)
    low, inside, share = np.empty(size, dtype=F), np.empty(size, dtype=F), np.empty(size, dtype=F)
    upright = _upright(root)
    for first in range(0, n_voxels, voxels):
        end = min(first + voxels, n_voxels)
        for d in range(dimensions):
            _conditional(d, first, end, points, mean, root, widen, slopes, centre, inverse)
            for v in range(first, end):
                for g in range(count):
                    share[(v - first) * count + g] = uniform[d, g]
            if d == 0 or upright:
                _mass(centre, inverse, count, low, inside)
                _repeat(low, count)
                _repeat(inside, count)
            else:
                _mass(centre, inverse, 1, low, inside)
            _place(share, centre, inverse, low, inside, x)
            for v in range(first, end):
                for g in range(count):
                    points[d, v, g] = x[(v - first) * count + g]


@kernel
def add_density(
    points: FloatArray, mean: FloatArray, root: FloatArray, widen: float, factor: float, mixture: FloatArray
) -> None:
    """Add `factor` times the density that `draw` has at points (D, V, G) to `mixture`, (V, G)."""
    dimensions, n_voxels, count = points.shape
    voxels = max(BLOCK // count, 1)
    size = voxels * count
    slopes, centre, inverse, x = np.empty(dimensions), np.empty(size), np.empty(size), np.empty(size)
    low, inside, density = np.empty(size, dtype=F), np.empty(size, dtype=F), np.empty(size)
    upright = _upright(root)
    for first in range(0, n_voxels, voxels):
        end = min(first + voxels, n_voxels)
        density[:] = factor
        for d in range(dimensions):
            _conditional(d, first, end, points, mean, root, widen, slopes, centre, inverse)
            for v in range(first, end):
                for g in range(count):
                    x[(v - first) * count + g] = points[d, v, g]
            if d == 0 or upright:
                _mass(centre, inverse, count, low, inside)
                _repeat(low, count)
                _repeat(inside, count)
            else:
                _mass(centre, inverse, 1, low, inside)
            _times_logistic(x, centre, inverse, inside, density)
        for v in range(first, end):
            for g in range(count):
                mixture[v, g] += density[(v - first) * count + g]


@kernel
def _conditional(
    d: int,
    first: int,
    end: int,
    points: FloatArray,
    mean: FloatArray,
    root: FloatArray,
    widen: float,
    slopes: FloatArray,
    centre: FloatArray,
    inverse: FloatArray,
) -> None:
    """Write the mean of a coordinate given those before it, within the box, and one over its scale."""
    count = points.shape[2]
    for v in range(first, end):
        begin = (v - first) * count
        middle, sharp = mean[d, v], 1.0 / (widen * root[d, d, v])
        for g in range(count):
            centre[begin + g] = middle
            inverse[begin + g] = sharp
        for e in range(d - 1, -1, -1):
            rest = root[d, e, v]
            for k in range(e + 1, d):
                rest -= slopes[k] * root[k, e, v]
            slopes[e] = rest / root[e, e, v]
        for e in range(d):
            slope, away = slopes[e], mean[e, v]
            for g in range(count):
                centre[begin + g] += slope * (points[e, v, g] - away)
        for g in range(count if d > 0 else 0):
            x = centre[begin + g] if centre[begin + g] > 0.0 else 0.0
            centre[begin + g] = x if x < 1.0 else 1.0


@kernel
def _upright(root: FloatArray) -> bool:
    """Return whether no coordinate follows another in any voxel."""
    for d in range(len(root)):
        for e in range(d):
            for v in range(root.shape[2]):
                if root[d, e, v] != 0.0:
                    return False
    return True


@kernel
def _mass(centre: FloatArray, inverse: FloatArray, alike: int, low: FloatArray, inside: FloatArray) -> None:
    """Write the masses of logistic densities below the box and inside it.

    Of each `alike` of them, one after the other, only the first.
    """
    for g in range(0, centre.size, alike):
        x, y = F(centre[g] * inverse[g]), F((1.0 - centre[g]) * inverse[g])
        a = exp_single(x if x < FARTHEST else FARTHEST)
        b = exp_single(y if y < FARTHEST else FARTHEST)
        # 1 / (1 + a) below, 1 / (1 + b) above, by one division.
        share = ONE / ((ONE + a) * (ONE + b))
        low[g] = (ONE + b) * share
        inside[g] = (a * b - ONE) * share


@kernel
def _repeat(values: FloatArray, alike: int) -> None:
    """Give the first of each `alike` values to the others."""
    for first in range(0, values.size, alike):
        value = values[first]
        for g in range(first + 1, first + alike):
            values[g] = value


@kernel
def _place(
    uniform: FloatArray,
    centre: FloatArray,
    inverse: FloatArray,
    low: FloatArray,
    inside: FloatArray,
    out: FloatArray,
) -> None:
    """Write the coordinates that have given shares of the mass below them."""
    for g in range(centre.size):
        share = low[g] + uniform[g] * inside[g]
        odds = share / (ONE - share)
        x = centre[g] + log_single(odds if odds > NEAREST else NEAREST) / inverse[g]
        x = x if x > 0.0 else 0.0
        out[g] = x if x < 1.0 else 1.0


@kernel
def _times_logistic(
    x: FloatArray, centre: FloatArray, inverse: FloatArray, inside: FloatArray, density: FloatArray
) -> None:
    """Multiply by the density of one coordinate."""
    for g in range(x.size):
        decay = exp_single(F(-abs(x[g] - centre[g]) * inverse[g]))
        density[g] *= inverse[g] * (decay / ((ONE + decay) * (ONE + decay) * inside[g]))
