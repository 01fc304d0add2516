"""Run an estimator over the masked voxels of a series, one block at a time, into whole-image maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.images import Series
from bids_qmri.errors import InputError
from bids_qmri.estimators import lsq
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.noise import pooled_sigma
from bids_qmri.interfaces.prepare import Preparation
from bids_qmri.interfaces.voxels import masked_blocks
from bids_qmri.models.base import Model
from bids_qmri.units import FloatArray

NOISE_SAMPLE = 8192
"""Voxels from which the noise level of a scan is estimated: enough for 1 %, a fraction of a second."""


@dataclass(frozen=True)
class ImageMaps:
    """Maps over all V voxels of a grid; zero outside the mask, NaN where a fit was impossible."""

    maps: dict[str, npt.NDArray[np.float32]]
    sd: dict[str, npt.NDArray[np.float32]]
    residual: npt.NDArray[np.float32]
    status: npt.NDArray[np.uint8]


def fit_image(
    series: Series,
    mask: npt.NDArray[np.bool_],
    how: Preparation,
    estimator: Callable[..., FitResult],
    sigma: float | None,
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
        Called with (signal, protocol, sigma=..., bounds=...).
    sigma
        Noise level of a single image, None if unknown.
    """
    status = np.zeros(series.n_voxels, dtype=np.uint8)
    residual = np.zeros(series.n_voxels, dtype=np.float32)
    maps: dict[str, npt.NDArray[np.float32]] = {}
    sd: dict[str, npt.NDArray[np.float32]] = {}
    for signal, voxels in masked_blocks(series, mask):
        converted, protocol = how.convert(signal, voxels)
        fit = estimator(converted, protocol, sigma=sigma, bounds=how.bounds)
        status[voxels] = fit.status
        residual[voxels] = fit.residual
        for whole, part in ((maps, fit.maps), (sd, fit.sd)):
            for name, values in part.items():
                whole.setdefault(name, np.zeros(series.n_voxels, dtype=np.float32))[voxels] = values
    return ImageMaps(maps, sd, residual, status)


def noise_level(series: Series, mask: npt.NDArray[np.bool_], how: Preparation, model: Model) -> float | None:
    """Estimate the noise of a single image from least-squares residuals of voxels spread over the mask.

    Returns
    -------
    float or None
        Standard deviation in the unit of the signal; None where there are too few measurements to tell.
    """
    inside = np.flatnonzero(mask)
    sample = np.zeros_like(mask)
    sample[inside[:: max(1, inside.size // NOISE_SAMPLE)]] = True
    results: list[tuple[FitResult, Any]] = []
    for signal, voxels in masked_blocks(series, sample):
        converted, protocol = how.convert(signal, voxels)
        results.append((lsq.fit(model, converted, protocol, bounds=how.bounds), protocol))
    return None
