"""What the images of a diffusion series say against its table: empty volumes, and jumps of the scale.

Looked at when the images are opened, on stripes of voxels. Called by `interfaces.scan`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.gradients import counted
from bids_qmri.bids.images import Series
from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import count_directions
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.units import FloatArray

STRIPES, STRIPE = 32, 400
"""Consecutive voxels that are looked at, and how many of them."""

BRIGHT = 0.25
"""Share of the brightest voxels' level above which a voxel is of the object."""

LARGEST_STEP = 1.15
"""Ratio of the medians of images at b = 0 that neither drift nor motion explains."""

LARGEST_SPREAD = 1e-3
"""mm^2/s between directions of tissue, where directions are not known: more is no tissue."""

OUTLIER = 0.2
"""Deviation of the logarithm of a weighted image from a smooth function of direction that is no tissue."""

FEWEST_DIRECTIONS = 12
"""Directions of a shell from which on a smooth function leaves something to see."""


def examined(acquisition: Acquisition, series: Series) -> tuple[Acquisition, list[int]]:
    """Return the acquisition without empty volumes, noting what its images show, and the volumes kept.

    Parameters
    ----------
    acquisition
        With a diffusion protocol.
    series
        Its images, opened.

    Raises
    ------
    InputError
        If table and images have different numbers of volumes, or all volumes are empty.
    """
    protocol = cast("DiffusionProtocol", acquisition.protocol)
    sample = _sample(series)
    empty = _empty(sample, series)
    kept = np.flatnonzero(~empty).tolist()
    name = acquisition.images[0].name
    notes: list[str] = []
    if not kept:
        raise InputError("all volumes are empty", file=acquisition.images[0], needed="signals above 0")
    if empty.any():
        b = sorted({round(float(value)) for value in protocol.bvals[empty]})
        notes.append(
            f"{name}: volumes {counted(empty)} (b = {', '.join(map(str, b))}) hold no signal and are "
            "left out; "
            "fix: remove them from the image and its tables"
        )
        numbers = range(series.n_measurements) if acquisition.volumes is None else acquisition.volumes
        acquisition = replace(
            acquisition, protocol=protocol.chosen(kept), volumes=tuple(numbers[index] for index in kept)
        )
        sample, protocol = sample[:, kept], protocol.chosen(kept)
    notes += [f"{name}: {line}" for line in _jumps(sample, protocol, np.array(kept))]
    return replace(acquisition, notes=(*acquisition.notes, *notes)), kept


def _sample(series: Series) -> FloatArray:
    """Return the signals of stripes of voxels spread over the grid, (v, N)."""
    starts = np.linspace(0, max(series.n_voxels - STRIPE, 0), STRIPES).astype(int)
    if series.n_voxels <= STRIPES * STRIPE:
        return series.read(0, series.n_voxels)
    return np.concatenate([series.read(int(start), int(start) + STRIPE) for start in starts])


def _empty(sample: FloatArray, series: Series) -> npt.NDArray[np.bool_]:
    """Return which volumes hold nothing above 0, (N,)."""
    with np.errstate(invalid="ignore"):
        empty = ~np.any(np.isfinite(sample) & (sample > 0), axis=0)
    for volume in np.flatnonzero(empty):
        whole = series.read(0, series.n_voxels, [int(volume)])
        empty[volume] = not np.any(np.isfinite(whole) & (whole > 0))
    return np.asarray(empty)


def _jumps(sample: FloatArray, protocol: DiffusionProtocol, numbers: npt.NDArray[np.intp]) -> Iterator[str]:
    """Say which images differ from others of their b-value by more than noise and tissue explain."""
    reference = protocol.reference()
    with np.errstate(all="ignore"):
        level = np.nan_to_num(np.nanmean(sample[:, reference], axis=1))
        positive = np.all(np.isfinite(sample) & (sample > 0), axis=1)
        bright = positive & (level > BRIGHT * np.percentile(level, 98))
    if not bright.any():
        return
    logs = np.log(sample[bright])
    yield from _unlike(logs, reference, protocol, numbers, LARGEST_STEP)
    weighted = np.setdiff1d(np.arange(protocol.n_measurements), reference)
    index = cluster_shells(protocol.bvals[weighted])[1]
    for shell in range(int(index.max(initial=-1)) + 1):
        members = weighted[index == shell]
        if protocol.bvecs is None:
            most = LARGEST_STEP * float(np.exp(LARGEST_SPREAD * protocol.bvals[members].mean()))
            yield from _unlike(logs, members, protocol, numbers, most)
        elif count_directions(protocol.bvecs[members]) >= FEWEST_DIRECTIONS:
            yield from _off_shell(logs[:, members].mean(axis=0), members, protocol, numbers)


def _unlike(
    logs: FloatArray,
    members: npt.NDArray[np.intp],
    protocol: DiffusionProtocol,
    numbers: npt.NDArray[np.intp],
    most: float,
) -> Iterator[str]:
    """Compare images that show the same, but for noise."""
    if members.size < 2:
        return
    own = logs[:, members]
    relative = np.median(own - np.median(own, axis=1, keepdims=True), axis=0)
    ratio = float(np.exp(relative.max() - relative.min()))
    if ratio <= most:
        return
    # The smaller group is the odd one; of two equal ones, the later.
    middle = 0.5 * (relative.max() + relative.min())
    high = relative > middle
    odd = high if 2 * np.count_nonzero(high) <= high.size and not high[0] else ~high
    if 2 * np.count_nonzero(odd) > odd.size:
        odd = ~odd
    factor = float(np.exp(np.median(relative[odd]) - np.median(relative[~odd])))
    b = float(np.mean(protocol.bvals[members]))
    yield _said(numbers[members[odd]], b, f"{factor:.2f} times as bright as the others of this b-value")


def _off_shell(
    level: FloatArray,
    members: npt.NDArray[np.intp],
    protocol: DiffusionProtocol,
    numbers: npt.NDArray[np.intp],
) -> Iterator[str]:
    """Compare the images of a shell with a smooth function of their directions."""
    assert protocol.bvecs is not None
    x, y, z = protocol.bvecs[members].T
    design = np.stack([x * x, y * y, z * z, x * y, x * z, y * z], axis=1)
    rest = level - design @ np.linalg.lstsq(design, level, rcond=None)[0]
    rest -= np.median(rest)
    usual = 1.4826 * float(np.median(np.abs(rest)))
    odd = np.abs(rest) > max(OUTLIER, 6.0 * usual)
    if odd.any():
        worst = float(np.exp(rest[odd][np.argmax(np.abs(rest[odd]))]))
        b = float(np.mean(protocol.bvals[members]))
        yield _said(
            numbers[members[odd]], b, f"{worst:.2f} times as bright as the other directions of the shell"
        )


def _said(numbers: npt.NDArray[np.intp], b: float, how: str) -> str:
    flags = np.zeros(int(numbers.max()) + 1, dtype=bool)
    flags[numbers] = True
    return (
        f"images of one b-value differ: volumes {counted(flags)} (b = {b:.0f}) are up to {how}: a "
        "scaling or gain "
        "that changed, or a damaged volume; fix: apply the scale factors of the export, or leave them out"
    )
