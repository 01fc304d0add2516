"""Posterior mean and standard deviation of tracer kinetics on a lattice that every voxel has of its own.

The lattice lies where the posterior of the voxel is, as its maximum and the coarse grid say, and is as wide:
it resolves posteriors much narrower than the cells of the coarse grid. Its nodes are among those of a fine
table of curves over rate and delay that belongs to the scan, so that none is computed for a voxel. Called by
`features`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bids_qmri.estimators.posterior.box import box_of, to_box
from bids_qmri.estimators.posterior.coarse_grid import LARGEST_RATIO, GridPosterior
from bids_qmri.estimators.posterior.map import Mode
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.dce import grid as tofts_grid
from bids_qmri.techniques.dce.amounts import Float32Array, Gram, IntArray, gram, integrate, sharpness
from bids_qmri.techniques.dce.grid import (
    Axes,
    expectations,
    expected_amounts,
    standard_deviation,
    unit_curves,
)
from bids_qmri.units import FloatArray

RATES, DELAYS = 181, 41
"""Nodes of the table over kep and t0, ends included."""

LATTICE = 7, 5
"""Nodes of a lattice over kep and t0."""

STEP = 1.0, 1.15
"""Distance of its nodes in standard deviations."""

WIDEN = 1.1
"""Standard deviation expected of the posterior over that of a Gaussian approximation at its maximum."""

BLOCK = 256
"""Voxels per block; the arrays of one stay in the L2 cache."""

FEW = 32
"""Voxels whose curves stay there."""


@dataclass(frozen=True)
class Table:
    """Curves at all rates and delays.

    Parameters
    ----------
    kep, delay
        Nodes, (K,) and (T,); rates are log-spaced.
    curves
        Weighted curves of ve = 1 and of vp = 1, (K T, 2, N).
    products
        Their inner products, (K T,).
    """

    kep: FloatArray
    delay: FloatArray
    curves: Float32Array
    products: Gram


def local_posterior(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    weights: FloatArray,
    noise: VoxelNoise,
    lower: FloatArray,
    upper: FloatArray,
    prior: Prior,
    coarse: GridPosterior,
    mode: Mode,
) -> GridPosterior:
    """Return mean and standard deviation of concentrations with Gaussian noise.

    Parameters
    ----------
    model, signal, protocol, weights, noise, lower, upper, prior
        As of `tofts_grid.concentration_posterior`.
    coarse
        Posterior on the coarse grid.
    mode
        Its maximum; `best` of the result repeats it.
    """
    table = _table(model, protocol, tuple(weights), tuple(lower), tuple(upper))
    sharp = sharpness(np.sqrt(weights)[:, None] * signal, noise.scatter)
    limits = (float(lower[1]), float(upper[1])), (float(lower[2]), float(upper[2]))
    expected = expected_amounts(model, prior)
    low, high = box_of(model, lower, upper)
    moments = np.empty((2, low.size, signal.shape[1]))
    rate, delay = _lattices(table, coarse, mode, lower, upper)
    for first in range(0, signal.shape[1], BLOCK):
        block = slice(first, first + BLOCK)
        node = (rate[block, :, None] * table.delay.size + delay[block, None, :]).reshape(len(rate[block]), -1)
        with_tissue, with_plasma = _project(table, node, signal[:, block])
        products = Gram(*(x.take(node) for x in (table.products.ee, table.products.ep, table.products.pp)))
        pairs = integrate(with_tissue, with_plasma, products, sharp[block], limits, expected)
        axes = _axes(table, rate[block], delay[block], model, prior)
        moments[:, :, block] = expectations(axes, pairs, pairs.place)
    return GridPosterior(to_box(moments[0], low, high), standard_deviation(moments, low, high), mode.theta)


def _project(table: Table, node: IntArray, signal: FloatArray) -> Float32Array:
    """Return the inner products of signals (N, B) with the curves of their nodes (B, A), (2, B, A)."""
    # Padded, because a sum may be rounded differently for another number of voxels.
    found = np.empty((2, *node.shape), dtype=np.float32)
    rows = np.zeros((FEW, len(signal)), dtype=np.float32)
    curves = np.zeros((FEW, node.shape[1], *table.curves.shape[1:]), dtype=np.float32)
    for first in range(0, len(node), FEW):
        few = slice(first, first + FEW)
        count = len(node[few])
        rows[:count] = signal[:, few].T
        np.take(table.curves, node[few], axis=0, out=curves[:count], mode="clip")
        found[:, few] = np.einsum("bacn,bn->cba", curves, rows)[:, :count]
    return found


def _lattices(
    table: Table, coarse: GridPosterior, mode: Mode, lower: FloatArray, upper: FloatArray
) -> tuple[IntArray, IntArray]:
    """Return the places in the table of the lattices of all voxels over kep, (V, 7), and over t0, (V, 5)."""
    found = []
    rates, delays = zip(LATTICE, STEP, (tofts_grid.RATES, tofts_grid.DELAYS), strict=True)
    for parameter, axis, (count, step, cells) in ((0, np.log(table.kep), rates), (3, table.delay, delays)):
        if axis.size == 1:
            found.append(np.zeros((mode.theta.shape[1], 1), dtype=np.intp))
            continue
        span = upper[parameter] - lower[parameter]
        peak, mean = mode.theta[parameter], lower[parameter] + span * coarse.mean[parameter]
        narrow = WIDEN * span * np.sqrt(mode.covariance[parameter, parameter])
        wide = span * coarse.sd[parameter]
        if parameter == 0:
            peak, mean = (np.maximum(x, table.kep[0]) for x in (peak, mean))
            peak, narrow, mean, wide = np.log(peak), narrow / peak, np.log(mean), wide / mean
        # The coarse grid says nothing about what is narrower than its cells.
        resolved = wide > (axis[-1] - axis[0]) / cells
        centre, sd = np.where(resolved, mean, peak), np.where(resolved, wide, np.minimum(narrow, wide))
        spacing = axis[1] - axis[0]
        largest = (axis.size - 1) // (count - 1)
        # What is not a number must not become a place; features of such voxels are not finite anyway.
        stride = np.clip(np.nan_to_num(np.rint(step * sd / spacing)), 1, largest).astype(np.intp)
        middle = np.clip(np.nan_to_num((centre - axis[0]) / spacing), 0, axis.size - 1)
        begin = np.rint(middle).astype(np.intp) - stride * (count // 2)
        begin = np.clip(begin, 0, axis.size - 1 - stride * (count - 1))
        found.append(begin[:, None] + stride[:, None] * np.arange(count))
    return found[0], found[1]


def _axes(table: Table, rate: IntArray, delay: IntArray, model: Model, prior: Prior) -> Axes:
    """Return values and volumes of the nodes of lattices, all voxels behind one another."""
    shape = (len(rate), rate.shape[1], delay.shape[1])
    # Rates are log-spaced: what a node stands for grows with its rate. An end of the box halves it.
    mass = (table.kep[rate] * _ends(rate, table.kep.size))[:, :, None]
    mass = mass * _ends(delay, table.delay.size)[:, None, :]
    kep = np.broadcast_to(table.kep[rate][:, :, None], shape).ravel()
    late = np.broadcast_to(table.delay[delay][:, None, :], shape).ravel()
    none = np.zeros(kep.size)
    log_density = prior.log_density(model, np.stack([kep, none, none, late]), but=model.linear)
    if isinstance(log_density, np.ndarray):
        of_voxels = log_density.reshape(len(rate), -1)
        share = np.exp(of_voxels - of_voxels.max(axis=1, keepdims=True))
        mass = mass * np.maximum(share, tofts_grid.LEAST_MASS).reshape(shape)
    return Axes(kep, late, none, none, mass.ravel())


def _ends(place: IntArray, size: int) -> FloatArray:
    return np.where((place == 0) | (place == size - 1), 0.5, 1.0)


@lru_cache(maxsize=4)
def _table(
    model: Model,
    protocol: Protocol,
    weights: tuple[float, ...],
    lower: tuple[float, ...],
    upper: tuple[float, ...],
) -> Table:
    """Return the curves of a scan; kept for the last few scans."""
    rates, delays = np.array(upper[:1]), np.array(lower[3:])
    if lower[0] < upper[0]:
        rates = np.geomspace(max(lower[0], upper[0] / LARGEST_RATIO), upper[0], RATES)
    if lower[3] < upper[3]:
        delays = np.linspace(lower[3], upper[3], DELAYS)
    kep, late = (x.ravel() for x in np.meshgrid(rates, delays, indexing="ij"))
    tissue, plasma = (x.T for x in unit_curves(model, protocol, kep, late))
    column = np.array(weights)
    curves = np.stack([tissue * column, plasma * column], axis=1).astype(np.float32)
    return Table(rates, delays, curves, gram(tissue, plasma, column))
