"""Weighted images without a direction beside images of their b-value that have one: trace, or b = 0.

Philips and Siemens append an average over directions; GE writes the nominal b-value to images at b = 0. The
images tell which: an average lies among the images of its b-value, b = 0 above all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.gradients import counted
from bids_qmri.bids.images import Series, open_series
from bids_qmri.errors import InputError
from bids_qmri.physics.shells import JITTER
from bids_qmri.units import FloatArray

SAME_B = 0.05

ABOVE_PERFUSION = 250.0
"""s/mm^2; averages over directions at lower b-values serve models of perfusion."""

FEW = 0.2
"""Share of images without direction up to which a series was made for directions."""

COMPARED = 16
"""Images with a direction that are enough to compare with."""

SLOWEST = 0.35e-3
"""mm^2/s; tissue loses at least this much of its logarithmic signal per b, halved: the middle of the two."""


def resolve_undirected(
    image: Path,
    tables: tuple[Path, Path],
    bvals: FloatArray,
    bvecs: FloatArray,
    b0_threshold: float,
    notes: list[str],
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return b-values with those of images at b = 0 mended, (N,), and which volumes are kept, (N,).

    Parameters
    ----------
    image
        The 4-D image.
    tables
        Its files of b-values and of directions.
    bvals, bvecs
        What they hold: s/mm^2, (N,), and unit vectors or 0 0 0, (N, 3).
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    notes
        What a person should know is added here.
    """
    has = np.any(bvecs != 0, axis=1)
    without = (bvals > b0_threshold) & ~has
    kept = ~_lone(bvals, without, has, tables[1], notes)
    odd = np.asarray(without & kept & _beside(bvals, has))
    if not odd.any():
        return bvals, kept
    bval, bvec = (table.name for table in tables)
    beside = "have the direction 0 0 0 beside images of their b-value that have one"
    at_zero = _at_zero(image, bvals, np.flatnonzero(odd), has, b0_threshold)
    if at_zero is None:
        notes.append(
            f"{bvec}: volumes {counted(odd)} (b above {b0_threshold:g}) {beside}, and are left out; "
            "fix: remove them, or write b = 0 if they are"
        )
        return bvals, kept & ~odd
    zero = np.zeros_like(kept)
    zero[np.flatnonzero(odd)[at_zero]] = True
    if zero.any():
        notes.append(
            f"{bval}: volumes {counted(zero)} have b = {_listed(bvals[zero])} and the direction 0 0 0, "
            "but are as bright as b = 0 (GE writes the nominal b-value): read as b = 0; fix: write b = 0"
        )
    trace = odd & ~zero
    if trace.any():
        notes.append(
            f"{bvec}: volumes {counted(trace)} (b = {_listed(bvals[trace])}) {beside}: averages over "
            "directions (trace) or directions that were lost, left out; fix: remove them"
        )
    return np.where(zero, 0.0, bvals), kept & ~trace


def _lone(
    bvals: FloatArray,
    without: npt.NDArray[np.bool_],
    has: npt.NDArray[np.bool_],
    bvec: Path,
    notes: list[str],
) -> npt.NDArray[np.bool_]:
    """Return averages over directions at a high b-value of their own in a series of directions, (N,)."""
    lone = np.asarray(without & ~_beside(bvals, has) & (bvals > ABOVE_PERFUSION))
    if not lone.any() or np.count_nonzero(lone) > FEW * np.count_nonzero(has):
        return np.zeros_like(lone)
    notes.append(
        f"{bvec.name}: volumes {counted(lone)} (b = {_listed(bvals[lone])}) have the direction 0 0 0 in "
        "a series "
        "of directions, and are left out; fix: remove them, or write their directions"
    )
    return lone


def _beside(bvals: FloatArray, has: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return for which images others of the same b-value have a direction, (N,)."""
    near = np.abs(bvals[:, None] - bvals[has]) <= np.maximum(JITTER, SAME_B * bvals)[:, None]
    return np.asarray(near.any(axis=1))


def _listed(bvals: FloatArray) -> str:
    return ", ".join(f"{b:g}" for b in np.unique(bvals.round()))


def _at_zero(
    image: Path,
    bvals: FloatArray,
    odd: npt.NDArray[np.intp],
    has: npt.NDArray[np.bool_],
    b0_threshold: float,
) -> npt.NDArray[np.bool_] | None:
    """Return which of the odd volumes are as bright as b = 0; None if the image cannot be read."""
    try:
        with TemporaryDirectory() as folder, open_series([image], Path(folder)) as series:
            level = [_brightness(series, bvals, int(one), has, b0_threshold) for one in odd]
    except (InputError, OSError):
        return None
    return np.array(level)


def _brightness(
    series: Series, bvals: FloatArray, one: int, has: npt.NDArray[np.bool_], b0_threshold: float
) -> bool:
    """Tell whether a volume is nearer to b = 0 than to the average over directions of its b-value."""
    b = float(bvals[one])
    same = np.flatnonzero(has & (np.abs(bvals - b) <= max(JITTER, SAME_B * b)))[:COMPARED]
    zero = np.flatnonzero(bvals <= b0_threshold)[:COMPARED]
    own, average = _logs(series, [one])[0], _logs(series, same.tolist()).mean(axis=0)
    bright = np.isfinite(own) & np.isfinite(average)
    if not bright.any():
        return False
    bright &= average > np.percentile(average[bright], 60)
    above = float(np.median((own - average)[bright]))
    if not zero.size:
        return above > SLOWEST * b
    reference = _logs(series, zero.tolist())
    # The brightest b = 0: others may be empty or dark.
    levels = np.median(np.nan_to_num(reference[:, bright], neginf=-np.inf), axis=1)
    distance = float(levels.max() - np.median(average[bright]))
    return above > 0.5 * distance if distance > 0 else above > SLOWEST * b


def _logs(series: Series, volumes: Sequence[int]) -> FloatArray:
    """Return logarithms of volumes, (n, V); -inf where there is no signal."""
    with np.errstate(all="ignore"):
        return np.stack([np.log(series.read(0, series.n_voxels, [one])[:, 0]) for one in volumes])
