"""Bring maps that a fit takes beside its images (B1+, native T1) to where the images lie."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from bids_qmri.alignment.pair import register_pair
from bids_qmri.alignment.transforms import Transform, grid_points
from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.images import Series
from bids_qmri.errors import InputError
from bids_qmri.interfaces.aligned import image_of, reference_of
from bids_qmri.units import FloatArray

LEAST_WEIGHT = 0.5
"""Of voxels with a value around a place, below which there is none: extrapolation, not interpolation."""


def placed(
    name: str,
    values: FloatArray,
    picture: FloatArray | None,
    series: Series,
    acquisition: Acquisition,
    notes: list[str],
    threads: int = 1,
) -> FloatArray:
    """Return a map where the images of a series lie, registered by mutual information.

    Parameters
    ----------
    name
        Of the map, for people.
    values
        Of the map on the grid of the series, (V,); not finite or not above 0 where it is unknown.
    picture
        What shows the object where the map lies, (V,), which may be the map itself; None: nothing does.
    series, acquisition
        The images; maps lie on their reference.
    notes
        Takes how far the map was moved, or why it was not.
    threads
        Of elastix.

    Returns
    -------
    Shape (V,), NaN where it is unknown once the map was moved.
    """
    if picture is None:
        notes.append(f"{name} is not registered to the images: no image of the object comes with it")
        return values
    zooms, shape = np.asarray(series.zooms), series.shape
    shown = np.reshape(picture, shape, order="F").astype(np.float32)
    try:
        found = register_pair(image_of(series, reference_of(acquisition)), shown, zooms, threads)
    except InputError as error:
        if "needs the package's extra" in str(error):
            raise
        notes.append(f"{name} is not registered to the images: {str(error).removesuffix('.')}")
        return values
    if np.array_equal(found.matrix, np.eye(4)):
        return values
    inside = grid_points(shape)[:, np.nan_to_num(picture) > 0]
    moved = float(np.linalg.norm(found.distance(inside, zooms), axis=0).mean())
    notes.append(f"{name} lay {moved:.1f} mm from the images: moved there (rigid, mutual information)")
    return interpolated(values, found, shape)


def interpolated(values: FloatArray, transform: Transform, shape: tuple[int, int, int]) -> FloatArray:
    """Return a map on another grid, linear between the voxels that have a value, NaN where there is none.

    Parameters
    ----------
    values
        (V,), on a grid of the same shape.
    transform
        From the grid wanted to that of the map.
    shape
        Of both.
    """
    places = transform.at(grid_points(shape))
    known = np.isfinite(values) & (values > 0)
    weight, total = (
        map_coordinates(part.reshape(shape, order="F"), places, order=1, mode="constant")
        for part in (known.astype(np.float64), np.where(known, values, 0.0))
    )
    enough = weight > LEAST_WEIGHT
    return np.where(enough, total / np.where(enough, weight, 1.0), np.nan)
