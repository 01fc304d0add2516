"""Run an estimator over the masked voxels of a series, one block at a time, into whole-image maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.images import Series
from bids_qmri.estimators.base import FitResult
from bids_qmri.estimators.noise import pooled_sigma
from bids_qmri.estimators.registry import ModelEstimator
from bids_qmri.interfaces.prepare import Preparation
from bids_qmri.interfaces.voxels import masked_blocks
from bids_qmri.models.registry import NAMES, get_model
from bids_qmri.protocol import Protocol
from bids_qmri.units import FloatArray

NOISE_SAMPLE = 8192
"""Voxels from which the noise level of a scan is estimated: enough for 1 %, a fraction of a second."""


@dataclass(frozen=True)
class ImageMaps:
    """Maps over all V voxels of a grid; zero outside the mask, NaN where a fit was impossible.

    `notes` are what the estimator says of all of them, `directions` are unit vectors, each (V, 3).
    """

    maps: dict[str, npt.NDArray[np.float32]]
    sd: dict[str, npt.NDArray[np.float32]]
    residual: npt.NDArray[np.float32]
    status: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()
    directions: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


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

    voxels: npt.NDArray[np.intp]
    measured: FloatArray
    signal: FloatArray
    protocol: Protocol
    fit: FitResult


def fit_image(
    series: Series,
    mask: npt.NDArray[np.bool_],
    how: Preparation,
    estimator: ModelEstimator,
    sigma: float | None,
    observe: Callable[[Block], None] | None = None,
) -> ImageMaps:
    """Fit every masked voxel.

    Parameters
    ----------
    series
        Opened images.
    mask
        Voxels to fit, shape (V,).
    how
        Turns signals into the estimator's input.
    estimator
        Called with (signal, protocol, sigma, bounds).
    sigma
        Noise level of a single image, None if unknown.
    observe
        Called with every block after its fit, for metrics that need the measurements.
    """
    status = np.zeros(series.n_voxels, dtype=np.uint8)
    residual = np.zeros(series.n_voxels, dtype=np.float32)
    maps: dict[str, npt.NDArray[np.float32]] = {}
    sd: dict[str, npt.NDArray[np.float32]] = {}
    notes: dict[str, None] = {}
    for signal, voxels in masked_blocks(series, mask):
        converted, protocol = how.convert(signal, voxels)
        noise = sigma if how.voxel_noise is None else how.voxel_noise(converted, protocol)
        fit = estimator(converted, protocol, noise, how.bounds)
        if observe is not None:
            observe(Block(voxels, signal, converted, protocol, fit))
        status[voxels] = fit.status
        notes |= dict.fromkeys(fit.notes)
        residual[voxels] = fit.residual
        for whole, part in ((maps, fit.maps), (sd, fit.sd)):
            for name, values in part.items():
                whole.setdefault(name, np.zeros(series.n_voxels, dtype=np.float32))[voxels] = values
    return ImageMaps(maps, sd, residual, status, tuple(notes))


def noise_level(
    series: Series, mask: npt.NDArray[np.bool_], how: Preparation, model_name: str
) -> float | None:
    """Estimate the noise of a single image from least-squares residuals of voxels spread over the mask.

    Parameters
    ----------
    series
        Opened images.
    mask
        Voxels to fit, shape (V,).
    how
        Turns signals into the model's input.
    model_name
        Word of ``--models``.

    Returns
    -------
    float or None
        Standard deviation in the unit of the signal; None where voxels do not share one, where the model is
        another library's, or where there are too few measurements to tell.
    """
    if how.scan_noise is None and (not how.noise_is_common or model_name not in NAMES):
        return None
    inside = np.flatnonzero(mask)
    sample = np.zeros_like(mask)
    sample[inside[:: max(1, inside.size // NOISE_SAMPLE)]] = True
    parts = list(masked_blocks(series, sample))
    convert = how.convert_for_noise or how.convert
    signal, protocol = convert(
        np.concatenate([part for part, _ in parts]), np.concatenate([voxels for _, voxels in parts])
    )
    if how.scan_noise is not None:
        return how.scan_noise(signal, protocol)
    model = get_model(model_name)
    if protocol.n_measurements <= len(model.parameters):
        return None
    return pooled_sigma(model, signal, protocol, bounds=how.bounds)
