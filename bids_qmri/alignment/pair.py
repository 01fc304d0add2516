"""Register an image to one of another contrast, by mutual information: maps to the series they serve.

Mattes' estimate of it (doi:10.1109/TMI.2003.809072) in elastix, rigid.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_qmri.alignment.elastix import linear, load_itk, run, settings
from bids_qmri.alignment.transforms import Image, Transform, grid_points
from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray

ITERATIONS, SAMPLES, BINS = 300, 4000, 32
"""Iterations of a level of the pyramid, points of each, and bins of an image."""

COMPARED = 50_000
"""Voxels by which images are compared before and after."""

LEAST_GAIN = 1.02
"""Of mutual information, below which the image stays where it is: noise makes less."""

FARTHEST = 0.25
"""Of the field of view: what seems to have moved farther is something else."""


def register_pair(fixed: Image, moving: Image, zooms: FloatArray, threads: int = 1) -> Transform:
    """Find where the voxels of an image lie in another one of the same object and grid.

    Parameters
    ----------
    fixed, moving
        (x, y, z); values that are not finite count as 0. Single slices move within their plane.
    zooms
        Size of a voxel, (3,), mm.
    threads
        Of elastix.

    Returns
    -------
    Rigid; none at all (the identity) where moving the image makes the two no more alike.

    Raises
    ------
    InputError
        If an image is empty, elastix is not installed, finds nothing, or finds a place far away.
    """
    still = Transform(np.eye(4))
    fixed, moving = (np.nan_to_num(image, posinf=0.0, neginf=0.0) for image in (fixed, moving))
    if not fixed.any() or not moving.any():
        raise InputError("an image without a signal", field="--align", needed="two of the same object")
    count = 2 if fixed.shape[2] == 1 else 3
    itk, size = load_itk(), np.asarray(zooms, dtype=np.float64)[:count]
    first, other = (_as_itk(itk, one, size) for one in (fixed, moving))
    found = run(itk, first, other, _settings(fixed.shape[:count]), threads)
    part, centre = (
        np.array([float(value) for value in found[name]])
        for name in ("TransformParameters", "CenterOfRotationPoint")
    )
    transform = linear(part, centre, size, "rigid")
    middle = (np.array(fixed.shape) - 1.0)[:, None] / 2.0
    if not np.all(np.isfinite(part)) or np.any(
        np.abs(transform.at(middle) - middle) > FARTHEST * np.array(fixed.shape)[:, None]
    ):
        raise InputError("elastix found it more than a quarter of the field of view away", field="--align")
    before, after = (mutual_information(fixed, moving, one) for one in (still, transform))
    return transform if after > LEAST_GAIN * before else still


def _as_itk(itk: Any, image: Image, size: FloatArray) -> Any:
    plane = image.reshape(image.shape[: size.size], order="F")
    # ITK counts the first axis last.
    found = itk.image_from_array(np.ascontiguousarray(plane.T, dtype=np.float32))
    found.SetSpacing([*map(float, size)])
    return found


def mutual_information(fixed: Image, moving: Image, transform: Transform) -> float:
    """Return the mutual information in nats of two images, of which one is moved.

    Parameters
    ----------
    fixed, moving
        (x, y, z), finite.
    transform
        From the grid of the first to the second.
    """
    from scipy.ndimage import map_coordinates

    points = grid_points((fixed.shape[0], fixed.shape[1], fixed.shape[2]))
    points = points[:, :: max(points.shape[1] // COMPARED, 1)]
    one, other = (
        map_coordinates(image, places, order=1, mode="nearest")
        for image, places in ((fixed, points), (moving, transform.at(points)))
    )
    joint = np.histogram2d(one, other, bins=BINS)[0] / one.size
    apart = joint.sum(axis=1)[:, None] * joint.sum(axis=0)
    filled = joint > 0
    return float(np.sum(joint[filled] * np.log(joint[filled] / apart[filled])))


def _settings(shape: tuple[int, ...]) -> dict[str, tuple[str, ...]]:
    """Return elastix's parameters for two images of a shape: those of a series, but for what is one's own."""
    of_series = settings(shape, "rigid")
    schedule = of_series["ImagePyramidSchedule"]
    along = len(shape) + 1
    own = {
        "FixedImageDimension": (str(len(shape)),),
        "MovingImageDimension": (str(len(shape)),),
        "ImagePyramidSchedule": tuple(
            factor for index, factor in enumerate(schedule) if index % along != len(shape)
        ),
        "Metric": ("AdvancedMattesMutualInformation",),
        "NumberOfHistogramBins": (str(BINS),),
        "Transform": ("EulerTransform",),
        "MaximumNumberOfIterations": (str(ITERATIONS),),
        "NumberOfSpatialSamples": (str(SAMPLES),),
    }
    return {name: value for name, value in of_series.items() if name != "SubtractMean"} | own
