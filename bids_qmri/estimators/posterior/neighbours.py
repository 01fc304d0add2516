"""Priors of single voxels from what their neighbours say, and from what the scan says where they disagree.

Every voxel summarises its posterior as mean and covariance; what its data add to its present prior goes to
its neighbours, weighted by distance and by how well the two agree. Where neighbours contradict the voxel, a
safety density of heavy tails takes over: the scan's own distribution. Coordinates are logits of the position
within the limits, on the parameter's own scale, in which posteriors are nearly normal. Arrays of all V
voxels of a grid; those of single nodes are not held here (`estimation.local`). Weights and mixtures by
simulation; the idea of neighbours that share what they know is that of fields of random variables (Besag
1986, doi:10.1111/j.2517-6161.1986.tb01412.x).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.model import Model
from bids_qmri.units import FloatArray

REACH, SPREAD = 3, 1.2
"""Voxels to the farthest neighbour along an axis, and standard deviation of the weights in voxels."""

FARTHEST = 3.0
"""Distance of the farthest neighbour, in voxels of the finest axis."""

CORE, HEAVY = 0.7, 4.0
"""Share of the normal part of the safety density, and how much wider the covariance of its tails is."""

SAFETY = 0.1
"""Share of the safety density in every voxel's prior."""

FREEDOM = 7.0
"""Degrees of freedom of a prior of neighbours beyond their number."""

COMMON = 8.0
"""Neighbours as whose opinion the typical covariance counts."""

ALONE = 1.5
"""Effective number of neighbours below which a voxel has none."""

STEP = 2.0
"""Times the change of a covariance that a round asks for."""

LARGEST = 8.0
"""Largest coordinate: limits are at infinity."""

LEAST_VARIANCE = 1e-4
"""Of a coordinate."""

DRAWN_FREEDOM = 6.0
"""Degrees of freedom of nodes that are laid anew."""

GENERATOR = {17: 3, 61: 19}
"""Generators of their lattices by number: primes, and of low P2 in two to four dimensions."""


@dataclass(frozen=True, eq=False)
class Axes:
    """How parameters become coordinates: limits on the own scale, and which are logarithmic, each (D,)."""

    low: FloatArray
    high: FloatArray
    logarithmic: npt.NDArray[np.bool_]

    def coordinates(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return coordinates (D, V, K) of parameters, and the log of d theta / d coordinate, (V, K)."""
        shape = (-1, 1, 1)
        log = self.logarithmic.reshape(shape)
        least = np.exp(np.where(self.logarithmic, self.low, 0.0)).reshape(shape)
        own = np.where(log, np.log(np.maximum(theta, least)), theta)
        width = (self.high - self.low).reshape(shape)
        inside = np.clip((own - self.low.reshape(shape)) / width, 1e-4, 1.0 - 1e-4)
        log_slope = np.log(width * inside * (1.0 - inside)) + np.where(log, own, 0.0)
        return np.log(inside / (1.0 - inside)), np.asarray(log_slope.sum(axis=0))

    def parameters(self, x: FloatArray) -> FloatArray:
        """Return parameters (D, V, K) of coordinates."""
        shape = (-1, 1, 1)
        inside = 1.0 / (1.0 + np.exp(-np.clip(x, -LARGEST, LARGEST)))
        own = self.low.reshape(shape) + (self.high - self.low).reshape(shape) * inside
        return np.asarray(np.where(self.logarithmic.reshape(shape), np.exp(own), own))


def axes_of(model: Model, index: tuple[int, ...], lower: FloatArray, upper: FloatArray) -> Axes:
    """Return the coordinates of some parameters within limits of shape (P,)."""
    log = np.array([model.parameters[i].logarithmic for i in index])
    ends = []
    for limit in (lower[list(index)], upper[list(index)]):
        floor = np.maximum(limit, upper[list(index)] * 1e-3)
        ends.append(np.where(log, np.log(floor), limit))
    return Axes(ends[0], ends[1], log)


@dataclass(frozen=True, eq=False)
class Belief:
    """A prior of each of V voxels: mean (D, V), covariance (D, D, V), degrees of freedom, (V,)."""

    mean: FloatArray
    covariance: FloatArray
    freedom: FloatArray
    alone: npt.NDArray[np.bool_]

    def take(self, voxels: npt.NDArray[np.intp] | slice) -> Belief:
        """Return that of some voxels."""
        return Belief(
            self.mean[:, voxels], self.covariance[:, :, voxels], self.freedom[voxels], self.alone[voxels]
        )


@dataclass(frozen=True, eq=False)
class Common:
    """The distribution of a scan: mean (D,) and covariance (D, D)."""

    mean: FloatArray
    covariance: FloatArray

    def log_density(self, x: FloatArray) -> FloatArray:
        """Return the logarithm of the safety density at coordinates (D, V, K)."""
        normal = log_student(x, self.mean[:, None], self.covariance[:, :, None], None)
        tails = log_student(x, self.mean[:, None], HEAVY * self.covariance[:, :, None], np.array([3.0]))
        return np.asarray(np.logaddexp(np.log(CORE) + normal, np.log(1.0 - CORE) + tails))


def log_student(
    x: FloatArray, mean: FloatArray, covariance: FloatArray, freedom: FloatArray | None
) -> FloatArray:
    """Return the log density of Student's t, or of a normal one where `freedom` is None, (V, K).

    `x` is (D, V, K); mean (D, V), covariance (D, D, V) and freedom (V,) may have V = 1.
    """
    from scipy.special import gammaln

    dimensions = len(x)
    root = np.linalg.cholesky(np.moveaxis(covariance, 2, 0))
    inverse = np.linalg.inv(root)
    deviation = x - mean[:, :, None]
    square = np.zeros(x.shape[1:])
    for i in range(dimensions):
        scaled = sum(inverse[:, i, j, None] * deviation[j] for j in range(i + 1))
        square += scaled * scaled
    log_root = np.log(np.einsum("vii->vi", root)).sum(axis=1)[:, None]
    if freedom is None:
        return np.asarray(-0.5 * square - log_root - 0.5 * dimensions * np.log(2.0 * np.pi))
    nu = freedom[:, None]
    constant = gammaln((nu + dimensions) / 2.0) - gammaln(nu / 2.0) - 0.5 * dimensions * np.log(nu * np.pi)
    return np.asarray(constant - log_root - 0.5 * (nu + dimensions) * np.log1p(square / nu))


def log_box(x: FloatArray) -> FloatArray:
    """Return the log density of coordinates (D, V, K) that are even within the limits, (V, K)."""
    size = np.abs(x)
    return np.asarray(np.sum(-size - 2.0 * np.log1p(np.exp(-size)), axis=0))


def draw_student(mean: FloatArray, covariance: FloatArray, count: int) -> FloatArray:
    """Return evenly spread draws (D, V, `count`) from Student's t about means (D, V)."""
    from scipy.special import stdtrit

    dimensions = len(mean)
    powers = [pow(GENERATOR[count], d, count) for d in range(dimensions)]
    steps = np.outer(powers, np.arange(count)) % count
    uniform = stdtrit(DRAWN_FREEDOM, (steps + 0.5) / count)
    root = np.moveaxis(np.linalg.cholesky(np.moveaxis(covariance, 2, 0)), 0, 2)
    drawn = mean[:, :, None] + np.einsum("dev,ek->dvk", root, uniform)
    return np.asarray(np.clip(drawn, -LARGEST, LARGEST))


def log_prior(belief: Belief, common: Common, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the log prior of voxels at coordinates (D, V, K), and that of its safety part alone, (V, K)."""
    safe = common.log_density(x)
    local = log_student(x, belief.mean, belief.covariance, belief.freedom)
    share = np.where(belief.alone, 1.0, SAFETY)[:, None]
    safe = safe + np.log(share)
    with np.errstate(divide="ignore"):
        local = local + np.log1p(-share)
    return np.logaddexp(local, safe), safe


@dataclass(frozen=True, eq=False)
class Summary:
    """What voxels know: mean (D, V) and covariance (D, D, V) of their posteriors."""

    mean: FloatArray
    covariance: FloatArray


def summarise(x: FloatArray, weight: FloatArray) -> Summary:
    """Return mean and covariance of weighted nodes, (D, V, K) and (V, K)."""
    mean = np.einsum("vk,dvk->dv", weight, x)
    deviation = x - mean[:, :, None]
    covariance = np.einsum("vk,dvk,evk->dev", weight, deviation, deviation)
    return Summary(mean, covariance + LEAST_VARIANCE * np.eye(len(x))[:, :, None])


def first_belief(common: Common, count: int) -> Belief:
    """Return the prior of voxels before neighbours have spoken: that of the scan."""
    dimensions = common.mean.size
    return Belief(
        np.repeat(common.mean[:, None], count, axis=1),
        np.repeat(common.covariance[:, :, None], count, axis=2),
        np.full(count, FREEDOM),
        np.zeros(count, dtype=bool) if dimensions else np.ones(count, dtype=bool),
    )


def update(belief: Belief, known: Summary, common: Common, places: Places, agree: bool) -> Belief:
    """Return the priors that neighbours give each other.

    Parameters
    ----------
    belief, known
        Present priors and what voxels know under them.
    common
        The distribution of the scan.
    places
        Where the voxels are.
    agree
        Weigh neighbours by how well they agree with the voxel.
    """
    precision, shift = _sites(belief, known)
    spread = 2.0 * np.median(belief.covariance, axis=2)
    count = known.mean.shape[1]
    weights, squares = np.zeros(count), np.zeros(count)
    sums = [np.zeros_like(part) for part in (precision, shift, known.mean, known.covariance)]
    for offset, weight in places.offsets:
        mine, theirs = places.pairs(offset)
        w = np.full(mine.size, weight)
        if agree:
            w = w * _agreement(known, mine, theirs, spread)
        weights[mine] += w
        squares[mine] += w * w
        mean = known.mean[:, theirs]
        second = known.covariance[:, :, theirs] + mean[:, None] * mean[None]
        for total, part in zip(sums, (precision[:, :, theirs], shift[:, theirs], mean, second), strict=True):
            total[..., mine] += w * part
    return _joined(belief, common, sums, weights, squares)


def _sites(belief: Belief, known: Summary) -> tuple[FloatArray, FloatArray]:
    """Return what the data of each voxel say beyond its prior: precision (D, D, V) and shift (D, V)."""
    prior = np.linalg.inv(np.moveaxis(belief.covariance, 2, 0))
    gain = np.moveaxis(belief.covariance - known.covariance, 2, 0)
    values, vectors = np.linalg.eigh((gain + gain.transpose(0, 2, 1)) / 2.0)
    gain = np.einsum("vij,vj,vkj->vik", vectors, np.maximum(values, 0.0), vectors)
    precision = prior @ gain @ prior
    deviation = (known.mean - belief.mean).T
    shift = np.einsum("vij,jv->vi", precision, belief.mean) + np.einsum("vij,vj->vi", prior, deviation)
    return np.moveaxis(precision, 0, 2), shift.T


def _agreement(
    known: Summary, mine: npt.NDArray[np.intp], theirs: npt.NDArray[np.intp], spread: FloatArray
) -> FloatArray:
    """Return how well pairs agree, (M,): 1 within what both do not know, less beyond."""
    difference = (known.mean[:, mine] - known.mean[:, theirs]).T
    covariance = np.moveaxis(known.covariance[:, :, mine] + known.covariance[:, :, theirs], 2, 0) + spread
    solved = np.linalg.solve(covariance, difference[..., None])[..., 0]
    square = np.einsum("vi,vi->v", difference, solved)
    return np.asarray(np.exp(-0.5 * np.maximum(square - 0.5 * difference.shape[1], 0.0)))


def _joined(
    belief: Belief, common: Common, sums: list[FloatArray], weights: FloatArray, squares: FloatArray
) -> Belief:
    """Return the priors that sums over neighbours make."""
    precision, shift, mean, second = sums
    total = np.maximum(weights, 1e-12)
    number = weights**2 / np.maximum(squares, 1e-24)
    inverse = np.linalg.inv(common.covariance)
    both = np.moveaxis(precision, 2, 0) + inverse
    centre = np.linalg.solve(both, (shift.T + inverse @ common.mean)[..., None])[..., 0].T
    mean, second = mean / total, second / total
    about = second - mean[:, None] * centre[None] - centre[:, None] * mean[None] + centre[:, None] * centre
    wanted = belief.covariance + STEP * (about - belief.covariance)
    wanted = _positive(wanted)
    typical = np.median(about, axis=2)[:, :, None]
    covariance = (number * wanted + COMMON * typical) / (number + COMMON)
    unsure = np.moveaxis(np.linalg.inv(both), 0, 2) * (squares / total)
    alone = number < ALONE
    covariance = np.where(alone, common.covariance[:, :, None], _positive(covariance + unsure))
    centre = np.where(alone, common.mean[:, None], centre)
    return Belief(np.asarray(centre), covariance, number + FREEDOM, alone)


def _positive(covariance: FloatArray) -> FloatArray:
    """Return covariances (D, D, V) with no eigenvalue below a hundredth of the largest."""
    values, vectors = np.linalg.eigh(np.moveaxis(covariance, 2, 0))
    least = np.maximum(LEAST_VARIANCE, 0.01 * values[:, -1:])
    return np.moveaxis(np.einsum("vij,vj,vkj->vik", vectors, np.maximum(values, least), vectors), 0, 2)


@dataclass(frozen=True, eq=False)
class Places:
    """Where V voxels are on a grid.

    Parameters
    ----------
    index
        Number of the voxel at each place of a grid with a margin of -1, (x, y, z).
    position
        Indices on it, (3, V).
    offsets
        Neighbours: steps along the axes, and weights.
    """

    index: npt.NDArray[np.intp]
    position: npt.NDArray[np.intp]
    offsets: tuple[tuple[tuple[int, ...], float], ...]

    def pairs(self, offset: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return voxels that have a neighbour at an offset, and these neighbours."""
        at = tuple(self.position[axis] + step for axis, step in enumerate(offset))
        theirs = self.index[at]
        mine = np.flatnonzero(theirs >= 0)
        return mine, theirs[mine]


def places_of(voxels: npt.NDArray[np.intp], shape: tuple[int, ...], zooms: tuple[float, ...]) -> Places:
    """Return the places of voxels that are counted along the first axis first."""
    position = np.stack(np.unravel_index(voxels, shape, order="F")) + REACH
    index = np.full([size + 2 * REACH for size in shape], -1, dtype=np.intp)
    index[tuple(position)] = np.arange(voxels.size)
    scale = np.asarray(zooms) / min(zooms)
    offsets = []
    for offset in product(range(-REACH, REACH + 1), repeat=len(shape)):
        square = float(np.sum((np.array(offset) * scale) ** 2))
        if 0 < square <= FARTHEST**2:
            offsets.append((offset, float(np.exp(-square / (2.0 * SPREAD**2)))))
    return Places(index, position, tuple(offsets))
