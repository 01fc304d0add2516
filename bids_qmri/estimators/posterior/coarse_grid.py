"""Posterior mean and standard deviation on a fixed coarse grid over the limits: cheap, and blind to no mode.

Magnitudes: the amplitude is integrated in closed form over a flat prior, with Gaussian noise about
sqrt(y^2 - sigma^2), which is nearly unbiased where there is signal. A matrix product gives the likelihood of
all nodes in single precision; it is flattened where it is much narrower than the grid. Blocks of voxels
have one size, padded, because a matrix product may round differently for another. Called by `features`,
which also starts the search for the maximum at the best node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.compiled import call
from bids_qmri.estimators.posterior.box import box_of, boxed, to_box
from bids_qmri.physics.model import Model, Parameter
from bids_qmri.physics.noise import VoxelNoise
from bids_qmri.physics.prior import EVEN, Cells, Prior, cells_under
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

Float32Array = npt.NDArray[np.float32]

MOST_NODES, ALL_NODES = 64, 1000
"""Nodes along one parameter and, about, of the whole grid, for models whose parameters do not state them."""

BLOCK_VALUES = 2**16
"""Likelihoods per block: they stay in the L2 cache."""

BLOCK_STEP = 64
"""Blocks are multiples of this many voxels, so that no column is at the ragged edge of a matrix product."""

LARGEST_RATIO = 1e3
"""The first cell of their axes holds everything below this part of the upper limit."""

SHARPEST = 1e4
"""Largest logarithm of a likelihood ratio that single precision resolves to a thousandth."""

TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class GridPosterior:
    """Moments of V voxels.

    Parameters
    ----------
    mean, sd
        Posterior mean and standard deviation of the K quantities in box units, shape (K, V); the width of
        the cells is part of the standard deviation.
    best
        Parameters to start a search for the maximum from, shape (P, V): the node of greatest posterior mass
        with its best amplitude; the mean for a model without amplitude.
    """

    mean: FloatArray
    sd: FloatArray
    best: FloatArray


@dataclass(frozen=True)
class Nodes:
    """The A nodes of a grid.

    Parameters
    ----------
    theta
        Parameters, shape (P, A); the amplitude is 1.
    log_mass
        Logarithm of the volume of the cells, shape (A,).
    units, widths
        The K quantities in box units and how wide the cells are along them, shape (K, A).
    """

    theta: FloatArray
    log_mass: FloatArray
    units: FloatArray
    widths: FloatArray


def edges(lower: float, upper: float, count: int, *, logarithmic: bool = False) -> FloatArray:
    """Return the edges of cells that fill an interval; of one cell where its ends are equal.

    Examples
    --------
    >>> edges(0.0, 1.0, 4).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if lower == upper:
        return np.array([lower, upper])
    if logarithmic:
        found = np.geomspace(max(lower, upper / LARGEST_RATIO), upper, count + 1)
        found[0] = lower
        return found
    return np.linspace(lower, upper, count + 1)


def product(axes: list[Cells]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return centres and standard deviations, each (D, A), and log masses, (A,), of a grid of cells."""
    centres, sds, masses = (
        np.stack([a.ravel() for a in np.meshgrid(*arrays, indexing="ij")])
        for arrays in (
            [axis.centre for axis in axes],
            [axis.sd for axis in axes],
            [axis.log_mass for axis in axes],
        )
    )
    return centres, sds, masses.sum(axis=0)


def grid(model: Model, lower: FloatArray, upper: FloatArray, prior: Prior = EVEN) -> Nodes:
    """Return the product of the axes of all parameters but the amplitude."""
    inside = boxed(model)
    axes = []
    for i in inside:
        p = model.parameters[i]
        ends = edges(lower[i], upper[i], _nodes(p, len(inside)), logarithmic=p.logarithmic)
        axes.append(cells_under(prior, p, ends))
    centres, sds, log_mass = product(axes)
    widths = sds * np.sqrt(12.0)
    theta = np.ones((lower.size, centres.shape[1]))
    theta[inside] = centres
    derived, slope = model.derive(theta)
    values = np.concatenate([centres, derived])
    widths = np.concatenate([widths, np.sqrt(np.sum((slope[:, inside] * widths) ** 2, axis=1))])
    low, high = box_of(model, lower, upper)
    span = np.where(high > low, high - low, 1.0)[:, None]
    return Nodes(theta, log_mass, to_box(values, low, high), widths / span)


def _nodes(parameter: Parameter, dimensions: int) -> int:
    if parameter.nodes is not None:
        return parameter.nodes
    affordable: int = round(ALL_NODES ** (1.0 / dimensions))
    return min(MOST_NODES, affordable)


def magnitude_posterior(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    weights: FloatArray,
    noise: VoxelNoise,
    lower: FloatArray,
    upper: FloatArray,
    prior: Prior = EVEN,
) -> GridPosterior:
    """Return the grid posterior of a model with an amplitude.

    Parameters
    ----------
    model
        Forward model with an amplitude.
    signal
        Magnitudes, shape (N, V).
    protocol
        What was played out; shared by all voxels or with a voxel axis.
    weights
        Images averaged into each measurement, shape (N,).
    noise
        Noise of a single image, V voxels.
    lower, upper
        Limits, shape (P,).
    prior
        Where the parameters are expected within these.
    """
    nodes = grid(model, lower, upper, prior)
    root = np.sqrt(weights)[:, None]
    unbiased = root * np.sqrt(np.maximum(signal**2 - noise.floor**2, 0.0))
    # Moments about the middle of the box, where single precision loses least.
    centred = nodes.units - 0.5
    quantities = np.concatenate(
        [np.ones((1, centred.shape[1])), centred, centred**2 + nodes.widths**2 / 12.0]
    )
    length = np.sqrt(np.einsum("nv,nv->v", unbiased, unbiased))
    # Its squared projection on an atom of length 1 is the logarithm of the likelihood.
    scaled = unbiased * (
        np.minimum(length / (noise.scatter * np.sqrt(2.0)), np.sqrt(SHARPEST)) / np.maximum(length, TINY)
    )
    if protocol.by_voxel:
        project = _atoms_of_each(model, nodes, protocol, root, signal.shape[1])
        moments, best = _integrate(quantities, project, scaled)
    else:
        moments, best = _on_shared_nodes(quantities, *_atoms(model, nodes, protocol, root), scaled)
    mean, square = np.split(moments[1:] / moments[0], 2)
    sd = np.sqrt(np.maximum(square - mean**2, 0.0))
    theta = nodes.theta[:, best]
    curve = root * model.signal(theta, protocol)
    energy = np.einsum("nv,nv->v", curve, curve)
    amplitude = np.einsum("nv,nv->v", curve, unbiased) / np.maximum(energy, TINY)
    theta[[p.name for p in model.parameters].index(str(model.amplitude))] = amplitude
    return GridPosterior(mean + 0.5, sd, theta)


Projection = Callable[[Float32Array, int], Float32Array]
"""From the padded signals (N, B) of the block that begins at a voxel to log posterior masses (A, B)."""


def _atoms(model: Model, nodes: Nodes, protocol: Protocol, root: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return atoms of length 1, (A, N), and the logarithms of their prior masses, (A,)."""
    atoms = root * model.signal(nodes.theta, protocol)
    norm = np.maximum(np.linalg.norm(atoms, axis=0), TINY)
    # The integral over the amplitude leaves its standard deviation, sigma / norm.
    return (atoms / norm).T, nodes.log_mass - np.log(norm)


def _on_shared_nodes(
    quantities: FloatArray, atoms: FloatArray, log_mass: FloatArray, signal: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return what `_integrate` does, by a kernel where there is one."""
    found = call.grid_moments(signal, atoms, log_mass, quantities)
    if found is not None:
        return found[0], found[1].astype(np.intp)
    table, offset = np.ascontiguousarray(atoms, dtype=np.float32), log_mass.astype(np.float32)[:, None]

    def project(signal: Float32Array, first: int) -> Float32Array:
        projection = table @ signal
        projection *= projection
        projection += offset
        return projection

    return _integrate(quantities, project, signal)


def _atoms_of_each(
    model: Model, nodes: Nodes, protocol: Protocol, root: FloatArray, n_voxels: int
) -> Projection:
    def project(signal: Float32Array, first: int) -> Float32Array:
        last = min(first + signal.shape[1], n_voxels)
        part = protocol.take(slice(first, last))
        projection = np.zeros((nodes.theta.shape[1], signal.shape[1]), dtype=np.float32)
        for row, theta, log_mass in zip(projection, nodes.theta.T, nodes.log_mass, strict=True):
            atom = root * model.signal(np.repeat(theta[:, None], last - first, axis=1), part)
            energy = np.maximum(np.einsum("nv,nv->v", atom, atom), TINY)
            product = np.einsum("nv,nv->v", atom, signal[:, : last - first])
            row[: last - first] = product**2 / energy + (log_mass - 0.5 * np.log(energy))
        return projection

    return project


def _integrate(
    quantities: FloatArray, project: Projection, signal: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return sums of quantities (T, A) over the masses of the nodes, (T, V), and the best node, (V,)."""
    n_voxels = signal.shape[1]
    table32 = np.ascontiguousarray(quantities, dtype=np.float32)
    size = BLOCK_STEP * max(BLOCK_VALUES // quantities.shape[1] // BLOCK_STEP, 1)
    moments = np.empty((len(quantities), n_voxels))
    best = np.empty(n_voxels, dtype=np.intp)
    for first in range(0, n_voxels, size):
        part = signal[:, first : first + size]
        count = part.shape[1]
        padded = np.zeros((len(part), size), dtype=np.float32)
        padded[:, :count] = part
        mass = project(padded, first)
        best[first : first + size] = np.argmax(mass, axis=0)[:count]
        mass -= mass.max(axis=0)
        np.exp(mass, out=mass)
        moments[:, first : first + size] = (table32 @ mass)[:, :count]
    return moments, best
