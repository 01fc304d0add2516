"""Where the voxels of one image lie in another: as a matrix, or as a displacement of every voxel.

Everything is in voxels, counted from 0 along the axes of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, map_coordinates

from bids_qmri.units import FloatArray

Image = npt.NDArray[np.float32]

ORDER = 3
"""Of the splines that images are interpolated with."""

MARGIN = 0.5
"""Voxels beyond the outermost ones that still belong to the field of view."""

INVERSION_ROUNDS = 30
"""Fixed-point steps of the inverse of a displacement; each one shrinks the error by its largest strain."""


@dataclass(frozen=True, eq=False)
class Transform:
    """Where each voxel of a grid lies in an image: the matrix first, the displacement added to it.

    Parameters
    ----------
    matrix
        Homogeneous coordinates, (4, 4).
    displacement
        Added to the place that the matrix gives, (3, x, y, z); None: nothing.
    """

    matrix: FloatArray
    displacement: Image | None = None

    def at(self, points: FloatArray) -> FloatArray:
        """Return where points, (3, n), lie in the image, (3, n)."""
        moved = self.matrix[:3, :3] @ points + self.matrix[:3, 3:]
        if self.displacement is None:
            return np.asarray(moved)
        more = [map_coordinates(part, points, order=1, mode="nearest") for part in self.displacement]
        return np.asarray(moved + np.stack(more))

    def distance(self, points: FloatArray, zooms: FloatArray) -> FloatArray:
        """Return how far points, (3, n), move, in mm along the axes, (3, n)."""
        return np.asarray((self.at(points) - points) * np.asarray(zooms)[:, None])


def grid_points(shape: tuple[int, int, int]) -> FloatArray:
    """Return the places of all voxels, (3, V), the first axis fastest."""
    index = np.indices(shape, dtype=np.float64)
    return np.stack([part.ravel(order="F") for part in index])


def relative_to(transforms: list[Transform], reference: int, shape: tuple[int, int, int]) -> list[Transform]:
    """Return transforms of a common grid as those of the grid of one of the images, which stays as it is.

    Parameters
    ----------
    transforms
        From a common grid, such as the mean position, to each image.
    reference
        The image whose grid becomes the common one.
    shape
        Of the grid.
    """
    first = transforms[reference]
    if all(one.displacement is None for one in transforms):
        back = np.linalg.inv(first.matrix)
        found = [Transform(one.matrix @ back) for one in transforms]
    else:
        points = grid_points(shape)
        common = _inverse(first, points)
        found = []
        for one in transforms:
            moved = (one.at(common) - points).reshape(3, *shape, order="F")
            found.append(Transform(np.eye(4), moved.astype(np.float32)))
    found[reference] = Transform(np.eye(4))
    return found


def _inverse(transform: Transform, points: FloatArray) -> FloatArray:
    """Return where on the common grid the voxels of an image lie."""
    back = np.linalg.inv(transform.matrix)
    found = back[:3, :3] @ points + back[:3, 3:]
    for _ in range(INVERSION_ROUNDS if transform.displacement is not None else 0):
        found = found + back[:3, :3] @ (points - transform.at(found))
    return np.asarray(found)


def resample(image: Image, transform: Transform) -> Image:
    """Return an image as it looks on the common grid, interpolated once by cubic splines.

    Parameters
    ----------
    image
        Magnitudes, (x, y, z). Voxels that are not finite make those around them NaN, and no others.
    transform
        From the common grid to the image.

    Returns
    -------
    0 or more, as splines overshoot; NaN where the image says nothing.
    """
    if transform.displacement is None and np.array_equal(transform.matrix, np.eye(4)):
        return image
    finite = np.isfinite(image)
    known = _filled(image, finite)
    flat = image.shape[2] == 1
    points = transform.at(grid_points(_shape(image)))
    outside = np.zeros(points.shape[1], dtype=bool)
    for along, size in zip(points, image.shape, strict=True):
        if size > 1:
            outside |= (along < -MARGIN) | (along > size - 1 + MARGIN)
    plane = (known[:, :, 0], points[:2]) if flat else (known, points)
    values = map_coordinates(plane[0].astype(np.float64), plane[1], order=ORDER, mode="nearest")
    np.maximum(values, 0.0, out=values)
    if not finite.all():
        hole = map_coordinates(
            (~finite[:, :, 0] if flat else ~finite).astype(np.float64), plane[1], order=1, mode="nearest"
        )
        values[hole > 0] = np.nan
    values[outside] = np.nan
    return np.asarray(values.reshape(image.shape, order="F").astype(np.float32))


def _filled(image: Image, finite: npt.NDArray[np.bool_]) -> Image:
    """Return an image with the nearest finite value in its holes: splines would carry an edge into others."""
    if finite.all() or not finite.any():
        return np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    nearest = distance_transform_edt(~finite, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])


def noise_kept(transform: Transform, shape: tuple[int, int, int]) -> float:
    """Return the share of the variance of independent noise that interpolation leaves, on average.

    Parameters
    ----------
    transform
        From the common grid to the image.
    shape
        Of the grid.

    Notes
    -----
    The sum of the squared weights of cubic spline interpolation, one axis after the other.
    """
    points = grid_points(shape)
    places = transform.at(points[:, :: max(points.shape[1] // 4096, 1)])
    share = np.ones(places.shape[1])
    for along, size in zip(places, shape, strict=True):
        if size > 1:
            share *= np.interp(along % 1.0, *_SQUARED_WEIGHTS)
    return float(share.mean())


def _squared_weights() -> tuple[FloatArray, FloatArray]:
    """Return the sum of squared weights at fractions of a voxel, (2, n)."""
    fractions = np.linspace(0.0, 1.0, 33)
    impulses = np.eye(41)
    weights = [
        [map_coordinates(row, [[20.0 + fraction]], order=ORDER, mode="mirror")[0] for row in impulses]
        for fraction in fractions
    ]
    return fractions, np.sum(np.square(weights), axis=1)


_SQUARED_WEIGHTS = _squared_weights()


def _shape(image: npt.NDArray[np.generic]) -> tuple[int, int, int]:
    x, y, z = image.shape
    return x, y, z
