"""Posterior mean and standard deviation under a uniform prior: the estimate of least mean squared error.

The oracle that the accuracy of all other estimators is measured against; exact before fast. It is the best there
is on average over its prior box, not in every voxel: what the data do not tell, it answers with the middle of
the box and a standard deviation that says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
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

BLOCK_POINTS = 60_000
"""Grid nodes evaluated at a time: bounds the memory to some 100 MB."""

INNER_NODES = 8
INNER_REACH = 4.5
"""Half width in standard deviations of the integral over the innermost, linear parameter."""

LINEAR = ("ve", "vp")
"""Parameters that concentrations are a linear combination of, innermost last."""


def fit(
    model: Model,
    signal: npt.ArrayLike,
    protocol: Any,
    *,
    sigma: float | FloatArray | None = None,
    bounds: Bounds | None = None,
) -> FitResult:
    """Return posterior means and standard deviations of parameters and derived quantities.

    The prior is uniform within the bounds, for the amplitude of a magnitude signal too (whose upper bound may be
    infinite). The amplitude is integrated, not profiled, because only then do the means have the least mean
    squared error and the standard deviations include what the amplitude leaves open.

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
    step = max(BLOCK_POINTS // NODES[len(grid)] ** len(grid), 1)
    for first in range(0, voxels.size, step):
        part = voxels[first : first + step]
        problem = _Problem(
            model, data[part].T, protocol.take(part), protocol.weights, noise[part], lower, upper, grid
        )
        values[:, part], spread[:, part], closed = _solve(problem)
        predicted = model.signal(values[: len(lower), part], problem.protocol)
        residual[part] = np.sqrt(np.mean((problem.signal - predicted) ** 2, axis=0))
        status[part] = np.where(closed, Status.OK, Status.NOT_CONVERGED)
    spread[: len(lower)][lower == upper] = np.nan
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
    """Return the free parameters that span the grid: all but the innermost one, linear ones last."""
    inner = model.amplitude or LINEAR[-1]
    free = [i for i, p in enumerate(model.parameters) if lower[i] < upper[i] and p.name != inner]
    free.sort(key=lambda i: model.parameters[i].name in LINEAR)
    if len(free) >= len(NODES) or not np.all(np.isfinite(upper[free] - lower[free])):
        raise ValueError(f"{model.name} needs finite bounds of at most {len(NODES) - 1} parameters for a grid")
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

    @property
    def inner(self) -> int:
        name = self.model.amplitude or LINEAR[-1]
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


def _solve(problem: _Problem) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return posterior means and standard deviations, (P + Q, V), and where the grid closed in."""
    density = _rician if problem.model.amplitude is not None else _gaussian
    means, power = expectations(partial(density, problem), len(problem.grid), problem.sigma.size)
    first, second = np.split(means, 2)
    return first, np.sqrt(np.maximum(second - first**2, 0.0)), power >= 1.0


def _rician(problem: _Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return log evidence and moments at grid points, the amplitude of magnitudes integrated."""
    theta, inner = problem.theta(points), problem.inner
    theta[inner] = 1.0
    unit = problem.predict(theta, voxels)
    column = (-1, *[1] * (points.ndim - 2))
    sigma = problem.sigma[voxels].reshape(column)
    signal = [row.reshape(column) / sigma for row in problem.signal[:, voxels]]
    weights = problem.weights
    # E[y^2] = m^2 + 2 sigma^2: a first estimate of the amplitude good to a fraction of its standard deviation
    corrected = np.sqrt([np.maximum(y**2 - 1.0, 0.0) for y in signal])
    energy = sum(w * u**2 for w, u in zip(weights, unit, strict=True))
    product = sum(w * u * y for w, u, y in zip(weights, unit, corrected, strict=True))

    centre, width = sigma * product / energy, sigma / np.sqrt(energy)

    def log_likelihood(amplitude: FloatArray) -> FloatArray:
        total = np.zeros_like(amplitude)
        for w, u, y in zip(weights, unit, signal, strict=True):
            m = amplitude * (u / sigma)
            total += w * (log_bessel_i0(m * y) - (m**2 + y**2) / 2.0)
        return total

    limits = problem.lower[inner], problem.upper[inner]
    log_evidence, mean, square = _integrate(log_likelihood, centre, width, *limits)
    return log_evidence, _features(problem, theta, mean, square)


def _gaussian(problem: _Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return log evidence and moments at grid points, the innermost amount of a concentration integrated."""
    theta, inner = problem.theta(points), problem.inner
    names = [p.name for p in problem.model.parameters]
    amounts = [names.index(name) for name in LINEAR]
    # curves do not depend on the amounts: they are computed once for all nodes along a grid axis of amounts
    curves_at = theta[..., :1] if any(i in problem.grid for i in amounts) else theta
    curves = []
    for i in amounts:
        unit = curves_at.copy()
        unit[amounts] = 0.0
        unit[i] = 1.0
        curves.append(problem.predict(unit, voxels))
    column = (-1, *[1] * (points.ndim - 2))
    sigma = problem.sigma[voxels].reshape(column)
    weights = problem.weights
    signal = problem.signal[:, voxels].reshape(len(weights), *sigma.shape)
    dot = partial(np.einsum, "n,n...,n...->...", weights)
    outer, innermost = curves
    amount = theta[amounts[0]]
    rest = dot(signal, signal) - amount * (2.0 * dot(signal, outer) - amount * dot(outer, outer))
    product = dot(signal, innermost) - amount * dot(outer, innermost)
    energy = np.maximum(dot(innermost, innermost), np.finfo(np.float64).tiny)

    def log_likelihood(x: FloatArray) -> FloatArray:
        return np.asarray((x * (2.0 * product - x * energy) - rest) / (2.0 * sigma**2))

    limits = problem.lower[inner], problem.upper[inner]
    log_evidence, mean, square = _integrate(
        log_likelihood, product / energy, sigma / np.sqrt(energy), *limits
    )
    return log_evidence, _features(problem, theta, mean, square)


def _integrate(
    log_likelihood: Any, centre: FloatArray, width: FloatArray, lower: float, upper: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Integrate a nearly Gaussian density between limits: log integral, mean and mean square."""
    if lower == upper:
        value = np.full(np.shape(centre), lower)
        return log_likelihood(value), value, value**2
    inside = np.clip(centre, lower, upper)
    # beyond a limit the density decays like an exponential, the faster the farther its centre is
    outside = np.abs(centre - inside) / width
    half = INNER_REACH * width / (1.0 + outside * INNER_REACH / 12.0)
    low, high = np.maximum(inside - half, lower), np.minimum(inside + half, upper)
    nodes, weights = np.polynomial.legendre.leggauss(INNER_NODES)
    values = [low + (high - low) * (x + 1.0) / 2.0 for x in nodes]
    logs = np.stack([log_likelihood(value) + np.log(w) for value, w in zip(values, weights, strict=True)])
    top = logs.max(axis=0)
    mass = np.exp(logs - top)
    total = mass.sum(axis=0)
    mean = sum(m * x for m, x in zip(mass, values, strict=True)) / total
    square = sum(m * x**2 for m, x in zip(mass, values, strict=True)) / total
    return top + np.log(total * (high - low)), np.asarray(mean), np.asarray(square)


def _features(problem: _Problem, theta: FloatArray, mean: FloatArray, square: FloatArray) -> FloatArray:
    """Return parameters and derived quantities at every node, then their squares."""
    theta[problem.inner] = mean
    derived = problem.model.derive(theta.reshape(len(theta), -1))[0].reshape(-1, *theta.shape[1:])
    first = np.concatenate([theta, derived])
    second = first**2
    second[problem.inner] = square
    return np.concatenate([first, second])
