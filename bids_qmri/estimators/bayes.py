"""Posterior mean and standard deviation under a uniform prior: the estimate of least mean squared error.

The oracle that the accuracy of all other estimators is measured against; exact before fast (voxels per
second on one thread: VFA 4000, IVIM 60, extended Tofts 900, with a free delay 55). It is the best there is
on average over its prior box, not in every voxel: what the data do not tell, it answers with the middle of
the box and a standard deviation that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.asymptotic import checked_signal, require_measurements
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.noise import pooled_sigma
from bids_qmri.estimators.quadrature import NODES, IntArray, expectations
from bids_qmri.models.base import Bounds, Model
from bids_qmri.models.noise import log_bessel_i0
from bids_qmri.units import FloatArray

BLOCK_POINTS = 500_000
"""Nodes evaluated at a time: bounds the memory to some 100 MB."""

AMPLITUDE_NODES = 10
AMOUNT_NODES = 12
REACH = 5.0
"""Half width in standard deviations of the integrals over linear parameters."""

AMOUNTS = ("ve", "vp")
"""Parameters that concentrations are a linear combination of."""

_TINY = 1e-300


def fit(
    model: Model,
    signal: npt.ArrayLike,
    protocol: Any,
    *,
    sigma: float | FloatArray | None = None,
    bounds: Bounds | None = None,
) -> FitResult:
    """Return posterior means and standard deviations of parameters and derived quantities.

    The prior is uniform within the bounds, for the amplitude of a magnitude signal too (whose upper bound
    may be infinite). The amplitude is integrated, not profiled, because only then do the means have the least
    mean squared error and the standard deviations include what the amplitude leaves open.

    Parameters
    ----------
    model
        Forward model. One with an amplitude describes magnitudes and gets the Rician likelihood, one without
        describes concentrations and gets the Gaussian one.
    signal
        Measured signals, shape (V, N).
    protocol
        What was played out; shared by all voxels or with a voxel axis.
    sigma
        Noise standard deviation of a single image, one number or (V,). None estimates one for all the
        voxels given (`pooled_sigma`): give it where a scan is fitted in parts.
    bounds
        Limits of the prior that replace the model's physical ones; equal limits fix a parameter.

    Returns
    -------
    FitResult
        Derived quantities are posterior means of their own (of the product, not products of means). Status
        UNUSABLE as in `lsq`, NOT_CONVERGED where the grid did not close in on the posterior.

    Raises
    ------
    InputError
        If the shape does not fit the protocol, there are fewer measurements than free parameters, or `sigma`
        is not positive or cannot be estimated.

    References
    ----------
    Gelman et al., Bayesian Data Analysis, 2013, doi:10.1201/b16018; Rician noise: Gudbjartsson and Patz 1995,
    doi:10.1002/mrm.1910340618.
    """
    data, usable = checked_signal(model, signal, protocol)
    if model.amplitude is not None:
        usable &= ~np.any(data < 0, axis=1)
    lower, upper = model.limits(bounds)
    require_measurements(model, protocol, lower, upper)
    noise = _noise(model, data, protocol, usable, sigma, bounds)
    names = [p.name for p in (*model.parameters, *model.derived)]
    values, spread = np.full((2, len(names), len(data)), np.nan)
    residual = np.full(len(data), np.nan)
    status = np.full(len(data), Status.UNUSABLE, dtype=np.uint8)
    voxels = np.flatnonzero(usable)
    grid = _grid_parameters(model, lower, upper)
    linear = AMPLITUDE_NODES if model.amplitude else AMOUNT_NODES**2
    step = max(BLOCK_POINTS // (NODES[len(grid)] ** len(grid) * linear), 1)
    for first in range(0, voxels.size, step):
        part = voxels[first : first + step]
        problem = _Problem(
            model, data[part].T, protocol.take(part), protocol.weights, noise[part], lower, upper, grid
        )
        values[:, part], spread[:, part], closed = _solve(problem)
        predicted = model.signal(values[: len(lower), part], problem.protocol)
        residual[part] = np.sqrt(np.mean((problem.signal - predicted) ** 2, axis=0))
        status[part] = np.where(closed, Status.OK, Status.NOT_CONVERGED)
    fixed = np.flatnonzero(lower == upper)
    values[np.ix_(fixed, voxels)] = lower[fixed, None]
    spread[fixed] = np.nan
    maps, sd = (dict(zip(names, array, strict=True)) for array in (values, spread))
    return FitResult(maps, sd, residual, status)


def _noise(
    model: Model,
    data: FloatArray,
    protocol: Any,
    usable: npt.NDArray[np.bool_],
    sigma: float | FloatArray | None,
    bounds: Bounds | None,
) -> FloatArray:
    """Return the noise standard deviation of every voxel, shape (V,)."""
    if sigma is None:
        sigma = (
            pooled_sigma(model, data[usable], protocol.take(usable), bounds=bounds) if usable.any() else 1.0
        )
    noise = np.broadcast_to(np.asarray(sigma, dtype=np.float64), usable.shape)
    if not np.all(noise[usable] > 0):
        raise InputError(
            f"the smallest noise standard deviation is {np.min(noise[usable]):g}",
            field="sigma",
            needed="numbers above 0",
            way_out="use lsq for noise-free signals",
        )
    return noise


def _grid_parameters(model: Model, lower: FloatArray, upper: FloatArray) -> list[int]:
    """Return the free parameters that span the grid: those that the signal is not linear in."""
    linear = (model.amplitude, *AMOUNTS)
    free = [i for i, p in enumerate(model.parameters) if lower[i] < upper[i] and p.name not in linear]
    if len(free) >= len(NODES) or not np.all(np.isfinite(upper[free] - lower[free])):
        raise ValueError(
            f"{model.name} needs finite bounds of at most {len(NODES) - 1} parameters for a grid"
        )
    return free


@dataclass(frozen=True, eq=False)
class _Problem:
    """Some voxels, V, of a scan with the prior box; `grid` are the parameters that span the grid."""

    model: Model
    signal: FloatArray
    protocol: Any
    weights: FloatArray
    sigma: FloatArray
    lower: FloatArray
    upper: FloatArray
    grid: list[int]

    def index(self, name: str) -> int:
        """Return the place of a parameter in theta."""
        return [p.name for p in self.model.parameters].index(name)

    def theta(self, points: FloatArray) -> FloatArray:
        """Return parameters (P, ...) at points (D, ...) of the unit box, fixed ones at their value."""
        theta = np.empty((len(self.lower), *points.shape[1:]))
        theta[:] = self.lower.reshape(-1, *[1] * (points.ndim - 1))
        for point, i in zip(points, self.grid, strict=True):
            theta[i] += point * (self.upper[i] - self.lower[i])
        return theta

    def predict(self, theta: FloatArray, voxels: IntArray) -> FloatArray:
        """Return signals (N, V, ...) of parameters (P, V, ...)."""
        per_voxel = theta[0].size // voxels.size
        protocol = self.protocol.take(np.repeat(voxels, per_voxel))
        return self.model.signal(theta.reshape(len(theta), -1), protocol).reshape(-1, *theta.shape[1:])


Features = Callable[[], FloatArray]


def _solve(problem: _Problem) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return posterior means and standard deviations, (P + Q, V), and where the grid closed in."""
    density = _rician if problem.model.amplitude is not None else _gaussian
    means, power = expectations(partial(density, problem), len(problem.grid), problem.sigma.size)
    first, second = np.split(means, 2)
    return first, np.sqrt(np.maximum(second - first**2, 0.0)), power >= 1.0


def _rician(problem: _Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
    """Return the log evidence of grid points, the amplitude of magnitudes integrated, and their features."""
    theta = problem.theta(points)
    inner = problem.index(str(problem.model.amplitude))
    theta[inner] = 1.0
    column = (-1, *[1] * (points.ndim - 2))
    sigma = problem.sigma[voxels].reshape(column)
    # everything in units of the noise
    unit = problem.predict(theta, voxels) / sigma
    signal = [row.reshape(column) / sigma for row in problem.signal[:, voxels]]
    terms = list(zip(problem.weights, unit, signal, strict=True))
    # E[y^2] = m^2 + 2 sigma^2: an estimate of the amplitude good to a fraction of its standard deviation
    product = sum(w * u * np.sqrt(np.maximum(y**2 - 1.0, 0.0)) for w, u, y in terms)
    energy = sum(w * u**2 for w, u, y in terms)
    limits = problem.lower[inner], problem.upper[inner]
    interval = _interval(product / energy, 1.0 / np.sqrt(energy), *limits)
    amplitude, log_weight = _nodes(*interval, limits, AMPLITUDE_NODES)
    log_density = log_weight
    for w, u, y in terms:
        m = amplitude * u
        log_density = log_density + w * (log_bessel_i0(m * y) - (m**2 + y**2) / 2.0)
    log_evidence, mass = _normalise(log_density)
    mean, square = (np.sum(mass * x, axis=0) for x in (amplitude, amplitude**2))
    return log_evidence, partial(_features, problem, theta, inner, mean, square)


def _gaussian(problem: _Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
    """Return the log evidence of grid points, the amounts of a concentration integrated, and features."""
    theta = problem.theta(points)
    ve, vp = (problem.index(name) for name in AMOUNTS)
    sigma = problem.sigma[voxels].reshape(-1, *[1] * (points.ndim - 2))
    signal = problem.signal[:, voxels].reshape(-1, *sigma.shape) / sigma
    curves = [signal]
    for amount in (ve, vp):
        theta[[ve, vp]] = 0.0
        theta[amount] = 1.0
        curves.append(problem.predict(theta, voxels) / sigma)
    yy, ye, yp, ee, ep, pp = (
        np.maximum(np.einsum("n,n...,n...->...", problem.weights, a, b), _TINY if a is b else -np.inf)
        for a, b in combinations_with_replacement(curves, 2)
    )
    # the values of vp that any ve may leave, then the values of ve that those may leave: nothing is cut off
    limits = [(problem.lower[i], problem.upper[i]) for i in (ve, vp)]
    determinant = np.maximum(ee * pp - ep**2, _TINY)
    widest = _interval((ee * yp - ep * ye) / determinant, np.sqrt(ee / determinant), *limits[1])
    ends = [_interval((ye - ep * end) / ee, 1.0 / np.sqrt(ee), *limits[0]) for end in widest]
    low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
    x, log_weight_x = _nodes(low, high, limits[0])
    z, log_weight_z = _nodes(*_interval((yp - ep * x) / pp, 1.0 / np.sqrt(pp), *limits[1]), limits[1])
    misfit = yy - x * (2.0 * ye - x * ee) - z * (2.0 * (yp - x * ep) - z * pp)
    log_x, mass_z = _normalise(log_weight_z - misfit / 2.0)
    mean, square = ((mass_z * values).sum(axis=0) for values in (z, z**2))
    log_evidence, mass_x = _normalise(log_weight_x + log_x)

    def features() -> FloatArray:
        at_nodes = np.repeat(theta[:, None], len(x), axis=1)
        at_nodes[ve] = x
        return np.asarray((mass_x * _features(problem, at_nodes, vp, mean, square)).sum(axis=1))

    return log_evidence, features


def _interval(
    centre: FloatArray, width: FloatArray, lower: float, upper: float
) -> tuple[FloatArray, FloatArray]:
    """Return the part of the limits that holds the mass of a nearly Gaussian density."""
    inside = np.clip(centre, lower, upper)
    # beyond a limit the density decays like an exponential, the faster the farther its centre is
    half = REACH * width / (1.0 + np.abs(centre - inside) / width * REACH / 12.0)
    return np.maximum(inside - half, lower), np.minimum(inside + half, upper)


def _nodes(
    low: FloatArray, high: FloatArray, limits: tuple[float, float], count: int = AMOUNT_NODES
) -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Legendre nodes of intervals and their log weights, on a new first axis."""
    x, w = np.polynomial.legendre.leggauss(1 if limits[0] == limits[1] else count)
    column = (-1, *[1] * low.ndim)
    log_weight = np.log(w).reshape(column) + np.log(np.maximum(high - low, _TINY))
    return low + (high - low) * (x.reshape(column) + 1.0) / 2.0, log_weight


def _normalise(log_density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the log of the sum over the first axis, and the share of every node."""
    top = log_density.max(axis=0)
    mass = np.exp(log_density - top)
    total = mass.sum(axis=0)
    return np.asarray(top + np.log(total)), mass / total


def _features(
    problem: _Problem, theta: FloatArray, inner: int, mean: FloatArray, square: FloatArray
) -> FloatArray:
    """Return parameters and derived quantities at every node, then their squares; `inner` by its moments."""
    theta[inner] = mean
    derived = problem.model.derive(theta.reshape(len(theta), -1))[0].reshape(-1, *theta.shape[1:])
    first = np.concatenate([theta, derived])
    second = first**2
    second[inner] = square
    return np.concatenate([first, second])
