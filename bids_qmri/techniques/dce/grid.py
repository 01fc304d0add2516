"""Posterior mean and standard deviation of tracer kinetics on a coarse grid over rate and delay.

The volume fractions ve and vp are integrated at every node of the grid (`amounts`). The curves of the grid
belong to the scan, so that a voxel costs a matrix product and little more. Called by `map` and `features`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bids_qmri.estimators.posterior.box import box_of, to_box
from bids_qmri.estimators.posterior.coarse_grid import GridPosterior, edges, product
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import CORE, EVEN, Prior, cells_under
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.dce.amounts import (
    Expected,
    Float32Array,
    Gram,
    IntArray,
    Pairs,
    gram,
    integrate,
    sharpness,
)
from bids_qmri.units import FloatArray

RATES, DELAYS = 16, 6
"""Nodes over kep and t0."""

LEAST_MASS = 1e-12
"""Of a node, over the largest: a signal may lie where the prior has next to none."""

BLOCK = 256
"""Voxels per block; the arrays of one stay in the L2 cache. The last one is padded: sums may be rounded
differently for another number of voxels."""


@dataclass(frozen=True)
class Axes:
    """A nodes over kep and t0, each (A,): values, squared widths of cells over 12, logarithm of volumes."""

    kep: FloatArray
    delay: FloatArray
    kep_spread: FloatArray
    delay_spread: FloatArray
    mass: FloatArray


def concentration_posterior(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    weights: FloatArray,
    noise: VoxelNoise,
    lower: FloatArray,
    upper: FloatArray,
    prior: Prior = EVEN,
) -> GridPosterior:
    """Return the grid posterior of concentrations with Gaussian noise.

    Parameters
    ----------
    model
        The extended Tofts model, or that of Tofts.
    signal
        Concentrations in mmol/L, shape (N, V).
    protocol
        What was played out.
    weights
        Images averaged into each measurement, shape (N,).
    noise
        Noise of a single image, V voxels.
    lower, upper
        Limits, shape (P,).
    prior
        Where the parameters are expected within these.
    """
    axes, curves, products = _grid(model, protocol, tuple(weights), tuple(lower), tuple(upper), prior)
    sharp = sharpness(np.sqrt(weights)[:, None] * signal, noise.scatter)
    limits = (float(lower[1]), float(upper[1])), (float(lower[2]), float(upper[2]))
    expected = expected_amounts(model, prior)
    low, high = box_of(model, lower, upper)
    moments = np.empty((2, low.size, signal.shape[1]))
    for first in range(0, signal.shape[1], BLOCK):
        block = slice(first, first + BLOCK)
        count = signal[:, block].shape[1]
        padded = np.zeros((BLOCK, len(signal)), dtype=np.float32)
        padded[:count] = signal[:, block].T
        # Not a matrix product, whose rounding depends on the place of a voxel in it.
        with_tissue, with_plasma = (np.einsum("bn,na->ba", padded, curve)[:count] for curve in curves)
        pairs = integrate(with_tissue, with_plasma, products, sharp[block], limits, expected)
        moments[:, :, block] = expectations(axes, pairs, pairs.place % axes.kep.size)
    # The mean is nearer to the maximum than the best node is, and rarely in the basin of another one.
    best = moments[0, : lower.size].copy()
    return GridPosterior(to_box(moments[0], low, high), standard_deviation(moments, low, high), best)


def expected_amounts(model: Model, prior: Prior) -> tuple[Expected, Expected]:
    """Return centre and precision of normal densities that stand for the prior of ve and of vp."""
    ve, vp = (
        (0.0, 0.0) if bell is None else (bell.centre, 1.0 / (CORE * bell.width) ** 2)
        for bell in map(prior.of, model.linear)
    )
    return ve, vp


def expectations(axes: Axes, pairs: Pairs, node: IntArray) -> FloatArray:
    """Return mean and mean square of the K quantities, (2, K, B), where pair l is about node `node[l]`."""
    mass = pairs.mass * axes.mass.take(node)
    kep, delay = axes.kep.take(node), axes.delay.take(node)
    kep_square = kep * kep + axes.kep_spread.take(node)
    delay_square = delay * delay + axes.delay_spread.take(node)
    means: list[Any] = [kep, pairs.ve, pairs.vp, delay, kep * pairs.ve]
    squares = [kep_square, pairs.ve_square, pairs.vp_square, delay_square, kep_square * pairs.ve_square]
    sums = np.stack([mass, *(mass * value for value in means + squares)])
    total = np.add.reduceat(sums, pairs.first, axis=1)
    return np.asarray((total[1:] / total[0]).reshape(2, len(means), -1))


def standard_deviation(moments: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return standard deviations in box units, (K, V), from means and mean squares, (2, K, V)."""
    span = np.where(high > low, high - low, np.inf)[:, None]
    return np.asarray(np.sqrt(np.maximum(moments[1] - moments[0] ** 2, 0.0)) / span)


@lru_cache(maxsize=4)
def _grid(
    model: Model,
    protocol: Protocol,
    weights: tuple[float, ...],
    lower: tuple[float, ...],
    upper: tuple[float, ...],
    prior: Prior,
) -> tuple[Axes, tuple[Float32Array, Float32Array], Gram]:
    """Return the nodes, and the curves of ve = 1 and of vp = 1 there, weighted, (N, A)."""
    rates = edges(lower[0], upper[0], RATES, logarithmic=True)
    delays = edges(lower[3], upper[3], DELAYS)
    both = zip((model.parameters[0], model.parameters[3]), (rates, delays), strict=True)
    (kep, delay), (kep_sd, delay_sd), log_mass = product([cells_under(prior, p, ends) for p, ends in both])
    tissue, plasma = unit_curves(model, protocol, kep, delay)
    axes = Axes(kep, delay, kep_sd**2, delay_sd**2, np.maximum(np.exp(log_mass - log_mass.max()), LEAST_MASS))
    column = np.array(weights)[:, None]
    curves = tuple(np.ascontiguousarray(x * column, dtype=np.float32) for x in (tissue, plasma))
    return axes, (curves[0], curves[1]), gram(tissue.T, plasma.T, np.array(weights))


def unit_curves(
    model: Model, protocol: Protocol, kep: FloatArray, delay: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the curves of ve = 1 and of vp = 1 at A rates and delays, each (N, A)."""
    one, zero = np.ones_like(kep), np.zeros_like(kep)
    tissue = model.signal(np.stack([kep, one, zero, delay]), protocol)
    return tissue, model.signal(np.stack([kep, zero, one, delay]), protocol)
