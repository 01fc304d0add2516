"""A prior learned from the scan itself, by expectation and maximisation over some of its voxels.

Every voxel's nodes (`nodes`) are weighted by the present prior; centre and width of the bell of each
parameter follow from all of them; and again. What a voxel does not tell counts as the prior, not as its
estimate, so that noise does not widen the bells (Dempster et al. 1977,
doi:10.1111/j.2517-6161.1977.tb01600.x). The tails of a bell take what does not belong to the bulk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.posterior.nodes import Nodes, nodes_of, normalised
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import PARTS, Bell, Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

MOST_VOXELS = 2500
"""Voxels that are enough to learn from."""

LEAST_VOXELS = 500
"""Voxels below which a prior would be that of a handful."""

ROUNDS, SETTLED = 40, 3e-5
"""At most, and the change over a width that is none: what is left to come is about as much."""

STEP = 1.8
"""Times the change that a round asks for: what the data hardly tell is learned slowly otherwise."""

LOGARITHMIC_SPAN = 2.5
"""Counts as the width of the limits of a logarithmic parameter, in units of its logarithm."""

FIRST_WIDTH, LEAST_WIDTH, LARGEST_WIDTH = 0.3, 0.01, 0.6
"""Width of a bell at first, at least and at most, over that of the limits; wider ones say nothing."""

UNTOLD, UNTOLD_SHARE = 30.0, 0.1
"""Voxels that tell a parameter fully, and share of all, as whose opinion the first width counts."""

LEAST_SHARE = 1e-6
"""Of its upper limit, that a logarithmic parameter counts as at least."""

BLOCK_VALUES = 32768
"""Nodes of the voxels of a block: what is computed of them stays in the caches of a core."""

TINY = 1e-37
"""Density that is nowhere undercut, so that its logarithm is finite in single precision."""


def learn_prior(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
    lower: FloatArray,
    upper: FloatArray,
) -> Prior:
    """Learn where the parameters of a scan lie.

    Parameters
    ----------
    model
        Forward model.
    signal
        Measured signals of a sample of the scan, shape (V, N), all usable.
    protocol
        Of these voxels.
    noise
        Of a single image.
    lower, upper
        Limits, shape (P,).
    """
    nodes = nodes_of(model, signal, protocol, noise, lower, upper)
    return prior_of_nodes(model, nodes, lower, upper, f"scan, learned from {len(signal)} voxels")


def prior_of_nodes(model: Model, nodes: Nodes, lower: FloatArray, upper: FloatArray, origin: str) -> Prior:
    """Learn where parameters lie from the nodes of voxels, which may be of several scans.

    Parameters
    ----------
    model
        Forward model.
    nodes
        Of the voxels.
    lower, upper
        Limits, shape (P,).
    origin
        Where the prior is from, in words.
    """
    axes = [
        _axis(model.parameters[i], values, lower[i], upper[i])
        for i, values in zip(nodes.index, nodes.theta, strict=True)
    ]
    best = np.argmax(nodes.log_weight, axis=1)[:, None]
    place = [float(np.median(np.take_along_axis(axis.own, best, axis=1))) for axis in axes]
    width = [axis.span * FIRST_WIDTH for axis in axes]
    trust: list[float] = []
    exact = nodes.log_weight - sum(axis.log_slope for axis in axes)
    # Over the largest before it is rounded: logarithms of likelihoods may be large.
    log_weight = (exact - exact.max(axis=1, keepdims=True)).astype(np.float32)
    size = max(BLOCK_VALUES // log_weight.shape[1], 1)
    blocks = [slice(first, first + size) for first in range(0, len(log_weight), size)]
    for _ in range(ROUNDS):
        bells = list(zip(place, width, strict=True))
        sums = np.zeros((len(axes), 4))
        for block in blocks:
            sums += _sums(axes, block, log_weight[block], bells, not trust)
        trust = trust or [told / (told + UNTOLD + UNTOLD_SHARE * len(log_weight)) for told in sums[:, 3]]
        changed = 0.0
        for d, axis in enumerate(axes):
            before = bells[d]
            place[d], width[d] = _updated(axis, sums[d], len(log_weight), *before, trust[d])
            changed = max(changed, abs(place[d] - before[0]) / before[1], abs(np.log(width[d] / before[1])))
        if changed < SETTLED:
            break
    found = {
        model.parameters[i].name: Bell(
            float(np.exp(at)) if model.parameters[i].logarithmic else at, float(wide)
        )
        for i, at, wide in zip(nodes.index, place, width, strict=True)
    }
    return Prior(tuple(found.items()), origin)


Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Axis:
    """One parameter on its own scale: nodes (V, K), log of d theta / d own, width of the limits."""

    own: Float32Array
    log_slope: FloatArray | float
    span: float


def _axis(parameter: Parameter, values: FloatArray, lower: float, upper: float) -> _Axis:
    if not parameter.logarithmic:
        return _Axis(values.astype(np.float32), 0.0, upper - lower)
    own = np.log(np.maximum(values, upper * LEAST_SHARE))
    return _Axis(own.astype(np.float32), own, LOGARITHMIC_SPAN)


@dataclass(frozen=True)
class _Parts:
    """A bell at nodes, (V, K): its density, and that of its parts weighed by their precisions."""

    density: Float32Array
    precise: Float32Array


def _parts(own: Float32Array, centre: float, width: float) -> _Parts:
    """Return the parts of the density of a bell at nodes, summed.

    In single precision: a prior is learned from thousands of voxels to a per cent, not to 10^-7.
    """
    square = own - np.float32(centre)
    square *= np.float32(1.0 / width)
    square *= square
    density, precise = np.full_like(square, TINY), np.zeros_like(square)
    part = np.empty_like(square)
    for share, wide in PARTS:
        np.multiply(square, np.float32(-0.5 / wide**2), out=part)
        np.exp(part, out=part)
        part *= np.float32(share / (wide * width))
        density += part
        part *= np.float32(1.0 / wide**2)
        precise += part
    return _Parts(density, precise)


def _sums(
    axes: list[_Axis],
    block: slice,
    log_weight: Float32Array,
    bells: list[tuple[float, float]],
    trust: bool,
) -> FloatArray:
    """Return sums over the voxels of a block under a prior, (D, 4).

    Of shares, times deviations from the centre of a bell, times their squares; and, if asked for, of how far
    the data tell the parameter.
    """
    parts = [_parts(axis.own[block], *bell) for axis, bell in zip(axes, bells, strict=True)]
    weight = normalised(log_weight + sum(np.log(part.density) for part in parts))
    found = np.zeros((len(axes), 4))
    for row, axis, part, (centre, _) in zip(found, axes, parts, bells, strict=True):
        share = weight * part.precise
        share /= part.density
        deviation = axis.own[block] - np.float32(centre)
        # Sums of single precision, each about as many alike as a voxel has nodes.
        row[0] = share.sum(axis=1).sum(dtype=np.float64)
        share *= deviation
        row[1] = share.sum(axis=1).sum(dtype=np.float64)
        row[2] = np.einsum("vk,vk->v", share, deviation).sum(dtype=np.float64)
        row[3] = _told(axis, block, weight) if trust else 0.0
    return found


def _told(axis: _Axis, block: slice, weight: Float32Array) -> float:
    """Return how many voxels tell a parameter, given weights under a wide prior.

    The width that is found can be trusted as far as they do: of a parameter that the data hardly tell by
    itself, it would shrink to any. Voxels count by what their data add to a wide prior.
    """
    own = axis.own[block].astype(np.float64)
    mean = np.einsum("vk,vk->v", weight, own)
    within = np.einsum("vk,vk->v", weight, own**2) - mean**2
    wide = (FIRST_WIDTH * axis.span) ** 2
    return float(np.sum(np.clip(1.0 - within / wide, 0.0, 1.0)))


def _updated(
    axis: _Axis, sums: FloatArray, voxels: int, centre: float, width: float, trust: float
) -> tuple[float, float]:
    """Return centre and width of greater likelihood, a step further than they are greatest at."""
    total, first, second = (float(x) for x in sums[:3])
    shift = first / total
    mean = centre + shift
    variance = (second - shift * first) / voxels
    wanted = trust * 0.5 * np.log(max(variance, TINY)) + (1.0 - trust) * np.log(FIRST_WIDTH * axis.span)
    log_width = np.log(width) + STEP * (wanted - np.log(width))
    found = np.clip(np.exp(log_width), LEAST_WIDTH * axis.span, LARGEST_WIDTH * axis.span)
    return centre + STEP * (mean - centre), float(found)
