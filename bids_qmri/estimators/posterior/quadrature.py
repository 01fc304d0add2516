"""Posterior expectations of many voxels at once, on Gauss-Legendre grids that zoom in on every posterior.

The parameters live in the unit box. A first coarse grid covers the box; its posterior, flattened by a
temperature until a few nodes share the mass, gives a mean and a covariance, around which the next grid is
laid; so on until the temperature is 1 (annealing, as in Neal 2001, doi:10.1023/A:1008923215028). Grids are
sheared along the covariance, and each of their intervals is clipped to the box, so that narrow ridges and
posteriors cut off by a bound are both integrated well. Used by `estimators.bayes`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from bids_qmri.units import FloatArray

IntArray = npt.NDArray[np.intp]

LogDensity = Callable[[FloatArray, IntArray], tuple[FloatArray, Callable[[], FloatArray]]]
"""From points (D, V, g, ..., g) in the unit box and the indices (V,) of their voxels to the log density,
(V, g, ..., g), and a function that returns the features whose expectations are wanted, (F, V, g, ..., g)."""

NODES = {0: 1, 1: 64, 2: 48, 3: 16}
"""Nodes per axis of the last grid, by number of dimensions."""
ZOOM_NODES = {0: 1, 1: 32, 2: 24, 3: 10}
"""Nodes per axis of the grids on the way."""

MAX_STAGES = 40
REACH = 6.0
"""Half width of the last grid in (conditional) standard deviations."""
ZOOM_REACH = 5.0
EFFECTIVE = 2.2
"""Nodes per axis that share the mass of a flattened posterior: fewer cannot tell its width."""
SETTLED = 0.2
"""Change of the logarithm of all widths from one grid to the next below which they are known well enough."""
_COLDEST = -30.0
_TINY = 1e-300


def expectations(evaluate: LogDensity, dimensions: int, n_voxels: int) -> tuple[FloatArray, FloatArray]:
    """Return the posterior means of features under a uniform prior on the unit box.

    Parameters
    ----------
    evaluate
        Log density and features at points of the box.
    dimensions
        Number of parameters D, at most 3.
    n_voxels
        Number of voxels V.

    Returns
    -------
    means : ndarray
        Expectations, shape (F, V).
    temperature : ndarray
        1 where the grid closed in on the posterior, below 1 where it did not, shape (V,).
    """
    mean = np.full((dimensions, n_voxels), 0.5)
    root = np.repeat(np.eye(dimensions)[:, :, None], n_voxels, axis=2)
    power = np.full(n_voxels, 1.0 if dimensions == 0 else 0.0)
    active = np.flatnonzero(power < 1.0)
    for _ in range(MAX_STAGES):
        if active.size == 0:
            break
        before = np.einsum("ddv->dv", root[:, :, active])
        points, log_volume = _grid(mean[:, active], root[:, :, active], ZOOM_NODES[dimensions], ZOOM_REACH)
        log_density, _ = evaluate(points, active)
        power[active] = _temper(log_density, log_volume, EFFECTIVE**dimensions)
        weight = _weights(log_density, log_volume, power[active])
        mean[:, active], root[:, :, active] = _moments(points, weight, root[:, :, active])
        # the moments of the first grid at temperature 1 are rough: go on until they settle
        change = np.abs(np.log(np.einsum("ddv->dv", root[:, :, active]) / before)).max(axis=0)
        active = active[(power[active] < 1.0) | (change > SETTLED)]
    points, log_volume = _grid(mean, root, NODES[dimensions], REACH)
    log_density, features = evaluate(points, np.arange(n_voxels))
    weight = _weights(log_density, log_volume, np.ones(n_voxels))
    values = features()
    return np.einsum("vg,fvg->fv", weight, values.reshape(len(values), n_voxels, -1)), power


@cache
def gauss_legendre(count: int) -> tuple[FloatArray, FloatArray]:
    """Return nodes in [-1, 1] and weights."""
    x, w = np.polynomial.legendre.leggauss(count)
    return x, w


def _grid(mean: FloatArray, root: FloatArray, nodes: int, reach: float) -> tuple[FloatArray, FloatArray]:
    """Return points (D, V, g, ..., g) of sheared grids clipped to the box, and the log volume of each."""
    dimensions, n_voxels = mean.shape
    x, w = gauss_legendre(nodes)
    column = (n_voxels, *[1] * dimensions)
    points = np.empty((dimensions, n_voxels, *[nodes] * dimensions))
    log_volume = np.zeros(column)
    deviations: list[FloatArray] = []
    for d in range(dimensions):
        axis = [1] * (dimensions + 1)
        axis[d + 1] = nodes
        centre = mean[d].reshape(column)
        for e in range(d):
            centre = centre + root[d, e].reshape(column) * deviations[e]
        spread = root[d, d].reshape(column)
        low, high = (np.clip(centre + side * reach * spread, 0.0, 1.0) for side in (-1, 1))
        point = low + (high - low) * (x.reshape(axis) + 1.0) / 2.0
        deviations.append((point - centre) / spread)
        points[d] = point
        log_volume = log_volume + np.log(np.maximum(high - low, _TINY)) + np.log(w).reshape(axis)
    return points, np.broadcast_to(log_volume, points.shape[1:])


def _weights(log_density: FloatArray, log_volume: FloatArray, power: FloatArray) -> FloatArray:
    """Return the normalised posterior mass of every node, shape (V, G)."""
    flat = log_density.reshape(len(power), -1)
    exponent = power[:, None] * (flat - flat.max(axis=1, keepdims=True)) + log_volume.reshape(flat.shape)
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _temper(log_density: FloatArray, log_volume: FloatArray, effective: float) -> FloatArray:
    """Return the largest power up to 1 at which at least `effective` nodes share the mass, shape (V,)."""

    def enough(power: FloatArray) -> npt.NDArray[np.bool_]:
        return np.asarray((_weights(log_density, log_volume, power) ** 2).sum(axis=1) * effective <= 1.0)

    n_voxels = len(log_density)
    low, high = np.full(n_voxels, _COLDEST), np.zeros(n_voxels)
    at_one = enough(np.ones(n_voxels))
    if at_one.all():
        return np.ones(n_voxels)
    for _ in range(14):
        middle = (low + high) / 2.0
        good = enough(np.exp(middle))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.where(at_one, 1.0, np.exp(low))


def _moments(points: FloatArray, weight: FloatArray, shear: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean (D, V) and the triangular root of the covariance, (D, D, V); `shear` is the grid's own."""
    dimensions, n_voxels = points.shape[:2]
    flat = points.reshape(dimensions, n_voxels, -1)
    mean = np.einsum("vg,dvg->dv", weight, flat)
    deviation = flat - mean[:, :, None]
    covariance = np.einsum("vg,dvg,evg->vde", weight, deviation, deviation)
    # the extent of the grid's own sheared cells: no posterior can be known to be narrower
    for d in range(dimensions):
        span = points[d].max(axis=d + 1) - points[d].min(axis=d + 1)
        cell = span.reshape(n_voxels, -1).max(axis=1) / points.shape[-1]
        edge = shear[:, d] / shear[d, d] * cell
        covariance += np.einsum("dv,ev->vde", edge, edge) / 12.0
    return mean, np.moveaxis(np.linalg.cholesky(covariance), 0, -1)
