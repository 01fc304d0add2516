"""How far the images of a series moved, from images of few voxels: a measure for every run, aligned or not.

Translations by the peak of the cross-correlation (scikit-image, doi:10.1364/OL.33.000156), on averages of
neighbouring voxels: a few milliseconds an image, right to about a tenth of such a voxel. Rotations are told
by the transforms of an alignment, where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_gradient_magnitude
from scipy.ndimage import shift as moved_by

from bids_qmri.alignment.transforms import Transform, grid_points
from bids_qmri.units import FloatArray

COARSE = 32
"""Voxels along an axis that are left after averaging."""

UPSAMPLING = 20
"""Steps of the peak's place within a coarse voxel."""

FEWEST_VOXELS = 12
"""Along an axis, below which nothing is looked for along it."""

ROUNDS, SETTLED = 4, 0.1
"""Most repetitions, as a window that stays makes shifts look smaller; the step in voxels that ends them."""

GAIN, GAIN_OF_EDGES = 0.97, 0.85
"""Share of what is unlike that must be left, at most, once an image is moved back: noise makes more."""

EDGE_WIDTH = 1.0
"""Voxels, standard deviation of the Gaussian that edges are looked for with."""

ALIKE = 0.6
"""Correlation from which images show the same."""

FARTHEST = 0.25
"""Of the field of view: what seems to have moved farther is something else."""

HEAD_RADIUS = 50.0
"""mm at which a rotation becomes a displacement (Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018)."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the images of a series lie relative to one of them.

    Parameters
    ----------
    translation
        Along the axes of the image (to left, front, head), mm, (N, 3); NaN where it cannot be told.
    rotation
        About these axes, rad, (N, 3); None where images were not registered.
    """

    translation: FloatArray
    rotation: FloatArray | None = None

    @property
    def displacement(self) -> FloatArray:
        """Length of the translation, mm, (N,)."""
        return np.asarray(np.linalg.norm(self.translation, axis=1))

    @property
    def framewise(self) -> FloatArray:
        """Absolute changes from the image before, added, mm, (N,); 0 for the first."""
        parts = self.translation
        if self.rotation is not None:
            parts = np.column_stack([parts, HEAD_RADIUS * self.rotation])
        steps = np.abs(np.diff(parts, axis=0, prepend=parts[:1]))
        return np.asarray(steps.sum(axis=1))


def steps_of(shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Return of how many voxels along each axis one is looked at: enough of them to average."""
    return tuple(max(1, size // (2 * COARSE)) for size in shape)


def coarse(image: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Return averages of neighbouring voxels of an image (x, y, z), and how many were averaged per axis."""
    factors = [max(1, -(-size // COARSE)) for size in image.shape]
    found = np.asarray(image if np.isfinite(image.sum()) else np.nan_to_num(image))
    for axis, factor in enumerate(factors):
        along = np.moveaxis(found, axis, 0)
        kept = len(along) // factor * factor
        # Neighbours lie apart in memory: slices are added faster than means over many axes are taken.
        total = along[:kept:factor].copy()
        for first in range(1, factor):
            total += along[first:kept:factor]
        found = np.moveaxis(total / factor, 0, axis)
    return np.asarray(found, dtype=np.float64), np.array(factors, dtype=np.float64)


def shift_between(reference: FloatArray, image: FloatArray, *, same_contrast: bool = True) -> FloatArray:
    """Return by how many voxels an image lies away from a reference.

    Parameters
    ----------
    reference, image
        Finite values, (x, y, z).
    same_contrast
        Whether they would be equal if nothing had moved; if not, their edges are compared.

    Returns
    -------
    Shape (3,); 0 where moving it back makes images no more alike, NaN where they are unlike anyway. Along
    axes of a few voxels nothing is looked for.
    """
    from skimage.registration import phase_cross_correlation

    wide = np.array(image.shape) >= FEWEST_VOXELS
    if not wide.any() or not image.any() or not reference.any():
        return np.full(3, np.nan)
    window, correlate = _window(image.shape), cast("Any", phase_cross_correlation)
    pair = (reference, image) if same_contrast else (_edges(reference), _edges(image))
    first, other = (_centred(one, window) for one in pair)
    before, back = _likeness(first, other), np.zeros(3)
    for _ in range(ROUNDS):
        step = np.asarray(correlate(first, other, upsample_factor=UPSAMPLING, normalization=None)[0])
        back += np.where(wide, step, 0.0)
        other = _centred(moved_by(pair[1], back, order=1, mode="nearest"), window)
        if np.abs(step).max() < SETTLED:
            break
    after = _likeness(first, other)
    if max(before, after) < ALIKE or np.any(np.abs(back) > FARTHEST * np.array(image.shape)):
        return np.full(3, np.nan)
    gained = 1.0 - after < (GAIN if same_contrast else GAIN_OF_EDGES) * (1.0 - before)
    return -back if gained else np.zeros(3)


def _edges(image: FloatArray) -> FloatArray:
    return np.asarray(gaussian_gradient_magnitude(image, EDGE_WIDTH, mode="nearest"))


def _window(shape: tuple[int, ...]) -> FloatArray:
    """Return weights that fall to 0 at the faces of a field of view, whose contents come and go."""
    found = np.ones(shape)
    for axis, size in enumerate(shape):
        if size >= FEWEST_VOXELS:
            along = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
            found *= np.expand_dims(along, [other for other in range(len(shape)) if other != axis])
    return found


def _centred(image: FloatArray, window: FloatArray) -> FloatArray:
    return np.asarray((image - np.average(image, weights=window)) * window)


def _likeness(first: FloatArray, other: FloatArray) -> float:
    """Return the correlation coefficient of two images whose mean is 0."""
    size = float(np.sqrt(np.sum(first**2) * np.sum(other**2)))
    return float(np.sum(first * other)) / size if size > 0 else 0.0


def motion_of(transforms: tuple[Transform, ...], mask: npt.NDArray[np.bool_], zooms: FloatArray) -> Motion:
    """Return how the object moved by the transforms of an alignment.

    Parameters
    ----------
    transforms
        From the grid of the reference to each image.
    mask
        Voxels of the object, (x, y, z); their mean displacement is the translation.
    zooms
        Size of a voxel, (3,), mm.
    """
    points = grid_points((mask.shape[0], mask.shape[1], mask.shape[2]))[:, mask.ravel(order="F")]
    points = points[:, :: max(points.shape[1] // 2048, 1)]
    moved = np.stack([one.distance(points, zooms).mean(axis=1) for one in transforms])
    turned = np.stack([rotation_angles(rotation_part(one.matrix, zooms)) for one in transforms])
    return Motion(moved, turned)


def rotation_part(matrix: FloatArray, zooms: FloatArray) -> FloatArray:
    """Return the rotation, (3, 3), that is nearest to a matrix in voxels, (4, 4), along axes in mm."""
    size = np.asarray(zooms, dtype=np.float64)
    left, _, right = np.linalg.svd(matrix[:3, :3] * size[:, None] / size)
    return np.asarray(left @ right)


def rotation_angles(rotation: FloatArray) -> FloatArray:
    """Return the vector along the axis of a rotation whose length is its angle in rad, (3,)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_rotvec())
