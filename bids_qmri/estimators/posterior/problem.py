"""The posterior density of a signal model, its linear parameters integrated out.

The amplitude of a magnitude signal, and the amounts (`Model.linear`) of a concentration, are integrated at
every point of the other free parameters (the nodes), by Gauss-Legendre quadrature. What is left is the log
evidence of a node and the moments of the linear parameters there: all that `quadrature` and `importance`
need. Used by `estimators.bayes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import PARTS, Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

BESSEL = (-0.91905, -3.86361, 1.8576, -5.78783)
"""Coefficients of ln I0(x) - u + ln(u) / 2 in 1 / u with u^2 = x^2 + 8: least largest error over all x."""

_TINY = 1e-300

IntArray = npt.NDArray[np.intp]
Features = Callable[[], FloatArray]


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
        theta[:] = self.lower.reshape(-1, *[1] * (points.ndim - 1))
        for point, i in zip(points, self.spanned, strict=True):
            theta[i] += point * (self.upper[i] - self.lower[i])
        return theta

    def predict(self, theta: FloatArray, voxels: IntArray) -> FloatArray:
        """Return signals (N, V, ...) of parameters (P, V, ...)."""
        per_voxel = theta[0].size // voxels.size
        protocol = self.protocol.take(np.repeat(voxels, per_voxel))
        return self.model.signal(theta.reshape(len(theta), -1), protocol).reshape(-1, *theta.shape[1:])


def _rician(problem: Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
    """Return the log evidence of grid points, the amplitude of magnitudes integrated, and their features."""
    theta = problem.theta(points)
    inner = problem.index(str(problem.model.amplitude))
    theta[inner] = 1.0
    column = (-1, *[1] * (points.ndim - 2))
    noise = problem.noise.take(voxels)
    floor, images = noise.floor.reshape(column), noise.images.reshape(column)
    # everything in units of the floor
    unit = problem.predict(theta, voxels) / floor
    signal = [row.reshape(column) / floor for row in problem.signal[:, voxels]]
    # E[y^2] = m^2 + 2 sigma^2: an estimate of the amplitude good to a fraction of its standard deviation
    terms = list(zip(problem.weights, unit, signal, strict=True))
    product = sum(w * np.sqrt(np.maximum(y**2 - 1.0, 0.0)) * u for w, u, y in terms)
    energy = sum(w * (u * u) for w, u, y in terms)
    limits = problem.lower[inner], problem.upper[inner]
    interval = _interval(product / energy, 1.0 / np.sqrt(images * energy), *limits, problem.reach)
    amplitude, log_density = _nodes(*interval, limits, problem.inner)
    # Of thermal noise alone every image counts fully.
    likelihood = log_density if np.all(images == 1.0) else np.zeros_like(log_density)
    likelihood -= 0.5 * amplitude**2 * energy
    for w, u, y in terms:
        likelihood += w * _log_bessel_i0(amplitude * (u * y))
    if likelihood is not log_density:
        log_density += images * likelihood
    log_evidence, mass = _normalise(log_density)
    mean, square = (np.sum(mass * x, axis=0) for x in (amplitude, amplitude**2))
    return log_evidence, partial(_features, problem, theta, inner, mean, square)


def _gaussian(problem: Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
    """Return the log evidence of nodes, the amounts of a concentration integrated, and their features.

    ve is integrated in closed form, a normal density truncated to its limits, at every node of vp.
    """
    theta = problem.theta(points)
    ve, vp = (problem.index(name) for name in problem.model.linear)
    limits = [(problem.lower[i], problem.upper[i]) for i in (ve, vp)]
    yy, ye, yp, ee, ep, pp = _products(problem, theta, voxels)
    # the values of ve that the data allow, then those of vp that go with them: nothing is cut off
    determinant = np.maximum(ee * pp - ep**2, _TINY)
    widest = _interval(
        (pp * ye - ep * yp) / determinant, np.sqrt(pp / determinant), *limits[0], problem.reach
    )
    ends = [_interval((yp - ep * end) / pp, 1.0 / np.sqrt(pp), *limits[1], problem.reach) for end in widest]
    low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
    z, log_weight = _nodes(low, high, limits[1], problem.inner)
    by_vp = problem.prior.of(problem.model.linear[1])
    if by_vp is not None:
        log_weight = log_weight + by_vp.log_density(problem.model.parameters[vp], z)
    centre = (ye - ep * z) / ee
    misfit = yy - z * (2.0 * yp - z * pp)
    log_mass, mean, square = _amount(problem, ve, centre, ee, limits[0])
    log_evidence, mass = _normalise(log_weight + log_mass - misfit / 2.0)

    def features() -> FloatArray:
        at_nodes = np.repeat(theta[:, None], len(z), axis=1)
        at_nodes[vp] = z
        return np.asarray((mass * _features(problem, at_nodes, ve, mean, square)).sum(axis=1))

    return log_evidence, features


def _misfit(problem: Problem, points: FloatArray, voxels: IntArray) -> tuple[FloatArray, Features]:
    """Return the log likelihood of concentrations at nodes that span all parameters, and their features."""
    theta = problem.theta(points)
    ve, vp = (theta[problem.index(name)] for name in problem.model.linear)
    yy, ye, yp, ee, ep, pp = _products(problem, theta, voxels)
    misfit = yy - ve * (2.0 * ye - ve * ee) - vp * (2.0 * (yp - ve * ep) - vp * pp)

    def features() -> FloatArray:
        derived, _ = problem.model.derive(theta.reshape(len(theta), -1))
        first = np.concatenate([theta, derived.reshape(-1, *theta.shape[1:])])
        return np.concatenate([first, first**2])

    return -misfit / 2.0, features


def _products(problem: Problem, theta: FloatArray, voxels: IntArray) -> list[FloatArray]:
    """Return inner products of signal y, curve e of ve = 1 and curve p of vp = 1: yy, ye, yp, ee, ep, pp."""
    scatter = problem.noise.scatter[voxels].reshape(-1, *[1] * (theta.ndim - 2))
    scale = np.sqrt(problem.weights) / scatter[..., None]
    y = problem.signal[:, voxels].T.reshape(*scatter.shape, -1) * scale
    table = catalogue.part(problem.model.name, "posterior", "linear_curves") if problem.tabulated else None
    if table is not None:
        e, p = table(problem, theta)
    else:
        e, p = (np.moveaxis(_curve(problem, theta, name, voxels), 0, -1) for name in problem.model.linear)
    curves = y, e * scale, p * scale
    return [
        np.maximum(np.einsum("...n,...n->...", a, b), _TINY if a is b else -np.inf)
        for a, b in combinations_with_replacement(curves, 2)
    ]


def _curve(problem: Problem, theta: FloatArray, amount: str, voxels: IntArray) -> FloatArray:
    """Return the concentration, (N, V, ...), of one amount being 1 and the other 0."""
    theta = theta.copy()
    for name in problem.model.linear:
        theta[problem.index(name)] = float(name == amount)
    return problem.predict(theta, voxels)


def _amount(
    problem: Problem, index: int, centre: FloatArray, precision: FloatArray, limits: tuple[float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return log integral, mean and mean square of an amount, whose likelihood is normal, under its prior.

    The logarithm is that of the likelihood's exponential relative to its value at an amount of 0.
    """
    bell = problem.prior.of(problem.model.parameters[index].name)
    parts = [(1.0, 0.0, 0.0)]
    if bell is not None:
        parts = [(share / wide, bell.centre, 1.0 / (wide * bell.width) ** 2) for share, wide in PARTS]
    found = []
    for share, expected, sharp in parts:
        both = precision + sharp
        at = (precision * centre + sharp * expected) / both
        nearest = np.clip(at, *limits)
        log_mass, mean, square = truncated_normal(at, 1.0 / np.sqrt(both), *limits)
        peak = nearest * (precision * centre - 0.5 * nearest * precision)
        peak = peak - 0.5 * sharp * (nearest - expected) ** 2
        found.append((log_mass + peak + np.log(share), mean, square))
    if len(found) == 1:
        return found[0]
    log_masses, means, squares = (np.stack(x) for x in zip(*found, strict=True))
    total, mass = _normalise(log_masses)
    return total, np.sum(mass * means, axis=0), np.sum(mass * squares, axis=0)


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


def _interval(
    centre: FloatArray, width: FloatArray, lower: float, upper: float, reach: float
) -> tuple[FloatArray, FloatArray]:
    """Return the part of the limits that holds the mass of a nearly Gaussian density."""
    inside = np.clip(centre, lower, upper)
    # beyond a limit the density decays like an exponential, the faster the farther its centre is
    half = reach * width / (1.0 + np.abs(centre - inside) / width * reach / 12.0)
    return np.maximum(inside - half, lower), np.minimum(inside + half, upper)


def _nodes(
    low: FloatArray, high: FloatArray, limits: tuple[float, float], count: int
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
    problem: Problem, theta: FloatArray, inner: int, mean: FloatArray, square: FloatArray
) -> FloatArray:
    """Return parameters and derived quantities at every node, then their squares; `inner` by its moments."""
    theta[inner] = mean
    derived, slopes = problem.model.derive(theta.reshape(len(theta), -1))
    first = np.concatenate([theta, derived.reshape(-1, *theta.shape[1:])])
    second = first**2
    second[inner] = square
    second[len(theta) :] += slopes[:, inner].reshape(-1, *theta.shape[1:]) ** 2 * (square - mean**2)
    return np.concatenate([first, second])
