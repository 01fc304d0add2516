"""The posterior density of a signal model, its linear parameters integrated out.

The amplitude of a magnitude signal, and the amounts (`Model.linear`) of a concentration, are integrated at
every point of the other free parameters (the nodes), by Gauss-Legendre quadrature. What is left is the log
evidence of a node and the moments of the linear parameters there: all that `quadrature` and `importance`
need. Used by `estimators.bayes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.estimators.posterior.entries import (
    add_moments,
    add_products,
    integrate_amounts,
    integrate_amplitude,
)
from bids_qmri.estimators.posterior.quadrature import gauss_legendre
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import PARTS, Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

BESSEL = (-0.91905, -3.86361, 1.8576, -5.78783)
"""Coefficients of ln I0(x) - u + ln(u) / 2 in 1 / u with u^2 = x^2 + 8: least largest error over all x."""

_TINY = 1e-300

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Problem:
    """Some voxels, V, of a scan with the prior box.

    Parameters
    ----------
    model
        Forward model.
    signal
        Signals, shape (N, V).
    protocol
        Protocol of these voxels.
    weights
        Images averaged into each measurement, (N,).
    noise
        Of a single image.
    lower, upper
        Limits of the prior, (P,).
    prior
        Where the parameters are expected within these.
    spanned
        Indices of the D free parameters that the nodes span: those that the signal is not linear in.
    inner
        Nodes of the integral over a linear parameter.
    reach
        Half width of that integral in standard deviations.
    tabulated
        Take the curves of concentrations from a table of the scan.
    """

    model: Model
    signal: FloatArray
    protocol: Protocol
    weights: FloatArray
    noise: VoxelNoise
    lower: FloatArray
    upper: FloatArray
    prior: Prior
    spanned: list[int]
    inner: int
    reach: float
    tabulated: bool = False

    def evaluate(self, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
        """Return the log evidence, (V, ...), of points (D, V, ...) of the unit box, and their features.

        `voxels`, (V,), are the indices of the points' voxels. The features, (F, V, ...), are the means of
        parameters and derived quantities at each point, then those of their squares.
        """
        if self.model.amplitude is not None:
            log_evidence, features = _rician(self, points, voxels)
        elif self.whole:
            log_evidence, features = _misfit(self, points, voxels)
        else:
            log_evidence, features = _gaussian(self, points, voxels)
        if self.prior.bells:
            integrated = () if self.whole else self.model.linear
            theta = self.theta(points)
            log_evidence = log_evidence + self.prior.log_density(self.model, theta, but=integrated)
        return log_evidence, features

    def take(self, voxels: IntArray | slice) -> Problem:
        """Return the problem of some of its voxels."""
        signal, noise = self.signal[:, voxels], self.noise.take(voxels)
        return replace(self, protocol=self.protocol.take(voxels), signal=signal, noise=noise)

    @property
    def whole(self) -> bool:
        """Whether the nodes span what a concentration is linear in, too, so that nothing is integrated."""
        free = {i for i in map(self.index, self.model.linear) if self.lower[i] < self.upper[i]}
        return bool(free) and free <= set(self.spanned)

    @property
    def n_voxels(self) -> int:
        """Number of voxels V."""
        return int(self.noise.floor.size)

    def index(self, name: str) -> int:
        """Return the place of a parameter in theta."""
        return [p.name for p in self.model.parameters].index(name)

    def theta(self, points: FloatArray) -> FloatArray:
        """Return parameters (P, ...) at points (D, ...) of the unit box, fixed ones at their value."""
        theta = np.empty((len(self.lower), *points.shape[1:]))
        place = dict(zip(self.spanned, points, strict=True))
        for i, row in enumerate(theta):
            if i in place:
                np.multiply(place[i], self.upper[i] - self.lower[i], out=row)
                row += self.lower[i]
            else:
                row[:] = self.lower[i]
        return theta

    def predict(self, theta: FloatArray, voxels: IntArray) -> FloatArray:
        """Return signals (N, V, ...) of parameters (P, V, ...)."""
        flat, protocol = theta.reshape(len(theta), -1), self.protocol
        if protocol.by_voxel:
            protocol = protocol.take(np.repeat(voxels, flat.shape[1] // voxels.size))
        own = catalogue.part(self.model.name, "posterior", "curves")
        found = None if own is None else own(self.model, protocol, flat)
        signal = self.model.signal(flat, protocol) if found is None else np.asarray(found)
        return signal.reshape(-1, *theta.shape[1:])


def _rician(problem: Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
    """Return the log evidence of grid points, the amplitude of magnitudes integrated, and their features."""
    theta = problem.theta(points)
    inner = problem.index(str(problem.model.amplitude))
    theta[inner] = 1.0
    curves = np.ascontiguousarray(problem.predict(theta, voxels)).reshape(-1, theta[0].size)
    noise = problem.noise.take(voxels)
    limits = float(problem.lower[inner]), float(problem.upper[inner])
    x, w = gauss_legendre(1 if limits[0] == limits[1] else problem.inner)
    found = np.empty((4, curves.shape[1]))
    integrate_amplitude(
        curves,
        np.ascontiguousarray(problem.signal[:, voxels]),
        np.asarray(problem.weights, dtype=np.float64),
        (noise.floor, noise.images),
        limits,
        ((x + 1.0) / 2.0, np.log(w)),
        float(problem.reach),
        found,
    )
    top, total, mean, square = found.reshape(4, *points.shape[1:])
    return top + np.log(total), Features(problem, theta, [(inner, mean, square)])


def _gaussian(problem: Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
    """Return the log evidence of nodes, the amounts of a concentration integrated, and their features."""
    theta = problem.theta(points)
    places = [problem.index(name) for name in problem.model.linear]
    limits = np.array([(problem.lower[i], problem.upper[i]) for i in places])
    x, w = gauss_legendre(1 if limits[1, 0] == limits[1, 1] else problem.inner)
    products = _products(problem, theta, voxels).reshape(6, -1)
    found = np.empty_like(products)
    rule, bells = ((x + 1.0) / 2.0, np.log(w)), (_parts(problem, places[0], 1), _parts(problem, places[1], 0))
    integrate_amounts(products, limits, rule, float(problem.reach), bells, found)
    top, total, *amounts = found.reshape(6, *points.shape[1:])
    moments = [(places[0], *amounts[:2]), (places[1], *amounts[2:])]
    return top + np.log(total), Features(problem, theta, moments)


def _parts(problem: Problem, index: int, fewest: int) -> FloatArray:
    """Return share over width, centre and precision of the normal densities of an amount's prior, (P, 3)."""
    bell = problem.prior.of(problem.model.parameters[index].name)
    if bell is None:
        return np.tile([1.0, 0.0, 0.0], (fewest, 1))
    return np.array([(share / wide, bell.centre, 1.0 / (wide * bell.width) ** 2) for share, wide in PARTS])


def _misfit(problem: Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
    """Return the log likelihood of concentrations at nodes that span all parameters, and their features."""
    theta = problem.theta(points)
    ve, vp = (theta[problem.index(name)] for name in problem.model.linear)
    yy, ye, yp, ee, ep, pp = _products(problem, theta, voxels)
    misfit = yy - ve * (2.0 * ye - ve * ee) - vp * (2.0 * (yp - ve * ep) - vp * pp)

    return -misfit / 2.0, Features(problem, theta, [])


def _products(problem: Problem, theta: FloatArray, voxels: IntArray) -> FloatArray:
    """Return inner products of signal y, curve e of ve = 1 and curve p of vp = 1, (6, V, ...).

    They are yy, ye, yp, ee, ep, pp, over the squared noise.
    """
    found = np.empty((6, *theta.shape[1:]))
    scatter = problem.noise.scatter[voxels].reshape(-1, *[1] * (theta.ndim - 2))
    scale = np.sqrt(problem.weights) / scatter[..., None]
    y = problem.signal[:, voxels].T.reshape(*scatter.shape, -1) * scale
    own = catalogue.part(problem.model.name, "posterior", "linear_products") if problem.tabulated else None
    if own is not None:
        found[0] = np.einsum("...n,...n->...", y, y)
        flat = theta.reshape(len(theta), voxels.size, -1)
        own(problem, flat, voxels, found[1:].reshape(5, *flat.shape[1:]))
    else:
        e, p = (np.moveaxis(_curve(problem, theta, name, voxels), 0, -1) for name in problem.model.linear)
        curves = y, e * scale, p * scale
        for row, (a, b) in zip(found, combinations_with_replacement(curves, 2), strict=True):
            row[:] = np.einsum("...n,...n->...", a, b)
    for square in (0, 3, 5):
        np.maximum(found[square], _TINY, out=found[square])
    return found


def _curve(problem: Problem, theta: FloatArray, amount: str, voxels: IntArray) -> FloatArray:
    """Return the concentration, (N, V, ...), of one amount being 1 and the other 0."""
    theta = theta.copy()
    for name in problem.model.linear:
        theta[problem.index(name)] = float(name == amount)
    return problem.predict(theta, voxels)


def truncated_normal(
    centre: FloatArray, sd: FloatArray, lower: float, upper: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the integral of a normal density's exponential between limits, and its first two moments there.

    The logarithm of the integral is relative to the exponential at the point nearest to `centre`.
    """
    from scipy.special import erfcx

    if lower == upper:
        at = np.full_like(centre, lower)
        return np.zeros_like(centre), at, at**2
    below, above = (lower - centre) / sd, (upper - centre) / sd
    outside = np.maximum(np.maximum(below, -above), 0.0)
    decay_below, decay_above = (np.exp(0.5 * (outside**2 - x**2)) for x in (below, above))
    # tails beyond either limit, relative to the exponential at the nearest point
    tail_below, tail_above = (
        np.copysign(0.5 * decay * erfcx(np.abs(x) / np.sqrt(2.0)), x)
        for decay, x in ((decay_below, below), (decay_above, above))
    )
    mass = np.maximum((outside == 0) + tail_below - tail_above, _TINY)
    shift = (decay_below - decay_above) / (np.sqrt(2.0 * np.pi) * mass)
    bend = (below * decay_below - above * decay_above) / (np.sqrt(2.0 * np.pi) * mass)
    mean = np.clip(centre + sd * shift, lower, upper)
    variance = np.maximum(sd**2 * (1.0 + bend - shift**2), 0.0)
    return np.log(np.sqrt(2.0 * np.pi) * sd * mass), mean, mean**2 + variance


def _log_bessel_i0(x: FloatArray) -> FloatArray:
    """Return ln I0(x), off by at most 1.2e-4 and ten times faster than the Bessel function itself."""
    root = x * x
    root += 8.0
    np.sqrt(root, out=root)
    inverse = 1.0 / root
    c0, c1, c2, c3 = BESSEL
    series = c3 * inverse
    for coefficient in (c2, c1):
        series += coefficient
        series *= inverse
    series += c0
    series += root
    np.log(root, out=root)
    root *= 0.5
    series -= root
    return series


@dataclass(frozen=True, eq=False)
class Features:
    """Parameters and derived quantities at nodes: at each of them, or averaged.

    Parameters
    ----------
    problem
        What the nodes are of.
    theta
        Parameters, (P, V, ...).
    integrated
        Place, mean and mean square of the parameters that were integrated at every node. Derived quantities
        are linear in the first of them and do not depend on the others.
    """

    problem: Problem
    theta: FloatArray
    integrated: Sequence[tuple[int, FloatArray, FloatArray]]

    def __call__(self) -> FloatArray:
        """Return parameters and derived quantities at every node, then their squares, (F, V, ...)."""
        values, variances = self._moments()
        second = values**2
        for i, variance in variances.items():
            second[i] += variance
        return np.concatenate([values, second])

    def average(self, weight: FloatArray) -> FloatArray:
        """Return the sums of the same times weights, (F, V) for nodes (V, G) and weights of their shape."""
        values, variances = self._moments()
        found = np.zeros((2, len(values), weight.shape[0]))
        add_moments(weight, values, found)
        for i, variance in variances.items():
            add_products(weight, variance, found[1, i])
        return found.reshape(-1, weight.shape[0])

    def _moments(self) -> tuple[FloatArray, dict[int, FloatArray]]:
        """Return values, (K, V, ...), and variances at each node of those that have some."""
        theta = self.theta
        for place, mean, _ in self.integrated:
            theta[place] = mean
        variances = {place: square - mean**2 for place, mean, square in self.integrated}
        if not self.problem.model.derived:
            return theta, variances
        derived, slopes = self.problem.model.derive(theta.reshape(len(theta), -1))
        if self.integrated:
            first = self.integrated[0][0]
            for i, slope in enumerate(slopes[:, first].reshape(-1, *theta.shape[1:])):
                variances[len(theta) + i] = slope**2 * variances[first]
        return np.concatenate([theta, derived.reshape(-1, *theta.shape[1:])]), variances
