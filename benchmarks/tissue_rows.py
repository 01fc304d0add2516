"""What is compared on phantoms of tissue: a table of rows, each a callable from a scan to a FitResult.

To add a row, append a `Row` to `ROWS`. Its `fit` takes the phantom (for mask, model and protocol; a fair row
looks at nothing else), the images (x, y, z, N) as the scanner gives them, and the noise, `None` if it is to
be estimated; it returns a result with maps (V,) in the voxels of the mask. `Phantom.fitted` turns images into
what models explain, which is more than nothing for `dce-signal` alone: denoise images before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from benchmarks.tissue_base import IntArray, Noise, Phantom
from benchmarks.tissue_oracle import oracle
from bids_qmri.catalogue import find_entry, get_model
from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import fit_block, gather, prior_sample, residuals_of, wants_noise
from bids_qmri.estimation.denoising import denoise
from bids_qmri.estimation.local import Grid, fit_neighbours
from bids_qmri.estimation.noise import ScanNoise, air_floor, combine, local_scatter
from bids_qmri.estimation.preparation import Preparation, Scan, prepare
from bids_qmri.estimation.prior import choose_prior, sample_voxels
from bids_qmri.estimators.base import FitResult, get_estimator
from bids_qmri.units import FloatArray

Fit = Callable[[Phantom, FloatArray, Noise | None], FitResult]

BASE = "lsq"
"""The row that errors are divided by."""

BLOCK = 4096
"""Voxels at a time."""

NOISE_SAMPLE = 8192
"""Voxels whose residuals tell the noise."""

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


def as_app(
    phantom: Phantom, images: FloatArray, noise: Noise | None, *, label: str, prior: str = "scan"
) -> FitResult:
    """Fit as the command line does: noise from air and residuals unless told, a prior if there is one."""
    model, estimator = get_model(phantom.model), get_estimator(phantom.model, label)
    signal, shape = phantom.voxels(phantom.fitted(images)), phantom.mask.shape
    where = np.ravel_multi_index(np.nonzero(phantom.mask), shape, order="F")
    order = np.argsort(where)
    mask = phantom.mask.ravel(order="F")
    how = prepare(model, estimator, Scan(phantom.protocol, mask=mask))
    known = (
        _told(noise, where, mask.size) if noise is not None else _found(phantom, images, how, signal, where)
    )
    if known is not None:
        how = replace(how, voxel_noise=None)
    if estimator.has_prior and not estimator.own_prior:
        chosen = sample_voxels(np.ones(len(signal), dtype=bool))
        sample = prior_sample(how, (signal[chosen], where[chosen]), known)
        how = replace(how, prior=choose_prior(model, prior, how.bounds, sample))
    parts = np.array_split(order, max(len(order) // BLOCK, 1))
    blocks = ((signal[part], where[part]) for part in parts)
    with TemporaryDirectory() as folder:
        if estimator.neighbours:
            grid = Grid(shape, (1.0, 1.0, 1.0))
            fitted = fit_neighbours(model, how, blocks, grid, known, Path(folder), estimator)
        else:
            fitted = (fit_block(model, estimator, how, measured, known) for measured in blocks)
        found = gather(model, fitted, mask.size)
    return FitResult(
        {name: values[where].astype(np.float64) for name, values in found.maps.items()},
        {name: values[where].astype(np.float64) for name, values in found.sd.items()},
        found.residual[where].astype(np.float64),
        found.status[where],
        found.notes,
        {name: values[where] > 0 for name, values in found.determined.items()},
    )


def _told(noise: Noise, where: IntArray, size: int) -> ScanNoise:
    """Return the true noise on the whole grid."""
    levels = []
    for level in (noise.floor, noise.scatter):
        whole = np.ones(size, dtype=np.float32)
        whole[where] = level
        levels.append(whole)
    return ScanNoise(levels[0], levels[1])


def _found(
    phantom: Phantom, images: FloatArray, how: Preparation, signal: FloatArray, where: IntArray
) -> ScanNoise | None:
    """Return the noise as the command line finds it, None where voxels tell their own."""
    model = get_model(phantom.model)
    if not wants_noise(how):
        return None
    mask, shape = phantom.mask.ravel(order="F"), phantom.mask.shape
    chosen = np.arange(len(signal))[:: max(len(signal) // NOISE_SAMPLE, 1)]
    residuals = residuals_of(model, how, (signal[chosen], where[chosen]))
    if residuals is None:
        return None
    places = np.unravel_index(where[chosen][residuals.voxels], shape, order="F")
    positions = np.stack(places, axis=1).astype(np.float64)
    air = air_floor(images[~binary_dilation(phantom.mask, iterations=3)])
    floor = None if air is None else air.floor
    scatter = local_scatter(residuals, positions, shape, mask, (1.0, 1.0, 1.0), floor)
    return combine(scatter, mask, air, None, len(residuals.cost))


def smoothed(images: FloatArray, phantom: Phantom, fwhm: float = SMOOTH_FWHM) -> FloatArray:
    """Return images smoothed by a Gaussian within the mask, through slices as well if there are several."""
    width = fwhm / np.sqrt(8 * np.log(2))
    widths = (width, width, width if phantom.mask.shape[2] > 1 else 0.0)
    inside = phantom.mask[..., None]
    share = np.maximum(gaussian_filter(phantom.mask.astype(float), widths), 1e-9)[..., None]
    return np.where(inside, gaussian_filter(np.where(inside, images, 0.0), (*widths, 0.0)) / share, images)


def smooth_then(phantom: Phantom, images: FloatArray, noise: Noise | None, *, label: str) -> FitResult:
    """Smooth the images, then fit; the noise that is left is not told, so that no sd is valid."""
    return as_app(phantom, smoothed(images, phantom), None, label=label)


def constant(phantom: Phantom, images: FloatArray, noise: Noise | None) -> FitResult:
    """Answer the mean truth of the phantom everywhere: what an estimator must beat to say anything."""
    count = int(phantom.mask.sum())
    maps = {n: np.full(count, phantom.voxels(phantom.truth[n]).mean()) for n in phantom.scored}
    sd = {n: np.full(count, phantom.voxels(phantom.truth[n]).std()) for n in phantom.scored}
    return FitResult(maps, sd)


def denoised_then(phantom: Phantom, images: FloatArray, noise: Noise | None, *, label: str) -> FitResult:
    """Denoise by MPPCA, then fit with the noise before it, which MPPCA and air tell as for files."""
    if phantom.fitted(images) is not images or images.shape[3] < 10:
        raise InputError("MPPCA is for series of ten magnitudes or more", needed="a diffusion series")
    found = denoise(images.astype(np.float32))
    if noise is None:
        air = air_floor(images[~binary_dilation(phantom.mask, iterations=3)])
        sigma = phantom.voxels(found.sigma).astype(np.float64)
        floor = float(np.median(sigma)) if air is None else air.floor
        noise = Noise(np.full(sigma.shape, floor), np.maximum(sigma, floor))
    return as_app(phantom, found.images.astype(np.float64), noise, label=label)


ROWS: tuple[Row, ...] = (
    Row("lsq", partial(as_app, label="lsq"), "lsq"),
    Row("mle", partial(as_app, label="mle"), "mle"),
    Row("map", partial(as_app, label="map"), "map"),
    Row("bayes, box", partial(as_app, label="bayes", prior="box"), "bayes"),
    Row("bayes", partial(as_app, label="bayes"), "bayes"),
    Row("ncde, box", partial(as_app, label="ncde", prior="box"), "ncde"),
    Row("ncde", partial(as_app, label="ncde"), "ncde"),
    Row("local", partial(as_app, label="local"), "local"),
    Row("MPPCA + lsq", partial(denoised_then, label="lsq"), "lsq"),
    Row("MPPCA + ncde", partial(denoised_then, label="ncde"), "ncde"),
    Row("MPPCA + local", partial(denoised_then, label="local"), "local"),
    Row("smooth + lsq", partial(smooth_then, label="lsq"), "lsq"),
    Row("constant", constant),
    Row("oracle", oracle, told=True, partial=True),
)
