"""Look for damaged images of an acquisition, say which, and leave them out where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import cast

import numpy as np
import numpy.typing as npt

from bids_qmri.alignment.motion import Motion
from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.images import Series
from bids_qmri.estimators.threads import in_threads
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.qc.outliers import FEWEST_IMAGES, Kind, damaged_slices, described
from bids_qmri.units import FloatArray

BRIGHT = 0.25
"""Share of the brightest voxels' level above which a voxel is of the object."""

FEWEST_VOXELS, MOST_VOXELS = 30, 256
"""Bright voxels of a slice that are looked at."""

LOST = 1e-3
"""Share of its median over images that a voxel without a signal counts with, as logarithms need."""

AWAY = 0.5
"""Voxels from the middle of its kind from which an image moved; what is odd about it is no damage then."""

NAMED = 8
"""Images that a note names."""


def find_damaged(acquisition: Acquisition, series: Series, threads: int = 1) -> npt.NDArray[np.bool_]:
    """Return which images have slices that do not fit the others of their kind, (slices, N)."""
    kinds = _kinds(acquisition, series.n_measurements)
    none = np.zeros((0, series.n_measurements), dtype=np.bool_)
    if not any(len(kind.images) >= FEWEST_IMAGES for kind in kinds):
        return none
    bright = partial(_bright, series, reference=kinds[0].images[:FEWEST_IMAGES])
    parts = list(in_threads(bright, range(series.shape[2]), threads))
    if not any(len(part) for part in parts):
        return none
    slices = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return damaged_slices(np.concatenate(parts), slices, kinds, threads)


def _kinds(acquisition: Acquisition, count: int) -> list[Kind]:
    """Return the images that can be compared: frames, or those of a b-value."""
    protocol = acquisition.protocol
    if protocol is None:
        return [Kind(np.arange(count), dynamic=True)]
    shells = protocol.shells()
    if shells is None:
        return []
    directions, lowest = protocol.directions(), set(protocol.reference().tolist())
    kinds = []
    for shell in range(len(shells[0])):
        images = np.flatnonzero(shells[1] == shell)
        alike = directions is None or bool(lowest & set(images.tolist()))
        kinds.append(Kind(images, None if alike or directions is None else directions[images]))
    return kinds


def _bright(series: Series, z: int, reference: npt.NDArray[np.intp]) -> FloatArray:
    """Return signals of voxels of a slice that are bright in images of reference, above 0, (v, N)."""
    plane = series.shape[0] * series.shape[1]
    first, last = z * plane, (z + 1) * plane
    level = np.nan_to_num(series.read(first, last, reference.tolist()).mean(axis=1))
    voxels = np.flatnonzero(level > BRIGHT * np.percentile(level, 98))
    if voxels.size < FEWEST_VOXELS:
        return np.empty((0, series.n_measurements))
    chosen = voxels[:: max(1, voxels.size // MOST_VOXELS)]
    signal = series.read(first, last, within=chosen)
    signal = np.nan_to_num(signal, nan=0.0, posinf=0.0, neginf=0.0)
    usual = np.median(signal, axis=1, keepdims=True)
    signal = np.where(signal > 0, signal, LOST * usual)[usual[:, 0] > 0]
    return signal if len(signal) >= FEWEST_VOXELS else signal[:0]


def unmoved(
    acquisition: Acquisition, damaged: npt.NDArray[np.bool_], motion: Motion, zooms: Sequence[float]
) -> npt.NDArray[np.bool_]:
    """Return which slices are damaged, (slices, N), without those of images that moved.

    Parameters
    ----------
    acquisition
        The images.
    damaged
        What does not fit the others, (slices, N).
    motion
        Of the images; one of which it is not known counts as one that stayed.
    zooms
        Size of a voxel, mm.
    """
    kept = damaged.copy()
    for kind in _kinds(acquisition, damaged.shape[1]):
        places = motion.translation[kind.images]
        known = places[np.all(np.isfinite(places), axis=1)]
        if len(known):
            away = np.abs(places - np.median(known, axis=0)) > AWAY * np.asarray(zooms)
            kept[:, kind.images[np.any(away, axis=1)]] = False
    return kept


def say_damaged(
    damaged: npt.NDArray[np.bool_], names: Sequence[str], *, left_out: bool, can_be: bool
) -> list[str]:
    """Return what a person should know of damaged images, by their names."""
    images = int(np.count_nonzero(damaged.any(axis=0)))
    if not images:
        return []
    named = list(islice(described(damaged, names), NAMED))
    more = f" and {images - len(named)} more" if images > len(named) else ""
    what = f"signal that dropped or spikes: {', '.join(named)}{more}, unlike the others of their kind"
    if left_out:
        return [f"{what}; left out"]
    return [f"{what}; fix: {'leave them out with --reject-outliers' if can_be else 'look at them'}"]


def can_leave_out(acquisition: Acquisition) -> bool:
    """Tell whether the other images of a series are still one: those of shells are."""
    return acquisition.protocol is not None and acquisition.protocol.shells() is not None


def without(
    acquisition: Acquisition, series: Series, damaged: npt.NDArray[np.bool_]
) -> tuple[Acquisition, list[int]]:
    """Return an acquisition without its damaged images, and the numbers of those that are kept."""
    kept = np.flatnonzero(~damaged.any(axis=0)).tolist()
    protocol = cast("DiffusionProtocol", acquisition.protocol)
    numbers = range(series.n_measurements) if acquisition.volumes is None else acquisition.volumes
    return (
        replace(acquisition, protocol=protocol.chosen(kept), volumes=tuple(numbers[index] for index in kept)),
        kept,
    )
