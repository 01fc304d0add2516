"""Where the planes of a map lie: from the affine of a NIfTI image, or from the headers of MRD images.

DICOM counts millimetres to the left, back and head (LPS), NIfTI to the right, front and head (RAS). A plane
is placed by the centre of its first pixel, and by the directions in which column and row numbers grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.inline.dicom_source import SourceImage
from bids_qmri.inline.meta import Meta
from bids_qmri.inline.wire import Image
from bids_qmri.units import FloatArray

LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])

SQUARE = 1e-3
"""Largest cosine between rows and columns that rounding explains."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane of pixels.

    Parameters
    ----------
    position
        Centre of the first pixel, mm, LPS.
    along_row, along_column
        Unit vectors in which the number of the column, and of the row, grows.
    row_spacing, column_spacing
        Distance in mm between rows, and between columns.
    thickness
        In mm.
    """

    position: FloatArray
    along_row: FloatArray
    along_column: FloatArray
    row_spacing: float
    column_spacing: float
    thickness: float

    @property
    def normal(self) -> FloatArray:
        """Unit vector across the plane."""
        return np.asarray(np.cross(self.along_row, self.along_column))


def planes_of_affine(affine: npt.NDArray[np.float64], n_planes: int) -> list[Plane]:
    """Return the planes of an image (x, y, z) whose rows run along x and columns along y.

    Parameters
    ----------
    affine
        Voxel indices to mm, RAS, (4, 4).
    n_planes
        Number of voxels along z.

    Raises
    ------
    InputError
        If x and y are not at right angles.
    """
    lps = affine[:3] * LPS_FROM_RAS[:, None]
    spacings = np.linalg.norm(lps[:, :2], axis=0)
    row, column = _right_angle(lps[:, 0], lps[:, 1])
    thickness = abs(float(np.cross(row, column) @ lps[:, 2]))
    return [
        Plane(lps[:, 3] + k * lps[:, 2], row, column, float(spacings[1]), float(spacings[0]), thickness)
        for k in range(n_planes)
    ]


def planes_of_image(image: Image, meta: Meta, source: SourceImage) -> list[Plane]:
    """Return the planes of an MRD image, one per voxel along z.

    The header places the centre of the volume; a DICOM header of the same image that came with it places the
    first pixel, and is believed before.

    Parameters
    ----------
    image
        Its header holds directions and sizes.
    meta
        Its attributes; ``ImageRowDir`` and ``ImageColumnDir`` are believed before the header.
    source
        The DICOM image behind it.

    Raises
    ------
    InputError
        If the header holds no directions or sizes.
    """
    head = image.header
    size = head["matrix_size"].astype(np.float64)
    spacing = head["field_of_view"].astype(np.float64) / np.maximum(size, 1)
    row, column = _right_angle(
        _direction(meta, "ImageRowDir", head["read_dir"]),
        _direction(meta, "ImageColumnDir", head["phase_dir"]),
    )
    across = head["slice_dir"].astype(np.float64)
    length = float(np.linalg.norm(across))
    across = across / length if length > 0.5 else np.cross(row, column)
    if not (np.all(np.isfinite(spacing)) and np.all(spacing > 0) and np.all(np.isfinite(head["position"]))):
        raise InputError(
            f"field_of_view {head['field_of_view'].tolist()}, position {head['position'].tolist()}",
            needed="sizes above 0 and a place in mm",
        )
    half, step = (size - 1) / 2 * spacing, float(spacing[2])
    first = head["position"] - half[0] * row - half[1] * column - half[2] * across
    if source.position is not None and size[2] == 1:
        first = source.position
    return [
        Plane(first + k * step * across, row, column, float(spacing[1]), float(spacing[0]), step)
        for k in range(int(size[2]))
    ]


def distance_between(planes: Sequence[Plane]) -> float | None:
    """Return the distance in mm between neighbouring planes; None if there is but one, or it varies."""
    places = np.array([plane.position @ planes[0].normal for plane in planes])
    steps = np.abs(np.diff(places))
    if steps.size == 0 or not np.allclose(steps, steps[0], rtol=1e-2) or steps[0] == 0:
        return None
    return float(steps[0])


def _direction(meta: Meta, name: str, otherwise: npt.NDArray[np.float32]) -> FloatArray:
    try:
        given = [float(value) for value in meta.get(name, ())]
    except ValueError:
        given = []
    return np.asarray(given if len(given) == 3 else otherwise, dtype=np.float64)


def _right_angle(row: FloatArray, column: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return unit vectors at right angles, as DICOM asks, free of the rounding of the given ones."""
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not (np.all(np.isfinite(lengths)) and min(lengths) > 0):
        raise InputError("rows or columns have no direction", needed="two vectors at right angles")
    row, column = row / lengths[0], column / lengths[1]
    cosine = float(row @ column)
    if abs(cosine) > SQUARE:
        raise InputError(
            f"rows and columns meet at {np.degrees(np.arccos(cosine)):.2f} degrees",
            needed="a right angle, the only one that DICOM images have",
            fix="resample the images to a grid without shear",
        )
    column = column - cosine * row
    return row, column / np.linalg.norm(column)
