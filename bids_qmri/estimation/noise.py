"""The noise of a scan, two numbers: the floor of its magnitudes, and the scatter about the model.

The floor comes from air where there is air, else from what patches of tissue have in common, else from the
quietest tissue. The scatter comes from residuals, voxel by voxel from those of the neighbourhood, because
motion, flow and pulsation are not the same everywhere. Arrays only; `interfaces.scan` reads the voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.classical.noise import Residuals, median_share
from bids_qmri.physics.noise import Noise
from bids_qmri.units import FloatArray

RAYLEIGH_MEAN = float(np.sqrt(np.pi / 2.0))
"""Mean of magnitudes without signal, over the floor."""

RAYLEIGH_VARIATION = 0.5227
"""Their standard deviation over their mean."""

LEAST_AIR = 200
"""Voxels of air that tell a floor."""

LEAST_POSITIVE = 0.5
"""Share of the images in which a voxel of air is above 0, at least."""

QUIET_AIR = 25.0
"""Percentile of the levels of air that is taken: ghosts and what is left of the object are brighter."""

SAME_AIR = 0.35
"""Relative distance from it within which voxels are air alone."""

AIR_VARIATION = (0.3, 1.0)
"""Standard deviation over mean of what can be air: averages vary less than single images,
rounded ones more."""

NEIGHBOURS = 32
"""Voxels of the sample that tell the scatter of a place."""

CELL = 4
"""Edge in voxels of the cells in which the scatter counts as one."""

QUIET = 20.0
"""Percentile of the scatter that is taken for thermal noise where nothing else tells the floor."""

LOWEST, LOWEST_SD = 2.0, 2.05
"""Percentile of the weakest signals that no floor exceeds, and where it lies in a normal distribution."""

ALIKE = 0.85
"""Floor over scatter above which they count as one number: neither is known better."""

DISAGREEMENT = 1.4
"""Ratio of two ways to find the same noise beyond which a person should know."""

LEAST_PATCH_IMAGES = 10
"""Images that tell signal from noise in a patch."""


LEAST_KNOWN = 0.9
"""Share of the mask that a map of noise covers, at least."""

LEAST_NOISE, MOST_NOISE = 1e-5, 1.0
"""Noise over signal that can be meant."""


UNEXPLAINED = 30.0
"""Scatter over the noise of air from which a model does not explain images: pulsation and flow reach 11."""


@dataclass(frozen=True, eq=False)
class ScanNoise:
    """Noise of a single image of a scan.

    Parameters
    ----------
    floor, scatter
        One number, or one per voxel of the grid, (V,).
    found
        How each was found, and how many voxels told it, as sidecar fields.
    warnings
        What a person should know.
    """

    floor: float | npt.NDArray[np.float32]
    scatter: float | npt.NDArray[np.float32]
    found: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def told(cls, sigma: float | FloatArray | Noise) -> ScanNoise:
        """Return noise that a person states."""
        noise = sigma if isinstance(sigma, Noise) else Noise(sigma, sigma)
        found = {"NoiseFloorFrom": "stated", "NoiseScatterFrom": "stated"}
        return cls(_level(noise.floor), _level(noise.scatter), found)

    @classmethod
    def of_air(cls, air: Air) -> ScanNoise:
        """Return the noise of a scan with too few images for residuals: what air shows."""
        source = f"air, {air.voxels} voxels"
        return cls(air.floor, air.floor, {"NoiseFloorFrom": source, "NoiseScatterFrom": source})

    def at(self, voxels: npt.NDArray[np.intp]) -> Noise:
        """Return the noise of some voxels of the grid."""
        floor, scatter = (
            level if isinstance(level, float) else level[voxels].astype(np.float64)
            for level in (self.floor, self.scatter)
        )
        return Noise(floor, scatter)

    def typical(self, mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
        """Return the medians of floor and scatter over a mask."""
        floor, scatter = (
            level if isinstance(level, float) else float(np.median(level[mask]))
            for level in (self.floor, self.scatter)
        )
        return floor, scatter

    def fields(self, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
        """Return sidecar fields: medians over the mask, and how they were found."""
        floor, scatter = self.typical(mask)
        return {"NoiseLevel": scatter, "NoiseFloor": floor, **self.found}


def _level(value: float | FloatArray) -> float | npt.NDArray[np.float32]:
    return float(value) if np.ndim(value) == 0 else np.asarray(value, dtype=np.float32)


@dataclass(frozen=True)
class Air:
    """What air says: the floor, from how many voxels, and how much they vary over their mean."""

    floor: float
    voxels: int
    variation: float


def air_floor(signal: npt.ArrayLike) -> Air | None:
    """Return the floor that voxels around the object show, None if they are not air.

    Parameters
    ----------
    signal
        Magnitudes of voxels that should hold no object, shape (V, N). A background of zeros, or one that a
        filter has smoothed, is not air.
    """
    data = np.asarray(signal, dtype=np.float64)
    if not data.size:
        return None
    # Rounded magnitudes of a quiet scanner are zero now and then; a background that was set to zero always.
    data = data[np.all(np.isfinite(data), axis=1) & (np.mean(data > 0, axis=1) > LEAST_POSITIVE)]
    if len(data) < LEAST_AIR:
        return None
    level = data.mean(axis=1)
    quiet = float(np.percentile(level, QUIET_AIR))
    kept = data[np.abs(level - quiet) < SAME_AIR * quiet]
    if len(kept) < LEAST_AIR / 2:
        return None
    # Of voxels against each other in one image: images of a series need not be alike.
    variation = float(np.median(kept.std(axis=0) / kept.mean(axis=0)))
    if not AIR_VARIATION[0] < variation < AIR_VARIATION[1]:
        return None
    return Air(quiet / (RAYLEIGH_MEAN * _quiet_share(data.shape[1])), len(kept), variation)


def _quiet_share(images: int) -> float:
    """Return the percentile `QUIET_AIR` of means over images of air, over their mean."""
    from scipy.special import gammaincinv

    # Such means nearly have a gamma distribution.
    shape = images / RAYLEIGH_VARIATION**2
    return float(gammaincinv(shape, QUIET_AIR / 100.0) / shape)


def patch_sigma(patches: list[FloatArray]) -> float | None:
    """Return the noise that patches of tissue have in common, None if there are too few images.

    Parameters
    ----------
    patches
        Signals of neighbouring voxels, (M, N) each. The smallest eigenvalues of their covariance follow the
        distribution of Marchenko and Pastur (Veraart et al. 2016, doi:10.1016/j.neuroimage.2016.08.016).
    """
    found = [sigma for sigma in map(_patch, patches) if sigma is not None]
    return float(np.median(found)) if len(found) >= len(patches) / 2 and found else None


def _patch(signal: FloatArray) -> float | None:
    """Return the noise of one patch by the edges of the distribution of its eigenvalues."""
    if signal.shape[1] < LEAST_PATCH_IMAGES or not np.all(np.isfinite(signal)):
        return None
    centred = signal - signal.mean(axis=0)
    short, long = sorted(centred.shape)
    values = np.linalg.svd(centred, compute_uv=False) ** 2 / long
    # Centring takes one degree of freedom.
    values = values[: short - (1 if short == centred.shape[0] else 0)]
    for signals in range(len(values) - 1):
        rest = values[signals:]
        gamma = (len(values) - signals) / long
        by_range = (rest[0] - rest[-1]) / (4.0 * np.sqrt(gamma))
        if rest.mean() >= by_range:
            return float(np.sqrt(rest.mean() * long / max(long - signals, 1)))
    return None


def local_scatter(
    residuals: Residuals,
    positions: FloatArray,
    grid: tuple[int, ...],
    mask: npt.NDArray[np.bool_],
    zooms: tuple[float, ...],
    floor: float | None,
) -> npt.NDArray[np.float32]:
    """Return the scatter of every voxel of a mask from the residuals of sampled voxels near it.

    Parameters
    ----------
    residuals
        Of R sampled voxels.
    positions
        Their indices on the grid, (R, 3).
    grid, zooms
        Shape of the grid, whose voxels are counted along the first axis first, and edges of its voxels.
    mask
        Voxels that get one, (V,).
    floor
        Noise of magnitudes, by which residuals are less where there is little signal; None: that of the
        residuals.

    Returns
    -------
    Shape (V,), 0 outside the mask.
    """
    from scipy.spatial import cKDTree

    variance = residuals.variances(floor)
    inside = np.flatnonzero(mask)
    coarse = tuple(-(-size // CELL) for size in grid)
    along = (index // CELL for index in np.unravel_index(inside, grid, order="F"))
    cells = np.ravel_multi_index(tuple(along), coarse)
    filled = np.zeros(int(np.prod(coarse)), dtype=np.bool_)
    filled[cells] = True
    of_voxel = (np.cumsum(filled) - 1)[cells]
    places = np.stack(np.unravel_index(np.flatnonzero(filled), coarse), axis=1)
    edges = np.asarray(zooms)
    tree = cKDTree(positions * edges)
    count = min(NEIGHBOURS, len(variance))
    near = tree.query(((places + 0.5) * CELL - 0.5) * edges, k=count)[1].reshape(len(places), count)
    found = np.zeros(mask.size, dtype=np.float32)
    found[inside] = np.sqrt(np.median(variance[near], axis=1))[of_voxel]
    return found


def floor_of_voxels(residuals: Residuals, signal: FloatArray, weights: FloatArray, sigma: float) -> float:
    """Return a floor that voxels alone allow, at most `sigma`, the scatter that they share.

    Thermal noise is no more than the quietest voxels scatter, and no magnitude has a mean below that of noise
    alone.

    Parameters
    ----------
    residuals
        Of the voxels.
    signal
        Magnitudes as fitted, (V, N).
    weights
        Images averaged into each, (N,).
    """
    from scipy.special import gammaincinv

    freedom = residuals.freedom
    share = gammaincinv(freedom / 2.0, QUIET / 100.0) * 2.0 / freedom
    variance = residuals.variances() * median_share(freedom)
    quiet = float(np.sqrt(np.percentile(variance / share, QUIET)))
    finite = signal[np.all(np.isfinite(signal), axis=1)]
    weakest = np.argsort(finite.mean(axis=0))[: max(signal.shape[1] // 4, 1)]
    level = np.average(finite[:, weakest], axis=1, weights=weights[weakest])
    # The mean of a few images strays below that of many.
    few = 1.0 - LOWEST_SD * RAYLEIGH_VARIATION / np.sqrt(weights[weakest].sum())
    lowest = float(np.percentile(level, LOWEST)) / (RAYLEIGH_MEAN * max(few, 0.25))
    found = min(quiet, lowest, sigma)
    return sigma if found > ALIKE * sigma else found


def combine(
    scatter: npt.NDArray[np.float32] | float,
    mask: npt.NDArray[np.bool_],
    air: Air | None,
    patches: float | None,
    sampled: int,
) -> ScanNoise:
    """Return the noise of a scan from what air, patches and residuals say.

    Parameters
    ----------
    scatter
        From residuals, one number or (V,).
    mask
        Voxels that are fitted, (V,).
    air, patches
        What these say, None where they say nothing.
    sampled
        Voxels whose residuals were taken.
    """
    inside = np.asarray(scatter)[mask] if np.ndim(scatter) else np.asarray([scatter])
    quiet = float(np.percentile(inside, QUIET))
    floor, source, sure = quiet, f"quietest residuals ({QUIET:g}th percentile)", "unsure"
    if air is not None:
        floor, source, sure = air.floor, f"air, {air.voxels} voxels", "measured"
    elif patches is not None:
        floor, source, sure = patches, "smallest eigenvalues of patches", "measured"
    warnings = (*_disagreements(air, patches, quiet), *_misfit(air, float(np.median(inside))))
    found = {
        "NoiseFloorFrom": source,
        "NoiseFloorIs": sure,
        "NoiseScatterFrom": f"residuals of {sampled} voxels"
        + (", by neighbourhood" if np.ndim(scatter) else ""),
    }
    if isinstance(scatter, float):
        return ScanNoise(min(floor, scatter), max(floor, scatter), found, warnings)
    whole = np.where(mask, np.maximum(scatter, floor), 0).astype(np.float32)
    return ScanNoise(float(floor), whole, found, warnings)


def _misfit(air: Air | None, typical: float) -> tuple[str, ...]:
    """Say where images differ from the model by far more than noise and physiology make."""
    if air is None or typical < UNEXPLAINED * air.floor:
        return ()
    return (
        f"images differ from the model by {typical:.3g} in most voxels, {typical / air.floor:.0f} times the"
        " noise of air: one of them has another gain, scale, echo time or position than its sidecar says, or"
        " the model is not that of the sequence; fix: look at signals and fits on the page, leave it out",
    )


def noise_of_map(path: Path, values: FloatArray, mask: npt.NDArray[np.bool_], curve: FloatArray) -> ScanNoise:
    """Return the noise that a map states, floor and scatter alike.

    Parameters
    ----------
    path, values
        The map, (V,), on the grid of the images.
    mask
        Voxels that are fitted, (V,).
    curve
        Mean signal of these, (N,), which noise is less than in the same unit.

    Raises
    ------
    InputError
        If it is not above 0 in the mask, or cannot be in the unit of the images.
    """
    inside = values[mask]
    known = np.isfinite(inside) & (inside > 0)
    if np.mean(known) < LEAST_KNOWN:
        raise InputError(
            f"{np.mean(~known):.0%} of the mask have no noise above 0",
            file=path,
            needed="a standard deviation in every voxel of the mask",
            fix="give a map that covers the object, or a number by --noise",
        )
    typical, signal = float(np.median(inside[known])), float(np.max(curve))
    if not LEAST_NOISE * signal < typical < MOST_NOISE * signal:
        raise InputError(
            f"median {typical:.4g} beside images of mean {signal:.4g}",
            file=path,
            needed="the standard deviation of the noise in the unit of the images",
            fix="scale it as the images are scaled, or give a number by --noise",
        )
    whole = np.where(np.isfinite(values) & (values > 0), values, typical).astype(np.float32)
    found = {"NoiseFloorFrom": path, "NoiseScatterFrom": path}
    return ScanNoise(whole, whole, found)


def _disagreements(air: Air | None, patches: float | None, quiet: float) -> tuple[str, ...]:
    """Say where two ways to find thermal noise differ."""
    if air is None:
        return ()
    words = []
    for name, other in (("patches of tissue", patches), ("the quietest residuals", quiet)):
        if other is not None and air.floor > DISAGREEMENT * other:
            words.append(
                f"noise floor {air.floor:.4g} by air, but {other:.4g} by {name}: the background is not "
                "noise alone, or noise differs over the image; state it with --noise"
            )
    if patches is not None and patches > DISAGREEMENT * air.floor:
        words.append(
            f"noise floor {air.floor:.4g} by air, but {patches:.4g} by patches of tissue: parallel imaging "
            "or a filter makes air quieter than tissue, or tissue moves; state it with --noise"
        )
    return tuple(words[:1])
