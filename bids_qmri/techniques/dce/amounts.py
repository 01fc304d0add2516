"""Integrals over the volume fractions ve and vp, which a concentration is linear in.

Rate and delay fixed, the posterior of ve and vp is a bivariate Gaussian density cut off by their limits. Its
peak within them tells cheaply which rates and delays matter at all; only for those is it integrated, by a few
Gauss-Legendre nodes where its mass is, about the peak. Called by `tofts_grid` and `tofts_lattice` in single
precision: distances from the peak are small numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.intp]

AMOUNT_NODES = 5
"""Nodes over each of ve and vp."""

REACH = 2.9
"""Half width of their range in standard deviations: a Gaussian density nearly keeps its own."""

DROP = 6.5
"""Logarithm of the likelihood ratio to the best rate and delay beyond which others count for nothing."""

SHARPEST = 1e6
"""Largest energy of a signal over twice its noise variance; single precision tells no more apart."""

TINY = np.float32(1e-30)

MOST = np.float32(80.0)
"""Logarithm of a density over that at the peak of the likelihood from which all of it is scaled down: a prior
that is sharper than what a voxel tells may be so far away that the ratio is none of single precision."""

SINGULAR = np.float32(1e-6)
"""Least share of a precision that is left by curves that are nearly parallel."""

Limits = tuple[float, float]

Expected = tuple[float, float]
"""Centre and precision of a normal density that an amount is expected from; a precision of 0 says nothing."""


@dataclass(frozen=True)
class Gram:
    """Inner products of the curves of ve = 1 and of vp = 1 with one another, (A,) or (B, A), float32."""

    ee: Float32Array
    ep: Float32Array
    pp: Float32Array


@dataclass(frozen=True)
class Pairs:
    """The L rates and delays that matter to B voxels.

    Parameters
    ----------
    place
        Where they are in an array (B, A), flattened, (L,).
    first
        Where those of every voxel begin, (B,).
    mass
        Evidence, up to a factor of the voxel, (L,).
    ve, vp, ve_square, vp_square
        Mean and mean square of the volume fractions, (L,).
    """

    place: IntArray
    first: IntArray
    mass: Float32Array
    ve: Float32Array
    vp: Float32Array
    ve_square: Float32Array
    vp_square: Float32Array


def gram(tissue: Any, plasma: Any, weights: Any) -> Gram:
    """Return the inner products of curves (A, N) under the weights of measurements, (N,)."""
    pairs = ((tissue, tissue), (tissue, plasma), (plasma, plasma))
    return Gram(*(np.einsum("an,an,n->a", a, b, weights).astype(np.float32) for a, b in pairs))


def sharpness(signal: FloatArray, sigma: FloatArray) -> Float32Array:
    """Return one over the noise variance of signals (N, V), but not above what `SHARPEST` says, (V,)."""
    energy = np.einsum("nv,nv->v", signal, signal)
    sharp = np.minimum(1.0 / sigma**2, 2.0 * SHARPEST / np.maximum(energy, 1e-300))
    return np.asarray(sharp, dtype=np.float32)


def integrate(
    ye: Float32Array,
    yp: Float32Array,
    curves: Gram,
    sharp: Float32Array,
    limits: tuple[Limits, Limits],
    expected: tuple[Expected, Expected] = ((0.0, 0.0), (0.0, 0.0)),
) -> Pairs:
    """Integrate ve and vp over their limits at all rates and delays that matter.

    Parameters
    ----------
    ye, yp
        Inner products of B signals with A curves of tissue and plasma, (B, A).
    curves
        Those of the curves.
    sharp
        One over the noise variance, (B,).
    limits, expected
        Of ve and of vp.
    """
    ve, vp, gain = _peak(ye, yp, curves, limits)
    gain *= sharp[:, None]
    gain -= gain.max(axis=1, keepdims=True)
    # Not a number where a signal overflows single precision: kept, so that every voxel has a pair.
    place = np.flatnonzero(~(gain <= -DROP))
    voxel, node = np.divmod(place, gain.shape[1])
    first = np.searchsorted(voxel, np.arange(len(gain)))
    scale = sharp.take(voxel)
    where = node if curves.ee.ndim == 1 else place
    ee, ep, pp = (x.take(where) for x in (curves.ee, curves.ep, curves.pp))
    e0, p0 = ve.take(place), vp.take(place)
    by_e = (ye.take(place) - ee * e0 - ep * p0) * scale
    by_p = (yp.take(place) - ep * e0 - pp * p0) * scale
    for x in (ee, ep, pp):
        x *= scale
    log_expected: Any = np.float32(0.0)
    for (centre, precision), at, slope, sharpened in zip(
        expected, (e0, p0), (by_e, by_p), (ee, pp), strict=True
    ):
        if precision > 0:
            away = np.float32(centre) - at
            slope += np.float32(precision) * away
            sharpened += np.float32(precision)
            log_expected = log_expected - np.float32(0.5 * precision) * away * away
    mass, scaled, moments = _about_peak((e0, by_e, ee), (p0, by_p, pp), ep, limits)
    log_mass = gain.take(place) + log_expected + scaled
    if np.ndim(log_expected):
        log_mass -= np.maximum.reduceat(log_mass, first)[voxel]
    mass *= np.exp(log_mass)
    return Pairs(place, first, mass, *moments)


def _peak(
    ye: Float32Array, yp: Float32Array, curves: Gram, limits: tuple[Limits, Limits]
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return ve and vp of greatest likelihood within their limits, and its logarithm times the variance.

    Least squares with vp clipped, then ve for that vp, then vp for that ve: exact where no limit is active,
    close to the peak elsewhere.
    """
    ee, ep, pp = np.maximum(curves.ee, TINY), curves.ep, np.maximum(curves.pp, TINY)
    rest = np.maximum(pp - ep * ep / ee, SINGULAR * pp)
    vp = yp * np.reciprocal(rest)
    vp -= ye * (ep / (ee * rest))
    np.clip(vp, *limits[1], out=vp)
    vp *= -(ep / ee)
    ve = ye * np.reciprocal(ee)
    ve += vp
    np.clip(ve, *limits[0], out=ve)
    left = yp - ep * ve
    np.divide(left, pp, out=vp)
    np.clip(vp, *limits[1], out=vp)
    left -= vp * (0.5 * pp)
    left *= vp
    gain = np.multiply(ve, -0.5 * ee)
    gain += ye
    gain *= ve
    gain += left
    return ve, vp, gain


Axis = tuple[Float32Array, Float32Array, Float32Array]
"""Of one volume fraction: the peak, the derivative of the log likelihood there, the precision, each (L,)."""


def _about_peak(
    tissue: Axis, plasma: Axis, coupling: Float32Array, limits: tuple[Limits, Limits]
) -> tuple[Float32Array, Float32Array, tuple[Float32Array, ...]]:
    """Return the integral of the density relative to its peak, and the moments of ve and vp, each (L,).

    Second is the logarithm of what the integral has been divided by, 0 but where it were no number otherwise.
    """
    e0, by_e, ee = tissue
    p0, by_p, pp = plasma
    ee, pp = np.maximum(ee, TINY), np.maximum(pp, TINY)
    rest = ee
    if limits[1][0] < limits[1][1]:
        rest = np.maximum(ee - coupling * coupling / pp, SINGULAR * ee)
    x, x_weight = _nodes(np.divide(by_e, rest), rest, limits[0][0] - e0, limits[0][1] - e0, limits[0])
    slope = by_p - coupling * x
    z, z_weight = _nodes(np.divide(slope, pp), pp, limits[1][0] - p0, limits[1][1] - p0, limits[1])
    density = z * (-0.5 * pp)
    density += slope
    density *= z
    density += x * (by_e - 0.5 * ee * x)
    scaled = np.maximum(density.max(axis=(0, 1)) - MOST, np.float32(0.0))
    density -= scaled
    np.exp(density, out=density)
    density *= z_weight
    inner = density.sum(axis=0)
    inner *= x_weight
    density *= z
    first = density.sum(axis=0)
    density *= z
    second = density.sum(axis=0) * x_weight
    first *= x_weight
    total = inner.sum(axis=0)
    total += TINY
    inner *= x
    ve, vp = inner.sum(axis=0) / total, first.sum(axis=0) / total
    inner *= x
    ve_square, vp_square = inner.sum(axis=0) / total, second.sum(axis=0) / total
    squares = (ve_square + e0 * (2 * ve + e0), vp_square + p0 * (2 * vp + p0))
    return total, scaled, (e0 + ve, p0 + vp, *squares)


def _nodes(
    centre: Float32Array, precision: Float32Array, low: Float32Array, high: Float32Array, limits: Limits
) -> tuple[Float32Array, Float32Array]:
    """Return nodes and weights over the part of the limits that holds the mass of a Gaussian density."""
    inside = np.minimum(np.maximum(centre, low), high)
    width = np.reciprocal(np.sqrt(precision))
    # Beyond a limit the density falls like an exponential, the faster the farther away its centre is.
    half = width / (1 + np.abs(centre - inside) / (2 * width))
    half *= REACH
    low, high = np.maximum(inside - half, low), np.minimum(inside + half, high)
    shape = (1,) * low.ndim
    x, weight = _legendre(1 if limits[0] == limits[1] else AMOUNT_NODES)
    length = high - low
    nodes = x.reshape(-1, *shape) * length
    nodes += low
    return nodes, weight.reshape(-1, *shape) * (np.maximum(length, TINY) if weight.size > 1 else 1)


@lru_cache(maxsize=2)
def _legendre(count: int) -> tuple[Float32Array, Float32Array]:
    """Return Gauss-Legendre nodes on the unit interval and their weights."""
    x, w = np.polynomial.legendre.leggauss(count)
    return ((x + 1.0) / 2.0).astype(np.float32), (w / 2.0).astype(np.float32)
