"""One set of axes for all images: voxels run to the left, front and head, whatever order a file has.

Converters store the same planes in different orders (dcm2niix: one volume RAS, several volumes LAS, which is
the order here, so that large files need no turning). Voxels are turned without interpolation when a file is
opened (`images.open_series`), and maps are turned back when they are written, so that they lie as the images
of their scan do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.lean import nib, voxel_sizes
from bids_qmri.units import FloatArray

TOLERANCE = 0.1
"""Voxels of the finest axis by which corners of one grid may differ: rounded headers, not other places."""

DIRECTIONS = (-1, 1, 1)
"""Of the axes, where right, front and head are positive."""

Shape = tuple[int, int, int]
Mirrored = tuple[bool, bool, bool]


@dataclass(frozen=True)
class Turn:
    """How axes of a file lie along those of a grid.

    Parameters
    ----------
    order
        Axis of the file along each axis of the grid.
    mirrored
        Whether it runs the other way, by axis of the grid.
    """

    order: Shape = (0, 1, 2)
    mirrored: Mirrored = (False, False, False)

    @property
    def is_none(self) -> bool:
        """Whether nothing is turned."""
        return self.order == (0, 1, 2) and not any(self.mirrored)

    def forward(self, volume: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return voxels of a file, (x, y, z, ...), in the order of the grid; a view."""
        steps = tuple(slice(None, None, -1 if mirrored else 1) for mirrored in self.mirrored)
        return np.moveaxis(volume, self.order, (0, 1, 2))[steps]

    def back(self, volume: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return voxels of the grid, (X, Y, Z, ...), in the order of the file; a view."""
        steps = tuple(slice(None, None, -1 if mirrored else 1) for mirrored in self.mirrored)
        return np.moveaxis(volume[steps], (0, 1, 2), self.order)

    def shape(self, stored: tuple[int, ...]) -> Shape:
        """Return the shape that an image has once it is turned."""
        x, y, z = (stored[axis] for axis in self.order)
        return x, y, z

    def affine(self, stored: FloatArray, shape: tuple[int, ...]) -> FloatArray:
        """Return the matrix from turned indices to mm, (4, 4), for that of a file of some shape."""
        indices = np.zeros((4, 4))
        indices[3, 3] = 1.0
        for axis, (own, mirrored) in enumerate(zip(self.order, self.mirrored, strict=True)):
            indices[own, axis] = -1.0 if mirrored else 1.0
            indices[own, 3] = shape[own] - 1.0 if mirrored else 0.0
        return np.asarray(stored @ indices)


@dataclass(frozen=True, eq=False)
class StoredGrid:
    """The grid of a file, and how it is turned: what maps are written on.

    Parameters
    ----------
    shape, affine, zooms
        Size, matrix from voxel indices to mm (4, 4), voxel size in mm, as in the file.
    turn
        To the grid in which voxels are processed.
    """

    shape: Shape
    affine: FloatArray
    zooms: tuple[float, float, float]
    turn: Turn

    def values(self, processed: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return values of voxels, (V, ...) in Fortran order of the processing grid, in that of the file."""
        if self.turn.is_none:
            return processed
        rest = processed.shape[1:]
        volume = processed.reshape(*self.turn.shape(self.shape), *rest, order="F")
        return self.turn.back(volume).reshape(-1, *rest, order="F")

    def voxel(self, index: Shape) -> Shape:
        """Return the indices in the file of a voxel of the processing grid."""
        found = [0, 0, 0]
        for i, own, mirrored in zip(index, self.turn.order, self.turn.mirrored, strict=True):
            found[own] = self.shape[own] - 1 - i if mirrored else i
        return found[0], found[1], found[2]


def canonical(affine: FloatArray) -> Turn:
    """Return the turn after which axes run closest to left, front and head."""
    found = nib.orientations.io_orientation(affine)
    order, mirrored = [0, 0, 0], [False, False, False]
    for own, (world, direction) in enumerate(found):
        order[int(world)], mirrored[int(world)] = own, bool(direction != DIRECTIONS[int(world)])
    return Turn((order[0], order[1], order[2]), (mirrored[0], mirrored[1], mirrored[2]))


def turn_between(
    affine: FloatArray, shape: tuple[int, ...], grid: FloatArray, grid_shape: tuple[int, ...]
) -> Turn | None:
    """Return the turn that lays the voxels of a file on those of a grid, None if they are others.

    Parameters
    ----------
    affine, shape
        Of the file: voxel indices to mm, (4, 4), and size.
    grid, grid_shape
        Of the grid.
    """
    steps = np.linalg.solve(grid, affine)[:3, :3]
    # Axes are told by angles: along axes of one voxel sizes say nothing.
    along = np.abs(steps) / np.maximum(np.linalg.norm(steps, axis=0), np.finfo(float).tiny)
    order = np.argmax(along, axis=1)
    if sorted(order) != [0, 1, 2]:
        return None
    x, y, z = (int(axis) for axis in order)
    signs = [bool(steps[axis, own] < 0) for axis, own in enumerate((x, y, z))]
    turn = Turn((x, y, z), (signs[0], signs[1], signs[2]))
    if turn.shape(shape) != tuple(grid_shape[:3]):
        return None
    return turn if farthest(turn.affine(affine, shape), grid, grid_shape) <= TOLERANCE else None


def farthest(affine: FloatArray, grid: FloatArray, shape: tuple[int, ...]) -> float:
    """Return the largest distance between corners of two grids of one shape, in voxels of the finest axis."""
    corners = np.array([[*corner, 1.0] for corner in product(*((0.0, size - 1.0) for size in shape[:3]))])
    distance = np.linalg.norm((corners @ (affine - grid).T)[:, :3], axis=1)
    return float(distance.max() / voxel_sizes(grid).min())
