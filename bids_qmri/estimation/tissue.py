"""Which voxels hold an object: an automatic mask from the images that every estimate leans on.

Called where nobody gives a mask: by `bids.masks` for files, by `inline` for a stream of images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

Mask = npt.NDArray[np.bool_]

BRIGHT_PERCENTILE = 98.0
LOWEST_FRACTION, BESIDE_AIR = 0.03, 0.07
"""Of the brightest signal: what is darker is no object, and beside air, into which blurred edges and ghosts
reach, what is darker than the second; what is dark inside the object is enclosed."""
MOST, SURE = 2.0, 2.5
"""Times the air: where most of a neighbourhood is brighter, or a voxel alone (three standard deviations of
the magnitude of a single image)."""
DARK, NOISY = 0.1, 0.5
"""Share of the brightest signal up to which the border of the field of view is air, and up to which it is if
its scatter is that of noise too."""
RAYLEIGH = (0.45, 0.62)
"""Scatter over mean of magnitude noise is 0.523 in a single image; signal of twice the noise has 0.42."""
QUARTER = 25.0
"""Percentile of the patches of the border that air is read from, as an object may touch the rest."""
SHORTEST_SIDE, FACE, PATCH = 16, 2, 8
"""Voxels: shortest side that is likely to reach into air; thickness of a face; side of its patches."""
SMALL = 0.01
"""Of the largest piece: smaller ones are noise or ghosts, unless bright. Arms, a second breast are larger."""
BRIGHT_FRACTION, BRIGHT_AIR = 0.25, 5.0
"""Of the brightest signal, and times the air: what a small piece must reach somewhere, as small vials do."""
FIRST_FRAMES = 3


def reference_images(
    protocol: Protocol | None, n_measurements: int, *, baseline_volumes: int | None = None
) -> list[int]:
    """Return the images that every estimate leans on: what the protocol says, or the first frames.

    Parameters
    ----------
    protocol
        What was played out; None for a dynamic series, whose frames all have the same settings.
    n_measurements
        Number of images N.
    baseline_volumes
        Frames before the bolus of a dynamic series, if stated.
    """
    if protocol is None:
        return list(range(min(baseline_volumes or FIRST_FRAMES, n_measurements)))
    return [int(i) for i in protocol.reference()]


def tissue_mask(mean: FloatArray, usable: Mask, n_images: int = 1) -> Mask:
    """Take the object: what is connected and above the noise floor, with its holes.

    Parameters
    ----------
    mean
        Mean of the reference images (`reference_images`), shape (x, y, z). Others may be 0 in tissue (a
        rounded noise floor at high b).
    usable
        Whether they are finite and above 0 throughout, same shape.
    n_images
        How many reference images there are; tells noisy air from dark tissue.

    Returns
    -------
    Mask of the same shape; empty if nothing is usable, all that is usable where nothing stands out.

    Notes
    -----
    Air is what the darkest quarter of the faces of the field of view shows, if this is below 10 % of the
    brightest signal (the 98th percentile), or below 50 % and scatters as noise does. A voxel belongs to the
    object if it is brighter than 2.5 times the air, or most of its neighbourhood (3 x 3 within the slice) is
    brighter than 2 times the air; either must exceed 7 % of the brightest signal, 3 % where others have set
    the air to 0. Pieces with less than 1 % of the voxels of the largest are dropped if nowhere brighter than
    a quarter of the brightest signal and 5 times the air. What is enclosed within a slice (across the
    shortest axis) is filled; voxels that are not usable are left out. Without air in sight (a crop) a voxel
    need only exceed 3 % of the brightest signal.

    The thresholds are low on purpose: a fitted background voxel costs time, a lost tissue voxel is lost.

    On measured data (`tests/estimation/test_tissue_measured.py`): a 10 x 10 x 10 brain crop whose brightest
    voxels are fluid keeps all 1000 voxels, a 6 x 10 x 10 crop all 600; phantom vials all 542,998; brain and
    breast tissue all of 4709 and 16,359 voxels at several flip angles; three abdomens all organ voxels; an
    enhancing lesion all 368; a spinal cord in noise of a third of its signal all 64.
    """
    if not usable.any():
        return usable
    mean = np.where(np.isfinite(mean), mean, 0.0)
    bright = float(np.percentile(mean[usable], BRIGHT_PERCENTILE))
    air = _air(mean, bright, n_images)
    if air is None:
        return np.asarray(usable & (mean > LOWEST_FRACTION * bright))
    lowest = (BESIDE_AIR if air > 0 else LOWEST_FRACTION) * bright
    above = _mostly(mean > max(MOST * air, lowest)) | (mean > max(SURE * air, lowest))
    kept = _pieces(above, mean > max(BRIGHT_FRACTION * bright, BRIGHT_AIR * air))
    mask = np.asarray(_filled(kept) & usable)
    return mask if mask.any() else usable


def _air(mean: FloatArray, bright: float, n_images: int) -> float | None:
    """Return the typical signal of air; 0 if the object was cut out of it, None if there is none to see."""
    (box,) = ndimage.find_objects((mean > 0).astype(np.uint8))
    patches = [patch for face in _faces(mean[box]) for patch in _patches(face)]
    if not patches:
        return None
    medians = np.array([np.median(patch) for patch in patches])
    air = float(np.percentile(medians, QUARTER))
    if air < DARK * bright:
        return air
    scatter = np.median([np.std(p) / np.mean(p) for p, m in zip(patches, medians, strict=True) if m <= air])
    noise = RAYLEIGH[0] < scatter * np.sqrt(n_images) < RAYLEIGH[1]
    return air if noise and air < NOISY * bright else None


def _faces(mean: FloatArray) -> Iterator[FloatArray]:
    """Yield the faces of a field of view along its long sides, each (thickness, a, b)."""
    for axis, size in enumerate(mean.shape):
        if size >= SHORTEST_SIDE:
            along = np.moveaxis(mean, axis, 0)
            yield along[:FACE]
            yield along[-FACE:]


def _patches(face: FloatArray) -> Iterator[FloatArray]:
    """Yield square pieces of a face."""
    for i in range(0, face.shape[1], PATCH):
        for j in range(0, face.shape[2], PATCH):
            yield face[:, i : i + PATCH, j : j + PATCH]


def _slice_axis(shape: tuple[int, ...]) -> int:
    """Return the shortest axis: across slices, if there are slices."""
    return int(np.argmin(shape))


def _mostly(above: Mask) -> Mask:
    """Tell where more than half of 3 x 3 voxels of a slice are True: the median's answer, in less time."""
    votes = above.astype(np.uint8)
    for axis in {0, 1, 2} - {_slice_axis(above.shape)}:
        votes = ndimage.convolve1d(votes, [1, 1, 1], axis=axis, mode="nearest")
    return np.asarray(votes > 4)


def _pieces(mask: Mask, bright: Mask) -> Mask:
    """Drop connected pieces (by faces of voxels) that are small beside the largest and nowhere bright."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = sizes >= SMALL * sizes.max()
    kept[np.unique(pieces[bright])] = True
    kept[0] = False
    return np.asarray(kept[pieces])


def _filled(mask: Mask) -> Mask:
    """Fill what is enclosed within a slice."""
    axis = _slice_axis(mask.shape)
    slices = [ndimage.binary_fill_holes(one) for one in np.moveaxis(mask, axis, 0)]
    return np.stack(slices, axis=axis)
