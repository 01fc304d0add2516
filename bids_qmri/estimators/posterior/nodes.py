"""Weighted nodes of the posterior of every voxel, which later steps reweight instead of fitting anew.

A voxel's nodes lie where its likelihood is; their weights are likelihood over density of nodes, so that times
any prior they are its posterior. Used where priors are learned (`learned`) or differ from voxel to voxel
(`local`). A technique whose model needs nodes of its own has ``posterior.nodes``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.estimators.posterior.box import boxed
from bids_qmri.estimators.posterior.importance import NODES, first_estimates, lay
from bids_qmri.estimators.posterior.problem import Problem
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import EVEN
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

Values = TypeVar("Values", FloatArray, npt.NDArray[np.float32])

INNER_NODES, INNER_REACH = 2, np.sqrt(3.0)
"""Of the integral over an amplitude: a normal density keeps its standard deviation."""

BLOCK_VALUES = 2**13
"""Nodes computed at a time, as in `importance`."""

Indices = npt.NDArray[np.intp] | slice


@dataclass(frozen=True)
class Nodes:
    """The K nodes of each of V voxels, over D parameters.

    Parameters
    ----------
    index
        Places of the parameters in theta, (D,).
    theta
        Their values, (D, V, K).
    log_weight
        Logarithm of likelihood over density of nodes, (V, K); -inf for a node that does not count.
    """

    index: tuple[int, ...]
    theta: FloatArray
    log_weight: FloatArray

    def take(self, voxels: Indices) -> Nodes:
        """Return those of some voxels."""
        return Nodes(self.index, self.theta[:, voxels], self.log_weight[voxels])


def joined(parts: Sequence[Nodes]) -> Nodes:
    """Return the nodes of the voxels of several scans; where one has more, others get some of no weight.

    Parameters
    ----------
    parts
        Of each scan, over the same parameters.
    """
    most = max(part.log_weight.shape[1] for part in parts)
    theta, log_weight = [], []
    for part in parts:
        more = most - part.log_weight.shape[1]
        theta.append(np.pad(part.theta, ((0, 0), (0, 0), (0, more)), mode="edge"))
        log_weight.append(np.pad(part.log_weight, ((0, 0), (0, more)), constant_values=-np.inf))
    return Nodes(parts[0].index, np.concatenate(theta, axis=1), np.concatenate(log_weight))


def nodes_of(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
    lower: FloatArray,
    upper: FloatArray,
) -> Nodes:
    """Lay nodes for voxels.

    Parameters
    ----------
    model
        Forward model.
    signal
        Measured signals, shape (V, N), all usable.
    protocol
        Of these voxels.
    noise
        Of a single image.
    lower, upper
        Limits, shape (P,).
    """
    own: Callable[..., Nodes] | None = catalogue.part(model.name, "posterior", "nodes")
    if own is not None:
        return own(model, signal, protocol, noise, lower, upper)
    free = [i for i in boxed(model) if lower[i] < upper[i]]
    problem = _problem(model, signal, protocol, noise, (lower, upper), free)
    estimates = first_estimates(problem)
    size = max(BLOCK_VALUES // sum(NODES), 1)
    parts = []
    for first in range(0, problem.n_voxels, size):
        block = slice(first, first + size)
        parts.append(lay(problem.take(block), [estimate.take(block) for estimate in estimates], NODES))
    points = np.concatenate([part.points for part in parts], axis=1)
    with np.errstate(divide="ignore"):
        log_weight = np.concatenate([part.log_evidence - np.log(part.mixture) for part in parts])
    width = (upper - lower)[free, None, None]
    return Nodes(tuple(free), lower[free, None, None] + points * width, log_weight)


def likelihood_at(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
    limits: tuple[FloatArray, FloatArray],
    index: tuple[int, ...],
    theta: FloatArray,
) -> FloatArray:
    """Return the log likelihood, amplitude integrated, (V, K), at nodes (D, V, K) of parameters `index`."""
    own: Callable[..., FloatArray] | None = catalogue.part(model.name, "posterior", "likelihood_at")
    if own is not None:
        return own(model, signal, protocol, noise, limits, index, theta)
    free = list(index)
    problem = _problem(model, signal, protocol, noise, limits, free)
    width = (limits[1] - limits[0])[free, None, None]
    points = (theta - limits[0][free, None, None]) / width
    size = max(BLOCK_VALUES // theta.shape[2], 1)
    found = np.empty(theta.shape[1:])
    for first in range(0, len(found), size):
        block = slice(first, first + size)
        part = problem.take(block)
        found[block] = part.evaluate(points[:, block], np.arange(part.n_voxels))[0]
    return found


def _problem(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
    limits: tuple[FloatArray, FloatArray],
    free: list[int],
) -> Problem:
    """Return the posterior of voxels (V, N) under an even prior, over nodes of all free parameters."""
    return Problem(
        model,
        np.ascontiguousarray(signal.T),
        protocol,
        protocol.weights,
        noise,
        *limits,
        EVEN,
        free,
        INNER_NODES,
        INNER_REACH,
        tabulated=model.amplitude is None,
    )


def normalised(log_weight: Values) -> Values:
    """Return weights, (V, K), that sum to 1 in every voxel, from their logarithms."""
    weight: Values = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return weight
