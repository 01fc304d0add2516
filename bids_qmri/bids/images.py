"""The images of one acquisition as measurements by voxel, read in blocks to bound memory.

Voxels lie in one order whatever order a file has (`axes`) and are numbered in Fortran order, so a block of
voxels is one consecutive run per volume; a file of another order is turned into a scratch file first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.axes import TOLERANCE, StoredGrid, Turn, canonical, farthest, turn_between
from bids_qmri.bids.nifti import Header, open_voxels, read_header
from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray

BLOCK_BYTES = 32 << 20

RESAMPLE = "register and resample it to that grid"


class Series:
    """N measurements of V voxels on one grid, on disk; a context manager that frees its temporary files.

    Parameters
    ----------
    headers
        One 4-D image, or one 3-D image per measurement, all on one grid with one order of axes.
    stored
        The grid of the first file as it is stored.
    streams
        The uncompressed bytes of each image.
    spool_dir
        Where images that accompany these (maps, masks) may be uncompressed too.

    Attributes
    ----------
    shape, affine, zooms
        Grid: (X, Y, Z), (4, 4) in mm, voxel size in mm.
    stored
        The grid that maps are written on.
    n_voxels, n_measurements
        V and N.
    """

    def __init__(
        self, headers: Sequence[Header], stored: StoredGrid, streams: Sequence[IO[bytes]], spool_dir: Path
    ) -> None:
        first = headers[0]
        self.spool_dir, self.stored = spool_dir, stored
        self.shape = (first.shape[0], first.shape[1], first.shape[2])
        self.affine, self.zooms = first.affine, first.zooms
        self.n_voxels = first.n_voxels
        self._streams = tuple(streams)
        self._volumes = tuple(
            (header, stream.fileno(), header.offset + volume * header.n_voxels * header.dtype.itemsize)
            for header, stream in zip(headers, streams, strict=True)
            for volume in range(header.n_volumes)
        )
        self.n_measurements = len(self._volumes)

    def rescale(self, factors: Sequence[float]) -> None:
        """Multiply every measurement by a factor of its own as it is read."""
        self._volumes = tuple(
            (replace(header, slope=header.slope * factor, intercept=header.intercept * factor), file, offset)
            for (header, file, offset), factor in zip(self._volumes, factors, strict=True)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; temporary ones vanish with it."""
        for stream in self._streams:
            stream.close()

    def read(
        self,
        start: int,
        stop: int,
        measurements: Sequence[int] | None = None,
        within: npt.NDArray[np.intp] | None = None,
    ) -> FloatArray:
        """Return the signals of voxels `start` to `stop` (exclusive), or of some of them.

        Parameters
        ----------
        start, stop
            Voxel numbers in Fortran order.
        measurements
            Which measurements to read; None reads all.
        within
            Which of these voxels, counted from `start`; None returns all.

        Returns
        -------
        Signals, shape (stop - start, N) or (len(within), N), the voxels of a measurement side by side.
        """
        chosen = range(self.n_measurements) if measurements is None else measurements
        # One contiguous row per measurement while filling: that is how the bytes arrive.
        block = np.empty((len(chosen), stop - start if within is None else len(within)))
        for row, index in zip(block, chosen, strict=True):
            header, descriptor, offset = self._volumes[index]
            size = header.dtype.itemsize
            raw = os.pread(descriptor, (stop - start) * size, offset + start * size)
            if len(raw) != (stop - start) * size:
                raise InputError(
                    "became shorter while it was read",
                    file=header.path,
                    needed="a stable file",
                    fix="run again",
                )
            stored = np.frombuffer(raw, dtype=header.dtype)
            row[:] = stored if within is None else stored[within]
            if header.slope != 1.0:
                row *= header.slope
            if header.intercept != 0.0:
                row += header.intercept
        return block.T

    def summary(self, measurements: Sequence[int] | None = None) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Return, in one pass, each voxel's mean (V,) and whether it is finite and above 0 throughout (V,).

        Parameters
        ----------
        measurements
            Which measurements count; None takes all.
        """
        mean, usable = np.empty(self.n_voxels), np.empty(self.n_voxels, dtype=bool)
        for start, stop in self._blocks():
            signal = self.read(start, stop, measurements)
            mean[start:stop] = signal.mean(axis=1)
            usable[start:stop] = np.all(np.isfinite(signal) & (signal > 0), axis=1)
        return mean, usable

    def _blocks(self) -> Iterator[tuple[int, int]]:
        step = max(1, BLOCK_BYTES // (8 * self.n_measurements))
        for start in range(0, self.n_voxels, step):
            yield start, min(start + step, self.n_voxels)


def open_series(paths: Sequence[Path], spool_dir: Path, grid: Series | None = None) -> Series:
    """Open the images of one acquisition as N measurements of V voxels.

    Parameters
    ----------
    paths
        One 3-D image per measurement, or a single image whose fourth axis is the measurement.
    spool_dir
        Existing folder for the uncompressed copy of ``.nii.gz`` images.
    grid
        Images that share the grid, and whose order of axes is taken; None: axes run to left, front, head.

    Raises
    ------
    InputError
        If an image is damaged, 4-D among several, or not on the grid of the first one.
    """
    headers = [read_header(path) for path in paths]
    for header in headers:
        if len(headers) > 1 and header.n_volumes > 1:
            raise InputError(
                f"has {header.n_volumes} volumes",
                file=header.path,
                field="dim",
                needed="one 3-D image per measurement",
                fix="split it into one file per measurement",
            )
        require_same_grid(header, headers[0])
    stored = _stored(headers[0]) if grid is None else grid.stored
    target = turned(headers[0], stored.turn) if grid is None else grid
    with ExitStack() as stack:
        opened = [_open_turned(header, target, spool_dir, stack) for header in headers]
        stack.pop_all()
    return Series([header for header, _ in opened], stored, [stream for _, stream in opened], spool_dir)


def _stored(header: Header) -> StoredGrid:
    x, y, z = header.shape[:3]
    return StoredGrid((x, y, z), header.affine, header.zooms, canonical(header.affine))


def turned(header: Header, turn: Turn) -> Header:
    """Return what a header says of the voxels once their axes are turned."""
    zooms = [header.zooms[own] for own in turn.order]
    return replace(
        header,
        shape=(*turn.shape(header.shape), *header.shape[3:]),
        affine=turn.affine(header.affine, header.shape),
        zooms=(zooms[0], zooms[1], zooms[2]),
    )


def _open_turned(
    header: Header, target: Series | Header, spool_dir: Path, stack: ExitStack
) -> tuple[Header, IO[bytes]]:
    """Open an image with the axes of a grid, which a scratch file holds if its own are others."""
    turn = turn_between(header.affine, header.shape, target.affine, target.shape)
    if turn is None:
        raise _other_grid(header, target, "the grid of the images")
    if turn.is_none:
        return header, stack.enter_context(open_voxels(header, spool_dir))
    copy = stack.enter_context(open_voxels(header, spool_dir, turn.forward))
    return replace(turned(header, turn), offset=0), copy


def require_same_grid(header: Header, other: Header) -> None:
    """Raise an InputError that names both files if two images do not hold the same voxels, in any order."""
    if not same_grid(header, other):
        raise _other_grid(header, other, f"the grid of {other.path.name}")


def _other_grid(header: Header, other: Series | Header, needed: str) -> InputError:
    """Return what tells two grids apart, after axes were turned as far as that helps."""
    theirs = other.path.name if isinstance(other, Header) else "the images"
    own = turned(header, canonical(header.affine))
    turn = other.stored.turn if isinstance(other, Series) else canonical(other.affine)
    grid = (other.affine, other.shape) if isinstance(other, Series) else _turned_grid(other, turn)
    if own.shape[:3] != grid[1][:3]:
        seen = f"has {_size(own.shape)} voxels (left, front, head) but {theirs} {_size(grid[1])}"
        return InputError(seen, file=header.path, field="dim", needed=needed, fix=RESAMPLE)
    shift = own.affine[:3, 3] - grid[0][:3, 3]
    zooms = np.abs(np.linalg.norm(own.affine[:3, :3], axis=0) - np.linalg.norm(grid[0][:3, :3], axis=0))
    seen = (
        f"lies up to {farthest(own.affine, grid[0], own.shape):.2g} voxels from {theirs}: first voxels"
        f" differ by {_numbers(shift)} mm, voxel sizes by {_numbers(zooms)} mm"
    )
    needed = f"{needed} (within {TOLERANCE:g} of a voxel)"
    return InputError(seen, file=header.path, field="sform/qform", needed=needed, fix=RESAMPLE)


def _turned_grid(header: Header, turn: Turn) -> tuple[FloatArray, tuple[int, ...]]:
    return turn.affine(header.affine, header.shape), turn.shape(header.shape)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape[:3]))


def _numbers(values: FloatArray) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def load_map(path: Path, series: Series) -> FloatArray:
    """Return a 3-D image as one value per voxel of a series, shape (V,).

    Raises
    ------
    InputError
        If the image is damaged, not 3-D, or not on the grid of the series.
    """
    require_map_grid(read_header(path), series)
    with open_series([path], series.spool_dir, series) as image:
        if image.n_measurements != 1:
            raise InputError(
                f"has {image.n_measurements} volumes",
                file=path,
                field="dim",
                needed="a 3-D image",
                fix="split it",
            )
        return image.read(0, image.n_voxels)[:, 0]


def require_map_grid(header: Header, series: Series) -> None:
    """Raise an InputError that names the difference if a map or mask is not on the grid of a series."""
    if not same_grid(header, series):
        raise _other_grid(header, series, "the grid of the images")


def same_grid(one: Series | Header, other: Series | Header) -> bool:
    """Whether two images hold the same voxels, in whatever order."""
    return turn_between(one.affine, one.shape, other.affine, other.shape) is not None
