"""Posterior mean and standard deviation of tracer kinetics on a coarse grid over rate and delay.

The volume fractions ve and vp enter a concentration linearly: at every node of the grid their posterior is a
bivariate Gaussian cut off by its limits, integrated by a few Gauss-Legendre nodes where its mass is. The
curves of the grid belong to the scan, so that a voxel costs a matrix product and little more. Called by
`features`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bids_qmri.estimators.box import box_of, to_box
from bids_qmri.estimators.coarse_grid import GridPosterior, cells
from bids_qmri.models.base import Model
from bids_qmri.units import FloatArray

RATES, DELAYS = 16, 6
"""Nodes over kep and t0."""

AMOUNT_NODES = 6
"""Nodes over each of ve and vp."""

REACH = 3.5
"""Half width of their range in standard deviations."""

BLOCK = 64
"""Voxels per block; the arrays of one stay in the L2 cache."""

TINY = 1e-300


@dataclass(frozen=True)
class _Grid:
    """A nodes over kep and t0, each (A, 1): values, widths of cells; curves of ve = 1 and vp = 1, (A, N)."""

    kep: FloatArray
    delay: FloatArray
    kep_width: FloatArray
    delay_width: FloatArray
    log_mass: FloatArray
    tissue: FloatArray
    plasma: FloatArray


def concentration_posterior(
    model: Model,
    signal: FloatArray,
    protocol: Any,
    weights: FloatArray,
    sigma: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> GridPosterior:
    """Return the grid posterior of concentrations with Gaussian noise under a uniform prior.

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
    sigma
        Noise standard deviation of a single image, shape (V,).
    lower, upper
        Limits, shape (P,).
    """
    nodes = _grid(model, protocol, lower, upper)
    curves = np.concatenate([nodes.tissue, nodes.plasma]) * weights
    products = [np.einsum("an,an->a", a * weights, b)[:, None] for a, b in _pairs(nodes)]
    low, high = box_of(model, lower, upper)
    moments = np.empty((2, low.size, signal.shape[1]))
    best = np.empty((lower.size, signal.shape[1]))
    for first in range(0, signal.shape[1], BLOCK):
        block = slice(first, first + BLOCK)
        count = signal[:, block].shape[1]
        padded = np.zeros((len(signal), BLOCK))
        padded[:, :count] = signal[:, block]
        variance = np.ones(BLOCK)
        variance[:count] = sigma[block] ** 2
        with_tissue, with_plasma = np.split(curves @ padded, 2)
        evidence, tissue, plasma = _amounts(
            with_tissue / variance,
            with_plasma / variance,
            *(product / variance for product in products),
            limits=((lower[1], upper[1]), (lower[2], upper[2])),
        )
        mean, square, peak = _combine(nodes, evidence, tissue, plasma)
        moments[0, :, block], moments[1, :, block] = mean[:, :count], square[:, :count]
        best[:, block] = peak[:, :count]
    span = np.where(high > low, high - low, np.inf)[:, None]
    sd = np.sqrt(np.maximum(moments[1] - moments[0] ** 2, 0.0)) / span
    return GridPosterior(to_box(moments[0], low, high), sd, best)


def _pairs(nodes: _Grid) -> tuple[tuple[FloatArray, FloatArray], ...]:
    return (nodes.tissue, nodes.tissue), (nodes.tissue, nodes.plasma), (nodes.plasma, nodes.plasma)


def _grid(model: Model, protocol: Any, lower: FloatArray, upper: FloatArray) -> _Grid:
    rates, rate_widths = cells(lower[0], upper[0], RATES, logarithmic=True)
    delays, delay_widths = cells(lower[3], upper[3], DELAYS)
    kep, delay = (x.ravel() for x in np.meshgrid(rates, delays, indexing="ij"))
    kep_width, delay_width = (x.ravel() for x in np.meshgrid(rate_widths, delay_widths, indexing="ij"))
    one, zero = np.ones_like(kep), np.zeros_like(kep)
    tissue = model.signal(np.stack([kep, one, zero, delay]), protocol).T
    plasma = model.signal(np.stack([kep, zero, one, delay]), protocol).T
    log_mass = np.log(np.where(kep_width > 0, kep_width, 1.0))
    return _Grid(
        kep[:, None],
        delay[:, None],
        kep_width[:, None],
        delay_width[:, None],
        log_mass[:, None],
        np.ascontiguousarray(tissue),
        np.ascontiguousarray(plasma),
    )


Limits = tuple[float, float]
Moments = tuple[FloatArray, FloatArray]
"""Mean and mean square."""


def _amounts(
    ye: FloatArray,
    yp: FloatArray,
    ee: FloatArray,
    ep: FloatArray,
    pp: FloatArray,
    *,
    limits: tuple[Limits, Limits],
) -> tuple[FloatArray, Moments, Moments]:
    """Integrate ve and vp over their limits.

    Parameters
    ----------
    ye, yp, ee, ep, pp
        Inner products of signal y, tissue curve e and plasma curve p over the noise variance, (A, B).
    limits
        Of ve and of vp.

    Returns
    -------
    tuple
        Log evidence up to a constant of the voxel, and the moments of ve and of vp, all (A, B).
    """
    ee, pp = np.maximum(ee, TINY), np.maximum(pp, TINY)
    # The values of vp that any ve leaves, then the values of ve that those leave: nothing is cut off.
    rest = np.maximum(pp - ep * ep / ee, 1e-9 * pp)
    widest = _range((yp - ep * ye / ee) / rest, 1.0 / np.sqrt(rest), limits[1])
    ends = [_range((ye - ep * end) / ee, 1.0 / np.sqrt(ee), limits[0]) for end in widest]
    low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
    parts = []
    for ve, log_weight in zip(*_nodes(low, high, limits[0]), strict=True):
        log_plasma, first, second = _gaussian((yp - ve * ep) / pp, pp, limits[1])
        parts.append((log_weight + ve * (ye - 0.5 * ve * ee) + log_plasma, ve, ve * ve, first, second))
    log_evidence, *values = (np.stack(part) for part in zip(*parts, strict=True))
    top, mass = _normalised(log_evidence)
    ve, ve_square, vp, vp_square = (np.einsum("xab,xab->ab", mass, value) for value in values)
    return top, (ve, ve_square), (vp, vp_square)


def _gaussian(
    centre: FloatArray, precision: FloatArray, limits: Limits
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Integrate exp(precision (centre z - z^2 / 2)) over z within limits: logarithm, mean and mean square."""
    z, log_weight = _nodes(*_range(centre, 1.0 / np.sqrt(precision), limits), limits)
    top, mass = _normalised(z * (precision * (centre - 0.5 * z)) + log_weight)
    return top, np.einsum("zab,zab->ab", mass, z), np.einsum("zab,zab,zab->ab", mass, z, z)


def _normalised(log_density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the logarithm of the sum over the first axis, and the share of every node."""
    top = log_density.max(axis=0)
    mass = np.exp(log_density - top)
    total = mass.sum(axis=0)
    mass /= total
    return np.asarray(top + np.log(total)), mass


def _range(centre: FloatArray, width: FloatArray, limits: Limits) -> tuple[FloatArray, FloatArray]:
    """Return the part of the limits that holds the mass of a Gaussian."""
    inside = np.clip(centre, *limits)
    # Beyond a limit the density falls like an exponential, the faster the farther away its centre is.
    half = REACH * width / (1.0 + np.abs(centre - inside) / width / 2.0)
    return np.maximum(inside - half, limits[0]), np.minimum(inside + half, limits[1])


def _nodes(low: FloatArray, high: FloatArray, limits: Limits) -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Legendre nodes and log weights, each (nodes, A, B); one node for equal limits."""
    x, log_weight = _legendre(1 if limits[0] == limits[1] else AMOUNT_NODES)
    length = high - low
    return low + length * x, log_weight + np.log(np.maximum(length, TINY))


@lru_cache(maxsize=2)
def _legendre(count: int) -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Legendre nodes on the unit interval and their log weights, (nodes, 1, 1)."""
    x, w = np.polynomial.legendre.leggauss(count)
    return ((x + 1.0) / 2.0)[:, None, None], np.log(w / 2.0)[:, None, None]


def _combine(
    nodes: _Grid, evidence: FloatArray, tissue: Moments, plasma: Moments
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean and mean square of the quantities, (5, B), and the best node as parameters, (4, B)."""
    log_mass = evidence + nodes.log_mass
    mass = np.exp(log_mass - log_mass.max(axis=0))
    mass /= mass.sum(axis=0)
    kep_square = nodes.kep**2 + nodes.kep_width**2 / 12.0
    delay_square = nodes.delay**2 + nodes.delay_width**2 / 12.0
    means = (nodes.kep, tissue[0], plasma[0], nodes.delay, nodes.kep * tissue[0])
    squares = (kep_square, tissue[1], plasma[1], delay_square, kep_square * tissue[1])
    best, columns = np.argmax(log_mass, axis=0), np.arange(mass.shape[1])
    peak = [np.broadcast_to(x, mass.shape)[best, columns] for x in means[:4]]
    mean, square = (np.stack([(mass * x).sum(axis=0) for x in values]) for values in (means, squares))
    return mean, square, np.stack(peak)
