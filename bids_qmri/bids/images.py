"""The images of one acquisition as measurements by voxel, read in blocks to bound memory.

Voxels are numbered in Fortran order (the order on disk), so a block of voxels is one consecutive run per
volume.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.nifti import Header, open_voxels, read_header
from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray

GRID_TOLERANCE = 1e-3
"""Largest difference in mm between two affines that still describe the same grid."""

BLOCK_BYTES = 32 << 20


class Series:
    """N measurements of V voxels on one grid, on disk; a context manager that frees its temporary files.

    Parameters
    ----------
    headers
        One 4-D image, or one 3-D image per measurement.
    streams
        The uncompressed bytes of each image.
    spool_dir
        Where images that accompany these (maps, masks) may be uncompressed too.

    Attributes
    ----------
    shape, affine, zooms
        Grid: (X, Y, Z), (4, 4) in mm, voxel size in mm.
    n_voxels, n_measurements
        V and N.
    """

    def __init__(self, headers: Sequence[Header], streams: Sequence[IO[bytes]], spool_dir: Path) -> None:
        first = headers[0]
        self.spool_dir = spool_dir
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

    def read(self, start: int, stop: int, measurements: Sequence[int] | None = None) -> FloatArray:
        """Return the signals of voxels `start` to `stop` (exclusive).

        Parameters
        ----------
        start, stop
            Voxel numbers in Fortran order.
        measurements
            Which measurements to read; None reads all.

        Returns
        -------
        Signals, shape (stop - start, N).
        """
        chosen = range(self.n_measurements) if measurements is None else measurements
        # One contiguous row per measurement while filling: that is how the bytes arrive.
        block = np.empty((len(chosen), stop - start))
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
            row[:] = np.frombuffer(raw, dtype=header.dtype)
            row *= header.slope
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


def open_series(paths: Sequence[Path], spool_dir: Path) -> Series:
    """Open the images of one acquisition as N measurements of V voxels.

    Parameters
    ----------
    paths
        One 3-D image per measurement, or a single image whose fourth axis is the measurement.
    spool_dir
        Existing folder for the uncompressed copy of ``.nii.gz`` images.

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
    with ExitStack() as stack:
        streams = [stack.enter_context(open_voxels(header, spool_dir)) for header in headers]
        stack.pop_all()
    return Series(headers, streams, spool_dir)


def require_same_grid(header: Header, other: Header) -> None:
    """Raise an InputError that names both files if two images do not share size and position."""
    if header.shape[:3] != other.shape[:3]:
        raise InputError(
            f"has the size {header.shape[:3]} but {other.path.name} has {other.shape[:3]}",
            file=header.path,
            field="dim",
            needed="all images on one grid",
            fix="resample them to one grid first",
        )
    difference = np.abs(header.affine - other.affine)
    if difference.max() > GRID_TOLERANCE:
        where = np.unravel_index(int(difference.argmax()), difference.shape)
        raise InputError(
            f"its voxel-to-mm matrix has {header.affine[where]:g} in row {where[0] + 1},"
            f" column {where[1] + 1} but {other.path.name} has {other.affine[where]:g}",
            file=header.path,
            field="sform/qform",
            needed=f"all images on one grid (within {GRID_TOLERANCE:g} mm)",
            fix="register and resample them to one grid first",
        )


def load_map(path: Path, series: Series) -> FloatArray:
    """Return a 3-D image as one value per voxel of a series, shape (V,).

    Raises
    ------
    InputError
        If the image is damaged, not 3-D, or not on the grid of the series.
    """
    require_map_grid(read_header(path), series)
    with open_series([path], series.spool_dir) as image:
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
    """Raise an InputError that names both grids if a map or mask is not on the grid of a series."""
    if not same_grid(header, series):
        raise InputError(
            f"has the grid {header.shape} at {np.round(header.affine[:3, 3], 2).tolist()} mm, the images have"
            f" {series.shape} at {np.round(series.affine[:3, 3], 2).tolist()} mm",
            file=header.path,
            field="dim, sform/qform",
            needed="the grid of the images",
            fix="resample it to the grid of the images",
        )


def same_grid(one: Series | Header, other: Series | Header) -> bool:
    """Whether two images share size and position."""
    return one.shape[:3] == other.shape[:3] and bool(
        np.all(np.abs(one.affine - other.affine) <= GRID_TOLERANCE)
    )
