"""Estimate voxels together with their neighbours: nodes of every voxel once, then rounds of reweighting.

The nodes of a block of voxels are laid as for `bayes` and kept in single precision in scratch files; between
rounds voxels exchange means and covariances alone, so that memory does not grow with the number of nodes. In
some rounds nodes are laid anew where the posterior has moved to. Called by `interfaces.fit` for estimators
that look at neighbours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import Block, Measured, completed, voxel_noise
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Preparation
from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.classical.asymptotic import checked_signal
from bids_qmri.estimators.posterior import neighbours
from bids_qmri.estimators.posterior.neighbours import Axes, Belief, Common, Summary
from bids_qmri.estimators.posterior.nodes import likelihood_at, nodes_of, normalised
from bids_qmri.estimators.threads import in_threads
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

ROUNDS = 5
AGREE_FROM = 1
"""Rounds, and the first in which neighbours are weighed by agreement."""

COMMON_ROUNDS, COMMON_BOX = 12, 0.03
"""Steps that learn the distribution of the scan, and the share of a logistic density that takes outliers."""

SAMPLE = 1000
"""Voxels that it is learned from."""

REDRAWN = (1, 3)
"""Rounds after which nodes are laid anew about the posterior."""

ABOUT, WIDE = 61, 17
"""Nodes laid anew about the posterior of a voxel, and about the distribution of the scan."""

WIDEN = 1.3
"""Standard deviation of the former over that of the posterior."""


@dataclass(frozen=True, eq=False)
class _Block:
    """Voxels that can be fitted: as measured, converted, their places in the list of all, and their nodes."""

    measured: Measured
    signal: FloatArray
    protocol: Protocol
    noise: VoxelNoise
    usable: npt.NDArray[np.bool_]
    places: slice
    file: Path

    def load(self) -> tuple[FloatArray, FloatArray]:
        """Return coordinates (D, v, K) and log of likelihood over density of nodes, (v, K)."""
        with np.load(self.file) as kept:
            return kept["x"].astype(np.float64), kept["log_weight"].astype(np.float64)

    def keep(self, x: FloatArray, log_weight: FloatArray) -> None:
        """Write nodes, weights over the largest: their ratios count, and fit single precision."""
        log_weight = log_weight - log_weight.max(axis=1, keepdims=True)
        np.savez(self.file, x=x.astype(np.float32), log_weight=log_weight.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape of the image and edges of its voxels, which are counted along the first axis first."""

    shape: tuple[int, ...]
    zooms: tuple[float, ...]


def fit_neighbours(
    model: Model,
    how: Preparation,
    blocks: Iterable[Measured],
    grid: Grid,
    noise: ScanNoise | None,
    folder: Path,
    estimator: Estimator,
    threads: int = 1,
) -> Iterator[Block]:
    """Fit all voxels of some blocks together, and yield these.

    Parameters
    ----------
    model, how
        What is fitted, and what goes into it.
    blocks
        Voxels to fit.
    grid
        Where they are.
    noise
        Of a single image; None: voxels tell their own.
    folder
        Scratch folder; nodes go to one of their own in it, as fits run side by side.
    estimator
        Which one this is.
    threads
        Blocks of voxels whose nodes are laid or weighed at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix="nodes-", dir=folder))
    lower, upper = model.limits(how.bounds)
    kept, axes, index = _first(model, how, blocks, noise, folder, (lower, upper), threads)
    fitted = [block for block in kept if block.usable.any()]
    if axes is None:
        raise InputError("no voxel can be fitted", needed="positive, finite signals in every image")
    common = _learn(fitted)
    voxels = np.concatenate([block.measured[1][block.usable] for block in fitted])
    places = neighbours.places_of(voxels, grid.shape, grid.zooms)
    belief = neighbours.first_belief(common, voxels.size)
    for turn in range(ROUNDS):
        known = _known(fitted, belief, common, threads)
        if turn in REDRAWN:
            redraw = partial(_redraw, model, axes, index, known, common, (lower, upper))
            deque(in_threads(redraw, fitted, threads), maxlen=0)
            known = _known(fitted, belief, common, threads)
        belief = neighbours.update(belief, known, common, places, agree=turn >= AGREE_FROM)
    known = _known(fitted, belief, common, threads)

    def finish(block: _Block) -> Block:
        mean, spread, quality = _nothing(model)
        if block.usable.any():
            _redraw(model, axes, index, known, common, (lower, upper), block)
            mean, spread, quality = _means(model, block, axes, index, belief, common, (lower, upper))
            block.file.unlink()
        fit = _result(model, block, mean, spread, quality)
        noise_of = Noise(block.noise.floor, block.noise.scatter)
        return completed(model, estimator, how, block.measured, (block.signal, block.protocol, noise_of), fit)

    yield from in_threads(finish, kept, threads)


Limits = tuple[FloatArray, FloatArray]

Found = tuple[FloatArray, FloatArray, dict[str, FloatArray]]
"""Means and standard deviations of parameters and derived quantities, (P + Q, v), and maps for quality."""


def _first(
    model: Model,
    how: Preparation,
    blocks: Iterable[Measured],
    noise: ScanNoise | None,
    folder: Path,
    limits: Limits,
    threads: int,
) -> tuple[list[_Block], Axes | None, tuple[int, ...]]:
    """Lay the first nodes of all voxels."""

    def lay(numbered: tuple[int, Measured]) -> tuple[_Block, Axes | None, tuple[int, ...]]:
        number, measured = numbered
        signal, protocol = how.convert(*measured)
        told = voxel_noise(how, signal, protocol, measured[1], noise)
        assert told is not None
        data, usable = checked_signal(model, signal, protocol)
        level = told.spread(usable.size)
        usable &= np.isfinite(level.scatter) & (level.scatter > 0) & (level.floor > 0)
        if model.magnitude:
            usable &= ~np.any(data < 0, axis=1)
        file = folder / f"nodes-{number}.npz"
        block = _Block(measured, data, protocol, level, usable, slice(0), file)
        if not usable.any():
            return block, None, ()
        nodes = nodes_of(model, data[usable], protocol.take(usable), level.take(usable), *limits)
        axes = neighbours.axes_of(model, nodes.index, *limits)
        x, log_slope = axes.coordinates(nodes.theta)
        block.keep(x, nodes.log_weight + log_slope)
        return block, axes, nodes.index

    kept: list[_Block] = []
    axes: Axes | None = None
    index: tuple[int, ...] = ()
    count = 0
    for block, own_axes, own_index in in_threads(lay, enumerate(blocks), threads):
        places = slice(count, count + int(block.usable.sum()))
        count = places.stop
        kept.append(replace(block, places=places))
        if own_axes is not None:
            axes, index = own_axes, own_index
    return kept, axes, index


def _learn(kept: list[_Block]) -> Common:
    """Learn the distribution of the scan from evenly spread voxels."""
    total = sum(block.places.stop - block.places.start for block in kept)
    step = max(total // SAMPLE, 1)
    parts = [block.load() for block in kept]
    x = np.concatenate([part[0][:, ::step] for part in parts], axis=1)
    log_weight = np.concatenate([part[1][::step] for part in parts])
    box = neighbours.log_box(x) + np.log(COMMON_BOX)
    # What is even within the limits has variance pi^2 / 3 in these coordinates.
    mean, covariance = np.zeros(len(x)), np.eye(len(x)) * np.pi**2 / 3.0
    for _ in range(COMMON_ROUNDS):
        inside = neighbours.log_student(x, mean[:, None], covariance[:, :, None], None)
        inside += np.log(1.0 - COMMON_BOX)
        both = np.logaddexp(inside, box)
        weight = normalised(log_weight + both) * np.exp(inside - both)
        share = weight.sum()
        mean = np.einsum("vk,dvk->d", weight, x) / share
        deviation = x - mean[:, None, None]
        covariance = np.einsum("vk,dvk,evk->de", weight, deviation, deviation) / share
        covariance += neighbours.LEAST_VARIANCE * np.eye(len(x))
    return Common(mean, covariance)


def _known(kept: list[_Block], belief: Belief, common: Common, threads: int) -> Summary:
    """Return what voxels know under their priors."""

    def summary(block: _Block) -> Summary:
        x, log_weight = block.load()
        log_prior, _ = neighbours.log_prior(belief.take(block.places), common, x)
        return neighbours.summarise(x, normalised(log_weight + log_prior))

    parts = list(in_threads(summary, kept, threads))
    return Summary(
        np.concatenate([part.mean for part in parts], axis=1),
        np.concatenate([part.covariance for part in parts], axis=2),
    )


def _redraw(
    model: Model,
    axes: Axes,
    index: tuple[int, ...],
    known: Summary,
    common: Common,
    limits: Limits,
    block: _Block,
) -> None:
    """Lay nodes anew, most about the posteriors of voxels."""
    mean, covariance = known.mean[:, block.places], known.covariance[:, :, block.places]
    about = neighbours.draw_student(mean, WIDEN**2 * covariance, ABOUT)
    wide = np.repeat(
        neighbours.draw_student(common.mean[:, None], 2.0 * common.covariance[:, :, None], WIDE),
        mean.shape[1],
        axis=1,
    )
    x = np.concatenate([about, wide], axis=2)
    freedom = np.array([neighbours.DRAWN_FREEDOM])
    density = np.logaddexp(
        np.log(ABOUT)
        + neighbours.log_student(x, mean, WIDEN**2 * covariance, np.repeat(freedom, mean.shape[1])),
        np.log(WIDE)
        + neighbours.log_student(x, common.mean[:, None], 2.0 * common.covariance[:, :, None], freedom),
    )
    theta = axes.parameters(x)
    part = block.protocol.take(block.usable)
    level = block.noise.take(block.usable)
    likelihood = likelihood_at(model, block.signal[block.usable], part, level, limits, index, theta)
    # Nodes are laid in coordinates, and the prior is a density of these: no slope is left.
    block.keep(x, likelihood - density)


def _means(
    model: Model,
    block: _Block,
    axes: Axes,
    index: tuple[int, ...],
    belief: Belief,
    common: Common,
    limits: Limits,
) -> Found:
    """Return means and standard deviations of the voxels of a block, and the two maps for quality."""
    x, log_weight = block.load()
    log_prior, safe = neighbours.log_prior(belief.take(block.places), common, x)
    weight = normalised(log_weight + log_prior)
    theta = np.empty((len(model.parameters), *weight.shape))
    theta[:] = np.where(np.isfinite(limits[0]), limits[0], 1.0)[:, None, None]
    theta[list(index)] = axes.parameters(x)
    names = [p.name for p in model.parameters]
    if model.amplitude is not None:
        theta[names.index(model.amplitude)] = 1.0
    derived, _ = model.derive(theta.reshape(len(theta), -1))
    values = np.concatenate([theta, derived.reshape(-1, *weight.shape)])
    mean = np.einsum("vk,pvk->pv", weight, values)
    spread = np.sqrt(np.maximum(np.einsum("vk,pvk->pv", weight, values**2) - mean**2, 0.0))
    alone = neighbours.summarise(x, normalised(log_weight + neighbours.log_box(x)))
    now = neighbours.summarise(x, weight)
    variance = np.einsum("ddv->dv", alone.covariance)
    shift = np.sqrt(np.mean((now.mean - alone.mean) ** 2 / variance, axis=0))
    share = np.einsum("vk,vk->v", weight, np.exp(safe - log_prior))
    return mean, spread, {"safety": share, "shift": shift}


def _nothing(model: Model) -> Found:
    """Return what is found of no voxel."""
    none = np.empty((len(model.parameters) + len(model.derived), 0))
    return none, none, {"safety": np.empty(0), "shift": np.empty(0)}


def _result(
    model: Model, block: _Block, mean: FloatArray, spread: FloatArray, quality: dict[str, FloatArray]
) -> FitResult:
    """Return the result of all voxels of a block from those that could be fitted."""
    names = [p.name for p in (*model.parameters, *model.derived)]
    count, usable = block.usable.size, block.usable
    values, sd = np.full((2, len(names), count), np.nan)
    values[:, usable], sd[:, usable] = mean, np.where(spread > 0, spread, np.nan)
    residual, status = np.full(count, np.nan), np.full(count, Status.UNUSABLE, dtype=np.uint8)
    part = block.protocol.take(usable)
    signal = block.signal[usable].T
    of_technique = catalogue.part(model.name, "posterior", "predicted")
    if of_technique is not None:
        also, curve = of_technique(model, block.signal[usable], part, mean)
        quality = {**quality, **also}
    else:
        curve = model.signal(mean[: len(model.parameters)], part)
    if model.amplitude is not None:
        row = names.index(model.amplitude)
        floor = block.noise.floor[usable]
        unbiased = np.sqrt(np.maximum(signal**2 - floor**2, 0.0))
        weighted = part.weights[:, None] * curve
        energy = np.einsum("nv,nv->v", weighted, curve)
        amplitude = np.einsum("nv,nv->v", weighted, unbiased) / np.where(energy > 0, energy, np.inf)
        values[row, usable], sd[row] = amplitude, np.nan
        curve = amplitude * curve
    residual[usable] = np.sqrt(np.mean((signal - curve) ** 2, axis=0))
    status[usable] = Status.OK
    maps = dict(zip(names, values, strict=True))
    for name, found in quality.items():
        maps[name] = np.full(count, np.nan)
        maps[name][usable] = found
    known = {name: row for name, row in zip(names, sd, strict=True) if np.any(np.isfinite(row))}
    return FitResult(maps, known, residual, status)
