"""Groupwise registration of a series by elastix: where every image lies relative to their mean position.

The series is explained by few components if nothing moves: the PCA metric of Huizinga et al. 2016
(doi:10.1016/j.media.2015.12.004, section 2.2), which needs no model and no reference. Its image pyramids must
not smooth along the last axis, or volumes that never moved are moved (seen with itk-elastix 0.25.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from bids_qmri.alignment.transforms import Transform, grid_points
from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray

Kind = Literal["rigid", "affine", "bspline"]

STACKS: Mapping[Kind, str] = {
    "rigid": "EulerStackTransform",
    "affine": "AffineLogStackTransform",
    "bspline": "BSplineStackTransform",
}

RESOLUTIONS: Mapping[Kind, int] = {"rigid": 3, "affine": 2, "bspline": 2}
"""Levels of the pyramid; splines that begin with control points farther apart end in worse places."""

ITERATIONS: Mapping[Kind, int] = {"rigid": 120, "affine": 200, "bspline": 150}
SAMPLES = 1000
"""Iterations of a level, and points of each. With fewer, more than a tenth of a voxel is left; more gain
nothing."""

LOG = "elastix.log"

LEAST_SIZE = 12
"""Voxels along an axis that a resolution of the pyramid leaves, at least."""

CONTROL_SPACING = 100.0
"""mm between control points of splines: breathing is smoother, freer splines follow noise and contrast."""


def register(images: npt.NDArray[np.float32], zooms: FloatArray, kind: Kind, threads: int) -> list[Transform]:
    """Find where the voxels of the mean position lie in each image.

    Parameters
    ----------
    images
        Finite values, (x, y, z, N); a single slice moves within its plane.
    zooms
        Size of a voxel, (3,), mm.
    kind
        What an image may do.
    threads
        Of elastix; the result does not depend on it.

    Returns
    -------
    One per image.

    Raises
    ------
    InputError
        If elastix is not installed, or finds no registration.
    """
    itk = load_itk()
    flat = images.shape[2] == 1
    stack = images[:, :, 0] if flat else images
    size = np.asarray(zooms[: stack.ndim - 1])
    # ITK counts the first axis last.
    image = itk.image_from_array(np.ascontiguousarray(np.moveaxis(stack, -1, 0).swapaxes(1, -1)))
    image.SetSpacing([*map(float, size), 1.0])
    found = run(itk, image, image, settings(stack.shape[:-1], kind), threads)
    parts = np.array([float(value) for value in found["TransformParameters"]]).reshape(stack.shape[-1], -1)
    if not np.all(np.isfinite(parts)):
        raise InputError("elastix found no registration: not finite", field="--align")
    if kind == "bspline":
        return [_spline(part, found, size, images.shape[:3]) for part in parts]
    centre = np.array([float(value) for value in found["CenterOfRotationPoint"]])
    return [linear(part, centre, size, kind) for part in parts]


def run(
    itk: Any, fixed: Any, moving: Any, parameters: Mapping[str, tuple[str, ...]], threads: int
) -> dict[str, tuple[str, ...]]:
    """Return the transform that elastix finds; say what it says if it fails, which stands in its log alone.

    Parameters
    ----------
    itk
        The module.
    fixed, moving
        Its images.
    parameters
        Of elastix.
    threads
        The result does not depend on it.

    Raises
    ------
    InputError
        If it finds none.
    """
    chosen = itk.ParameterObject.New()
    chosen.AddParameterMap(dict(parameters))
    method = itk.ElastixRegistrationMethod.New(fixed, moving)
    method.SetParameterObject(chosen)
    method.SetNumberOfThreads(threads)
    with TemporaryDirectory() as folder:
        method.SetLogToConsole(False)
        method.SetOutputDirectory(folder)
        method.SetLogFileName(LOG)
        method.SetLogToFile(True)
        try:
            method.UpdateLargestPossibleRegion()
            return dict(method.GetTransformParameterObject().GetParameterMap(0))
        except RuntimeError as error:
            log = Path(folder) / LOG
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
            said = [
                line.strip() for line in lines if "error" in line.lower() or "description" in line.lower()
            ]
            why = "; ".join(said[:3]) or " ".join(str(error).split())[-200:]
            raise InputError(f"elastix found no registration: {why}", field="--align") from error


def load_itk() -> Any:
    """Return the module that elastix comes with, or say how to install it."""
    try:
        import itk
    except ImportError as error:
        raise InputError(
            "needs the package's extra align, which brings elastix",
            field="--align",
            fix="pip install 'bids_qmri[align]'",
        ) from error
    return itk


def settings(shape: tuple[int, ...], kind: Kind) -> dict[str, tuple[str, ...]]:
    """Return elastix's parameters for a stack of images of a shape."""
    dimension, levels = str(len(shape) + 1), RESOLUTIONS[kind]
    schedule: list[str] = []
    for level in reversed(range(levels)):
        factors = [min(2**level, max(size // LEAST_SIZE, 1)) for size in shape]
        schedule += [*map(str, factors), "0"]
    chosen: dict[str, Any] = {
        "FixedImageDimension": dimension,
        "MovingImageDimension": dimension,
        "FixedInternalImagePixelType": "float",
        "MovingInternalImagePixelType": "float",
        "Registration": "MultiResolutionRegistration",
        "FixedImagePyramid": "FixedSmoothingImagePyramid",
        "MovingImagePyramid": "MovingSmoothingImagePyramid",
        "ImagePyramidSchedule": schedule,
        "NumberOfResolutions": levels,
        "Metric": "PCAMetric2",
        "SubtractMean": "true",
        "Interpolator": "BSplineInterpolator",
        "BSplineInterpolationOrder": 1,
        "FixedImageBSplineInterpolationOrder": 1,
        "ResampleInterpolator": "FinalBSplineInterpolator",
        "Resampler": "DefaultResampler",
        "Optimizer": "AdaptiveStochasticGradientDescent",
        "AutomaticParameterEstimation": "true",
        "AutomaticScalesEstimation": "true",
        "MaximumNumberOfIterations": ITERATIONS[kind],
        "ImageSampler": "RandomCoordinate",
        "NumberOfSpatialSamples": SAMPLES,
        "NewSamplesEveryIteration": "true",
        "MaximumNumberOfSamplingAttempts": 8,
        "RequiredRatioOfValidSamples": 0.05,
        "RandomSeed": 1,
        "Transform": STACKS[kind],
        "AutomaticTransformInitialization": "false",
        "HowToCombineTransforms": "Compose",
        "WriteResultImage": "false",
    }
    if kind == "bspline":
        chosen["FinalGridSpacingInPhysicalUnits"] = CONTROL_SPACING
        factors = [str(2.0**level) for level in reversed(range(levels)) for _ in shape]
        chosen["GridSpacingSchedule"] = factors
    return {
        name: tuple(map(str, value)) if isinstance(value, list) else (str(value),)
        for name, value in chosen.items()
    }


def linear(part: FloatArray, centre: FloatArray, size: FloatArray, kind: Kind) -> Transform:
    """Return a rotation or an affine map about a centre, in voxels."""
    count = len(size)
    if kind == "affine":
        from scipy.linalg import expm

        # Of matrices the logarithm, so that each has an inverse.
        turn, shift = expm(part[: count * count].reshape(count, count)), part[count * count :]
    elif count == 2:
        cosine, sine = np.cos(part[0]), np.sin(part[0])
        turn, shift = np.array([[cosine, -sine], [sine, cosine]]), part[1:]
    else:
        turn, shift = _rotation(part[:3]), part[3:]
    inside = np.eye(4)
    inside[:count, :count] = turn * size / size[:, None]
    inside[:count, 3] = (centre - turn @ centre + shift) / size
    return Transform(inside)


def _rotation(angles: FloatArray) -> FloatArray:
    """Return ITK's rotation by three angles: about y, then x, then z."""
    x, y, z = (_about(axis, angle) for axis, angle in enumerate(angles))
    return np.asarray(z @ x @ y)


def _about(axis: int, angle: float) -> FloatArray:
    one, other = [(1, 2), (2, 0), (0, 1)][axis]
    turn = np.eye(3)
    turn[one, one] = turn[other, other] = np.cos(angle)
    turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
    return turn


def _spline(
    part: FloatArray, found: Mapping[str, tuple[str, ...]], size: FloatArray, shape: tuple[int, ...]
) -> Transform:
    """Return the displacement of every voxel by cubic splines between control points."""
    count = len(size)
    grid = [int(value) for value in found["GridSize"]][:count]
    origin, spacing = (
        np.array([float(value) for value in found[name]])[:count] for name in ("GridOrigin", "GridSpacing")
    )
    points = grid_points((shape[0], shape[1], shape[2]))[:count] * size[:, None]
    places = (points - origin[:, None]) / spacing[:, None]
    moved = np.zeros((3, *shape), dtype=np.float32)
    for axis, coefficients in enumerate(part.reshape(count, -1)):
        control = coefficients.reshape(grid, order="F")
        along = map_coordinates(control, places, order=3, mode="constant", prefilter=False) / size[axis]
        moved[axis] = along.reshape(shape, order="F")
    return Transform(np.eye(4), moved)
