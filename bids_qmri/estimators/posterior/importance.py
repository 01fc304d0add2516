"""Posterior expectations by importance sampling around first estimates: a hundred nodes instead of a grid.

The parameters live in the unit box. Nodes come from densities that resemble the posterior: logistic around
each first estimate (heavier tails than a normal density, so that no weight gets out of hand), sheared along
its covariance and truncated to the box. Some nodes spread over the whole box keep the weights bounded where
the estimates are wrong. The weighted nodes give a mean and a covariance, around which more nodes are laid.
All nodes count, weighted by posterior over the mixture of all the densities (the balance heuristic of Veach
and Guibas 1995, doi:10.1145/218380.218498). Nodes are lattices, not random: a voxel's result depends on
nothing but the voxel. Used by `estimators.bayes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.posterior.box import boxed
from bids_qmri.estimators.posterior.entries import add_density, add_products, draw, spread_of
from bids_qmri.estimators.posterior.map import grid_posterior, maximise
from bids_qmri.estimators.posterior.problem import Features, IntArray, Problem
from bids_qmri.units import FloatArray

NODES = (17, 31, 53)
"""Nodes over the box, around each first estimate, and around the mean that these give."""

MORE_NODES = (127, 251, 509)
"""The same where the effective number of nodes is below `ENOUGH`."""

GENERATOR = {
    1: dict.fromkeys((17, 31, 53, 127, 251, 509), 1),
    2: {17: 10, 31: 12, 53: 22, 127: 78, 251: 181, 509: 215},
    3: {17: 10, 31: 7, 53: 14, 127: 37, 251: 79, 509: 215},
    4: {17: 2, 31: 7, 53: 3, 127: 43, 251: 123, 509: 204},
}
"""Generators of lattices by dimensions and points: of low centred discrepancy and P2, in three dimensions of
31 and 53 points those of least error for IVIM. Prime sizes have the best ones."""

ENOUGH = 40.0
LEAST_EFFECTIVE = 20.0
"""Effective numbers of nodes below which more are laid, and below which even those say too little."""

TABLE_SNR = 1000.0
"""Largest ratio of peak concentration to noise for which tabulated responses are accurate enough."""

INNER_NODES = {True: 2, False: 4}
INNER_REACH = {True: np.sqrt(3.0), False: 2.65}
"""Nodes and half width of the integrals over the linear parameter of magnitudes (True) and concentrations: a
normal density keeps its standard deviation."""

BLOCK_VALUES = 2**13
"""Nodes per block of voxels: an L2 cache holds its arrays."""

WIDEN = 1.6
"""Standard deviation of the nodes over that of the estimate."""

RESOLVED, MUCH_WIDER = 0.06, 1.2
"""Standard deviation in box units that a coarse grid resolves, and its ratio to that of the mode from which
the moments of the grid are a density beside that of the mode."""

LEAST_WIDTH = 1e-9
"""Least standard deviation of a density in box units."""

LARGEST_CORRELATION = 1.0 - 1e-9
"""Factor of correlations: rounding must not make a covariance singular."""

LOGISTIC_SD = np.pi / np.sqrt(3.0)


@dataclass(frozen=True)
class Estimate:
    """Where a density lies in the unit box.

    Parameters
    ----------
    mean
        Shape (D, V).
    root
        Lower triangular root of the covariance, shape (D, D, V), with a positive diagonal.
    """

    mean: FloatArray
    root: FloatArray

    def take(self, voxels: IntArray | slice) -> Estimate:
        """Return the densities of some voxels."""
        return Estimate(self.mean[:, voxels], self.root[:, :, voxels])

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray]:
        """Mean and root, each in one piece."""
        return np.ascontiguousarray(self.mean), np.ascontiguousarray(self.root)


def expectations(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Return the posterior means of the features of a problem.

    Parameters
    ----------
    problem
        V voxels and their prior box.

    Returns
    -------
    means : ndarray
        Expectations, shape (F, V).
    effective : ndarray
        Effective number of nodes, shape (V,): one over the sum of the squared weights. Below
        `LEAST_EFFECTIVE`, and 0 where the table of responses is too coarse for the noise, do not trust.
    """
    magnitude = problem.model.amplitude is not None
    problem = replace(problem, inner=INNER_NODES[magnitude], reach=INNER_REACH[magnitude], tabulated=True)
    estimates = first_estimates(problem)
    rows = 2 * (len(problem.model.parameters) + len(problem.model.derived))
    means, effective = np.empty((rows, problem.n_voxels)), np.empty(problem.n_voxels)
    # The moments of the grid cost a third more: they are a density where the mode does not tell the tails.
    wide = _wider(*estimates) if magnitude else np.zeros(problem.n_voxels, dtype=np.bool_)
    for voxels, taken in ((np.flatnonzero(~wide), estimates[-1:]), (np.flatnonzero(wide), estimates)):
        if voxels.size:
            part = [estimate.take(voxels) for estimate in taken]
            means[:, voxels], effective[voxels] = _in_blocks(problem.take(voxels), part, NODES)
    poor = np.flatnonzero(effective < ENOUGH)
    if poor.size:
        again = [estimate.take(poor) for estimate in estimates]
        means[:, poor], effective[poor] = _in_blocks(problem.take(poor), again, MORE_NODES)
    if not magnitude:
        effective[problem.signal.max(axis=0) > TABLE_SNR * problem.noise.scatter] = 0.0
    return means, effective


def first_estimates(problem: Problem) -> list[Estimate]:
    """Return the moments of a coarse grid, for magnitudes, and mode and curvature of the posterior."""
    model, spanned = problem.model, problem.spanned
    arguments = model, problem.signal, problem.protocol, problem.weights, problem.noise
    limits = problem.lower, problem.upper
    estimates, start = [], None
    if model.amplitude is not None:
        coarse = grid_posterior(*arguments, *limits, prior=problem.prior)
        start = coarse.best
        place = [boxed(model).index(i) for i in spanned]
        root = np.eye(len(spanned))[:, :, None] * np.maximum(coarse.sd[place], LEAST_WIDTH)
        estimates.append(Estimate(coarse.mean[place], root))
    # Of concentrations from the model's own start: from the best node of a grid, rare tissue ends elsewhere.
    mode = maximise(*arguments, *limits, prior=problem.prior, start=start)
    lower, width = problem.lower[spanned, None], (problem.upper - problem.lower)[spanned, None]
    mean = np.clip((mode.theta[spanned] - lower) / width, 0.0, 1.0)
    covariance = np.moveaxis(mode.covariance[np.ix_(spanned, spanned)], 2, 0)
    return [*estimates, _estimate(mean, covariance)]


def _wider(coarse: Estimate, mode: Estimate) -> npt.NDArray[np.bool_]:
    """Return where a coarse grid resolves the posterior and finds it wider than its curvature tells, (V,)."""
    of_grid = np.einsum("ddv->dv", coarse.root)
    of_mode = np.sqrt(np.einsum("dev,dev->dv", mode.root, mode.root))
    return np.asarray(np.any((of_grid > RESOLVED) & (of_grid > MUCH_WIDER * of_mode), axis=0))


def _in_blocks(
    problem: Problem, estimates: list[Estimate], nodes: tuple[int, int, int]
) -> tuple[FloatArray, FloatArray]:
    """Return expectations, (F, V), and the effective number of nodes, (V,)."""
    size = max(BLOCK_VALUES // sum(nodes), 1)
    results = []
    for first in range(0, problem.n_voxels, size):
        part = slice(first, first + size)
        results.append(
            _expectations(problem.take(part), [estimate.take(part) for estimate in estimates], nodes)
        )
    means, effective = zip(*results, strict=True)
    return np.concatenate(means, axis=1), np.concatenate(effective)


def _expectations(
    problem: Problem, estimates: list[Estimate], nodes: tuple[int, int, int]
) -> tuple[FloatArray, FloatArray]:
    """Return what `_in_blocks` does, of a few voxels."""
    found = lay(problem, estimates, nodes)
    weight = weights(found.log_evidence, found.mixture)
    first, second = found.features
    divided = weight.shape[1] - nodes[2]
    parts = [np.ascontiguousarray(part) for part in (weight[:, :divided], weight[:, divided:])]
    squares = np.zeros(len(weight))
    add_products(weight, weight, squares)
    return first.average(parts[0]) + second.average(parts[1]), 1.0 / squares


@dataclass(frozen=True)
class Laid:
    """Nodes of V voxels.

    Parameters
    ----------
    points
        In the unit box, (D, V, G).
    log_evidence
        At each, (V, G).
    mixture
        Expected number of nodes per volume there, (V, G).
    features
        What is to be averaged, at one part of the nodes after the other.
    """

    points: FloatArray
    log_evidence: FloatArray
    mixture: FloatArray
    features: tuple[Features, Features]


def lay(problem: Problem, estimates: list[Estimate], nodes: tuple[int, int, int]) -> Laid:
    """Lay nodes over the box, around first estimates, and around the mean that these give."""
    dimensions, n_voxels = estimates[0].mean.shape
    everywhere, first, second = nodes
    voxels = np.arange(n_voxels)
    box = np.broadcast_to(lattice(dimensions, everywhere)[:, None], (dimensions, n_voxels, everywhere))
    around = lattice(dimensions, first)
    points = np.concatenate([box, *(_draw(around, estimate) for estimate in estimates)], axis=2)
    log_evidence, features = problem.evaluate(points, voxels)
    mixture = _mixture(points, estimates, everywhere, first)
    again = _moments(points, weights(log_evidence, mixture))

    more = _draw(lattice(dimensions, second), again)
    log_more, features_more = problem.evaluate(more, voxels)
    mixture = np.concatenate([mixture, _mixture(more, estimates, everywhere, first)], axis=1)
    points = np.concatenate([points, more], axis=2)
    _density(points, again, second, mixture)
    return Laid(points, np.concatenate([log_evidence, log_more], axis=1), mixture, (features, features_more))


def _mixture(points: FloatArray, estimates: list[Estimate], everywhere: int, first: int) -> FloatArray:
    """Return the expected number of nodes per volume at points, (V, G)."""
    mixture = np.full(points.shape[1:], float(everywhere))
    for estimate in estimates:
        _density(points, estimate, first, mixture)
    return mixture


@lru_cache(maxsize=16)
def lattice(dimensions: int, count: int) -> FloatArray:
    """Return a Korobov lattice of `count` points inside the unit box, shape (D, `count`)."""
    steps = [pow(GENERATOR[dimensions][count], d, count) for d in range(dimensions)]
    return np.asarray((np.outer(steps, np.arange(count)) % count + 0.5) / count)


def _draw(uniform: FloatArray, estimate: Estimate) -> FloatArray:
    """Return nodes (D, V, G) around an estimate from points (D, G) of the unit box."""
    points = np.empty((*estimate.mean.shape, uniform.shape[1]))
    draw(uniform, *estimate.arrays, WIDEN / LOGISTIC_SD, points)
    return points


def _density(
    points: FloatArray, estimate: Estimate, factor: float = 1.0, add_to: FloatArray | None = None
) -> FloatArray:
    """Return a multiple of the density, (V, G), that `_draw` has at points (D, V, G), or add it."""
    found = np.zeros(points.shape[1:]) if add_to is None else add_to
    add_density(np.ascontiguousarray(points), *estimate.arrays, WIDEN / LOGISTIC_SD, float(factor), found)
    return found


def weights(log_evidence: FloatArray, mixture: FloatArray) -> FloatArray:
    """Return the normalised weights of nodes, shape (V, G)."""
    weight = np.exp(log_evidence - log_evidence.max(axis=1, keepdims=True)) / mixture
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _moments(points: FloatArray, weight: FloatArray) -> Estimate:
    """Return mean and covariance of weighted points."""
    dimensions, n_voxels = points.shape[:2]
    mean, covariance = np.empty((dimensions, n_voxels)), np.empty((n_voxels, dimensions, dimensions))
    spread_of(points, weight, mean, covariance)
    return _estimate(mean, covariance)


def _estimate(mean: FloatArray, covariance: FloatArray) -> Estimate:
    """Return a density of covariance (V, D, D), which is made positive definite."""
    identity = np.eye(len(mean))
    covariance = covariance * np.where(identity > 0, 1.0, LARGEST_CORRELATION) + LEAST_WIDTH**2 * identity
    root: FloatArray = np.linalg.cholesky(covariance).astype(np.float64, copy=False)
    return Estimate(mean, np.moveaxis(root, 0, -1))
