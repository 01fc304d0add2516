"""Choose the voxels whose signals a page shows: the same for all fits of a model, and none of air."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.estimation.blocks import ImageMaps
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimators.base import Status
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.physics.model import Model
from bids_qmri.qc.metrics import usable_voxels
from bids_qmri.units import FloatArray

REPRESENTATIVE = {"low residual (25th percentile)": 25, "median residual": 50, "high residual (75th)": 75}
WORST = 3

FAINT = 0.1
"""Share of the usual signal of the mask below which a voxel is air, which automatic masks hold some of."""
FLOORS = 3.0
"""A voxel whose brightest image lies below this many noise floors is air."""
NEAR, FAR = 16, 256
"""Candidates for a typical voxel, and for the worst, that are looked at until one is not air."""

Voxels = npt.NDArray[np.intp]


def shown_voxels(
    model: Model, opened: OpenAcquisition, found: ImageMaps, noise: ScanNoise | None
) -> dict[str, int]:
    """Return voxels to show, by why: at percentiles of the residual, and those with the largest.

    The first fit of a model chooses for all later ones of the acquisition: so estimators can be compared.
    Voxels that a fit has no estimate for are left out of what it is told.

    Parameters
    ----------
    model
        What was fitted.
    opened
        The images; remembers what was chosen.
    found
        Maps over the whole grid.
    noise
        Of a single image, None if unknown.
    """
    if model.name not in opened.shown:
        bright = _Bright(opened, noise if model.magnitude else None)
        opened.shown[model.name] = dict(_choose(found, bright))
    fitted = _fitted(found)
    return {kind: voxel for kind, voxel in opened.shown[model.name].items() if fitted[voxel]}


def _fitted(found: ImageMaps) -> npt.NDArray[np.bool_]:
    """Return where a fit has numbers, be they good or not, (V,)."""
    fitted = usable_voxels(found.status) | (found.status == Status.NOT_CONVERGED)
    return np.asarray(fitted & np.isfinite(found.residual))


def _choose(found: ImageMaps, bright: _Bright) -> Iterator[tuple[str, int]]:
    fitted = np.flatnonzero(_fitted(found))
    usable = fitted[usable_voxels(found.status[fitted])]
    taken: set[int] = set()
    for kind, percent in REPRESENTATIVE.items():
        rank = round((usable.size - 1) * percent / 100)
        for voxel in _nearest(found.residual, usable, rank):
            if voxel not in taken and bright(voxel):
                taken.add(voxel)
                yield kind, voxel
                break
    rank = 0
    for voxel in _largest(found.residual, fitted):
        if bright(voxel):
            rank += 1
            yield f"worst {rank}", voxel
        if rank == WORST:
            break


def _nearest(residual: npt.NDArray[Any], voxels: Voxels, rank: int) -> Iterator[int]:
    """Yield the voxels whose residuals are nearest to that of a rank, from 0, the nearest first."""
    if voxels.size:
        values = residual[voxels].astype(np.float64)
        yield from _first(np.abs(values - np.partition(values, rank)[rank]), voxels, NEAR)


def _largest(residual: npt.NDArray[Any], voxels: Voxels) -> Iterator[int]:
    """Yield the voxels with the largest residuals, the largest first."""
    if voxels.size:
        yield from _first(-residual[voxels].astype(np.float64), voxels, FAR)


def _first(order: FloatArray, voxels: Voxels, many: int) -> Iterator[int]:
    """Yield voxels by increasing `order`, the earlier of equal ones first; not more than `many`."""
    limit = np.partition(order, many)[many] if order.size > many else np.inf
    near = np.flatnonzero(order <= limit)
    for place in near[np.argsort(order[near], kind="stable")][:many]:
        yield int(voxels[place])


class _Bright:
    """Whether the brightest image of a voxel stands out of the noise, and beside other voxels of the mask."""

    def __init__(self, opened: OpenAcquisition, noise: ScanNoise | None) -> None:
        self._series, self._noise = opened.series, noise
        sample, _ = opened.sample()
        self._least = FAINT * float(np.median(np.abs(sample).max(axis=1))) if len(sample) else 0.0

    def __call__(self, voxel: int) -> bool:
        brightest = float(np.abs(self._series.read(voxel, voxel + 1)).max())
        floor = 0.0 if self._noise is None else self._noise.floor
        own = floor if isinstance(floor, float) else float(floor[voxel])
        return brightest > max(self._least, FLOORS * own if np.isfinite(own) else 0.0)
