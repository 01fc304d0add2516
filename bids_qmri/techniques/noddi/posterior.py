"""The posterior of NODDI on a grid over NDI, ODI and FWF, with the noise floor of magnitudes and S0 open.

About the fibre direction of a voxel its signals are zonal: Legendre series in the cosine between gradient and
fibre. The series of every node belong to the scan, so that the likelihoods of a voxel at all nodes are two
matrix products of a few sums over its images. What magnitudes show where there is little signal is part of
the series. Found through the catalogue by what learns priors and compares neighbours, and called by `bayes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.posterior.coarse_grid import product
from bids_qmri.estimators.posterior.nodes import Nodes
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import VoxelNoise, rician_moments
from bids_qmri.physics.prior import EVEN, Prior, cells_under
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.noddi.encoding import encode
from bids_qmri.techniques.noddi.entries import combine
from bids_qmri.techniques.noddi.fibre_direction import form_weights, least_axis
from bids_qmri.techniques.noddi.model import COMPONENTS, Noddi, evaluate, noddi_signal
from bids_qmri.techniques.noddi.zonal import ShellGroups, sort_shells
from bids_qmri.units import FloatArray

AXES = ((20, 1.0), (20, 1.5), (16, 1.3))
"""Cells over NDI, ODI and FWF, and the power that makes those near 0 the narrower ones."""

DEGREES = 5
"""Legendre polynomials of even degree from 0 that describe a shell."""

COSINES = 24
"""Gauss-Legendre nodes that series are computed from."""

NOISE_STEP = 0.15
"""Voxels whose noise relative to S0 differs less, in its logarithm, share the series of a floor."""

FLOOR_END = 60.0
"""Signal-to-noise ratio beyond which the floor of a magnitude has a closed form."""

FLOOR_STEPS = 6000
"""Steps of the table of the floor up to there."""

KEPT = 192
"""Nodes of each voxel that are kept where voxels are compared: the likeliest ones."""

AT_ONCE = 64
"""Voxels whose likelihood at all nodes stays in the cache."""

LAID_VOXELS = 256
"""Voxels whose nodes are interpolated at a time."""

PAIRS = [(i, j) for i in range(DEGREES) for j in range(i + 1)]

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Grid:
    """The A nodes of a scan.

    Parameters
    ----------
    theta
        NDI, ODI and FWF, (3, A).
    sd
        Standard deviations within the cells, (3, A).
    log_mass
        Logarithm of their prior masses, (A,).
    signals
        Noise-free signals over S0 at the angles, (S, `COSINES`, A).
    known
        Series by noise floor, once they were asked for.
    """

    theta: FloatArray
    sd: FloatArray
    log_mass: FloatArray
    signals: FloatArray
    known: dict[float, tuple[Float32Array, Float32Array]] = field(default_factory=dict)

    def series(self, floor: float) -> tuple[Float32Array, Float32Array]:
        """Return Legendre series, (S `DEGREES`, A), and products of two of them, (S len(`PAIRS`), A)."""
        if floor not in self.known:
            series = _series(self, floor)
            products = np.concatenate([np.stack([part[i] * part[j] for i, j in PAIRS]) for part in series])
            single = series.reshape(-1, series.shape[2]).astype(np.float32), products.astype(np.float32)
            self.known[floor] = single
        return self.known[floor]


@dataclass(frozen=True, eq=False)
class Sums:
    """What the likelihoods of V voxels take of their signals, relative to S0.

    Parameters
    ----------
    s0
        Mean at b = 0 in the unit of the signal, (V,).
    direction
        Unit vectors along the fibres, (3, V).
    right
        Products of signals and polynomials, by shell, (V, S `DEGREES`).
    normal
        Products of two polynomials, by shell, (V, S len(`PAIRS`)).
    """

    s0: FloatArray
    direction: FloatArray
    right: FloatArray
    normal: FloatArray


def make_grid(
    model: Noddi, shells: ShellGroups, lower: FloatArray, upper: FloatArray, prior: Prior = EVEN
) -> Grid:
    """Return the nodes of a scan under a prior within limits of shape (P,)."""
    axes = []
    for (count, power), low, high, parameter in zip(AXES, lower, upper, model.parameters, strict=False):
        ends = low + (high - low) * np.linspace(0.0, 1.0, (count if low < high else 1) + 1) ** power
        axes.append(cells_under(prior, parameter, ends))
    theta, sd, log_mass = product(axes)
    x = _angles()[0]
    directions = np.stack([np.sqrt(1.0 - x * x), np.zeros_like(x), x], axis=1)
    scheme = DiffusionProtocol(
        np.repeat(shells.bvals, x.size), np.tile(directions, (shells.bvals.size, 1)), b0_threshold=0.0
    )
    along = np.tile([0.0, 0.0, 1.0], (theta.shape[1], 1))
    ndi, odi, fwf = theta
    signals = noddi_signal(ndi, odi, fwf, along, scheme, d_par=model.d_par, d_iso=model.d_iso)
    return Grid(theta, sd, log_mass, signals.reshape(shells.bvals.size, x.size, -1))


def summed(signal: FloatArray, shells: ShellGroups, d_par: float) -> Sums:
    """Return the sums of signals (V, N) with a positive mean at b = 0."""
    s0 = signal[:, shells.b0].mean(axis=1)
    relative = np.ascontiguousarray((signal / s0[:, None]).T)
    form = form_weights(shells.directions, shells.members, shells.bvals, d_par)
    direction = least_axis(form @ relative)
    right, normal = [], []
    for members in shells.members:
        cosine = np.abs(shells.directions[members] @ direction)
        legendre = [np.polynomial.legendre.legval(cosine, row) for row in np.eye(2 * DEGREES)[::2]]
        right += [np.einsum("nv,nv->v", part, relative[members]) for part in legendre]
        normal += [
            np.einsum("nv,nv->v", legendre[i], legendre[j]) * (1.0 if i == j else 2.0) for i, j in PAIRS
        ]
    return Sums(s0, direction, np.stack(right, axis=1), np.stack(normal, axis=1))


def log_likelihood(grid: Grid, sums: Sums, noise: VoxelNoise, n_b0: int) -> Float32Array:
    """Return the logarithm of the likelihood at all nodes, S0 integrated, (V, A), in single precision.

    `noise` is in units of S0.
    """
    found = np.empty((len(sums.s0), grid.theta.shape[1]), dtype=np.float32)
    right, normal = (part.astype(np.float32) for part in (sums.right, sums.normal))
    sharp = 0.5 / noise.scatter**2
    step = np.round(np.log(noise.floor) / NOISE_STEP)
    for value in np.unique(step):
        chosen = np.flatnonzero(step == value)
        series, products = grid.series(float(np.exp(value * NOISE_STEP)))
        for voxels in np.array_split(chosen, -(-chosen.size // AT_ONCE)):
            part = np.empty((voxels.size, found.shape[1]), dtype=np.float32)
            combine(right[voxels] @ series, normal[voxels] @ products, n_b0, sharp[voxels], part)
            found[voxels] = part
    return found


def nodes(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
    lower: FloatArray,
    upper: FloatArray,
) -> Nodes:
    """Return the likeliest nodes of every voxel; see `estimators.posterior.nodes.nodes_of`."""
    assert isinstance(model, Noddi)
    assert isinstance(protocol, DiffusionProtocol)
    shells = sort_shells(protocol)
    grid = make_grid(model, shells, lower, upper)
    sums = summed(signal, shells, model.d_par)
    log_weight = log_likelihood(grid, sums, noise.over(sums.s0), len(shells.b0))
    log_weight += grid.log_mass.astype(np.float32)
    count = min(KEPT, log_weight.shape[1])
    place = np.empty((len(log_weight), count), dtype=np.intp)
    for first in range(0, len(log_weight), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        place[some] = np.argpartition(log_weight[some], -count, axis=1)[:, -count:]
    free = [i for i in range(len(grid.theta)) if lower[i] < upper[i]]
    kept = np.take_along_axis(log_weight, place, axis=1).astype(np.float64)
    return Nodes(tuple(free), grid.theta[free][:, place], kept)


def likelihood_at(
    model: Model,
    signal: FloatArray,
    protocol: Protocol,
    noise: VoxelNoise,
    limits: tuple[FloatArray, FloatArray],
    index: tuple[int, ...],
    theta: FloatArray,
) -> FloatArray:
    """Return the log likelihood at nodes anywhere; see `estimators.posterior.nodes.likelihood_at`.

    Series between the nodes of the grid are interpolated linearly.
    """
    assert isinstance(model, Noddi)
    assert isinstance(protocol, DiffusionProtocol)
    shells = sort_shells(protocol)
    grid = make_grid(model, shells, *limits)
    axes = [np.unique(row) for row in grid.theta]
    sums = summed(signal, shells, model.d_par)
    relative = noise.over(sums.s0)
    step = np.round(np.log(relative.floor) / NOISE_STEP)
    found = np.empty(theta.shape[1:])
    full = np.repeat(limits[0][:3, None, None], theta.shape[1], axis=1) + np.zeros(theta.shape[2])
    full[list(index)] = theta
    for value in np.unique(step):
        by_node = np.moveaxis(_series(grid, float(np.exp(value * NOISE_STEP))), 2, 0)
        table = by_node.reshape(*(axis.size for axis in axes), -1).astype(np.float32)
        chosen = np.flatnonzero(step == value)
        for voxels in np.array_split(chosen, max(chosen.size // LAID_VOXELS, 1)):
            series = _between(table, axes, full[:, voxels])
            by_shell = series.reshape(*series.shape[:2], -1, DEGREES)
            energy = np.concatenate(
                [
                    np.stack([by_shell[..., s, i] * by_shell[..., s, j] for i, j in PAIRS], axis=-1)
                    for s in range(by_shell.shape[2])
                ],
                axis=-1,
            )
            fit = np.einsum("vkc,vc->vk", series, sums.right[voxels]) + len(shells.b0)
            size = np.einsum("vkc,vc->vk", energy, sums.normal[voxels]) + len(shells.b0)
            sharp = 0.5 / relative.scatter[voxels, None] ** 2
            found[voxels] = sharp * fit**2 / size - 0.5 * np.log(size)
    return found


def _between(table: Float32Array, axes: list[FloatArray], theta: FloatArray) -> FloatArray:
    """Return the entries of a table, (a, b, c, C), at parameters (3, V, K), (V, K, C)."""
    lower, upper, share = [], [], []
    for nodes_of_axis, values in zip(axes, theta, strict=True):
        last = nodes_of_axis.size - 1
        at = np.clip(np.searchsorted(nodes_of_axis, values) - 1, 0, max(last - 1, 0))
        after = np.minimum(at + 1, last)
        width = np.where(after > at, nodes_of_axis[after] - nodes_of_axis[at], 1.0)
        lower.append(at)
        upper.append(after)
        share.append((values - nodes_of_axis[at]) / width)
    total = np.zeros((*theta.shape[1:], table.shape[3]))
    for corner in range(8):
        high = [bool(corner >> axis & 1) for axis in range(3)]
        weight = np.ones(theta.shape[1:])
        for axis in range(3):
            weight = weight * (share[axis] if high[axis] else 1.0 - share[axis])
        place = tuple(upper[axis] if high[axis] else lower[axis] for axis in range(3))
        total += weight[..., None] * table[place]
    return total


def predicted(
    model: Noddi, signal: FloatArray, protocol: DiffusionProtocol, found: FloatArray
) -> tuple[dict[str, FloatArray], FloatArray]:
    """Return S0 and direction of voxels by name, (V,) each, and their curves, (N, V).

    Parameters
    ----------
    signal
        Measured signals, (V, N), with a positive mean at b = 0.
    found
        NDI, ODI and FWF, (3 or more, V).
    """
    shells = sort_shells(protocol)
    s0 = signal[:, shells.b0].mean(axis=1)
    form = form_weights(shells.directions, shells.members, shells.bvals, model.d_par)
    direction = least_axis(form @ np.ascontiguousarray((signal / s0[:, None]).T))
    encoding = encode(protocol, model.d_par, model.d_iso)
    curve = np.empty(signal.shape[::-1])
    curve[encoding.order] = evaluate(encoding, found[:3], direction) * s0
    upward = direction * np.where(direction[2] < 0, -1.0, 1.0)
    return {"s0": s0, **dict(zip(COMPONENTS, upward, strict=True))}, curve


@lru_cache(maxsize=1)
def _angles() -> tuple[FloatArray, FloatArray]:
    """Return cosines and what takes the signals there to Legendre coefficients, (`DEGREES`, `COSINES`)."""
    x, weight = np.polynomial.legendre.leggauss(COSINES)
    x, weight = (x + 1.0) / 2.0, weight / 2.0
    legendre = np.polynomial.legendre.legvander(x, 2 * DEGREES - 2)[:, ::2]
    return x, (4.0 * np.arange(DEGREES) + 1.0)[:, None] * legendre.T * weight


def _series(grid: Grid, floor: float) -> FloatArray:
    """Return the Legendre coefficients of mean magnitudes over S0, (S, `DEGREES`, A)."""
    mean, slope = _floors()
    place = grid.signals * (FLOOR_STEPS / (FLOOR_END * floor))
    below = np.minimum(place, FLOOR_STEPS - 1.0).astype(np.intp)
    found = (mean[below] + (place - below) * slope[below]) * floor
    beyond = place > FLOOR_STEPS
    found[beyond] = np.sqrt(grid.signals[beyond] ** 2 + floor**2)
    return np.asarray(np.einsum("lx,sxa->sla", _angles()[1], found))


@lru_cache(maxsize=1)
def _floors() -> tuple[FloatArray, FloatArray]:
    """Return mean magnitudes over the noise at even signals up to `FLOOR_END`, and the rise to the next."""
    mean = rician_moments(np.linspace(0.0, FLOOR_END, FLOOR_STEPS + 1))[0]
    return mean[:-1], np.diff(mean)
