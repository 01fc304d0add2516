"""Denoise the images of an acquisition before they are fitted, and hand on the noise that remains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from bids_qmri.bids.images import Series, open_series
from bids_qmri.estimation.denoising import denoise, patch_radius
from bids_qmri.estimation.noise import Air, ScanNoise

METHOD = "mppca"
DIFFUSION = "dwi"
"""Datatype of series that are denoised: others are short, or are converted to other units before a fit."""
LEAST_REMOVED, MOST_REMOVED = 0.8, 1.1
"""Variance removed over what of independent noise is removed, beyond which a person should know."""


@dataclass(frozen=True, eq=False)
class DenoisedSeries:
    """A denoised series, opened, with its noise.

    Parameters
    ----------
    series
        The images.
    sigma, remaining
        Standard deviation of the noise that was found, and of what remains, (V,).
    air
        What air said before, None if nothing.
    fraction
        Variance removed over what of independent noise is removed; the median over the mask.
    radius
        Of patches, in voxels per axis.
    removed
        Variance removed over what of independent noise is removed, (V,).
    """

    series: Series
    sigma: npt.NDArray[np.float32]
    remaining: npt.NDArray[np.float32]
    air: Air | None
    fraction: float
    radius: tuple[int, int, int]
    removed: npt.NDArray[np.float32]

    def noise(self, mask: npt.NDArray[np.bool_]) -> ScanNoise:
        """Return the noise for fits: that before denoising, as what remains lies where parameters show.

        Parameters
        ----------
        mask
            Voxels that are fitted, (V,).
        """
        floor = float(np.median(self.sigma[mask])) if self.air is None else self.air.floor
        source = "principal components, before denoising"
        air = source if self.air is None else f"air, {self.air.voxels} voxels"
        scatter = np.where(mask, np.maximum(self.sigma, floor), 0).astype(np.float32)
        return ScanNoise(floor, scatter, {"NoiseFloorFrom": air, "NoiseScatterFrom": source})

    def fields(self, mask: npt.NDArray[np.bool_]) -> Mapping[str, Any]:
        """Return what sidecars say of it, with the noise that remains in an image as median over a mask."""
        return {
            "Denoised": METHOD,
            "NoiseRemaining": float(np.median(self.remaining[mask])),
            "DenoisedFraction": self.fraction,
            "DenoisingPatch": [2 * r + 1 for r in self.radius],
        }

    def remarks(self) -> tuple[str, ...]:
        """Return what a person should know."""
        if self.fraction < LEAST_REMOVED:
            return (
                f"denoising removed {self.fraction:.0%} of the variance that independent noise would lose:"
                " noise that neighbours share, as in interpolated or filtered images, stays",
            )
        if self.fraction > MOST_REMOVED:
            return (
                f"denoising removed {self.fraction:.0%} of the variance that noise would lose: signal too",
            )
        return ()


def denoise_series(
    series: Series, mask: npt.NDArray[np.bool_], folder: Path, air: Air | None, seed: int = 0
) -> DenoisedSeries:
    """Denoise a series around a mask into a scratch file, and open it.

    Parameters
    ----------
    series
        The images as measured.
    mask
        Voxels that will be fitted, (V,); what is farther from them than a patch stays as it is.
    folder
        Scratch folder.
    air
        What air says in the images as measured, None if nothing.
    seed
        As of `estimation.denoising.denoise`.

    Raises
    ------
    InputError
        If the series is too short or its grid too small.

    Notes
    -----
    Memory: the whole series as float32, and what `estimation.denoising.denoise` needs for its part around the
    mask.
    """
    shape = series.shape
    radius = patch_radius(shape, series.n_measurements)
    box = _box(mask.reshape(shape, order="F"), [2 * r for r in radius])
    images = _read(series)
    found = denoise(images[box], seed=seed)
    images[box] = found.images
    path = folder / "denoised.nii"
    nib.save(nib.Nifti1Image(images, series.affine), path)
    inside = np.zeros(shape, dtype=bool)
    inside[box] = True
    inside &= mask.reshape(shape, order="F")
    maps = (found.sigma, found.remaining, found.removed)
    sigma, remaining, removed = (_whole(values, box, shape) for values in maps)
    fraction = found.denoised_fraction(inside[box])
    return DenoisedSeries(
        open_series([path], folder, series), sigma, remaining, air, fraction, found.radius, removed
    )


def _box(mask: npt.NDArray[np.bool_], margin: list[int]) -> tuple[slice, ...]:
    """Return the part of a grid that holds a mask and a margin around it."""
    places = []
    for axis, around in enumerate(margin):
        along = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        places.append(slice(max(int(along[0]) - around, 0), int(along[-1]) + around + 1))
    return tuple(places)


def _read(series: Series) -> npt.NDArray[np.float32]:
    """Return all images, (x, y, z, N)."""
    plane = series.shape[0] * series.shape[1]
    images = np.empty((*series.shape, series.n_measurements), dtype=np.float32, order="F")
    for z in range(series.shape[2]):
        signal = series.read(z * plane, (z + 1) * plane)
        images[:, :, z] = signal.reshape(*series.shape[:2], series.n_measurements, order="F")
    return images


def _whole(
    values: npt.NDArray[np.float32], box: tuple[slice, ...], shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Return values of a box over the whole grid, (V,); the median outside."""
    grid = np.full(shape, np.median(values), dtype=np.float32)
    grid[box] = values
    return grid.ravel(order="F")
