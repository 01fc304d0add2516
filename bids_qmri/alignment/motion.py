"""How far the images of a series moved, from images of few voxels: a measure for every run, aligned or not.

Translations by the peak of the cross-correlation (scikit-image, doi:10.1364/OL.33.000156), on averages of
neighbouring voxels: a few milliseconds an image, right to about a tenth of such a voxel. Rotations are told
by the transforms of an alignment, where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.alignment.transforms import Transform, grid_points
from bids_qmri.units import FloatArray

COARSE = 32
"""Voxels along an axis that are left after averaging."""

UPSAMPLING = 20
"""Steps of the peak's place within a coarse voxel."""

HEAD_RADIUS = 50.0
"""mm at which a rotation becomes a displacement (Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018)."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the images of a series lie relative to one of them.

    Parameters
    ----------
    translation
        Along the axes of the image (to left, front, head), mm, (N, 3).
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


def coarse(image: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Return averages of neighbouring voxels of an image (x, y, z), and how many were averaged per axis."""
    factors = [max(1, -(-size // COARSE)) for size in image.shape]
    kept = [size // factor for size, factor in zip(image.shape, factors, strict=True)]
    cut = image[tuple(slice(0, n * factor) for n, factor in zip(kept, factors, strict=True))]
    split = cut.reshape([part for pair in zip(kept, factors, strict=True) for part in pair])
    return np.asarray(np.nan_to_num(split).mean(axis=(1, 3, 5))), np.array(factors, dtype=np.float64)


def shift_between(reference: FloatArray, image: FloatArray) -> FloatArray:
    """Return by how many voxels an image lies away from a reference, (3,); both (x, y, z), finite."""
    from skimage.registration import phase_cross_correlation

    if not image.any() or not reference.any():
        return np.zeros(3)
    flat = image.shape[2] == 1
    pair = (reference[:, :, 0], image[:, :, 0]) if flat else (reference, image)
    found: Any = phase_cross_correlation
    back = found(*pair, upsample_factor=UPSAMPLING, normalization=None)[0]
    return -np.append(back, 0.0) if flat else -np.asarray(back)


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
