"""What is compared on phantoms of tissue: a table of rows, each a callable from a scan to a FitResult.

To add a row, append a `Row` to `ROWS`. Its `fit` takes the phantom (for mask, model and protocol; a fair row
looks at nothing else), the images (x, y, z, N) as the scanner gives them, and the noise, `None` if it is to
be estimated; it returns a result with maps (V,) in the voxels of the mask. `Phantom.fitted` turns images into
what models explain, which is more than nothing for `dce-signal` alone: denoise images before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.ndimage import gaussian_filter

import bids_qmri
from benchmarks.tissue_base import Noise, Phantom
from benchmarks.tissue_oracle import oracle
from bids_qmri.catalogue import find_entry
from bids_qmri.estimators.base import FitResult
from bids_qmri.units import FloatArray

Fit = Callable[[Phantom, FloatArray, Noise | None], FitResult]

BASE = "lsq"
"""The row that errors are divided by."""

SMOOTH_FWHM = 2.0
"""Voxels."""


@dataclass(frozen=True)
class Row:
    """One line of the tables.

    Parameters
    ----------
    name
        What the tables call it.
    fit
        See the module.
    label
        Of the estimator that a model must have; empty: it serves all.
    told
        Whether it is told the true noise even where others estimate it.
    partial
        Whether it answers in some voxels only, which then do not narrow the voxels of the others.
    """

    name: str
    fit: Fit
    label: str = ""
    told: bool = False
    partial: bool = False

    def serves(self, phantom: Phantom) -> bool:
        """Tell whether the row can fit a phantom."""
        return not self.label or self.label in find_entry(phantom.model)[1].estimators


def front_door(phantom: Phantom, images: FloatArray, noise: Noise | None, *, label: str) -> FitResult:
    """Fit as `bids_qmri.fit` does by default; of the two numbers of the noise it takes the scatter."""
    signal = phantom.voxels(phantom.fitted(images))
    sigma = None if noise is None else noise.scatter
    return bids_qmri.fit(phantom.model, signal, phantom.protocol, estimator=label, sigma=sigma)


def smoothed(images: FloatArray, phantom: Phantom, fwhm: float = SMOOTH_FWHM) -> FloatArray:
    """Return images smoothed by a Gaussian within the mask, through slices as well if there are several."""
    width = fwhm / np.sqrt(8 * np.log(2))
    widths = (width, width, width if phantom.mask.shape[2] > 1 else 0.0)
    inside = phantom.mask[..., None]
    share = np.maximum(gaussian_filter(phantom.mask.astype(float), widths), 1e-9)[..., None]
    return np.where(inside, gaussian_filter(np.where(inside, images, 0.0), (*widths, 0.0)) / share, images)


def smooth_then(phantom: Phantom, images: FloatArray, noise: Noise | None, *, label: str) -> FitResult:
    """Smooth the images, then fit; the noise that is left is not told, so that no sd is valid."""
    return front_door(phantom, smoothed(images, phantom), None, label=label)


def constant(phantom: Phantom, images: FloatArray, noise: Noise | None) -> FitResult:
    """Answer the mean truth of the phantom everywhere: what an estimator must beat to say anything."""
    count = int(phantom.mask.sum())
    maps = {n: np.full(count, phantom.voxels(phantom.truth[n]).mean()) for n in phantom.scored}
    sd = {n: np.full(count, phantom.voxels(phantom.truth[n]).std()) for n in phantom.scored}
    return FitResult(maps, sd)


ROWS: tuple[Row, ...] = (
    Row("lsq", partial(front_door, label="lsq"), "lsq"),
    Row("mle", partial(front_door, label="mle"), "mle"),
    Row("bayes", partial(front_door, label="bayes"), "bayes"),
    Row("ncde", partial(front_door, label="ncde"), "ncde"),
    Row("smooth + lsq", partial(smooth_then, label="lsq"), "lsq"),
    Row("constant", constant),
    Row("oracle", oracle, told=True, partial=True),
)
