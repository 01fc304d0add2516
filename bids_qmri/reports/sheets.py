"""Every slice of an image side by side, as radiologists look at them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

FEW_SLICES = 12
"""Where pixels are scarce, slices are left out until this many remain, then pixels of each."""
SHEET_ASPECT = 2.0
"""Width over height that the arrangement of slices aims at."""
_THICK = 1.4
"""Voxels this many times longer along one axis show that slices were acquired across it."""
_SIDES = (("A", "P", "S", "I"), ("R", "L", "S", "I"), ("R", "L", "A", "P"))
"""Left, right, top and bottom of slices across the first, second and third axis of the body."""

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sheet:
    """Slices laid out side by side.

    Parameters
    ----------
    order
        For every pixel of the sheet the flat index into the volume it was made from, -1 between slices.
    columns, count
        Slices in a row, and in all.
    tile
        Height and width of a slice in pixels.
    pixel_aspect
        Height of a pixel over its width.
    sides
        Letters of the patient's sides at the left, right, top and bottom.
    every
        Slices and pixels were thinned to one of this many: (slices, rows and columns).
    axes
        Axes of the body, 0 to 2 for right, front and head, along columns, rows and slices.
    lengths
        Distance in mm between neighbouring columns, rows and slices of the sheet.
    """

    order: npt.NDArray[np.intp]
    columns: int
    count: int
    tile: tuple[int, int]
    pixel_aspect: float
    sides: tuple[str, str, str, str]
    every: tuple[int, int]
    axes: tuple[int, int, int]
    lengths: tuple[float, float, float]

    def fill(self, volume: Array, empty: float) -> Array:
        """Return the sheet's pixels of a volume, shape (rows, columns), `empty` between slices."""
        return np.where(self.order < 0, empty, volume.ravel()[self.order])

    def cut(self, picture: Array) -> Array:
        """Return the slices of a sheet's pixels, shape (slices, rows, columns), without lines between."""
        high, wide = self.tile
        tiles = picture.reshape(-1, high, self.columns, wide).swapaxes(1, 2).reshape(-1, high, wide)
        return tiles[: self.count, :-1, :-1]

    def fullest(self, mask: Mask) -> tuple[slice, slice]:
        """Return where on the sheet the slice lies that has the most voxels of a mask, (X, Y, Z)."""
        high, wide = self.tile
        inside = self.fill(mask, False).astype(bool)
        tiles = inside.reshape(-1, high, self.columns, wide).sum(axis=(1, 3))
        row, column = (int(place) for place in np.unravel_index(int(np.argmax(tiles)), tiles.shape))
        return (
            slice(row * high, (row + 1) * high - 1),
            slice(column * wide, (column + 1) * wide - 1),
        )

    def geometry(self, shape: tuple[int, ...]) -> list[list[int]]:
        """Return the voxel at the first pixel, then the steps per column, row and slice."""
        high, wide = self.tile
        first = self.order[0, 0]
        across = self.order[0, min(1, wide - 2)]
        down = self.order[min(1, high - 2), 0]
        second = min(1, self.count - 1)
        after = self.order[(second // self.columns) * high, (second % self.columns) * wide]
        origin, *others = (np.array(np.unravel_index(index, shape)) for index in (first, across, down, after))
        return [origin.tolist(), *((other - origin).tolist() for other in others)]


def lay_out(mask: Mask, affine: npt.ArrayLike, max_pixels: int = 1_000_000) -> Sheet:
    """Arrange the slices through a mask: right (or front) at the left, front (or head) at the top.

    Parameters
    ----------
    mask
        Voxels to show, shape (X, Y, Z); everything if it is empty.
    affine
        Voxel indices to scanner coordinates, shape (4, 4).
    max_pixels
        Size of the sheet beyond which slices, then pixels, are left out.
    """
    import nibabel as nib

    turn = nib.orientations.io_orientation(np.asarray(affine))
    index = nib.orientations.apply_orientation(np.arange(mask.size).reshape(mask.shape), turn)
    shown = mask.ravel()[index] if mask.any() else np.ones(index.shape, dtype=bool)
    sizes = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    zooms = np.empty(3)
    zooms[turn[:, 0].astype(int)] = sizes
    axis = _slice_axis(index.shape, zooms)
    box = tuple(_extent(shown, other, 0 if other == axis else 1) for other in range(3))
    planes = np.moveaxis(index[box], axis, 0)[:, ::-1, ::-1].swapaxes(1, 2)
    planes, every = _thin(planes, max_pixels)
    planes = np.pad(planes, ((0, 0), (0, 1), (0, 1)), constant_values=-1)
    first, second = (other for other in range(3) if other != axis)
    across, up = zooms[first], zooms[second]
    lengths = (float(across * every[1]), float(up * every[1]), float(zooms[axis] * every[0]))
    count, high, wide = planes.shape
    order, columns = _tile(planes, wide * across / (high * up))
    sides, axes = _SIDES[axis], (first, second, axis)
    return Sheet(order, columns, count, (high, wide), float(up / across), sides, every, axes, lengths)


def pick(sheet: Sheet, mask: Mask, many: int, max_pixels: int) -> Sheet:
    """Return a sheet of some of its slices alone: the fullest, or several spread over those that are full.

    Parameters
    ----------
    sheet
        All slices.
    mask
        Voxels that count, shape (X, Y, Z).
    many
        How many to take.
    max_pixels
        Size beyond which pixels are left out.
    """
    planes = sheet.cut(sheet.order)
    counts = np.count_nonzero(mask.ravel()[planes] & (planes >= 0), axis=(1, 2))
    full = np.flatnonzero(2 * counts >= counts.max())
    # From the middle of equal shares, so that neither end is favoured.
    places = full[((np.arange(min(many, full.size)) + 0.5) * full.size / min(many, full.size)).astype(int)]
    chosen = planes[[int(np.argmax(counts))] if many == 1 else places]
    stride = max(1, math.ceil(math.sqrt(chosen.size / max_pixels)))
    chosen = np.pad(chosen[:, ::stride, ::stride], ((0, 0), (0, 1), (0, 1)), constant_values=-1)
    count, high, wide = chosen.shape
    order, columns = _tile(chosen, wide / (high * sheet.pixel_aspect))
    every = (sheet.every[0], sheet.every[1] * stride)
    return replace(sheet, order=order, columns=columns, count=count, tile=(high, wide), every=every)


def fullest_slice(mask: Mask, affine: npt.ArrayLike) -> Mask:
    """Return the slice of a mask, (X, Y, Z), with the most voxels, cut as `lay_out` cuts."""
    import nibabel as nib

    turn = nib.orientations.io_orientation(np.asarray(affine))
    index = nib.orientations.apply_orientation(np.arange(mask.size).reshape(mask.shape), turn)
    zooms = np.empty(3)
    zooms[turn[:, 0].astype(int)] = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    planes = np.moveaxis(index, _slice_axis(index.shape, zooms), 0)
    counts = [np.count_nonzero(mask.ravel()[plane]) for plane in planes]
    kept = np.zeros(mask.size, dtype=np.bool_)
    plane = planes[int(np.argmax(counts))].ravel()
    kept[plane] = mask.ravel()[plane]
    return kept.reshape(mask.shape)


def _slice_axis(shape: tuple[int, ...], zooms: Array) -> int:
    """Choose the axis to cut across: the only one with a single voxel, the one with thick slices, or z."""
    single = [axis for axis in range(3) if shape[axis] == 1]
    if single:
        return single[-1]
    thickest = int(np.argmax(zooms))
    others = np.delete(zooms, thickest)
    return thickest if zooms[thickest] > _THICK * others.max() else 2


def _extent(shown: Mask, axis: int, margin: int) -> slice:
    hit = np.flatnonzero(shown.any(axis=tuple(other for other in range(3) if other != axis)))
    return slice(max(int(hit[0]) - margin, 0), int(hit[-1]) + 1 + margin)


def _thin(planes: npt.NDArray[np.intp], max_pixels: int) -> tuple[npt.NDArray[np.intp], tuple[int, int]]:
    """Leave out slices, then rows and columns, until planes of shape (n, rows, columns) are small enough."""
    count = len(planes)
    wanted = max(max_pixels // max(planes[0].size, 1), min(count, FEW_SLICES))
    step = math.ceil(count / wanted)
    # From the middle of the first step, so that both ends lose as much.
    kept = planes[(count - 1) % step // 2 :: step]
    stride = max(1, math.ceil(math.sqrt(kept.size / max_pixels)))
    return kept[:, ::stride, ::stride], (step, stride)


def _tile(planes: npt.NDArray[np.intp], tile_aspect: float) -> tuple[npt.NDArray[np.intp], int]:
    """Put planes, shape (n, rows, columns), into one sheet padded with -1; return also how many in a row."""
    count, high, wide = planes.shape
    columns = min(
        range(1, count + 1),
        key=lambda n: (
            abs(math.log(n * tile_aspect / math.ceil(count / n) / SHEET_ASPECT)) + 0.2 * (-count % n)
        ),
    )
    rows = math.ceil(count / columns)
    sheet = np.full((rows * columns, high, wide), -1, dtype=np.intp)
    sheet[:count] = planes
    tiled: npt.NDArray[np.intp] = (
        sheet.reshape(rows, columns, high, wide).swapaxes(1, 2).reshape(rows * high, columns * wide)
    )
    return tiled, columns
