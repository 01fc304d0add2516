"""Align the images of a series: register them as a group, and keep one of them where it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from bids_qmri.alignment.elastix import Kind, register
from bids_qmri.alignment.transforms import Image, Transform, grid_points, relative_to
from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray

MOST_VALUES = 5 * 128**3
"""Values of a series that are registered, for which elastix takes 1.4 GB; of larger ones averages."""

FEWEST_VOXELS = 32
"""Voxels along an axis that averaging leaves, at least."""

SAMPLED, LEAST_LOSS = 20_000, 0.02
"""Points at which images are compared before and after, and the gain in components that is no loss."""

FEWEST_IMAGES = 3
"""Two images are always explained by two components, moved or not."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where each image of a series lies, seen from the grid of one of them.

    Parameters
    ----------
    transforms
        One per image, in voxels.
    reference
        The image that stays.
    empty
        Images that were not registered, because they hold nothing.
    """

    transforms: tuple[Transform, ...]
    reference: int
    empty: tuple[int, ...] = ()


def align(
    read: Callable[[int], Image],
    count: int,
    zooms: FloatArray,
    kind: Kind,
    *,
    reference: int = 0,
    threads: int = 1,
) -> Alignment:
    """Register the images of a series.

    Parameters
    ----------
    read
        Returns an image by its number, (x, y, z); all have one grid. Values that are not finite count as 0.
    count
        How many images there are.
    zooms
        Size of a voxel, (3,), mm.
    kind
        Rigid, affine, or free-form by splines.
    reference
        The image that stays where it is.
    threads
        Of elastix.

    Raises
    ------
    InputError
        If there are fewer than three images with a signal, the reference has none, elastix is not installed,
        fails, or finds nothing that makes images more alike.
    """
    shape = read(reference).shape
    factors = _factors(shape, count)
    small = np.stack([_averaged(read(index), factors) for index in range(count)], axis=-1)
    filled = np.any(small > 0, axis=(0, 1, 2))
    used = np.flatnonzero(filled)
    if used.size < FEWEST_IMAGES:
        raise InputError(
            f"{used.size} images with a signal", field="--align", needed=f"{FEWEST_IMAGES} or more"
        )
    if not filled[reference]:
        raise InputError(f"image {reference}, the reference, is empty", field="--align")
    found = register(small[..., used], np.asarray(zooms) * factors, kind, threads)
    _require_gain(small[..., used], found)
    whole = [_enlarged(one, factors, shape) for one in found]
    own = relative_to(whole, int(np.searchsorted(used, reference)), (shape[0], shape[1], shape[2]))
    transforms = [Transform(np.eye(4))] * count
    for index, one in zip(used, own, strict=True):
        transforms[index] = one
    return Alignment(tuple(transforms), reference, tuple(np.flatnonzero(~filled).tolist()))


def _require_gain(images: Image, found: list[Transform]) -> None:
    """Refuse a registration after which the series needs more components than before."""
    rng = np.random.default_rng(0)
    size = np.array(images.shape[:3])[:, None]
    points = rng.integers(0, size, (3, SAMPLED)).astype(np.float64)
    before = _components(images, [Transform(np.eye(4))] * len(found), points)
    after = _components(images, found, points)
    if after > before + LEAST_LOSS:
        raise InputError(
            f"images are less alike once aligned ({after:.3g} components explain them, {before:.3g} did)",
            field="--align",
            needed="images of one object that overlap",
        )


def _components(images: Image, found: list[Transform], points: FloatArray) -> float:
    """Return the mean rank of the principal components of images, weighted by the variance they explain."""
    values = np.stack(
        [
            map_coordinates(images[..., index], one.at(points), order=1, mode="constant")
            for index, one in enumerate(found)
        ]
    )
    spread = values.std(axis=1)
    share = np.linalg.eigvalsh(np.corrcoef(values[spread > 0]))[::-1]
    return float(np.sum(share * np.arange(1, share.size + 1)) / share.sum())


def _factors(shape: tuple[int, ...], count: int) -> FloatArray:
    """Return how many voxels are averaged along each axis."""
    factors = np.ones(len(shape))
    sizes = np.array(shape)
    while count * np.prod(sizes) > MOST_VALUES and np.any(sizes >= 2 * FEWEST_VOXELS):
        wide = sizes >= 2 * FEWEST_VOXELS
        factors[wide] *= 2
        sizes[wide] //= 2
    return factors


def _averaged(image: Image, factors: FloatArray) -> Image:
    """Return averages of neighbouring voxels; what is not finite counts as 0."""
    known = np.nan_to_num(image, posinf=0.0, neginf=0.0)
    for axis, factor in enumerate(factors.astype(int)):
        whole = known.shape[axis] // factor * factor
        parts = [np.take(known, range(start, whole, factor), axis=axis) for start in range(factor)]
        known = sum(parts[1:], start=parts[0]) / np.float32(factor)
    return known.astype(np.float32)


def _enlarged(transform: Transform, factors: FloatArray, shape: tuple[int, ...]) -> Transform:
    """Return a transform of averaged voxels as one of the voxels themselves."""
    if np.all(factors == 1.0):
        return transform
    # The middle of an averaged voxel lies between those that it was made of.
    scale = np.diag([*factors, 1.0])
    scale[:3, 3] = 0.5 * (factors - 1.0)
    matrix = scale @ transform.matrix @ np.linalg.inv(scale)
    if transform.displacement is None:
        return Transform(matrix)
    places = (grid_points((shape[0], shape[1], shape[2])) - scale[:3, 3:]) / factors[:, None]
    fine = [
        factor * map_coordinates(part, places, order=1, mode="nearest")
        for factor, part in zip(factors, transform.displacement, strict=True)
    ]
    return Transform(matrix, np.stack(fine).reshape(3, *shape, order="F").astype(np.float32))
