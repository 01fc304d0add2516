"""From prepared voxels to maps, block by block: noise level, fit, whole-image maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimation.beyond import beyond_limits
from bids_qmri.estimation.noise import ScanNoise, floor_of_voxels
from bids_qmri.estimation.preparation import Preparation, Voxels
from bids_qmri.estimation.prior import PriorChoice, PriorSample, choose_prior, sample_voxels
from bids_qmri.estimators.base import Estimator, FitResult, judged
from bids_qmri.estimators.classical.noise import Residuals, fit_residuals
from bids_qmri.estimators.threads import in_threads
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

NOISE_SAMPLE = 8192
"""Voxels from which the noise level of a scan is estimated: enough for 1 %, a fraction of a second."""

BLOCK_VOXELS = 16384
"""Voxels taken at once: 8 MB for 60 volumes, large enough that numpy's call overhead vanishes."""

Measured = tuple[FloatArray, Voxels]
"""Signals as measured, (v, N), and the numbers of their voxels, (v,)."""


@dataclass(frozen=True)
class ImageMaps:
    """Maps over all V voxels of a grid; zero outside the mask, NaN where a fit was impossible.

    `notes` are what the estimator says of all of them, `directions` are maps of K numbers a voxel, (V, K);
    `determined` is 1 where the data determine a parameter, for those that it can be told of.
    """

    maps: dict[str, npt.NDArray[np.float32]]
    sd: dict[str, npt.NDArray[np.float32]]
    residual: npt.NDArray[np.float32]
    status: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    directions: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    determined: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Block:
    """Some voxels on their way through a fit.

    Parameters
    ----------
    voxels
        Their numbers, (v,).
    measured
        Signals as read, (v, N).
    signal, protocol
        What was fitted.
    fit
        What was found.
    """

    voxels: Voxels
    measured: FloatArray
    signal: FloatArray
    protocol: Protocol
    fit: FitResult


def spread(mask: npt.NDArray[np.bool_], count: int = NOISE_SAMPLE) -> Voxels:
    """Return about as many voxels of a mask, evenly spread over it, as indices."""
    inside = np.flatnonzero(mask)
    return inside[:: max(1, inside.size // count)]


def array_blocks(signal: FloatArray) -> Iterator[Measured]:
    """Yield the voxels of an array (V, N) in blocks."""
    for first in range(0, max(len(signal), 1), BLOCK_VOXELS):
        part = signal[first : first + BLOCK_VOXELS]
        yield part, np.arange(first, first + len(part))


def wants_noise(how: Preparation) -> bool:
    """Tell whether a preparation has one noise level for the whole scan."""
    return how.residuals is not None or how.noise_is_common


def residuals_of(model: Model, how: Preparation, sample: Measured) -> Residuals | None:
    """Return what noise leaves in voxels spread over the scan.

    Parameters
    ----------
    model
        Forward model, whose least-squares residuals tell the noise unless `how` knows better.
    how
        Turns signals into the model's input.
    sample
        Voxels as of `spread`.

    Returns
    -------
    Residuals or None
        None where there are too few measurements to tell.
    """
    signal, protocol = (how.convert_for_noise or how.convert)(*sample)
    if how.residuals is not None:
        return how.residuals(signal, protocol)
    if protocol.n_measurements <= len(model.parameters):
        return None
    return fit_residuals(model, signal, protocol, bounds=how.bounds)


def noise_level(model: Model, how: Preparation, sample: Measured) -> ScanNoise | None:
    """Estimate the noise of a single image from voxels alone, without air and places.

    Arguments as of `residuals_of`. None where voxels do not share a level, or nothing tells it.
    """
    found = residuals_of(model, how, sample) if wants_noise(how) else None
    if found is None:
        return None
    sigma = found.sigma()
    source = f"residuals of {len(found.cost)} voxels"
    told = {"NoiseFloorFrom": f"quietest {source}", "NoiseScatterFrom": f"{source}, pooled"}
    signal, protocol = (how.convert_for_noise or how.convert)(*sample)
    floor = floor_of_voxels(found, signal, protocol.weights, sigma) if model.magnitude else sigma
    return ScanNoise(floor, sigma, told)


def prior_sample(how: Preparation, measured: Measured, noise: ScanNoise | None) -> PriorSample | None:
    """Return what a prior is learned from, given voxels of `prior.sample_voxels`; None without noise."""
    signal, voxels = measured
    if not voxels.size:
        return None
    converted, protocol = how.convert(signal, voxels)
    told = voxel_noise(how, converted, protocol, voxels, noise)
    return None if told is None else PriorSample(converted, protocol, told)


def fit_block(
    model: Model, estimator: Estimator, how: Preparation, measured: Measured, noise: ScanNoise | None
) -> Block:
    """Convert and fit some voxels.

    Parameters
    ----------
    model, estimator, how
        What is fitted, and how.
    measured
        Signals and voxels.
    noise
        Of a single image, None if unknown or told by every voxel.
    """
    signal, voxels = measured
    converted, protocol = how.convert(signal, voxels)
    sigma = voxel_noise(how, converted, protocol, voxels, noise)
    fit = estimator.fit(model, converted, protocol, sigma=sigma, bounds=how.bounds, prior=how.prior)
    return completed(model, estimator, how, measured, (converted, protocol, sigma), fit)


def fit_blocks(
    model: Model,
    estimator: Estimator,
    how: Preparation,
    blocks: Iterable[Measured],
    noise: ScanNoise | None,
    threads: int = 1,
) -> Iterator[Block]:
    """Convert and fit blocks of voxels on several threads, and yield them in their order.

    Parameters
    ----------
    model, estimator, how, noise
        As of `fit_block`.
    blocks
        Signals and voxels.
    threads
        How many; an estimator that is not to be called by several at a time gets one.
    """
    work = partial(fit_block, model, estimator, how, noise=noise)
    return in_threads(work, blocks, threads if estimator.concurrent else 1)


def completed(
    model: Model,
    estimator: Estimator,
    how: Preparation,
    measured: Measured,
    fitted: tuple[FloatArray, Protocol, Noise | None],
    fit: FitResult,
) -> Block:
    """Return a block with what its estimator could not know: truth beyond its limits, noise that is shared.

    `fitted` are converted signals, their protocol, and their noise.
    """
    converted, protocol, sigma = fitted
    if estimator.has_prior:
        fit = beyond_limits(model, how, converted, protocol, sigma, fit)
    if how.widen is not None:
        fit = how.widen(how, measured, protocol, sigma, fit)
    return Block(measured[1], measured[0], converted, protocol, judged(fit, model, how.bounds, how.prior))


def voxel_noise(
    how: Preparation, converted: FloatArray, protocol: Protocol, voxels: Voxels, noise: ScanNoise | None
) -> Noise | None:
    """Return the noise of some voxels: as their own signals tell it, or as that of the scan."""
    if how.voxel_noise is not None:
        sigma = how.voxel_noise(converted, protocol)
        return Noise(sigma, sigma)
    return None if noise is None else noise.at(voxels)


def gather(
    model: Model,
    blocks: Iterable[Block],
    n_voxels: int,
    observe: Callable[[Block], None] | None = None,
) -> ImageMaps:
    """Gather fitted blocks into maps of a whole grid.

    Parameters
    ----------
    model
        What was fitted.
    blocks
        Fitted voxels.
    n_voxels
        Size V of the grid.
    observe
        Called with every block, for metrics that need the measurements.
    """
    status = np.zeros(n_voxels, dtype=np.uint8)
    residual = np.zeros(n_voxels, dtype=np.float32)
    maps: dict[str, npt.NDArray[np.float32]] = {}
    sd: dict[str, npt.NDArray[np.float32]] = {}
    determined: dict[str, npt.NDArray[np.uint8]] = {}
    notes: dict[str, None] = {}
    internal = {p.name for p in model.parameters if p.internal} - set(model.carried)
    for block in blocks:
        if observe is not None:
            observe(block)
        fit, voxels = block.fit, block.voxels
        status[voxels] = fit.status
        notes |= dict.fromkeys(fit.notes)
        residual[voxels] = fit.residual
        for whole, part in ((maps, fit.maps), (sd, fit.sd)):
            for name, values in part.items():
                if name not in internal:
                    whole.setdefault(name, np.zeros(n_voxels, dtype=np.float32))[voxels] = values
        for name, known in fit.determined.items():
            determined.setdefault(name, np.zeros(n_voxels, dtype=np.uint8))[voxels] = known
    return ImageMaps(maps, sd, residual, status, tuple(notes), determined=determined)


def fit_array(
    model: Model,
    estimator: Estimator,
    how: Preparation,
    signal: npt.ArrayLike,
    noise: ScanNoise | None = None,
    choice: PriorChoice = "box",
    threads: int = 1,
) -> FitResult:
    """Fit an array of voxels as the command line fits an image.

    Parameters
    ----------
    model, estimator, how
        What is fitted, and how.
    signal
        Signals as measured, shape (V, N).
    noise
        Of a single image; None estimates it where the estimator needs it.
    choice
        Where the truth is expected.
    threads
        Blocks of voxels that are fitted at a time; results do not depend on it.

    Raises
    ------
    InputError
        If signals are not (V, N).
    """
    data = np.asarray(signal, dtype=np.float64)
    if data.ndim != 2:
        raise InputError(f"signals have shape {data.shape}", field="signal", needed="(voxels, measurements)")
    finite = np.all(np.isfinite(data), axis=1)
    if noise is None and len(data):
        voxels = spread(finite)
        noise = noise_level(model, how, (data[voxels], voxels)) if voxels.size else None
    if estimator.has_prior:
        chosen = sample_voxels(finite)
        sample = prior_sample(how, (data[chosen], chosen), noise)
        how = replace(how, prior=choose_prior(model, choice, how.bounds, sample))
    fitted = fit_blocks(model, estimator, how, array_blocks(data), noise, threads)
    return join([block.fit for block in fitted])


def join(parts: list[FitResult]) -> FitResult:
    """Return the result of all voxels from those of blocks."""
    first = parts[0]
    return FitResult(
        {name: np.concatenate([part.maps[name] for part in parts]) for name in first.maps},
        {name: np.concatenate([part.sd[name] for part in parts]) for name in first.sd},
        np.concatenate([part.residual for part in parts]),
        np.concatenate([part.status for part in parts]),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        {name: _determined(parts, name) for name in first.maps if any(name in p.determined for p in parts)},
    )


def _determined(parts: list[FitResult], name: str) -> npt.NDArray[np.bool_]:
    """Return where a parameter is determined; blocks that could not tell count as not."""
    return np.concatenate(
        [part.determined.get(name, np.zeros(part.status.shape, dtype=bool)) for part in parts]
    )
