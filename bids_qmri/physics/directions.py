"""Direction averaging of diffusion series for models that only know the b-value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.units import FloatArray

WITHOUT_DIRECTION = 5.0
"""s/mm^2: up to this b-value the direction of the gradient leaves no trace in the signal."""

SAME_DIRECTION = float(np.cos(np.deg2rad(1.0)))

B_JITTER = 10.0
"""Scanners report a shell, or a point of a grid, up to this many s/mm^2 above its nominal b-value."""


def directed(protocol: DiffusionProtocol) -> npt.NDArray[np.bool_]:
    """Return which measurements have a direction, or need none as b counts as 0, shape (N,)."""
    if protocol.bvecs is None:
        return protocol.b0_mask
    return np.asarray(protocol.b0_mask | np.any(protocol.bvecs != 0, axis=1))


def within(protocol: DiffusionProtocol, b_max: float, fewest: int = 0) -> npt.NDArray[np.bool_]:
    """Return which measurements lie within a limit of b, allowing for the scanner's jitter, shape (N,).

    Weighted images without a direction (averages over directions) are left out where others have one.

    Parameters
    ----------
    protocol
        Diffusion weightings.
    b_max
        The limit in s/mm^2.
    fewest
        Directions that are needed: where there are fewer below the limit, it is that of the lowest shell
        that has them.
    """
    limit = highest_b(protocol, b_max, fewest)
    kept = _whole(protocol.bvals) <= limit + B_JITTER
    return np.asarray(kept if protocol.bvecs is None else kept & directed(protocol))


def _whole(bvals: FloatArray) -> FloatArray:
    """Return the b-value of the shell of each measurement, so that no limit cuts one; its own on a grid."""
    centres, index = cluster_shells(bvals)
    return np.asarray(centres[index] if centres.size else bvals)


def highest_b(protocol: DiffusionProtocol, b_max: float, fewest: int) -> float:
    """Return a limit of b in s/mm^2, raised to the lowest shell of enough directions if none is below it."""
    if protocol.bvecs is None or not fewest:
        return b_max
    weighted = directed(protocol) & ~protocol.b0_mask
    low = weighted & (_whole(protocol.bvals) <= b_max + B_JITTER)
    if count_directions(protocol.bvecs[low]) >= fewest:
        return b_max
    bvals, bvecs = protocol.bvals[weighted], protocol.bvecs[weighted]
    centres, index = cluster_shells(bvals)
    for shell, centre in enumerate(centres):
        members = index == shell
        if centre > b_max and count_directions(bvecs[members]) >= fewest:
            return float(bvals[members].max())
    return b_max


def count_directions(bvecs: FloatArray) -> int:
    """Count directions that differ by more than 1 degree, opposite ones being the same; 0 0 0 is none."""
    different: list[FloatArray] = []
    for vector in bvecs:
        if vector.any() and all(abs(float(vector @ other)) < SAME_DIRECTION for other in different):
            different.append(vector)
    return len(different)


def without_b0(protocol: DiffusionProtocol) -> str:
    """Say that a series has no image at b = 0; empty if it has."""
    if np.any(protocol.b0_mask):
        return ""
    return (
        f"lowest b-value is {protocol.bvals.min():g} s/mm^2; an image at b = 0 is needed "
        f"(threshold {protocol.b0_threshold:g}, see --b0-threshold)"
    )


def average_directions(
    signal: FloatArray, protocol: DiffusionProtocol, groups: npt.NDArray[np.intp]
) -> tuple[FloatArray, DiffusionProtocol]:
    """Average all images of one b-value, so that the result is the trace-weighted signal.

    Parameters
    ----------
    signal
        Magnitude signals, shape (V, N).
    protocol
        Diffusion weightings of the N images.
    groups
        Index of the b-value group of every image, 0 ... G-1, shape (N,).

    Returns
    -------
    signal
        Averages in the order of increasing b, shape (V, G); NaN where half of a group is 0.
    protocol
        Mean b-value of each group, without directions, with the number of images averaged.

    Notes
    -----
    The geometric mean over directions decays with the mean diffusivity exactly where diffusion is Gaussian;
    an arithmetic mean does not. Images at b = 0 do not differ in direction and are averaged arithmetically.
    A few zeros among magnitudes are signals rounded down: they count as the voxel's least positive signal,
    because a logarithm of zero would lose tissue where the signal is low.

    Examples
    --------
    >>> p = DiffusionProtocol(bvals=[0, 100, 100])
    >>> average_directions(np.array([[1.0, 0.9, 0.4]]), p, np.array([0, 1, 1]))[0].round(3)
    array([[1. , 0.6]])
    """
    order = np.argsort([protocol.bvals[groups == g].mean() for g in range(int(groups.max()) + 1)])
    averages, bvals, counts = [], [], []
    least = np.min(np.where(signal > 0, signal, np.inf), axis=1, initial=np.inf)
    for group in order:
        members = groups == group
        images, weights = signal[:, members], protocol.weights[members]
        if protocol.bvals[members].max() <= WITHOUT_DIRECTION:
            averages.append(np.average(images, axis=1, weights=weights))
        else:
            logs = np.log(_without_zeros(images, least))
            averages.append(np.exp(np.average(logs, axis=1, weights=weights)))
        bvals.append(np.average(protocol.bvals[members], weights=weights))
        counts.append(weights.sum())
    averaged = DiffusionProtocol(
        bvals=np.array(bvals), averages=np.array(counts), b0_threshold=protocol.b0_threshold
    )
    return np.stack(averages, axis=1), averaged


def _without_zeros(images: FloatArray, least: FloatArray) -> FloatArray:
    """Raise non-positive values to the voxel's least positive one; NaN where half of the images are such."""
    gone = ~(images > 0) & np.isfinite(images)
    mostly = 2 * np.count_nonzero(gone, axis=1) >= images.shape[1]
    raised = np.where(gone, least[:, None], images)
    return np.where(mostly[:, None] | ~np.isfinite(raised), np.nan, raised)


def mirrored_first(affine: npt.NDArray[np.float64]) -> bool:
    """Whether the first axis of gradient tables, as of BIDS and FSL, runs against that of the image."""
    return bool(np.linalg.det(affine[:3, :3]) > 0)


def along_image_axes(
    directions: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Turn directions from the frame of BIDS and FSL gradient tables to the axes of the image.

    Parameters
    ----------
    directions
        Shape (V, 3). In the frame of gradient tables the first axis is mirrored where the determinant of the
        affine is positive.
    affine
        Voxel indices to scanner coordinates, shape (4, 4).

    Returns
    -------
    Directions, shape (V, 3), with a positive third component: they have no sign of their own.
    """
    mirror = np.array([-1 if mirrored_first(affine) else 1, 1, 1], dtype=np.float32)
    turned = directions * mirror
    return np.where(turned[:, 2:] < 0, -turned, turned)
